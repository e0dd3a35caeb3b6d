//! For whom a node's proxy may ask. ztunnel holds the certificates of all pods on its node; it must get no others.

use crate::authenticate::CallerPod;
use crate::identity::Identity;
use crate::settings::Callers;

/// What is to be known about a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pod {
    /// Its UID.
    pub uid: String,
    /// Its service account.
    pub service_account: String,
    /// Its node; empty while it has none.
    pub node: String,
    /// Whether its phase is Failed.
    pub failed: bool,
}

/// The pods of all clusters. The binary implements it. A cluster is named as in [`CallerPod::cluster`]: empty for ours.
/// Errors say why the API server could not be asked.
#[tonic::async_trait]
pub trait Pods: Send + Sync + 'static {
    /// A pod by its name.
    async fn pod(&self, cluster: &str, namespace: &str, name: &str) -> Result<Option<Pod>, String>;

    /// The pods of a service account on a node.
    async fn on_node(
        &self,
        cluster: &str,
        node: &str,
        namespace: &str,
        account: &str,
    ) -> Result<Vec<Pod>, String>;
}

/// Whether this caller may get a certificate for this identity. Istio 1.31 (node_auth.go); that the identity is of our
/// trust domain is checked here as well.
///
/// A pod may be too new to be known; ztunnel asks again.
///
/// # Errors
/// Why not, for the log: the caller gets one opaque answer.
pub async fn may_impersonate(
    settings: &Callers,
    pods: &dyn Pods,
    caller: Option<&CallerPod>,
    requested: &str,
) -> Result<Identity, String> {
    let caller = caller.ok_or("the caller did not come with the token of a pod")?;
    let account = (caller.namespace.clone(), caller.service_account.clone());
    if !settings.node_accounts.contains(&account) {
        return Err(format!(
            "caller {}/{} is not in CA_TRUSTED_NODE_ACCOUNTS",
            account.0, account.1
        ));
    }
    let identity: Identity = requested
        .parse()
        .map_err(|error| format!("the requested identity is {error}"))?;
    if identity.trust_domain != settings.trust_domain {
        return Err(format!(
            "trust domain {:?} is not ours, {:?}",
            identity.trust_domain, settings.trust_domain
        ));
    }
    let CallerPod {
        cluster,
        namespace,
        name,
        uid,
        service_account,
    } = caller;
    let pod = pods
        .pod(cluster, namespace, name)
        .await?
        .ok_or_else(|| format!("the caller's pod {namespace}/{name} is not known"))?;
    if uid.is_empty() || pod.uid != *uid {
        return Err(format!(
            "pod {namespace}/{name} has the UID {:?}, the token {uid:?}",
            pod.uid
        ));
    }
    if pod.service_account != *service_account {
        return Err(format!(
            "pod {namespace}/{name} has the service account {:?}, the token {service_account:?}",
            pod.service_account
        ));
    }
    if pod.node.is_empty() {
        return Err(format!("pod {namespace}/{name} is on no node"));
    }
    let on_node = pods
        .on_node(
            cluster,
            &pod.node,
            &identity.namespace,
            &identity.service_account,
        )
        .await?;
    if on_node.iter().all(|pod| pod.failed) {
        return Err(format!(
            "no pod of {}/{} runs on node {}",
            identity.namespace, identity.service_account, pod.node
        ));
    }
    Ok(identity)
}

#[cfg(test)]
mod tests;
