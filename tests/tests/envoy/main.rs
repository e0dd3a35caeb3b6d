//! A real Envoy takes everything that Meltemi serves it: for the world and the node of every golden, and for those of
//! every recorded world.
//!
//! Envoy says itself what it can run, and has no certificates: the extensions of `node.yaml` are left out, and the
//! bootstrap says that there is no identity.

mod corpus;
mod patches;
mod plane;
mod policies;
mod process;
mod quarantine;
mod simulated;
mod tls;
mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use meltemi_model::{ProxySnapshot, ResourceType};
use meltemi_tests::golden::{Case, cases};
use meltemi_tests::shared::skipped;
use serde_json::Value;

use plane::ControlPlane;
use process::{Envoy, Stats};

/// How long Envoy may take to start and to take its configuration, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// A list of Envoy's config dump, the path to a resource's name in it, and the type that is served for it. Endpoints are
/// not among them, since Envoy lists every cluster's; a cluster whose endpoints have not arrived is still warming.
const DUMPS: [(&str, &str, ResourceType); 3] = [
    (
        "dynamic_active_clusters",
        "/cluster/name",
        ResourceType::Cluster,
    ),
    ("dynamic_listeners", "/name", ResourceType::Listener),
    (
        "dynamic_route_configs",
        "/route_config/name",
        ResourceType::Route,
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_takes_the_world_of_every_golden() {
    let Some(program) = process::find() else {
        skipped("no envoy");
        return;
    };
    let mut wrong = Vec::new();
    for case in cases().expect("the goldens can be read") {
        let dir = tempfile::tempdir().expect("a folder");
        world::write(&case, dir.path());
        let settings = case.settings().expect("known flags");
        let plane = ControlPlane::start_with(dir.path(), settings).await;
        let mut envoy = Envoy::start(&program, &case, plane.address, dir.path()).await;
        if let Err(problem) = takes(&case, &plane, &mut envoy).await {
            wrong.push(format!(
                "{}: {problem}\n{}\n{}",
                case.name,
                reasons(&envoy).await,
                envoy.log(dir.path())
            ));
        }
        envoy.stop().await;
        plane.stop().await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn takes(case: &Case, plane: &ControlPlane, envoy: &mut Envoy) -> Result<(), String> {
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let arrival = async {
        loop {
            tick.tick().await;
            envoy.runs()?;
            let stats = envoy.stats().await;
            rejections(&stats)?;
            if settled(&stats) {
                return Ok::<(), String>(());
            }
        }
    };
    match tokio::time::timeout(PATIENCE, arrival).await {
        Ok(result) => result?,
        Err(_) => return Err(format!("still warming after {PATIENCE:?}")),
    }
    let snapshot = plane.served(&case.node.id);
    for (list, path, ty) in DUMPS {
        let dump = dumped(envoy, list).await?;
        let has = names(&dump, path);
        let want = wanted(&snapshot, ty);
        if has != want {
            return Err(format!("{list}: Envoy has {has:?}, served {want:?}"));
        }
    }
    rejections(&envoy.stats().await)
}

/// A list of Envoy's config dump. Envoy calls one that is empty not found.
async fn dumped(envoy: &Envoy, list: &str) -> Result<Value, String> {
    let dump = envoy.admin(&format!("/config_dump?resource={list}")).await;
    let dump = dump.ok_or("the admin interface does not answer")?;
    if dump.contains("not found in config dump") {
        return Ok(Value::Null);
    }
    serde_json::from_str(&dump).map_err(|error| format!("{error}: {dump:.200}"))
}

/// What Envoy says of the listeners and clusters that it refused. Its log has it too, but later.
async fn reasons(envoy: &Envoy) -> String {
    let mut reasons = Vec::new();
    for (list, _, _) in DUMPS {
        let dump = dumped(envoy, list).await.unwrap_or_default();
        let configs = dump["configs"].as_array().into_iter().flatten();
        let refused = configs.filter_map(|config| config["error_state"]["details"].as_str());
        reasons.extend(refused.map(str::to_owned));
    }
    reasons.join("\n")
}

fn rejections(stats: &Stats) -> Result<(), String> {
    let rejected: Vec<&str> = stats
        .iter()
        .filter(|(name, count)| name.ends_with("update_rejected") && **count > 0)
        .map(|(name, _)| name.as_str())
        .collect();
    if rejected.is_empty() {
        Ok(())
    } else {
        Err(format!("Envoy rejected updates: {rejected:?}"))
    }
}

/// Whether clusters and listeners have arrived and all of them are ready: those that wait for endpoints or routes warm.
fn settled(stats: &Stats) -> bool {
    let count = |name: &str| stats.get(name).copied();
    let arrived = ["cluster_manager.cds", "listener_manager.lds"]
        .iter()
        .all(|api| count(&format!("{api}.update_success")) >= Some(1));
    arrived
        && count("cluster_manager.warming_clusters") == Some(0)
        && count("listener_manager.total_listeners_warming") == Some(0)
        && count("server.live") == Some(1)
}

fn names(dump: &Value, path: &str) -> BTreeSet<String> {
    let configs = dump["configs"].as_array().into_iter().flatten();
    configs
        .filter_map(|config| config.pointer(path)?.as_str())
        .map(str::to_owned)
        .collect()
}

fn wanted(snapshot: &ProxySnapshot, ty: ResourceType) -> BTreeSet<String> {
    let names = snapshot.set(ty).by_name.keys();
    names.map(ToString::to_string).collect()
}
