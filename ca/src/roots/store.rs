//! Secrets, as far as a root needs them.

use std::collections::BTreeMap;
use std::fmt;

use parking_lot::Mutex;

/// A Secret. Its values are never shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret {
    /// Its type.
    pub kind: String,
    /// Its values, decoded.
    pub data: BTreeMap<String, Vec<u8>>,
    /// The version that was read (`metadata.resourceVersion`); empty in a new one.
    pub version: String,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("kind", &self.kind)
            .field("keys", &self.data.keys())
            .field("version", &self.version)
            .finish()
    }
}

/// Why a Secret could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It exists already, or was changed since it was read.
    #[error("another replica has changed it")]
    Conflict,
    /// Anything else, for people.
    #[error("{0}")]
    Other(String),
}

/// Secrets of our own namespace. The binary implements it.
#[tonic::async_trait]
pub trait SecretStore: Send + Sync + 'static {
    /// A Secret; `None`: there is none of this name.
    async fn read(&self, name: &str) -> Result<Option<Secret>, StoreError>;

    /// Makes a Secret; [`StoreError::Conflict`] when there is one already.
    async fn create(&self, name: &str, secret: &Secret) -> Result<(), StoreError>;

    /// Writes a Secret that was read before; [`StoreError::Conflict`] when its version is no longer the newest.
    async fn update(&self, name: &str, secret: &Secret) -> Result<(), StoreError>;
}

/// Secrets in memory: for tests, and for a mesh without Kubernetes.
#[derive(Debug, Default)]
pub struct MemoryStore {
    secrets: Mutex<BTreeMap<String, Secret>>,
}

#[tonic::async_trait]
impl SecretStore for MemoryStore {
    async fn read(&self, name: &str) -> Result<Option<Secret>, StoreError> {
        Ok(self.secrets.lock().get(name).cloned())
    }

    async fn create(&self, name: &str, secret: &Secret) -> Result<(), StoreError> {
        let mut secrets = self.secrets.lock();
        if secrets.contains_key(name) {
            return Err(StoreError::Conflict);
        }
        let version = "1".to_owned();
        secrets.insert(
            name.to_owned(),
            Secret {
                version,
                ..secret.clone()
            },
        );
        Ok(())
    }

    async fn update(&self, name: &str, secret: &Secret) -> Result<(), StoreError> {
        let mut secrets = self.secrets.lock();
        let current = secrets
            .get_mut(name)
            .filter(|current| current.version == secret.version)
            .ok_or(StoreError::Conflict)?;
        let version: u64 = current.version.parse().unwrap_or_default();
        *current = Secret {
            version: (version + 1).to_string(),
            ..secret.clone()
        };
        Ok(())
    }
}
