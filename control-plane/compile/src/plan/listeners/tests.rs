use std::collections::BTreeSet;

use meltemi_model::port::Protocol;
use meltemi_model::proxy::InterceptionMode;
use meltemi_model::service::Resolution;
use meltemi_model::sidecar::{CaptureMode, OutboundPolicy};

use super::*;
use crate::plan::routes;

mod authorization;
mod fixtures;
mod gateways;
mod inbound;
mod outbound;
mod peers;

use fixtures::{class, egress, scope, service, summary};

/// I7: what a listener fetches over RDS is served.
#[test]
fn every_route_configuration_that_a_listener_names_is_planned() {
    let services = vec![
        service("http", &[(80, Protocol::Http)]),
        service("sniffed", &[(81, Protocol::Unsupported)]),
        service("tcp", &[(82, Protocol::Tcp)]),
        service(
            "raw.example.com",
            &[(80, Protocol::Tcp), (83, Protocol::Unsupported)],
        ),
    ];
    let mut class = class();
    class.facet.http_proxy_port = 15007;
    let mut scope = scope(services);
    let with_port = egress(
        &scope,
        Some((3128, Protocol::HttpProxy)),
        "127.0.0.1",
        CaptureMode::None,
    );
    let socket = egress(
        &scope,
        Some((0, Protocol::Http)),
        "unix:///run/sock",
        CaptureMode::Default,
    );
    scope.egress.splice(0..0, [with_port, socket]);
    for interception in [InterceptionMode::Redirect, InterceptionMode::None] {
        class.interception = interception;
        let listeners = sidecar_listeners(&scope, &class);
        let wanted: BTreeSet<&str> = listeners
            .iter()
            .flat_map(ListenerInput::route_names)
            .map(|n| &**n)
            .collect();
        let routes = routes::sidecar_routes(&scope, &class);
        let served: BTreeSet<&str> = routes.iter().map(|route| &*route.name).collect();
        assert_eq!(wanted, served);
    }
}

#[test]
fn classes_share_tcp_listeners_whatever_their_names() {
    let scope = scope(vec![
        service("tcp", &[(82, Protocol::Tcp)]),
        service("http", &[(80, Protocol::Http)]),
    ]);
    let (one, mut two) = (class(), class());
    two.facet.canonical_service = "another".into();
    let find = |class, name: &str| {
        sidecar_listeners(&scope, class)
            .into_iter()
            .find(|listener| &*listener.name == name)
            .unwrap()
    };
    assert_eq!(find(&one, "10.0.0.3_82"), find(&two, "10.0.0.3_82"));
    assert_eq!(find(&one, "virtualOutbound"), find(&two, "virtualOutbound"));
    // Spans of HTTP carry the name.
    assert_ne!(find(&one, "0.0.0.0_80"), find(&two, "0.0.0.0_80"));
}

#[test]
fn unknown_traffic_goes_where_the_policy_says() {
    let cases = [
        (
            OutboundPolicy::AllowAny,
            vec!["15001 -> BlackHoleCluster", "* -> PassthroughCluster"],
        ),
        (
            OutboundPolicy::RegistryOnly,
            vec!["15001 -> BlackHoleCluster", "* -> BlackHoleCluster"],
        ),
        (
            OutboundPolicy::AllowAnyDynamicDns,
            vec![
                "15001 -> BlackHoleCluster",
                "PlainHttp -> any host",
                "* -> PassthroughCluster",
            ],
        ),
    ];
    for (policy, want) in cases {
        let mut scope = scope(vec![service("http", &[(80, Protocol::Http)])]);
        scope.outbound_policy = policy;
        let listeners = sidecar_listeners(&scope, &class());
        let found = summary(&listeners);
        assert_eq!(found["virtualOutbound"], want, "{policy:?}");
        let shared = listeners.iter().find(|l| &*l.name == "0.0.0.0_80").unwrap();
        let cluster = if policy == OutboundPolicy::RegistryOnly {
            "BlackHoleCluster"
        } else {
            "PassthroughCluster"
        };
        assert_eq!(shared.fallthrough.as_deref(), Some(cluster));
        let dynamic = shared.http.as_ref().unwrap().any_dns.is_some();
        assert_eq!(dynamic, policy == OutboundPolicy::AllowAnyDynamicDns);
    }
}

#[test]
fn the_mesh_can_switch_listeners_off_or_move_them() {
    let mut scope = scope(vec![service("http", &[(80, Protocol::Http)])]);
    let mut mesh = (*scope.mesh).clone();
    mesh.outbound_port = 25001;
    mesh.inbound_port = 25006;
    mesh.http_proxy_port = 25007;
    scope.mesh = Shared::new(mesh.clone());
    let listeners = sidecar_listeners(&scope, &class());
    let at = |name: &str| listeners.iter().find(|l| &*l.name == name).map(|l| l.port);
    assert_eq!(
        (at("virtualOutbound"), at("virtualInbound")),
        (Some(25001), Some(25006))
    );
    assert_eq!(at("127.0.0.1_25007"), Some(25007));
    mesh.outbound_port = 0;
    scope.mesh = Shared::new(mesh);
    assert_eq!(sidecar_listeners(&scope, &class()), Vec::new());
}

#[test]
fn an_alias_has_no_listeners() {
    let mut alias = service("alias", &[(80, Protocol::Http)]);
    alias.resolution = Resolution::Alias;
    let scope = scope(vec![alias]);
    let listeners = sidecar_listeners(&scope, &class());
    let names: Vec<&str> = listeners.iter().map(|listener| &*listener.name).collect();
    assert_eq!(names, ["virtualInbound", "virtualOutbound"]);
}
