//! Which policies guard which side, and providers that cannot be asked.

use std::sync::Arc;

use meltemi_builders::listener::ListenerInput;
use meltemi_model::Object;
use meltemi_model::mesh::Mesh;
use meltemi_model::port::Protocol;
use meltemi_model::provider::{ExtAuthz, ExtAuthzProtocol, ProviderService};
use meltemi_model::security::AuthorizationAction;
use meltemi_model::testing::{authorization_policy, kube_service};
use meltemi_world::Scope;

use super::fixtures::scope;
use super::inbound::serving;
use crate::fixtures::world;
use crate::plan::listeners::{sidecar_listeners, unasked_providers};

/// What a workload sees of policies that ask: their names, and their providers.
fn under(mesh: Mesh, asking: &[(&str, &str)]) -> Scope {
    let ask = |(name, provider): &(&str, &str)| -> Object {
        let custom = AuthorizationAction::Custom((*provider).into());
        authorization_policy("default", name, custom).into()
    };
    let service = kube_service("default", "there", &[(9000, Protocol::Grpc)]);
    let rows = [mesh.into(), service.into()];
    let world = world(asking.iter().map(ask).chain(rows));
    Scope {
        mesh: world.mesh.clone(),
        authorizations: Arc::clone(&world.authorizations),
        registry: Arc::clone(&world.services),
        ..scope(Vec::new())
    }
}

fn mesh() -> Mesh {
    let provider = |host: &str| ExtAuthz {
        service: ProviderService::parse(host, 9000),
        timeout: None,
        fail_open: false,
        clear_route_cache: false,
        status_on_error: None,
        body: None,
        protocol: ExtAuthzProtocol::Grpc,
    };
    let hosts = [
        ("good", "there.default.svc.cluster.local"),
        ("far", "default/there.default.svc.cluster.local"),
        ("lost", "nowhere.test"),
        ("elsewhere", "other/there.default.svc.cluster.local"),
    ];
    let providers = hosts.map(|(name, host)| (name.into(), provider(host)));
    Mesh {
        ext_authz: providers.into(),
        ..Mesh::default()
    }
}

#[test]
fn policies_guard_what_a_workload_is_asked_for() {
    let scope = under(mesh(), &[("p", "good")]);
    let listeners = sidecar_listeners(&scope, &serving(&[(80, Protocol::Http)]));
    let guarded = |listener: &&ListenerInput| {
        let mut from = listener.from.iter();
        from.any(|key| &*key.name == "p")
    };
    let names: Vec<&str> = listeners
        .iter()
        .filter(guarded)
        .map(|listener| &*listener.name)
        .collect();
    assert_eq!(names, ["virtualInbound"]);
}

#[test]
fn providers_that_cannot_be_asked_are_told() {
    let several = Mesh {
        multiple_authz_providers: true,
        ..mesh()
    };
    for (mesh, asking, says) in [
        (mesh(), &[("p", "good")][..], &[][..]),
        (mesh(), &[("p", "far")], &[]),
        (mesh(), &[("p", "gone")], &["\"gone\" is not among"]),
        (mesh(), &[("p", "lost")], &["the service \"nowhere.test\""]),
        (mesh(), &[("p", "elsewhere")], &["the service \"there."]),
        (
            mesh(),
            &[("p", "good"), ("q", "far")],
            &[
                "several providers (far, good)",
                "several providers (far, good)",
            ],
        ),
        (several.clone(), &[("p", "good"), ("q", "far")], &[]),
        (
            several,
            &[("p", "good"), ("q", "gone")],
            &["\"gone\" is not among"],
        ),
    ] {
        let scope = under(mesh, asking);
        let said = unasked_providers(&scope, &serving(&[]));
        let said: Vec<String> = said.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), says.len(), "{asking:?}: {said:?}");
        for (line, wanted) in said.iter().zip(says) {
            assert!(line.contains(wanted), "{asking:?}: {line}");
            assert!(line.contains("spec.provider.name"), "{line}");
        }
    }
}
