use meltemi_model::mesh::Mesh;
use meltemi_model::object::Object;
use meltemi_model::testing::{kube_service, labels, service};
use meltemi_model::{Hostname, Str};

use super::*;
use crate::fixtures::{HTTP, class_of_a, world};

fn gateway(address: &str) -> Object {
    let mut service = kube_service("default", "edge", HTTP);
    service.meta.labels = labels("topology.istio.io/network=n,networking.istio.io/gatewayPort=80");
    service.external_ips = vec![address.into()];
    service.into()
}

fn of(world: &World, class: &ProxyClass, named: bool) -> Option<Shared<Horizon>> {
    Sight::new(world, class).of(&service("a", HTTP), named)
}

#[test]
fn without_networks_there_is_no_horizon() {
    let world = world([]);
    assert_eq!(of(&world, &class_of_a(&world), false), None);
}

#[test]
fn gateways_and_views_make_one() {
    let plain = world([]);
    let view = ProxyClass {
        network_view: vec!["a".into()],
        ..class_of_a(&plain)
    };
    let found = of(&plain, &view, false).expect("a horizon");
    assert!(found.gateways.is_empty() && found.view == ["a".into()]);

    let named = world([gateway("lb.example.com")]);
    let class = class_of_a(&named);
    assert_eq!(of(&named, &class, false), None);
    assert!(of(&named, &class, true).is_some());

    let with = world([gateway("203.0.113.1")]);
    let class = class_of_a(&with);
    assert!(of(&with, &class, false).is_some() && of(&with, &class, true).is_some());
}

#[test]
fn hosts_of_a_cluster_are_for_its_own_proxies() {
    let mesh = Mesh {
        cluster_local: vec![(Hostname::new("*.default.svc.cluster.local"), true)],
        ..Mesh::default()
    };
    let world = world([mesh.into()]);
    let own = class_of_a(&world);
    assert_eq!(of(&world, &own, false), None);
    let other = ProxyClass {
        cluster_id: "other".into(),
        ..own
    };
    let found = of(&world, &other, false).expect("a horizon");
    assert_eq!(found.cluster, Some(Str::from("other")));
}
