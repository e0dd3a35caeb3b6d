//! I6: an endpoint change rebuilds endpoints and nothing else.
//!
//! Some clusters and listeners are made of endpoints, in Istio as here, so changes of these are left out:
//! services of pass-through resolution (headless ones have a listener for each pod), services of DNS resolution (their
//! endpoints stand in the cluster), a change of the identities that a service's endpoints may have (they are the SANs
//! of its cluster), and a change of the proxy's own workload.

use std::cell::Cell;
use std::collections::BTreeMap;

use meltemi::engine::Engine;
use meltemi_compile::classify;
use meltemi_model::ResourceType;
use meltemi_model::proxy::ProxyClass;
use meltemi_model::service::{Resolution, ServiceKey};
use meltemi_model::{ObjectKey, Str};
use meltemi_sources::lower::{LowerSettings, lower};
use meltemi_tests::worlds::{EndpointChange, endpoint_change, world};
use meltemi_world::{Change, World};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::mesh::{engine, good, proxies};

const CASES: u32 = 128;

/// What is visible of one service.
#[derive(Debug, PartialEq)]
struct Shown {
    service: ServiceKey,
    /// Per port name.
    identities: Vec<(Str, Vec<Str>)>,
    /// The ports with endpoints, and whether all of these take mutual TLS.
    ports: Vec<(Str, bool)>,
    /// All, of a service that is made of endpoints.
    endpoints: String,
}

/// What clusters, listeners and routes may see of endpoints: per service, identities, and per port whether there are
/// any and whether all of them take mutual TLS; all of it for services that are made of endpoints.
#[derive(Debug, PartialEq)]
struct Visible {
    services: Vec<Shown>,
    classes: Vec<ProxyClass>,
}

fn visible(world: &World) -> Visible {
    let mut services = Vec::new();
    for (key, row) in world.endpoints.iter() {
        let owners = world
            .services
            .sorted
            .iter()
            .filter(|service| service.key == *key);
        let made_of_endpoints = owners
            .map(|service| service.resolution)
            .any(|resolution| resolution != Resolution::ClientSideLb);
        let whole = if made_of_endpoints {
            format!("{:?}", row.set)
        } else {
            String::new()
        };
        let ports = row.set.ports.iter().filter(|(_, list)| !list.is_empty());
        let ports = ports
            .map(|(name, list)| (name.clone(), list.iter().all(|e| e.mtls)))
            .collect();
        services.push(Shown {
            service: key.clone(),
            identities: row.identities.to_vec(),
            ports,
            endpoints: whole,
        });
    }
    let classes = proxies()
        .iter()
        .map(|proxy| classify(world, proxy, None))
        .collect();
    Visible { services, classes }
}

/// A world whose endpoints change.
struct Running {
    engine: Engine,
    values: BTreeMap<ObjectKey, Value>,
}

impl Running {
    fn new(values: Vec<Value>) -> Self {
        let used = |value: Value| {
            let object = lower(&value, &LowerSettings::default()).object?;
            Some((object.key().clone(), value))
        };
        let values: BTreeMap<_, _> = values.into_iter().filter_map(used).collect();
        let objects: Vec<Value> = values.values().cloned().collect();
        let engine = engine(good(&objects));
        Self { engine, values }
    }

    /// Applies a change to one of the objects that it is for; false when there is none.
    fn apply(&mut self, place: Index, change: EndpointChange) -> bool {
        let of_it = |(key, value): (&ObjectKey, &Value)| Some((key.clone(), change.apply(value)?));
        let mut possible: Vec<_> = self.values.iter().filter_map(of_it).collect();
        if possible.is_empty() {
            return false;
        }
        let (key, after) = possible.swap_remove(place.index(possible.len()));
        self.values.remove(&key);
        let mut changes = vec![Change::Delete(key)];
        for value in after {
            let object = good(std::slice::from_ref(&value)).remove(0);
            self.values.insert(object.key().clone(), value);
            changes.push(Change::Apply(object));
        }
        self.engine.apply(changes, Vec::new());
        true
    }

    fn misses(&self) -> [u64; 5] {
        let counts = self.engine.counts();
        let counts: Vec<u64> = counts.values().map(|counts| counts.misses).collect();
        counts.try_into().expect("five types have builders")
    }
}

#[test]
fn i6_an_endpoint_change_rebuilds_no_cds_lds_rds() {
    // How many changes were judged, and how many of them made new endpoints.
    let counted = Cell::new((0_u32, 0_u32));
    let changes = proptest::collection::vec((any::<Index>(), endpoint_change()), 4..10);
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&(world(0..20), changes), |(values, changes)| {
        let mut running = Running::new(values);
        let _receivers: Vec<_> = proxies()
            .iter()
            .map(|proxy| running.engine.subscribe(proxy))
            .collect();
        for (place, change) in changes {
            let (seen, before) = (visible(&running.engine.world()), running.misses());
            if !running.apply(place, change) || visible(&running.engine.world()) != seen {
                continue;
            }
            let now = running.misses();
            let [clusters, endpoints, listeners, routes, _names] =
                std::array::from_fn(|ty| now[ty] - before[ty]);
            prop_assert_eq!(
                (clusters, listeners, routes),
                (0, 0, 0),
                "CDS, LDS and RDS after {:?}",
                change
            );
            let (judged, moved) = counted.get();
            counted.set((judged + 1, moved + u32::from(endpoints > 0)));
        }
        Ok(())
    });
    outcome.unwrap();
    let (judged, moved) = counted.get();
    assert!(
        judged > CASES && moved > CASES / 8,
        "too few were judged: {judged}, with new endpoints {moved}"
    );
}

/// A change of the identities behind a service makes another cluster Input, and for a proxy without TLS the same bytes.
/// The snapshot keeps the old resource then; the memo must keep the new one all the same, or it is built at every change.
#[test]
fn i6_what_was_built_in_vain_is_built_once() {
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s1", "namespace": "b"},
        "spec": {"clusterIP": "10.2.1.1", "selector": {"app": "x"}, "ports": [{"name": "http", "port": 80}]},
    });
    let pod = |account: &str, last: u8| {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p2", "namespace": "b", "labels": {"app": "x"}},
            "spec": {"serviceAccountName": account, "containers": [{"name": "app"}]},
            "status": {"phase": "Running", "podIP": format!("10.1.1.{last}"), "conditions": [{"type": "Ready", "status": "True"}]},
        })
    };
    let engine = engine(good(&[service, pod("first", 2)]));
    let plain = &proxies()[1];
    let _receiver = engine.subscribe(plain);
    let misses = || engine.counts()[&ResourceType::Cluster].misses;
    let apply = |account: &str, last: u8| {
        let before = misses();
        let changes = good(&[pod(account, last)]).into_iter().map(Change::Apply);
        engine.apply(changes.collect(), Vec::new());
        misses() - before
    };
    assert_eq!(apply("second", 2), 1);
    let later: Vec<u64> = (3..10).map(|last| apply("second", last)).collect();
    assert_eq!(later, [0; 7]);
}
