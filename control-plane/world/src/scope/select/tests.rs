use meltemi_model::object::Object;
use meltemi_model::port::Protocol;
use meltemi_model::routing::{HttpAction, HttpDestination, HttpRoute, Mirror, TcpRoute};
use meltemi_model::service::{KubeService, ServiceEntry};
use meltemi_model::sidecar::{EgressPort, OutboundPolicy};
use meltemi_model::testing::{
    destination, destination_rule, egress, export_to, kube_service, labels, pod, service_entry,
    sidecar, virtual_service,
};

use super::*;
use crate::fixtures::{later, world};
use crate::scope::scope;

mod destinations;
mod hosts;

const HTTP: &[(u16, Protocol)] = &[(80, Protocol::Http)];

/// What sidecars of `default` see.
fn in_default(world: &World) -> Scope {
    scope_in(world, "default")
}

fn scope_in(world: &World, namespace: &str) -> Scope {
    let key = scope_key(world, false, &namespace.into(), &Labels::default());
    scope(world, &key)
}

fn gateway_in(world: &World, namespace: &str) -> Scope {
    let key = scope_key(world, true, &namespace.into(), &Labels::default());
    scope(world, &key)
}

/// `a.default`, or the host and namespace of a ServiceEntry, with its ports.
fn shown<'a>(rows: impl IntoIterator<Item = &'a ScopedService>) -> Vec<String> {
    rows.into_iter()
        .map(|row| {
            let service = &row.service;
            let ports: Vec<_> = service.ports.iter().map(|p| p.number.to_string()).collect();
            let name = match service.kubernetes {
                true => format!("{}.{}", service.name, service.key.namespace),
                false => format!("{}@{}", service.name, service.key.namespace),
            };
            format!("{name}:{}", ports.join(","))
        })
        .collect()
}

fn kube(namespace: &str, name: &str) -> Object {
    kube_service(namespace, name, HTTP).into()
}

fn with_egress(listeners: Vec<EgressListener>) -> Object {
    let plain = sidecar("default", "sidecar", &[]);
    Sidecar {
        egress: listeners,
        ..plain
    }
    .into()
}

fn at_port(number: u16, protocol: Protocol, hosts: &[&str]) -> EgressListener {
    EgressListener {
        port: Some(EgressPort {
            number,
            protocol,
            name: "".into(),
        }),
        ..egress(hosts)
    }
}

#[test]
fn a_row_has_the_rule_endpoints_and_identities_of_its_service() {
    let plain = |world: &World| in_default(world).services[0].clone();
    let with_rule = world([
        kube("default", "a"),
        pod("default", "a-1", "10.0.0.1").into(),
        destination_rule("default", "dr", "a.default.svc.cluster.local").into(),
    ]);
    let row = plain(&with_rule);
    let from: Vec<_> = row
        .rule
        .iter()
        .flat_map(|r| &r.from)
        .map(|k| &*k.name)
        .collect();
    assert_eq!(from, ["dr"]);
    assert!(!row.rule_selects_workload);
    assert_eq!(row.endpoints.port("p80").len(), 1);
    assert_eq!(row.identities[0].1.len(), 1);
    assert_eq!(plain(&world([kube("default", "a")])).rule, None);
}

#[test]
fn a_rule_may_be_for_some_workloads() {
    let rule = meltemi_model::traffic::DestinationRule {
        workload_selector: Some(labels("app=client")),
        ..destination_rule("default", "dr", "a.default.svc.cluster.local")
    };
    let world = world([kube("default", "a"), rule.into()]);
    for (own, want) in [("app=client", true), ("app=other", false)] {
        let key = scope_key(&world, false, &"default".into(), &labels(own));
        assert_eq!(
            scope(&world, &key).services[0].rule_selects_workload,
            want,
            "{own}"
        );
    }
}

#[test]
fn proxies_share_a_key_as_far_as_the_world_allows() {
    let key = |world: &World, gateway, own: &str| {
        scope_key(world, gateway, &"default".into(), &labels(own))
    };
    let plain = world([
        kube("default", "a"),
        sidecar("default", "s", &["*/*"]).into(),
    ]);
    assert_eq!(key(&plain, false, "app=a"), key(&plain, false, "app=b"));
    assert!(key(&plain, false, "").sidecar.is_some());
    assert!(key(&plain, true, "").sidecar.is_none());
    let rule = meltemi_model::traffic::DestinationRule {
        workload_selector: Some(labels("app=a")),
        ..destination_rule("default", "dr", "a.default.svc.cluster.local")
    };
    let choosy = world([rule.into()]);
    assert_ne!(key(&choosy, false, "app=a"), key(&choosy, false, "app=b"));
}

#[test]
fn what_happens_to_unknown_destinations() {
    use OutboundPolicy::{AllowAny, RegistryOnly};
    let by_mesh = || {
        let mesh = meltemi_model::mesh::Mesh {
            outbound_policy: RegistryOnly,
            ..Default::default()
        };
        Object::from(mesh)
    };
    let by_sidecar = |outbound_policy| {
        Object::from(Sidecar {
            outbound_policy,
            ..sidecar("default", "s", &["*/*"])
        })
    };
    for (objects, want) in [
        (vec![], AllowAny),
        (vec![by_mesh()], RegistryOnly),
        (vec![by_mesh(), by_sidecar(None)], RegistryOnly),
        (vec![by_mesh(), by_sidecar(Some(AllowAny))], AllowAny),
    ] {
        let name = format!("{objects:?}");
        assert_eq!(in_default(&world(objects)).outbound_policy, want, "{name}");
    }
}
