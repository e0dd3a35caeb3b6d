//! I6: an endpoint change rebuilds endpoints and nothing else.
//!
//! Some clusters and listeners are made of endpoints, in Istio as here, so changes of these are left out:
//! services of pass-through resolution (headless ones have a listener for each pod), services of DNS resolution (their
//! endpoints stand in the cluster), a change of the identities that a service's endpoints may have (they are the SANs
//! of its cluster), and a change of the proxy's own workload.

use std::cell::Cell;

use meltemi::engine::Engine;
use meltemi_compile::classify;
use meltemi_model::ResourceType;
use meltemi_model::proxy::ProxyClass;
use meltemi_model::service::{Resolution, ServiceKey};
use meltemi_model::{Object, Str};
use meltemi_sources::lower::{LowerSettings, lower};
use meltemi_tests::worlds::{endpoint_change, world};
use meltemi_world::{Change, World};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::mesh::{good, last_of_each, proxies};

const CASES: u32 = 128;

/// What clusters, listeners and routes may see of endpoints: per service, identities, and per port whether there are
/// any and whether all of them take mutual TLS; all of it for services that are made of endpoints.
#[derive(Debug, PartialEq)]
struct Visible {
    services: Vec<(ServiceKey, Vec<(Str, Vec<Str>)>, Vec<(Str, bool)>, String)>,
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
        services.push((key.clone(), row.identities.to_vec(), ports, whole));
    }
    let classes = proxies()
        .iter()
        .map(|proxy| classify(world, proxy, None))
        .collect();
    Visible { services, classes }
}

fn misses(engine: &Engine) -> [u64; 4] {
    ResourceType::ALL.map(|ty| engine.counts()[&ty].misses)
}

#[test]
fn i6_an_endpoint_change_rebuilds_no_cds_lds_rds() {
    let counted = Cell::new((0_u32, 0_u32));
    let input = (world(0..20), any::<Index>(), endpoint_change());
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&input, |(values, place, change)| {
        let values: Vec<_> = values
            .into_iter()
            .filter(|value| lower(value, &LowerSettings::default()).object.is_some())
            .collect();
        let movable: Vec<_> = values
            .iter()
            .filter(|value| change.apply(value).is_some())
            .collect();
        if movable.is_empty() {
            return Ok(());
        }
        let chosen = place.get(&movable);
        let engine = crate::mesh::engine(last_of_each(good(&values)));
        let receivers: Vec<_> = proxies()
            .iter()
            .map(|proxy| engine.subscribe(proxy))
            .collect();
        let (seen, before) = (visible(&engine.world()), misses(&engine));

        let key = lower(chosen, &LowerSettings::default())
            .key
            .expect("a good object");
        let after: Vec<Object> = good(&change.apply(chosen).expect("a pod or a slice"));
        let mut changes = vec![];
        if after.iter().all(|object| *object.key() != key) {
            changes.push(Change::Delete(key));
        }
        changes.extend(after.into_iter().map(Change::Apply));
        engine.apply(changes, Vec::new());
        if visible(&engine.world()) != seen {
            return Ok(());
        }
        let missed: Vec<u64> = misses(&engine)
            .iter()
            .zip(before)
            .map(|(now, before)| now - before)
            .collect();
        let [clusters, endpoints, listeners, routes] = missed[..] else {
            return Err(TestCaseError::fail("four types"));
        };
        prop_assert_eq!(
            (clusters, listeners, routes),
            (0, 0, 0),
            "CDS, LDS and RDS after {:?} of {}",
            change,
            chosen
        );
        let (judged, moved) = counted.get();
        counted.set((judged + 1, moved + u32::from(endpoints > 0)));
        drop(receivers);
        Ok(())
    });
    outcome.unwrap();
    let (judged, moved) = counted.get();
    eprintln!("judged {judged} moved {moved}");
    assert!(
        judged > CASES / 4 && moved > CASES / 12,
        "too few changes were judged: {judged}, with new endpoints {moved}"
    );
}
