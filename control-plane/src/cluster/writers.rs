//! What the control plane writes into its cluster: the root certificate in every namespace and statuses (by the leader),
//! and the bundles by which the API server trusts the webhooks (by every replica, as istiod does).

use std::sync::Arc;

use meltemi_cluster::leader::{Election, LockKind, campaign, locks};
use meltemi_cluster::roots::{Distribution, distribute};
use meltemi_cluster::selector::Selector;
use meltemi_cluster::webhooks::{Injection, Validation, patch_injection, patch_validation};
use meltemi_cluster::{Client, Metrics, revisions};
use meltemi_model::allocation::Prefixes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::statuses;
use crate::engine::Engine;
use crate::settings::Cluster;

/// What is written.
pub(super) struct Writings {
    pub(super) client: Client,
    /// The root bundle, in PEM.
    pub(super) bundle: watch::Receiver<Arc<str>>,
    /// Namespaces that the mesh has to do with; none: all.
    pub(super) selectors: watch::Receiver<Vec<Selector>>,
    pub(super) metrics: Metrics,
    /// What was read.
    pub(super) engine: Arc<Engine>,
    /// Where addresses of ServiceEntries are taken from; `None`: none are given.
    pub(super) prefixes: Option<Prefixes>,
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
        engine,
        prefixes,
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
        };
        tasks.spawn(patch_validation(
            client.clone(),
            what,
            bundle.clone(),
            stop.clone(),
        ));
    }
    let (sender, default_revision) = watch::channel(String::new());
    tasks.spawn(revisions::follow_default(
        client.clone(),
        sender,
        stop.clone(),
    ));
    let posts = Posts {
        client: client.clone(),
        cluster,
        elections: variables.switch("ENABLE_LEADER_ELECTION", true)?,
        default_revision,
        tasks,
        stop,
    };
    statuses::start(&posts, &client, engine, prefixes, &metrics);
    let mut what = Distribution::default();
    what.config_map = variables.text_or("PILOT_CA_CERT_CONFIGMAP", &what.config_map);
    posts.hold(locks::NAMESPACES, move |lead: CancellationToken| {
        distribute(
            client.clone(),
            what.clone(),
            bundle.clone(),
            selectors.clone(),
            metrics.clone(),
            lead,
        )
    });
    Ok(())
}

/// Where work is done that only one replica does at a time.
pub(super) struct Posts<'a> {
    client: Client,
    pub(super) cluster: &'a Cluster,
    /// Without elections everybody does everything.
    elections: bool,
    pub(super) default_revision: watch::Receiver<String>,
    pub(super) tasks: &'a TaskTracker,
    pub(super) stop: &'a CancellationToken,
}

impl Posts<'_> {
    /// Does the work of a lock whenever it is ours.
    pub(super) fn hold<F, Work>(&self, lock: (&'static str, LockKind), mut work: F)
    where
        F: FnMut(CancellationToken) -> Work + Send + 'static,
        Work: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        if !self.elections {
            self.tasks.spawn(work(stop));
            return;
        }
        let election = Election {
            namespace: self.cluster.namespace.clone(),
            lock,
            identity: self.cluster.pod.clone(),
            revision: self.cluster.revision.clone(),
            per_revision: false,
            remote: false,
        };
        let (client, default_revision) = (self.client.clone(), self.default_revision.clone());
        self.tasks.spawn(async move {
            campaign(&client, &election, default_revision, stop, work).await;
        });
    }
}
