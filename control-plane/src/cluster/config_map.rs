//! ConfigMaps of the control plane's namespace, followed.

use std::collections::BTreeMap;

use meltemi_cluster::Client;
use meltemi_cluster::config_maps::{self, State};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::settings::Cluster;

/// What a ConfigMap holds, from now until `stop`.
pub(super) fn follow(
    client: &Client,
    cluster: &Cluster,
    name: String,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> watch::Receiver<State> {
    let is_usable = |_: &BTreeMap<String, String>| true;
    follow_usable(client, cluster, (name, is_usable), tasks, stop)
}

/// The same; while it is unusable the last usable one stays.
pub(super) fn follow_usable(
    client: &Client,
    cluster: &Cluster,
    (name, is_usable): (
        String,
        impl Fn(&BTreeMap<String, String>) -> bool + Send + Sync + 'static,
    ),
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> watch::Receiver<State> {
    let (sender, receiver) = watch::channel(State::Unknown);
    let (client, namespace) = (client.clone(), cluster.namespace.clone());
    let stop = stop.clone();
    tasks.spawn(async move {
        let name = (&*namespace, &*name);
        config_maps::follow_usable(client, name, sender, stop, is_usable).await;
    });
    receiver
}
