//! ConfigMaps of the control plane's namespace, followed.

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
    let (sender, receiver) = watch::channel(State::Unknown);
    let (client, namespace) = (client.clone(), cluster.namespace.clone());
    let stop = stop.clone();
    tasks.spawn(async move {
        config_maps::follow(client, &namespace, &name, sender, stop).await;
    });
    receiver
}
