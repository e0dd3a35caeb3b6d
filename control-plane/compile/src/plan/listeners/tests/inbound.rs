use meltemi_builders::listener::{ListenerInput, ListenerKind, RouteSource, Terminal};
use meltemi_model::port::Protocol;
use meltemi_model::proxy::{Capabilities, InterceptionMode, ProxyClass};
use meltemi_model::sidecar::{CaptureMode, IngressListener, Sidecar};
use meltemi_model::workload::ServiceInstance;
use meltemi_model::{Kind, Shared};
use meltemi_world::Scope;

use super::fixtures::{class, line, meta, scope, service, summary};
use crate::plan::listeners::sidecar_listeners;

pub(super) fn serving(ports: &[(u16, Protocol)]) -> ProxyClass {
    let service = Shared::new(service("app", ports));
    let instance = |(port, _): &(u16, Protocol)| ServiceInstance {
        service: service.clone(),
        port: *port,
        target: *port + 1000,
    };
    ProxyClass {
        instances: ports.iter().map(instance).collect(),
        ..class()
    }
}

/// The lines of the chains of one port.
pub(super) fn chains_of(scope: &Scope, class: &ProxyClass, prefix: &str) -> Vec<String> {
    let all = summary(&sidecar_listeners(scope, class));
    all["virtualInbound"]
        .iter()
        .filter(|line| line.starts_with(prefix))
        .cloned()
        .collect()
}

#[test]
fn chains_by_protocol_and_identity() {
    let scope = scope(Vec::new());
    let (http, tcp) = ("http inbound|1080||", "inbound|1080||");
    let cases = [
        (
            Protocol::Http,
            true,
            vec![
                format!("1080 tls Mesh (mtls) -> {http}"),
                format!("1080 raw -> {http}"),
            ],
        ),
        (
            Protocol::Tcp,
            true,
            vec![
                format!("1080 tls Mesh (mtls, peers) -> {tcp}"),
                format!("1080 tls -> {tcp}"),
                format!("1080 raw -> {tcp}"),
            ],
        ),
        (
            Protocol::Unsupported,
            true,
            vec![
                format!("1080 tls MeshHttp (mtls) -> {http}"),
                format!("1080 raw PlainHttp -> {http}"),
                format!("1080 tls MeshTcp (mtls, peers) -> {tcp}"),
                format!("1080 raw -> {tcp}"),
                format!("1080 tls -> {tcp}"),
            ],
        ),
        (Protocol::Http, false, vec![format!("1080 raw -> {http}")]),
        (Protocol::Tcp, false, vec![format!("1080 raw -> {tcp}")]),
        (
            Protocol::Unsupported,
            false,
            vec![
                format!("1080 raw PlainHttp -> {http}"),
                format!("1080 raw -> {tcp}"),
            ],
        ),
    ];
    for (protocol, has_identity, want) in cases {
        let class = ProxyClass {
            has_identity,
            ..serving(&[(80, protocol)])
        };
        assert_eq!(
            chains_of(&scope, &class, "1080 "),
            want,
            "{protocol:?} {has_identity}"
        );
    }
}

#[test]
fn the_virtual_listener_begins_with_what_no_service_names() {
    let all = summary(&sidecar_listeners(&scope(Vec::new()), &class()));
    let want = [
        "15006 -> BlackHoleCluster",
        "tls MeshHttp (mtls) -> http InboundPassthroughCluster",
        "raw PlainHttp -> http InboundPassthroughCluster",
        "tls MeshTcp (mtls, peers) -> InboundPassthroughCluster",
        "raw -> InboundPassthroughCluster",
        "tls -> InboundPassthroughCluster",
    ];
    assert_eq!(all["virtualInbound"], want);
}

#[test]
fn a_stock_envoy_offers_no_metadata_and_takes_it_off() {
    let class = ProxyClass {
        capabilities: Capabilities::core(),
        ..serving(&[(80, Protocol::Unsupported)])
    };
    let listeners = sidecar_listeners(&scope(Vec::new()), &class);
    let inbound = listeners
        .iter()
        .find(|l| &*l.name == "virtualInbound")
        .unwrap();
    assert!(
        !inbound.network.stats
            && inbound
                .http
                .as_ref()
                .is_some_and(|h| !h.stats && !h.metadata_exchange)
    );
    for chain in &inbound.chains {
        assert!(
            !chain.metadata_exchange && !line(chain).contains("peers"),
            "{}",
            line(chain)
        );
        if let Terminal::Http(http) = &chain.terminal {
            let RouteSource::Inbound(route) = &http.route else {
                panic!("inline")
            };
            assert!(route.strip_peer_metadata);
        }
    }
}

#[test]
fn the_oldest_service_has_the_port_and_reserved_ones_stay_free() {
    let mut class = serving(&[(80, Protocol::Http)]);
    let younger = Shared::new(service(
        "younger",
        &[(81, Protocol::Tcp), (82, Protocol::Http)],
    ));
    for (port, target) in [(81, 1080), (82, 15021)] {
        class.instances.push(ServiceInstance {
            service: younger.clone(),
            port,
            target,
        });
    }
    let scope = scope(Vec::new());
    assert_eq!(
        chains_of(&scope, &class, "1080 raw"),
        ["1080 raw -> http inbound|1080||"]
    );
    assert_eq!(chains_of(&scope, &class, "15021"), Vec::<String>::new());
}

pub(super) fn with_ingress(ingress: Vec<IngressListener>) -> Scope {
    let sidecar = Sidecar {
        meta: meta(Kind::Sidecar, "pp"),
        workload_selector: None,
        ingress,
        egress: Vec::new(),
        outbound_policy: None,
        egress_proxy: None,
        inbound_connection_pool: None,
    };
    Scope {
        sidecar: Some(Shared::new(sidecar)),
        ..scope(Vec::new())
    }
}

pub(super) fn ingress(port: u16, bind: &str, capture_mode: CaptureMode) -> IngressListener {
    IngressListener {
        port,
        protocol: Protocol::Http,
        port_name: "http".into(),
        bind: bind.into(),
        capture_mode,
        default_endpoint: "127.0.0.1:8080".into(),
        tls: None,
        connection_pool: None,
    }
}

#[test]
fn ingress_listeners_replace_the_services() {
    let scope = with_ingress(vec![
        ingress(9080, "10.0.0.9", CaptureMode::None),
        ingress(9090, "", CaptureMode::Default),
        ingress(15021, "", CaptureMode::Default),
    ]);
    let mut class = serving(&[(80, Protocol::Http)]);
    class.own_ips = vec!["10.0.0.9".parse().unwrap()];
    let listeners = sidecar_listeners(&scope, &class);
    let own: &ListenerInput = listeners
        .iter()
        .find(|l| &*l.name == "10.0.0.9_9080")
        .unwrap();
    assert_eq!((own.kind, own.port), (ListenerKind::Inbound, 9080));
    let virtual_inbound = listeners
        .iter()
        .find(|l| &*l.name == "virtualInbound")
        .unwrap();
    let names: Vec<&str> = virtual_inbound
        .chains
        .iter()
        .map(|c| &*c.name)
        .filter(|n| !n.starts_with("virtual"))
        .collect();
    assert_eq!(names, ["10.0.0.9_9090", "10.0.0.9_9090"]);
    let Terminal::Http(http) = &virtual_inbound.chains[6].terminal else {
        panic!("HTTP")
    };
    assert_eq!(&*http.stat_prefix, "inbound_10.0.0.9_9090;");
    let RouteSource::Inbound(route) = &http.route else {
        panic!("inline")
    };
    assert_eq!((&*route.host, route.port), ("pp.default", 9090));
}

#[test]
fn a_flag_keeps_the_services_beside_ingress_listeners() {
    let mut scope = with_ingress(vec![ingress(1080, "10.0.0.9", CaptureMode::Default)]);
    scope.mesh = Shared::new(meltemi_model::mesh::Mesh {
        merge_inbound: true,
        ..(*scope.mesh).clone()
    });
    // The ingress listener takes its port from the service.
    let mut class = serving(&[(80, Protocol::Http), (81, Protocol::Http)]);
    let names = |class: &ProxyClass| {
        let listeners = sidecar_listeners(&scope, class);
        let chains = listeners.iter().flat_map(|l| &l.chains);
        let names: std::collections::BTreeSet<String> =
            chains.map(|c| c.name.to_string()).collect();
        let own = names.into_iter().filter(|n| !n.starts_with("virtual"));
        own.collect::<Vec<_>>()
    };
    assert_eq!(names(&class), ["0.0.0.0_1081", "10.0.0.9_1080"]);
    class.interception = InterceptionMode::None;
    assert_eq!(names(&class), ["0.0.0.0_1081", "10.0.0.9_1080"]);
}

#[test]
fn without_redirection_only_ingress_listeners_take_connections() {
    let mut class = serving(&[(80, Protocol::Http)]);
    class.interception = InterceptionMode::None;
    assert_eq!(sidecar_listeners(&scope(Vec::new()), &class), Vec::new());
    let listeners = sidecar_listeners(
        &with_ingress(vec![ingress(9080, "", CaptureMode::Default)]),
        &class,
    );
    assert_eq!(
        listeners.iter().map(|l| &*l.name).collect::<Vec<_>>(),
        ["0.0.0.0_9080"]
    );
    assert_eq!(listeners[0].kind, ListenerKind::Inbound);
}

#[test]
fn tproxy_keeps_addresses() {
    let mut class = class();
    class.interception = InterceptionMode::Tproxy;
    let listeners = sidecar_listeners(&scope(Vec::new()), &class);
    assert!(listeners.iter().all(|l| l.transparent) && listeners.len() == 2);
}
