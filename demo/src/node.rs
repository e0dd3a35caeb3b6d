//! The node: the first process in the run's own namespaces. Everything of a run is below it, and ends with it.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::io::AsyncReadExt as _;
use tokio::net::{UdpSocket, UnixListener};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc, watch};

use crate::address::OUTSIDE;
use crate::apps::{AppConfig, AppKind};
use crate::check::{self, Rig};
use crate::control_plane::{ControlPlane, MONITORING_PORT};
use crate::dns::{self, Resolver, Zone};
use crate::gateway;
use crate::mesh::{Event, Mesh, View};
use crate::net::{node_commands, run_with_input};
use crate::plan::Role;
use crate::pod::Node;
use crate::relay::unix_to_tcp;
use crate::say::say;
use crate::site::{Mode, Site, node_address};
use crate::{dns::resolv_conf, watch as folder_watch};

/// Runs a node until the process outside goes away, and ends with it.
pub(crate) async fn main(config: &Path) -> Result<()> {
    let text =
        std::fs::read_to_string(config).with_context(|| format!("reading {}", config.display()))?;
    let site: Arc<Site> = Arc::new(serde_json::from_str(&text).context("the run's settings")?);
    let outcome = tokio::select! {
        outcome = run(&site) => outcome,
        () = outside_gone() => Ok(()),
    };
    if let Err(error) = &outcome {
        say(&format!("the demo stops: {error:#}"));
    }
    // The end of this process takes everything along. A plain return would wait for the reader of the standard input.
    std::process::exit(i32::from(outcome.is_err()))
}

/// The process outside holds the other end of the standard input; it closes by whatever way that process ends.
async fn outside_gone() {
    let mut rest = Vec::new();
    let _closed = tokio::io::stdin().read_to_end(&mut rest).await;
}

async fn run(site: &Arc<Site>) -> Result<()> {
    let begun = Instant::now();
    mount_programs(site).await?;
    run_with_input("ip", &["-batch", "-"], &node_commands())
        .await
        .context("the node's network")?;
    std::fs::write(
        site.run.join("resolv.conf"),
        resolv_conf(crate::address::NODE, "default"),
    )
    .context("resolv.conf")?;
    let zone = watch::Sender::new(Arc::new(Zone::default()));
    let names = UdpSocket::bind(node_address(53))
        .await
        .context("the name service")?;
    let mut services = tokio::task::JoinSet::new();
    services.spawn(dns::serve(names, zone.subscribe()));
    let _outside = start_outside(site)?;

    let control_plane = Arc::new(ControlPlane::new(Arc::clone(site)));
    let node = Node {
        site: Arc::clone(site),
        control_plane: Arc::clone(&control_plane),
        plugging: Mutex::default(),
    };
    let (events, mut received) = mpsc::channel(64);
    let mut mesh = Mesh::new(Arc::new(node), events.clone(), zone);
    let view = mesh.view();
    relays(site, &view, &mut services)?;
    mesh.handle(Event::Edited).await?;
    say(&format!(
        "{} pods from {}",
        view.borrow().pods.len(),
        site.manifests.display()
    ));
    services.spawn(folder_watch::folder(site.manifests.clone(), events));
    services.spawn({
        let control_plane = Arc::clone(&control_plane);
        async move {
            control_plane
                .start()
                .await
                .map(|()| say("  the control plane is ready"))
        }
    });
    let rig = Rig {
        site: Arc::clone(site),
        view: view.clone(),
        control_plane: Arc::clone(&control_plane),
    };
    let mut task = tokio::spawn(task(rig, begun));
    let mut watchdog = tokio::time::interval(Duration::from_secs(1));
    let mut finished = false;
    loop {
        tokio::select! {
            event = received.recv() => match event {
                Some(event) => mesh.handle(event).await?,
                None => bail!("nothing happens any more"),
            },
            ended = services.join_next(), if !services.is_empty() => {
                if let Some(ended) = ended {
                    ended.context("a service of the node")??;
                }
            }
            done = &mut task, if !finished => {
                done.context("the run")??;
                if matches!(site.mode, Mode::Check(_)) {
                    return Ok(());
                }
                finished = true;
            }
            _ = watchdog.tick() => {
                if let Some(status) = control_plane.ended().await {
                    bail!("the control plane ended ({status}):\n{}", crate::site::tail(&site.control_plane_log()));
                }
            }
        }
    }
}

/// What a run does once its parts are starting.
async fn task(rig: Rig, begun: Instant) -> Result<()> {
    match &rig.site.mode {
        Mode::Check(sections) => {
            let report = check::run(&rig, sections).await;
            let json = serde_json::to_string(&report).context("report")?;
            std::fs::write(rig.site.report(), json).context("report")
        }
        Mode::Demo => {
            let mut view = rig.view.clone();
            let settled = view
                .wait_for(|view| {
                    view.settled() || view.pods.iter().any(|pod| pod.failure.is_some())
                })
                .await;
            let failed = settled
                .context("the mesh")?
                .pods
                .iter()
                .any(|pod| pod.failure.is_some());
            if failed {
                say("Not all pods are ready; what runs, runs.");
            } else {
                say(&format!(
                    "Everything is ready after {:.1} s.",
                    begun.elapsed().as_secs_f64()
                ));
            }
            say(&hints(&rig.site));
            Ok(())
        }
    }
}

fn hints(site: &Site) -> String {
    let Site {
        ingress,
        monitoring,
        run,
        manifests,
        executable,
        ..
    } = site;
    let folder = manifests.display();
    // After `cargo run` the program is on nobody's PATH, so it is named as it lies.
    let here = std::env::current_dir().unwrap_or_default();
    let program = executable
        .strip_prefix(&here)
        .unwrap_or(executable)
        .display();
    let own = manifests.starts_with(run);
    let copy = if own {
        " (a copy, which ends with the demo)"
    } else {
        ""
    };
    let steps = if own {
        "\n  cp its .routing/jason-v2.yaml (or another step there) beside the manifests"
    } else {
        ""
    };
    format!(
        "\nTry:\n\
         \x20 curl -s http://{ingress}/productpage | grep 'served by'    the page, through gateway and sidecars\n\
         \x20 curl -s http://{ingress}/api/v1/products/0/reviews         which version of reviews answers\n\
         \x20 {program} ps --address {monitoring}    what each proxy has acknowledged\n\
         \x20 edit the YAML in {folder}{copy}:\n\
         \x20   routes change at once, replicas of a Deployment make and end pods{steps}\n\
         Logs and bootstraps of every pod: {}\n\
         Ctrl-C ends it and leaves nothing behind.",
        run.join("pods").display()
    )
}

/// Makes the programs reachable for every user of the run (see `Site::pod_executable`).
async fn mount_programs(site: &Site) -> Result<()> {
    for (from, to) in [
        (&site.executable, site.pod_executable()),
        (&site.envoy, site.pod_envoy()),
    ] {
        File::create(&to).with_context(|| format!("creating {}", to.display()))?;
        run_with_input(
            "mount",
            &["--bind", &from.to_string_lossy(), &to.to_string_lossy()],
            "",
        )
        .await?;
    }
    Ok(())
}

/// The world outside the mesh: httpbin.org, for every name that is not the cluster's.
fn start_outside(site: &Site) -> Result<Child> {
    let config = AppConfig {
        kind: AppKind::OutsideHttpbin,
        name: "outside".to_owned(),
        ports: vec![80],
        env: std::collections::BTreeMap::new(),
        resolver: Resolver::default(),
    };
    let log = File::create(site.run.join("outside.log")).context("log")?;
    Command::new(site.pod_executable())
        .args([
            "demo-part",
            "app",
            &serde_json::to_string(&config).context("application")?,
        ])
        .stdin(Stdio::null())
        .stderr(log.try_clone().context("log")?)
        .stdout(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting the stand-in for the outside, {OUTSIDE}"))
}

fn relays(
    site: &Site,
    view: &watch::Receiver<Arc<View>>,
    services: &mut tokio::task::JoinSet<Result<()>>,
) -> Result<()> {
    let ingress = UnixListener::bind(site.ingress_socket()).context("the ingress relay")?;
    let view = view.clone();
    services.spawn(unix_to_tcp(ingress, move || {
        ingress_address(&view.borrow())
    }));
    let monitoring =
        UnixListener::bind(site.monitoring_socket()).context("the monitoring relay")?;
    services.spawn(unix_to_tcp(monitoring, || {
        Some(node_address(MONITORING_PORT))
    }));
    Ok(())
}

/// Where the ingress gateway listens for port 80 of its Service.
pub(crate) fn ingress_address(view: &View) -> Option<SocketAddr> {
    let pods = view.with_label("istio", "ingressgateway");
    let gateway = pods
        .iter()
        .find(|pod| pod.state.plan.role == Role::Gateway)?;
    Some(SocketAddr::new(
        IpAddr::V4(gateway.state.address),
        gateway::HTTP_PORT,
    ))
}
