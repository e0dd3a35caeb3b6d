use meltemi_model::object::{Meta, Object};
use meltemi_model::testing::{
    destination_rule, ingress, ingress_class, kube_service, labels, meta, node, pod, service_entry,
    sidecar, slice, virtual_service, workload_entry,
};
use meltemi_model::workload::{Namespace, ServiceAccount};
use meltemi_model::{Hostname, Kind};

use super::*;
use crate::Change;
use crate::fixtures::{after, later, world};

mod histories;

#[test]
fn a_stage_runs_only_when_a_table_that_it_reads_has_changed() {
    let before = world([kube_service("ns", "a", &[]).into()]);
    let namespace = Namespace {
        meta: meta(Kind::Namespace, "", "ns"),
    };
    let account = ServiceAccount {
        meta: meta(Kind::ServiceAccount, "ns", "a"),
    };
    let gateway = Gateway {
        meta: meta(Kind::Gateway, "ns", "a"),
        selector: Labels::default(),
        servers: Vec::new(),
    };
    let mesh = Mesh {
        cluster_id: "other".into(),
        ..Mesh::default()
    };
    let rows: [(Object, &[&str]); 16] = [
        (kube_service("ns", "a", &[]).into(), &[]),
        (
            kube_service("ns", "b", &[]).into(),
            &["services", "endpoints"],
        ),
        (
            service_entry("ns", "b.com", &[]).into(),
            &["services", "endpoints"],
        ),
        (namespace.into(), &["services", "endpoints"]),
        (
            pod("ns", "a-1", "10.0.0.1").into(),
            &["workloads", "endpoints"],
        ),
        (node("n1", "r1").into(), &["workloads", "endpoints"]),
        (slice("ns", "a", "x", Vec::new()).into(), &["endpoints"]),
        (
            workload_entry("ns", "a-1", "10.0.0.1").into(),
            &["endpoints"],
        ),
        (
            virtual_service("ns", "a", "a.com").into(),
            &["virtual services"],
        ),
        (
            destination_rule("ns", "a", "a.com").into(),
            &["destination rules"],
        ),
        (sidecar("ns", "a", &[]).into(), &["sidecars"]),
        (gateway.into(), &["gateways"]),
        (mesh.into(), &["services", "endpoints", "destination rules"]),
        (Object::ServiceAccount(Shared::new(account)), &[]),
        (ingress("ns", "a").into(), &["virtual services", "gateways"]),
        (ingress_class("a", "b").into(), &[]),
    ];
    for (object, want) in rows {
        let name = object.key().to_string();
        let now = after(&before, [Change::Apply(object)]);
        let stages = [
            ("services", Arc::ptr_eq(&now.services, &before.services)),
            ("workloads", Arc::ptr_eq(&now.workloads, &before.workloads)),
            ("endpoints", Arc::ptr_eq(&now.endpoints, &before.endpoints)),
            (
                "virtual services",
                Arc::ptr_eq(&now.virtual_services, &before.virtual_services),
            ),
            (
                "destination rules",
                Arc::ptr_eq(&now.destination_rules, &before.destination_rules),
            ),
            ("sidecars", Arc::ptr_eq(&now.sidecars, &before.sidecars)),
            ("gateways", Arc::ptr_eq(&now.gateways, &before.gateways)),
        ];
        let ran: Vec<_> = stages
            .iter()
            .filter(|(_, same)| !same)
            .map(|(stage, _)| *stage)
            .collect();
        assert_eq!(ran, want, "{name}");
        assert_eq!(now.revision, before.revision + 1, "{name}");
    }
}

#[test]
fn the_mesh_that_was_read_counts_and_comes_back_to_the_given_one() {
    let read = Mesh {
        domain: "read".into(),
        ..Mesh::default()
    };
    let object = Object::from(read);
    let host = |world: &World| world.services.sorted[0].key.host.clone();
    let before = world([kube_service("ns", "a", &[]).into()]);
    let during = after(&before, [Change::Apply(object.clone())]);
    let afterwards = after(&during, [Change::Delete(object.key().clone())]);
    let [given, own] = ["a.ns.svc.cluster.local", "a.ns.svc.read"].map(Hostname::new);
    assert_eq!(
        [&before, &during, &afterwards].map(host),
        [given.clone(), own, given]
    );
}

#[test]
fn whose_sidecar_holds() {
    let aged = |namespace, name, created, selector: Option<&str>| {
        let plain = sidecar(namespace, name, &[]);
        Sidecar {
            meta: later(created, plain.meta.clone()),
            workload_selector: selector.map(labels),
            ..plain
        }
    };
    let world = world(
        [
            aged("ns", "plain-young", 1, None),
            aged("ns", "plain", 0, None),
            aged("ns", "app-young", 3, Some("app=a")),
            aged("ns", "app", 2, Some("app=a")),
            aged("istio-system", "root", 1, None),
            aged("istio-system", "root-app", 0, Some("app=a")),
            aged("chosen", "only-b", 0, Some("app=b")),
        ]
        .map(Object::from),
    );
    for (namespace, own, want) in [
        ("ns", "app=a,version=v1", "app"),
        ("ns", "app=b", "plain"),
        ("chosen", "app=b", "only-b"),
        ("chosen", "app=a", "root"),
        ("other", "app=a", "root"),
        ("istio-system", "app=a", "root-app"),
    ] {
        let found = world.sidecar_for(namespace, &labels(own)).unwrap();
        assert_eq!(&*found.meta.key.name, want, "{namespace} {own}");
    }
}

#[test]
fn without_a_sidecar_there_is_none() {
    let world = world([sidecar("ns", "a", &[]).into()]);
    assert_eq!(world.sidecar_for("other", &labels("")), None);
}

#[test]
fn the_oldest_gateway_comes_first() {
    let gateway = |name: &str, created| {
        let meta = Meta {
            created,
            ..meta(Kind::Gateway, "ns", name)
        };
        Object::from(Gateway {
            meta,
            selector: Labels::default(),
            servers: Vec::new(),
        })
    };
    let world = world([gateway("a", 2), gateway("b", 1), gateway("c", 2)]);
    let names: Vec<_> = world.gateways.iter().map(|g| &*g.meta.key.name).collect();
    assert_eq!(names, ["b", "a", "c"]);
}
