//! One Secret, read and written: the signing key of the CA lives in `istio-ca-secret` or `cacerts`.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1 as core;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use crate::error::{ApiError, REQUEST_TIMEOUT, within};

/// The type of the Secret that holds a self-signed CA (Istio 1.31).
pub const CA_ROOT: &str = "istio.io/ca-root";

/// A Secret. Its `Debug` shows the names of the keys and the sizes of the values only.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its type, such as [`CA_ROOT`]; it cannot be changed later.
    pub kind: String,
    /// Its values.
    pub data: BTreeMap<String, Vec<u8>>,
    /// Which version of it was read; empty before it exists. [`update`] replaces no other version.
    pub version: String,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: BTreeMap<_, _> = self.data.iter().map(|(k, v)| (k, v.len())).collect();
        f.debug_struct("Secret")
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("sizes", &sizes)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Reads a Secret; [`ApiError::NotFound`] if there is none.
pub async fn read(client: &Client, namespace: &str, name: &str) -> Result<Secret, ApiError> {
    let api: Api<core::Secret> = Api::namespaced(client.clone(), namespace);
    within(REQUEST_TIMEOUT, api.get(name)).await.map(plain)
}

/// Creates a Secret; [`ApiError::AlreadyExists`] if another replica was faster: then read what it made.
pub async fn create(client: &Client, secret: &Secret) -> Result<Secret, ApiError> {
    let api: Api<core::Secret> = Api::namespaced(client.clone(), &secret.namespace);
    let object = core::Secret {
        metadata: ObjectMeta {
            name: Some(secret.name.clone()),
            namespace: Some(secret.namespace.clone()),
            ..ObjectMeta::default()
        },
        type_: Some(secret.kind.clone()),
        data: Some(encoded(&secret.data)),
        ..core::Secret::default()
    };
    let params = PostParams::default();
    within(REQUEST_TIMEOUT, api.create(&params, &object))
        .await
        .map(plain)
}

/// Replaces the values of a Secret that was read before. Labels, annotations and owners stay as they are.
/// [`ApiError::Conflict`] if it was changed since: then read it again.
pub async fn update(client: &Client, secret: &Secret) -> Result<Secret, ApiError> {
    let api: Api<core::Secret> = Api::namespaced(client.clone(), &secret.namespace);
    let mut object = within(REQUEST_TIMEOUT, api.get(&secret.name)).await?;
    if object.metadata.resource_version.as_deref() != Some(secret.version.as_str()) {
        return Err(ApiError::Conflict);
    }
    object.data = Some(encoded(&secret.data));
    let params = PostParams::default();
    within(REQUEST_TIMEOUT, api.replace(&secret.name, &params, &object))
        .await
        .map(plain)
}

fn encoded(data: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, ByteString> {
    data.iter()
        .map(|(key, value)| (key.clone(), ByteString(value.clone())))
        .collect()
}

fn plain(object: core::Secret) -> Secret {
    let data = object.data.unwrap_or_default();
    Secret {
        namespace: object.metadata.namespace.unwrap_or_default(),
        name: object.metadata.name.unwrap_or_default(),
        kind: object.type_.unwrap_or_default(),
        data: data
            .into_iter()
            .map(|(key, value)| (key, value.0))
            .collect(),
        version: object.metadata.resource_version.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
