use meltemi_model::object::Object;
use meltemi_model::port::Protocol;
use meltemi_model::routing::{HttpAction, HttpDestination, VirtualService};
use meltemi_model::testing::{
    destination, destination_rule, egress, http_route, kube_service, peer_authentication, pod,
    service_entry, sidecar, virtual_service,
};
use meltemi_model::{Labels, Str};

use super::*;
use crate::Change;
use crate::fixtures::{after, world};
use crate::scope::scope_key;

const HTTP: &[(u16, Protocol)] = &[(80, Protocol::Http)];

fn to(name: &str, host: &str) -> Object {
    of("ns", name, host)
}

/// A VirtualService of a namespace that routes a host to itself.
fn of(namespace: &str, name: &str, host: &str) -> Object {
    let forward = HttpDestination {
        destination: destination(host, None),
        weight: 100,
        headers: Default::default(),
    };
    VirtualService {
        http: vec![http_route(HttpAction::Forward(vec![forward]))],
        ..virtual_service(namespace, name, host)
    }
    .into()
}

/// A Service `a`, entries that `ns` sees and one that it does not, one of `ns2` that only `ns` is shown, so that `ns2` gets
/// it where VirtualServices route to it, and in `narrow` a Sidecar that shows `ns` only.
fn objects() -> Vec<Object> {
    let hidden = meltemi_model::service::ServiceEntry {
        export_to: meltemi_model::testing::export_to("ns2"),
        ..service_entry("ns2", "hidden.com", HTTP)
    };
    let own = meltemi_model::service::ServiceEntry {
        export_to: meltemi_model::testing::export_to("ns"),
        ..service_entry("ns2", "own.com", HTTP)
    };
    let narrow = meltemi_model::sidecar::Sidecar {
        egress: vec![egress(&["ns/*"])],
        ..sidecar("narrow", "s", &[])
    };
    vec![
        kube_service("ns", "a", HTTP).into(),
        service_entry("ns", "b.com", HTTP).into(),
        service_entry("other", "c.com", HTTP).into(),
        hidden.into(),
        own.into(),
        narrow.into(),
    ]
}

fn keys(world: &World) -> Vec<ScopeKey> {
    let namespaces = ["ns", "ns2", "narrow"];
    let key =
        |gateway| move |ns: &str| scope_key(world, gateway, &Str::from(ns), &Labels::default());
    let sidecars = namespaces.iter().map(|ns| key(false)(ns));
    sidecars
        .chain(["ns"].iter().map(|ns| key(true)(ns)))
        .collect()
}

#[test]
fn a_kept_scope_is_the_one_that_would_be_chosen() {
    let steps: Vec<Change> = vec![
        Change::Apply(to("a", "a.ns.svc.cluster.local")),
        // `narrow` shows no VirtualServices of other namespaces.
        Change::Apply(of("other", "o", "a.ns.svc.cluster.local")),
        Change::Apply(pod("ns", "a-1", "10.0.0.1").into()),
        Change::Apply(to("b", "c.com")),
        // A service that nobody in `ns` sees otherwise stays unseen, one of another namespace is added to `narrow`.
        Change::Apply(to("b", "hidden.com")),
        // One that no listener of `ns2` shows comes and goes with the routes to it.
        Change::Apply(to("b", "own.com")),
        Change::Apply(to("b", "c.com")),
        Change::Apply(to("c", "a.ns.svc.cluster.local")),
        Change::Apply(destination_rule("ns", "a", "b.com").into()),
        Change::Apply(peer_authentication("ns", "p", "", None).into()),
        Change::Apply(kube_service("ns2", "d", HTTP).into()),
        Change::Delete(to("b", "").key().clone()),
        Change::Delete(destination_rule("ns", "a", "b.com").meta.key.clone()),
        Change::Apply(kube_service("ns", "a", &[(81, Protocol::Http)]).into()),
        Change::Apply(meltemi_model::mesh::Mesh::default().into()),
    ];
    let mut now = world(objects());
    for step in steps {
        let shown = format!("{step:?}");
        now = after(&now, [step]);
        for key in keys(&now) {
            let (want, _) = select(&now, &key);
            let found = scope(&now, &key);
            let again = scope(&now, &key);
            assert!(
                std::ptr::eq(&*found.services, &*again.services),
                "it is kept"
            );
            let said = |scope: &Scope| format!("{scope:?}");
            assert_eq!(said(&found), said(&want), "{key:?} after {shown}");
            assert_eq!(said(&again), said(&want), "{key:?} again");
            assert!(Arc::ptr_eq(
                &found.peer_authentications,
                &now.peer_authentications
            ));
        }
    }
}

#[test]
fn what_nobody_asks_for_is_forgotten() {
    let mut now = world(objects());
    let all = keys(&now);
    for key in &all {
        scope(&now, key);
    }
    let kept = |world: &World| world.scopes.0.lock().len();
    assert_eq!(kept(&now), all.len());
    for n in 0..4 {
        now = after(
            &now,
            [Change::Apply(pod("ns", "x", &format!("10.0.0.{n}")).into())],
        );
        scope(&now, &all[0]);
    }
    assert_eq!(kept(&now), 1);
}
