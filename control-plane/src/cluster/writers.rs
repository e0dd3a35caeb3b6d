//! What the control plane writes into its cluster: the root certificate in every namespace (by the leader), and the
//! bundles by which the API server trusts the webhooks (by every replica, as istiod does).

use std::sync::Arc;

use meltemi_cluster::leader::{Election, campaign, locks};
use meltemi_cluster::roots::{Distribution, distribute};
use meltemi_cluster::selector::Selector;
use meltemi_cluster::webhooks::{Injection, Validation, patch_injection, patch_validation};
use meltemi_cluster::{Client, Metrics, revisions};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::settings::Cluster;

/// What is written.
pub(super) struct Writings {
    pub(super) client: Client,
    /// The root bundle, in PEM.
    pub(super) bundle: watch::Receiver<Arc<str>>,
    /// Namespaces that the mesh has to do with; none: all.
    pub(super) selectors: watch::Receiver<Vec<Selector>>,
    pub(super) metrics: Metrics,
}

/// Starts all writers; they end with `stop`, and who leads gives its lock back.
pub(super) fn start(
    cluster: &Cluster,
    writings: Writings,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let Writings {
        client,
        bundle,
        selectors,
        metrics,
    } = writings;
    let variables = &cluster.variables;
    if !variables.is_blank("INJECTION_WEBHOOK_CONFIG_NAME") {
        let what = Injection {
            revision: cluster.revision.clone(),
            metrics: metrics.clone(),
        };
        tasks.spawn(patch_injection(
            client.clone(),
            what,
            bundle.clone(),
            stop.clone(),
        ));
    }
    if !variables.is_blank("VALIDATION_WEBHOOK_CONFIG_NAME") {
        let what = Validation {
            revision: cluster.revision.clone(),
            namespace: cluster.namespace.clone(),
            metrics: metrics.clone(),
            seen_to_work: false,
        };
        tasks.spawn(patch_validation(
            client.clone(),
            what,
            bundle.clone(),
            stop.clone(),
        ));
    }
    let mut what = Distribution::default();
    what.config_map = variables.text_or("PILOT_CA_CERT_CONFIGMAP", &what.config_map);
    let write = {
        let client = client.clone();
        move |lead: CancellationToken| {
            distribute(
                client.clone(),
                what.clone(),
                bundle.clone(),
                selectors.clone(),
                metrics.clone(),
                lead,
            )
        }
    };
    if !variables.switch("ENABLE_LEADER_ELECTION", true)? {
        tasks.spawn(write(stop.clone()));
        return Ok(());
    }
    let election = Election {
        namespace: cluster.namespace.clone(),
        lock: locks::NAMESPACES,
        identity: cluster.pod.clone(),
        revision: cluster.revision.clone(),
        per_revision: false,
        remote: false,
    };
    let (sender, default_revision) = watch::channel(String::new());
    tasks.spawn(revisions::follow_default(
        client.clone(),
        sender,
        stop.clone(),
    ));
    let stop = stop.clone();
    tasks.spawn(async move { campaign(&client, &election, default_revision, stop, write).await });
    Ok(())
}
