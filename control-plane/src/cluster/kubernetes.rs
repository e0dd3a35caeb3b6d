//! What the certificate authority asks of Kubernetes, answered by the API server.

use std::collections::BTreeMap;
use std::time::Duration;

use meltemi_ca::authenticate::{Review, TokenReviewer};
use meltemi_ca::node;
use meltemi_ca::roots::{Secret, SecretStore, StoreError};
use meltemi_cluster::{ApiError, Client, pods, secrets, tokens};

/// A stream or a request for a certificate waits no longer for the review of its token; its client tries again.
const REVIEW: Duration = Duration::from_secs(5);

/// The Secrets of the control plane's namespace.
pub(super) struct Secrets {
    pub(super) client: Client,
    pub(super) namespace: String,
}

#[tonic::async_trait]
impl SecretStore for Secrets {
    async fn read(&self, name: &str) -> Result<Option<Secret>, StoreError> {
        match secrets::read(&self.client, &self.namespace, name).await {
            Ok(found) => Ok(Some(Secret {
                kind: found.kind,
                data: found.data,
                version: found.version,
            })),
            Err(ApiError::NotFound(_)) => Ok(None),
            Err(error) => Err(store_error(&error)),
        }
    }

    async fn create(&self, name: &str, secret: &Secret) -> Result<(), StoreError> {
        let made = secrets::create(&self.client, &self.named(name, secret)).await;
        made.map(drop).map_err(|error| store_error(&error))
    }

    async fn update(&self, name: &str, secret: &Secret) -> Result<(), StoreError> {
        let written = secrets::update(&self.client, &self.named(name, secret)).await;
        written.map(drop).map_err(|error| store_error(&error))
    }
}

impl Secrets {
    fn named(&self, name: &str, secret: &Secret) -> secrets::Secret {
        secrets::Secret {
            namespace: self.namespace.clone(),
            name: name.to_owned(),
            kind: secret.kind.clone(),
            data: secret.data.clone(),
            version: secret.version.clone(),
        }
    }
}

fn store_error(error: &ApiError) -> StoreError {
    match error {
        ApiError::AlreadyExists | ApiError::Conflict => StoreError::Conflict,
        other => StoreError::Other(other.to_string()),
    }
}

/// Tokens of this cluster.
pub(super) struct Tokens {
    pub(super) client: Client,
}

#[tonic::async_trait]
impl TokenReviewer for Tokens {
    async fn review(&self, token: &str, audiences: &[String]) -> Result<Review, String> {
        let asked = tokens::review(&self.client, tokens::Token(token), audiences, REVIEW).await;
        let found = asked.map_err(|error| error.to_string())?;
        let extra = [
            ("authentication.kubernetes.io/pod-name", found.pod_name),
            ("authentication.kubernetes.io/pod-uid", found.pod_uid),
            ("authentication.kubernetes.io/node-name", found.node_name),
        ];
        let extra: BTreeMap<String, Vec<String>> = extra
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| (key.to_owned(), vec![value]))
            .collect();
        Ok(Review {
            authenticated: found.authenticated,
            error: found.error,
            username: found.username,
            groups: found.groups,
            audiences: found.audiences,
            extra,
        })
    }
}

/// Pods of this cluster, asked for when a node's proxy asks for their certificates.
pub(super) struct Pods {
    pub(super) client: Client,
}

#[tonic::async_trait]
impl node::Pods for Pods {
    async fn pod(
        &self,
        cluster: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Option<node::Pod>, String> {
        ours(cluster)?;
        let asked = pods::pod(&self.client, namespace, name).await;
        Ok(asked.map_err(|error| error.to_string())?.map(known))
    }

    async fn on_node(
        &self,
        cluster: &str,
        node: &str,
        namespace: &str,
        account: &str,
    ) -> Result<Vec<node::Pod>, String> {
        ours(cluster)?;
        let asked = pods::of_account_on_node(&self.client, namespace, account, node).await;
        let found = asked.map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(known).collect())
    }
}

fn ours(cluster: &str) -> Result<(), String> {
    if cluster.is_empty() {
        Ok(())
    } else {
        Err(format!("the pods of cluster {cluster} are not known here"))
    }
}

fn known(pod: pods::Pod) -> node::Pod {
    node::Pod {
        uid: pod.uid,
        service_account: pod.service_account,
        node: pod.node,
        failed: pod.phase == "Failed",
    }
}
