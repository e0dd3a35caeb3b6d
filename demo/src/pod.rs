//! The life of one pod: namespaces, network, application, Envoy, readiness; and its way out, without losing a request.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::process::Child;
use tokio::sync::{Mutex, mpsc, watch};

use crate::agent::{Agent, Ended, Setup, Start};
use crate::apps::{AppConfig, AppKind, app_kind};
use crate::control_plane::ControlPlane;
use crate::dns::{Resolver, resolv_conf};
use crate::mesh::View;
use crate::net::{plug_commands, redirection, run_with_input};
use crate::plan::{PROXY_UID, PodPlan, Role, node_id, node_metadata};
use crate::site::{Site, node_address, tail};
use crate::wait::until;

/// Applications run as this user unless their manifest names one.
const APP_UID: u32 = 1000;
const START_LIMIT: Duration = Duration::from_secs(120);
const DRAIN_LIMIT: Duration = Duration::from_secs(15);
const INBOUND_PORT: u16 = 15006;

/// What every pod needs from the node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) site: Arc<Site>,
    pub(crate) control_plane: Arc<ControlPlane>,
    /// One change of the bridge at a time.
    pub(crate) plugging: Mutex<()>,
}

/// A pod whose programs run.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) agent: Agent,
    pub(crate) process: Child,
}

/// Makes the namespaces and starts the programs.
pub(crate) async fn start(
    node: &Node,
    plan: &PodPlan,
    address: Ipv4Addr,
    number: u32,
    ended: mpsc::Sender<Ended>,
) -> Result<Running> {
    let folder = folder(&node.site, plan);
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let (agent, process) = Agent::start(&node.site.pod_executable(), ended).await?;
    {
        let _turn = node.plugging.lock().await;
        run_with_input("ip", &["-batch", "-"], &plug_commands(number, agent.pid())).await?;
    }
    let resolver = Resolver::of_namespace(node_address(53), &plan.key.0);
    let resolv = folder.join("resolv.conf");
    std::fs::write(&resolv, resolv_conf(crate::address::NODE, &plan.key.0))
        .context("resolv.conf")?;
    let setup = Setup {
        address,
        redirection: (plan.role == Role::Sidecar).then(redirection),
        resolv_conf: resolv,
        low_ports: plan.role != Role::Gateway,
        resolver: resolver.clone(),
    };
    agent.setup(setup).await.context("the pod's network")?;
    if plan.role != Role::Gateway {
        start_apps(node, plan, &agent, &resolver).await?;
    }
    if plan.role != Role::Plain {
        start_envoy(node, plan, address, &agent).await?;
    }
    Ok(Running { agent, process })
}

/// Where a pod's files and logs are.
pub(crate) fn folder(site: &Site, plan: &PodPlan) -> PathBuf {
    site.pods().join(format!("{}.{}", plan.key.0, plan.key.1))
}

/// The stand-ins of a pod, one for each container that serves something, with its uid.
fn stand_ins(plan: &PodPlan, resolver: &Resolver) -> Vec<(u32, AppConfig)> {
    let version = plan.labels.get("version").map(String::as_str);
    let stand_in = |container: &crate::manifest::Container| {
        let kind = app_kind(container, version);
        let mut ports: Vec<u16> = container
            .ports
            .iter()
            .map(|port| port.container_port)
            .collect();
        if kind == AppKind::TcpEcho {
            // The sample listens where its first argument says, which is more than it declares.
            let listed = container
                .args
                .first()
                .into_iter()
                .flat_map(|list| list.split(','));
            ports.extend(listed.filter_map(|port| port.parse::<u16>().ok()));
            ports.sort_unstable();
            ports.dedup();
        }
        let env = container
            .env
            .iter()
            .map(|variable| (variable.name.clone(), variable.value.clone()))
            .collect();
        let config = AppConfig {
            kind,
            name: plan.key.1.clone(),
            ports,
            env,
            resolver: resolver.clone(),
        };
        // The proxy's uid would let the application around the redirection.
        let uid = container
            .security_context
            .run_as_user
            .filter(|uid| *uid != PROXY_UID)
            .unwrap_or(APP_UID);
        (uid, config)
    };
    let serving =
        |(_, config): &(u32, AppConfig)| config.kind != AppKind::Idle && !config.ports.is_empty();
    plan.containers
        .iter()
        .map(stand_in)
        .filter(serving)
        .collect()
}

async fn start_apps(node: &Node, plan: &PodPlan, agent: &Agent, resolver: &Resolver) -> Result<()> {
    for (index, (uid, config)) in stand_ins(plan, resolver).into_iter().enumerate() {
        let executable = node.site.pod_executable().to_string_lossy().into_owned();
        let config = serde_json::to_string(&config).context("application")?;
        let start = Start {
            name: format!("app-{index}"),
            command: vec![executable, "demo-part".to_owned(), "app".to_owned(), config],
            uid,
            log: folder(&node.site, plan).join(format!("app-{index}.log")),
        };
        agent.run(start).await.context("the application")?;
    }
    Ok(())
}

async fn start_envoy(node: &Node, plan: &PodPlan, address: Ipv4Addr, agent: &Agent) -> Result<()> {
    let folder = folder(&node.site, plan);
    let metadata = folder.join("metadata.json");
    std::fs::write(&metadata, node_metadata(plan, address).to_string()).context("metadata")?;
    let bootstrap = node
        .control_plane
        .bootstrap(&node_id(plan, address), &metadata)
        .await?;
    // JSON is YAML, and Envoy chooses its parser by the extension.
    let config = folder.join("envoy.yaml");
    std::fs::write(&config, bootstrap).context("bootstrap")?;
    let envoy = node.site.pod_envoy().to_string_lossy().into_owned();
    let config = config.to_string_lossy().into_owned();
    let arguments = [
        &envoy,
        "-c",
        &config,
        "--concurrency",
        "1",
        "--disable-hot-restart",
    ];
    let drain = [
        "--drain-time-s",
        "5",
        "--drain-strategy",
        "immediate",
        "--log-level",
        "warning",
    ];
    let start = Start {
        name: "envoy".to_owned(),
        command: arguments
            .into_iter()
            .chain(drain)
            .map(str::to_owned)
            .collect(),
        uid: PROXY_UID,
        log: folder.join("envoy.log"),
    };
    agent.run(start).await.context("Envoy")
}

/// Waits until the applications listen and Envoy is live, as the kubelet's probes do.
pub(crate) async fn ready(node: &Node, plan: &PodPlan, agent: &Agent) -> Result<()> {
    let ports: Vec<u16> = if plan.role == Role::Gateway {
        Vec::new()
    } else {
        stand_ins(plan, &Resolver::default())
            .into_iter()
            .flat_map(|(_, config)| config.ports)
            .collect()
    };
    let probe = || async {
        for port in &ports {
            if !agent.listens(*port).await {
                return None;
            }
        }
        if plan.role == Role::Plain {
            return Some(());
        }
        agent
            .admin("/ready")
            .await
            .ok()
            .filter(|answer| answer.status == 200)
            .map(drop)
    };
    if until(START_LIMIT, probe).await.is_none() {
        let folder = folder(&node.site, plan);
        bail!(
            "not ready after {START_LIMIT:?}; the end of Envoy's log:\n{}",
            tail(&folder.join("envoy.log"))
        );
    }
    Ok(())
}

/// Waits until nobody sends requests to a pod that is no longer announced: first until no other Envoy knows its
/// address, then until the last connection to it is closed.
pub(crate) async fn drain(
    plan: &PodPlan,
    address: Ipv4Addr,
    agent: Option<&Agent>,
    view: &watch::Receiver<Arc<View>>,
) {
    let known = format!("::{address}:");
    let forgotten = || async {
        let pods = view.borrow().clone();
        for pod in pods
            .pods
            .iter()
            .filter(|pod| pod.state.address != address && pod.state.plan.role != Role::Plain)
        {
            if let Some(agent) = pod.agent.as_ref().filter(|_| pod.state.ready)
                && agent
                    .admin("/clusters")
                    .await
                    .is_ok_and(|clusters| clusters.body.contains(&known))
            {
                return None;
            }
        }
        Some(())
    };
    // Past the limit it goes all the same, as after a pod's grace period.
    let _forgotten = until(DRAIN_LIMIT, forgotten).await;
    if let (Some(agent), Role::Sidecar) = (agent, plan.role) {
        let idle = || async {
            agent
                .connections(INBOUND_PORT)
                .await
                .map_or(Some(()), |open| (open == 0).then_some(()))
        };
        let _idle = until(DRAIN_LIMIT, idle).await;
    }
}

/// Ends a pod's programs and namespaces.
pub(crate) async fn stop(mut running: Running) {
    running.agent.stop().await;
    if tokio::time::timeout(Duration::from_secs(5), running.process.wait())
        .await
        .is_err()
    {
        let _gone = running.process.kill().await;
    }
}
