//! The simulator and a real Envoy take the same calls through the same resources, and agree.
//!
//! Nothing is redirected here: every listener that binds reads the PROXY protocol first, which restores the address that
//! the client meant as a redirection would. Every cluster is a server of the test that tells its name.

mod client;
mod config;
mod random;
mod upstream;

use std::collections::BTreeMap;
use std::fs;

use meltemi::simulation::resources;
use meltemi::{offline, render};
use meltemi_model::Locality;
use meltemi_model::proxy::Proxy;
use meltemi_simulator::{Call, End, MissKind, Outcome, simulate};
use meltemi_sources::lower::LowerSettings;
use meltemi_tests::shared::skipped;
use serde_json::json;

use crate::process::{self, Envoy};
use client::Seen;
use random::Random;
use upstream::Upstreams;

/// Worlds, and calls in each.
const WORLDS: u64 = 10;
/// Those in which policies guard the pod come before the last one.
const GUARDED: u64 = 3;
const CALLS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_and_the_simulator_agree_on_random_calls() {
    let Some(program) = process::find() else {
        skipped("no envoy");
        return;
    };
    let mut wrong = Vec::new();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..WORLDS {
        let mut random = Random::new(seed);
        // The last world is a gateway's.
        let gateway = seed + 1 == WORLDS;
        let dir = tempfile::tempdir().expect("a folder");
        let mut objects = random::objects(&mut random, gateway);
        let guarded = !gateway && seed + 1 + GUARDED >= WORLDS;
        if guarded {
            objects.extend(random::policies(&mut random));
        }
        let world = dir.path().join("world.json");
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        fs::write(&world, list.to_string()).expect("a file");
        let input = offline::read(&[world], &LowerSettings::default()).expect("a world");
        let (id, metadata) = random::node(gateway);
        let locality = Locality::default();
        let proxy = Proxy::parse(id, "s0.shop", locality, &metadata, []).expect("a node");
        let answer = offline::compile_for(&input, &proxy);
        let (resources, problems) = resources(&answer.snapshot);
        assert!(problems.is_empty(), "{problems:?}");

        let upstreams = Upstreams::start(resources.clusters.keys()).await;
        let served = render::snapshot(&answer.snapshot);
        let (bootstrap, doors) = config::bootstrap(&served, &upstreams.ports);
        let mut envoy = Envoy::run(&program, &bootstrap, dir.path(), "simulated").await;
        if let Err(problem) = listens(&mut envoy, doors.len()).await {
            panic!("{problem}\n{}", envoy.log(dir.path()));
        }
        for number in 0..CALLS {
            let call = match guarded {
                true => random::guarded_call(&mut random),
                false => random::call(&mut random, gateway),
            };
            let outcome = simulate(&resources, &call);
            let seen = client::send(&call, &resources, &doors).await;
            *kinds.entry(kind(&outcome)).or_default() += 1;
            if let Some(difference) = difference(&call, &outcome, &seen) {
                wrong.push(format!(
                    "world {seed}, call {number}: {difference}\n  {call:?}\n  simulator: {}\n  Envoy: {seen:?}",
                    said(&outcome)
                ));
            }
        }
        envoy.stop().await;
        upstreams.stop().await;
    }
    let total = usize::try_from(WORLDS).expect("few") * CALLS;
    assert!(
        wrong.is_empty(),
        "{} of {total} calls differ ({kinds:?})\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    // The calls had something to disagree about.
    for needed in [
        "forwarded",
        "forwarded as TCP",
        "redirected",
        "answered",
        "a preflight",
        "missed",
        "denied",
    ] {
        assert!(
            kinds.get(needed) > Some(&0),
            "no call was {needed}: {kinds:?}"
        );
    }
}

/// Waits until all listeners hear.
async fn listens(envoy: &mut Envoy, listeners: usize) -> Result<(), String> {
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(50));
    let ready = async {
        loop {
            tick.tick().await;
            envoy.runs()?;
            let stats = envoy.stats().await;
            let active = stats.get("listener_manager.total_listeners_active");
            let live = stats.get("server.live") == Some(&1);
            let workers = stats.get("listener_manager.workers_started") == Some(&1);
            if live && workers && active.is_some_and(|n| *n as usize >= listeners) {
                return Ok(());
            }
        }
    };
    match tokio::time::timeout(crate::PATIENCE, ready).await {
        Ok(result) => result,
        Err(_) => Err("Envoy does not listen".to_owned()),
    }
}

fn kind(outcome: &Outcome) -> &'static str {
    match &outcome.end {
        End::Redirected { .. } => "redirected",
        // Nothing else answers so in these worlds.
        End::Answered { status: 200, .. } => "a preflight",
        End::Answered { .. } => "answered",
        End::Missed(miss) if miss.kind == MissKind::Denied => "denied",
        _ if !reached(outcome) => "missed",
        _ if outcome.route.is_none() => "forwarded as TCP",
        _ => "forwarded",
    }
}

/// Whether the call came to a cluster that is there; its endpoints are the test's here.
fn reached(outcome: &Outcome) -> bool {
    match &outcome.end {
        End::Forwarded => true,
        End::Missed(miss) => miss.kind == MissKind::NoEndpoint,
        _ => false,
    }
}

fn said(outcome: &Outcome) -> String {
    format!(
        "listener {:?}, chain {:?}, routes {:?}, host {:?}, route {:?}, cluster {:?}, {:?}",
        outcome.listener,
        outcome.filter_chain,
        outcome.route_config,
        outcome.virtual_host,
        outcome.route,
        outcome.cluster,
        outcome.end
    )
}

/// What the two say differently.
fn difference(call: &Call, outcome: &Outcome, seen: &Seen) -> Option<String> {
    let status = match &outcome.end {
        End::Redirected { status, .. } | End::Answered { status, .. } => Some(*status),
        End::Missed(miss) if miss.kind == MissKind::ProtocolError => {
            // Envoy answers what it cannot read, or hangs up.
            return (!matches!(seen.status, None | Some(400))).then(|| "status".to_owned());
        }
        End::Missed(miss) if !reached(outcome) => miss.status,
        _ if outcome.route.is_some() || call.protocol.is_http() => seen.status.and(Some(200)),
        _ => None,
    };
    if kind(outcome) == "denied" && seen.cluster.is_some() {
        return Some("it passes".to_owned());
    }
    if reached(outcome) {
        let cluster = seen.cluster.as_deref().unwrap_or_default();
        let named = outcome.cluster.as_deref() == Some(cluster);
        let weighted = outcome
            .weights
            .iter()
            .any(|w| w.cluster == cluster && w.weight > 0);
        if !(named || weighted) {
            return Some("cluster".to_owned());
        }
    }
    if status != seen.status {
        return Some(format!("status {status:?}"));
    }
    let mut fields = Vec::new();
    if let End::Redirected { location, .. } = &outcome.end {
        fields.push(("location", Some(location), &seen.location));
    }
    if reached(outcome) {
        fields.push((
            "virtual host",
            outcome.virtual_host.as_ref(),
            &seen.virtual_host,
        ));
        let route = outcome.route.as_ref();
        // A header of an empty name is not sent.
        fields.push(("route", route.filter(|name| !name.is_empty()), &seen.route));
        if outcome.route.is_some() {
            fields.push(("host", outcome.upstream_host.as_ref(), &seen.host));
            fields.push(("path", outcome.upstream_path.as_ref(), &seen.path));
        }
    }
    let wrong = fields.iter().find(|(_, want, got)| *want != got.as_ref());
    wrong.map(|(name, want, _)| format!("{name} {want:?}"))
}
