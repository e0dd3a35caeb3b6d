//! What the injector is told: its ConfigMap, the mesh configuration, ProxyConfigs, and the nodes' kubelets.

use std::collections::BTreeMap;
use std::sync::Arc;

use meltemi_cluster::Client;
use meltemi_cluster::config_maps::State;
use meltemi_cluster::nodes::{self, KubeletVersions};
use meltemi_cluster::revisions::revision_or_default;
use meltemi_injector::{
    Injector, MeshConfig, NativeSidecars, Node, ProxyConfigObject, Settings, Surroundings,
};
use meltemi_model::Str;
use meltemi_model::proxy_config::ProxyConfig;
use meltemi_world::store::Table;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::config_map;
use crate::engine::Engine;
use crate::settings::Cluster;

/// Keeps the injector up to date. The receiver turns true when it has read its configuration, or found none.
pub(super) fn start(
    client: &Client,
    cluster: &Cluster,
    (injector, engine): (Arc<Injector>, Arc<Engine>),
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
    let (surrounded, is_surrounded) = watch::channel(false);
    tasks.spawn(async move {
        let follow = inputs.follow(&told, &environment, &revision, (is_surrounded, &ready));
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
            .run_until_cancelled(surround(
                versions,
                &engine,
                surroundings,
                &injector,
                &surrounded,
            ))
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
        (mut is_surrounded, ready): (watch::Receiver<bool>, &watch::Sender<bool>),
    ) {
        // A pod that is injected before ProxyConfigs were read would run without them until somebody restarts it.
        if is_surrounded.wait_for(|is| *is).await.is_err() {
            return;
        }
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

/// Tells the injector about the cluster, as soon as everything was read, and whenever it changes.
async fn surround(
    mut versions: watch::Receiver<Option<KubeletVersions>>,
    engine: &Engine,
    surroundings: Surroundings,
    injector: &Injector,
    surrounded: &watch::Sender<bool>,
) {
    if engine.synced().wait_for(|synced| *synced).await.is_err() {
        return;
    }
    let mut batches = engine.told();
    let mut known: Option<Table<ProxyConfig>> = None;
    loop {
        batches.mark_unchanged();
        let now = engine.world().store.proxy_configs.clone();
        let kubelets_changed = versions.has_changed().unwrap_or(false);
        if kubelets_changed || !known.as_ref().is_some_and(|known| known.same(&now)) {
            let kubelets = versions.borrow_and_update().clone().unwrap_or_default();
            let nodes = kubelets.iter().map(|(name, version)| Node {
                name: name.clone(),
                kubelet_version: version.clone(),
            });
            injector.surround(Arc::new(Surroundings {
                nodes: nodes.collect(),
                proxy_configs: by_age(&now),
                ..surroundings.clone()
            }));
            known = Some(now);
            surrounded.send_replace(true);
        }
        let changed = tokio::select! {
            changed = versions.changed() => changed.map(|()| versions.mark_changed()),
            changed = batches.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

/// ProxyConfigs as the injector reads them, the oldest first.
fn by_age(table: &Table<ProxyConfig>) -> Vec<ProxyConfigObject> {
    let mut all: Vec<&ProxyConfig> = table.iter().map(|(_, config)| &**config).collect();
    all.sort_by(|a, b| a.meta.age_order().cmp(&b.meta.age_order()));
    let texts = |map: &BTreeMap<Str, Str>| -> BTreeMap<String, String> {
        let texts = map.iter();
        texts.map(|(k, v)| (k.to_string(), v.to_string())).collect()
    };
    all.into_iter()
        .map(|config| ProxyConfigObject {
            namespace: config.meta.key.namespace.to_string(),
            selector: config.selector.as_ref().map(|labels| texts(&labels.0)),
            concurrency: config.concurrency,
            environment: texts(&config.environment),
            image_type: config.image_type.as_deref().map(str::to_owned),
        })
        .collect()
}
