//! What the injector is told: its ConfigMap, the mesh configuration, and the nodes' kubelets.

use std::sync::Arc;

use meltemi_cluster::Client;
use meltemi_cluster::config_maps::State;
use meltemi_cluster::nodes::{self, KubeletVersions};
use meltemi_cluster::revisions::revision_or_default;
use meltemi_injector::{Injector, MeshConfig, NativeSidecars, Node, Settings, Surroundings};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::config_map;
use crate::settings::Cluster;

/// Keeps the injector up to date. The receiver turns true when it has read its configuration, or found none.
pub(super) fn start(
    client: &Client,
    cluster: &Cluster,
    injector: Arc<Injector>,
    ready: watch::Sender<bool>,
    meshes: watch::Receiver<State>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let revision = revision_or_default(&cluster.revision).to_owned();
    let name = config_map_of(&revision);
    let inputs = Inputs {
        name: format!("{}/{name}", cluster.namespace),
        configs: config_map::follow(client, cluster, name, tasks, stop),
        meshes,
    };
    let environment = cluster.variables.all();
    let until = stop.clone();
    let told = Arc::clone(&injector);
    tasks.spawn(async move {
        let follow = inputs.follow(&told, &environment, &revision, &ready);
        until.run_until_cancelled(follow).await;
    });

    let (sender, versions) = watch::channel(None);
    tasks.spawn(nodes::follow(client.clone(), sender, stop.clone()));
    let surroundings = Surroundings {
        native_sidecars: native_sidecars(cluster)?,
        openshift: cluster.variables.text("PLATFORM") == Some("openshift"),
        ..Surroundings::default()
    };
    let until = stop.clone();
    tasks.spawn(async move {
        until
            .run_until_cancelled(surround(versions, surroundings, &injector))
            .await;
    });
    Ok(())
}

/// Its ConfigMap: `istio-sidecar-injector`, or `istio-sidecar-injector-<revision>`.
fn config_map_of(revision: &str) -> String {
    match revision {
        "default" => "istio-sidecar-injector".to_owned(),
        revision => format!("istio-sidecar-injector-{revision}"),
    }
}

fn native_sidecars(cluster: &Cluster) -> anyhow::Result<NativeSidecars> {
    match cluster.variables.text("ENABLE_NATIVE_SIDECARS") {
        None | Some("auto") => Ok(NativeSidecars::Auto),
        Some(_) => Ok(
            if cluster.variables.switch("ENABLE_NATIVE_SIDECARS", true)? {
                NativeSidecars::Enabled
            } else {
                NativeSidecars::Disabled
            },
        ),
    }
}

/// Where injection is configured.
struct Inputs {
    /// The injector's ConfigMap, for people.
    name: String,
    configs: watch::Receiver<State>,
    meshes: watch::Receiver<State>,
}

impl Inputs {
    /// Tells the injector what changes; what cannot be read changes nothing.
    async fn follow(
        mut self,
        injector: &Injector,
        environment: &meltemi_injector::Environment,
        revision: &str,
        ready: &watch::Sender<bool>,
    ) {
        loop {
            let config = self.configs.borrow_and_update().clone();
            let mesh = self.meshes.borrow_and_update().clone();
            match (&config, &mesh) {
                (State::Unknown, _) | (_, State::Unknown) => {}
                (State::Absent, _) => {
                    warn!(config_map = self.name, "no template, no injection");
                    ready.send_replace(true);
                }
                (State::Present(_), _) => {
                    match read(&config, &mesh, environment, revision) {
                        Ok(settings) => {
                            info!(config_map = self.name, "read the injector's configuration");
                            injector.set(Arc::new(settings));
                        }
                        Err(reason) => {
                            error!(config_map = self.name, %reason, "injection goes on as it was");
                        }
                    }
                    ready.send_replace(true);
                }
            }
            let changed = tokio::select! {
                changed = self.configs.changed() => changed,
                changed = self.meshes.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
        }
    }
}

fn read(
    config: &State,
    mesh: &State,
    environment: &meltemi_injector::Environment,
    revision: &str,
) -> Result<Settings, String> {
    let text = |state: &State, key: &str| match state {
        State::Present(data) => data.get(key).cloned(),
        State::Unknown | State::Absent => None,
    };
    let templates = text(config, "config").ok_or("the key config is missing")?;
    let values = text(config, "values").ok_or("the key values is missing")?;
    let mesh = match text(mesh, "mesh") {
        Some(text) => MeshConfig::parse(&text).map_err(|error| format!("mesh: {error}"))?,
        None => MeshConfig::default(),
    };
    let settings = Settings::parse(&templates, &values, mesh, environment);
    let mut settings = settings.map_err(|error| error.to_string())?;
    revision.clone_into(&mut settings.revision);
    Ok(settings)
}

async fn surround(
    mut versions: watch::Receiver<Option<KubeletVersions>>,
    surroundings: Surroundings,
    injector: &Injector,
) {
    loop {
        let known = versions.borrow_and_update().clone().unwrap_or_default();
        let nodes = known.iter().map(|(name, version)| Node {
            name: name.clone(),
            kubelet_version: version.clone(),
        });
        injector.surround(Arc::new(Surroundings {
            nodes: nodes.collect(),
            ..surroundings.clone()
        }));
        if versions.changed().await.is_err() {
            return;
        }
    }
}
