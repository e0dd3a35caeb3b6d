//! Inbound chains by PeerAuthentication.

use std::collections::BTreeMap;
use std::sync::Arc;

use meltemi_builders::listener::DownstreamTls;
use meltemi_model::gateway::{ServerTls, ServerTlsMode};
use meltemi_model::mesh::Mesh;
use meltemi_model::port::Protocol;
use meltemi_model::proxy::{Capabilities, ProxyClass};
use meltemi_model::security::MtlsMode::{self, Disable, Permissive, Strict};
use meltemi_model::security::PeerAuthentication;
use meltemi_model::sidecar::{CaptureMode, IngressListener};
use meltemi_model::testing::{labels, peer_authentication, server_tls};
use meltemi_model::{Object, Shared};
use meltemi_world::Scope;

use super::fixtures::{scope, summary};
use super::inbound::{chains_of, ingress, serving, with_ingress};
use crate::fixtures::world;
use crate::plan::listeners::{sidecar_listeners, unmet_strictness};

/// For the workload of `class` alone.
fn policy(mode: Option<MtlsMode>, ports: &[(u16, MtlsMode)]) -> PeerAuthentication {
    PeerAuthentication {
        ports: ports
            .iter()
            .map(|(port, mode)| (*port, Some(*mode)))
            .collect(),
        ..peer_authentication("default", "own", "app=server", mode)
    }
}

fn under(policy: PeerAuthentication, scope: Scope) -> Scope {
    let world = world([Object::from(policy)]);
    Scope {
        peer_authentications: Arc::clone(&world.peer_authentications),
        ..scope
    }
}

/// Port 80 of this protocol, served at 1080.
fn server(protocol: Protocol) -> ProxyClass {
    ProxyClass {
        labels: labels("app=server"),
        ..serving(&[(80, protocol)])
    }
}

/// The lines of the chains of one port without it, shorter: `Mesh (mtls) -> http`.
fn at_1080(scope: &Scope, class: &ProxyClass) -> Vec<String> {
    let short = |line: String| {
        let line = line.strip_prefix("1080 ").unwrap_or(&line).to_owned();
        line.replace("http inbound|1080||", "http")
            .replace("inbound|1080||", "tcp")
    };
    let lines = chains_of(scope, class, "1080 ");
    lines.into_iter().map(short).collect()
}

#[test]
fn chains_by_mode_and_protocol() {
    let cases: [(MtlsMode, Protocol, &[&str]); 9] = [
        (
            Permissive,
            Protocol::Http,
            &["tls Mesh (mtls) -> http", "raw -> http"],
        ),
        (
            Permissive,
            Protocol::Tcp,
            &["tls Mesh (mtls, peers) -> tcp", "tls -> tcp", "raw -> tcp"],
        ),
        (
            Permissive,
            Protocol::Unsupported,
            &[
                "tls MeshHttp (mtls) -> http",
                "raw PlainHttp -> http",
                "tls MeshTcp (mtls, peers) -> tcp",
                "raw -> tcp",
                "tls -> tcp",
            ],
        ),
        (Strict, Protocol::Http, &["tls (mtls) -> http"]),
        (Strict, Protocol::Tcp, &["tls (mtls, peers) -> tcp"]),
        (
            Strict,
            Protocol::Unsupported,
            &["tls MeshHttp (mtls) -> http", "tls (mtls, peers) -> tcp"],
        ),
        (Disable, Protocol::Http, &["raw -> http"]),
        (Disable, Protocol::Tcp, &["raw -> tcp"]),
        (
            Disable,
            Protocol::Unsupported,
            &["raw PlainHttp -> http", "raw -> tcp"],
        ),
    ];
    for (mode, protocol, want) in cases {
        let class = server(protocol);
        let by_workload = under(policy(Some(mode), &[]), scope(Vec::new()));
        assert_eq!(at_1080(&by_workload, &class), want, "{mode:?} {protocol:?}");
        let by_port = under(policy(Some(Permissive), &[(1080, mode)]), scope(Vec::new()));
        assert_eq!(
            at_1080(&by_port, &class),
            want,
            "{mode:?} {protocol:?}, port"
        );
        // The port of the service is not that of the workload.
        let other = under(policy(None, &[(80, mode)]), scope(Vec::new()));
        let without = at_1080(&scope(Vec::new()), &class);
        assert_eq!(
            at_1080(&other, &class),
            without,
            "{mode:?} {protocol:?}, service port"
        );
    }
}

/// The chains of ports that no service names, without what leads to the black hole.
fn passthrough(scope: &Scope, class: &ProxyClass) -> Vec<String> {
    let lines = chains_of(scope, class, "").into_iter();
    lines
        .filter(|line| line.contains("InboundPassthroughCluster"))
        .map(|line| line.replace("InboundPassthroughCluster", "pass"))
        .collect()
}

#[test]
fn what_no_service_names_by_mode_and_port() {
    let strict = [
        "tls MeshHttp (mtls) -> http pass",
        "tls (mtls, peers) -> pass",
    ];
    let plain = ["raw PlainHttp -> http pass", "raw -> pass"];
    let at = |port: u16, lines: [&str; 2]| lines.map(|line| format!("{port} {line}")).to_vec();
    let class = server(Protocol::Http);
    let of = |mode, ports: &[_]| {
        passthrough(&under(policy(Some(mode), ports), scope(Vec::new())), &class)
    };
    assert_eq!(of(Strict, &[]), strict);
    assert_eq!(of(Disable, &[]), plain);
    // A service names 1080, so its chains say it all; 9998 and 9999 have chains by the policy alone.
    let ports = [(9999, Strict), (9998, Disable), (1080, Disable)];
    let want = [
        plain.map(String::from).to_vec(),
        at(9998, plain),
        at(9999, strict),
    ]
    .concat();
    assert_eq!(of(Disable, &ports), want);
}

#[test]
fn ports_of_a_sidecar_stand_for_those_of_services() {
    let sidecar = with_ingress(vec![ingress(9080, "", CaptureMode::Default)]);
    let ports = [(9080, Strict), (1080, Strict)];
    let scope = under(policy(Some(Disable), &ports), sidecar);
    let class = server(Protocol::Http);
    assert_eq!(
        chains_of(&scope, &class, "9080 "),
        ["9080 tls (mtls) -> http inbound|9080||"]
    );
    assert_eq!(
        chains_of(&scope, &class, "1080 "),
        [
            "1080 tls MeshHttp (mtls) -> http InboundPassthroughCluster",
            "1080 tls (mtls, peers) -> InboundPassthroughCluster"
        ]
    );
}

#[test]
fn a_stock_envoy_is_strict_without_peers() {
    let class = ProxyClass {
        capabilities: Capabilities::core(),
        ..server(Protocol::Tcp)
    };
    let scope = under(policy(Some(Strict), &[]), scope(Vec::new()));
    assert_eq!(at_1080(&scope, &class), ["tls (mtls) -> tcp"]);
}

/// Plain text instead would break the policy.
#[test]
fn without_identity_strict_ports_take_nothing() {
    let class = ProxyClass {
        has_identity: false,
        ..server(Protocol::Http)
    };
    let strict = under(
        policy(Some(Strict), &[(1080, Permissive)]),
        scope(Vec::new()),
    );
    assert_eq!(at_1080(&strict, &class), ["raw -> http"]);
    assert!(passthrough(&strict, &class).is_empty());
    let said = unmet_strictness(&strict, &class).expect("a diagnostic");
    assert_eq!(
        said.object.map(|key| key.name.to_string()),
        Some("own".into())
    );
    let refused = under(policy(Some(Strict), &[]), scope(Vec::new()));
    assert!(at_1080(&refused, &class).is_empty());
    // The listener itself stays: Envoy takes none without chains.
    let all = summary(&sidecar_listeners(&refused, &class));
    assert_eq!(all["virtualInbound"], ["15006 -> BlackHoleCluster"]);
    for (mode, class) in [(Permissive, class), (Strict, server(Protocol::Http))] {
        let scope = under(policy(Some(mode), &[]), scope(Vec::new()));
        assert_eq!(unmet_strictness(&scope, &class), None, "{mode:?}");
    }
}

#[test]
fn a_listener_of_its_own_that_may_take_nothing_is_left_out() {
    let sidecar = || with_ingress(vec![ingress(9080, "10.0.0.9", CaptureMode::None)]);
    let class = ProxyClass {
        has_identity: false,
        own_ips: vec!["10.0.0.9".parse().expect("an IP")],
        ..server(Protocol::Http)
    };
    for (mode, want) in [(Permissive, true), (Strict, false)] {
        let scope = under(policy(Some(mode), &[]), sidecar());
        let all = summary(&sidecar_listeners(&scope, &class));
        assert_eq!(all.contains_key("10.0.0.9_9080"), want, "{mode:?}");
    }
}

fn with_tls(protocol: Protocol, tls: ServerTls) -> Scope {
    with_ingress(vec![IngressListener {
        protocol,
        tls: Some(tls),
        ..ingress(9080, "", CaptureMode::Default)
    }])
}

#[test]
fn tls_of_a_sidecar_where_mutual_tls_is_disabled() {
    let files = || ServerTls {
        certificates: vec![("/c.crt".into(), "/c.key".into())],
        ..server_tls(ServerTlsMode::Simple)
    };
    let (http, tcp) = ("http inbound|9080||", "inbound|9080||");
    for (mode, protocol, tls, want) in [
        (
            Disable,
            Protocol::Https,
            files(),
            vec![format!("9080 tls (server tls) -> {http}")],
        ),
        (
            Disable,
            Protocol::Tls,
            files(),
            vec![format!("9080 tls (server tls) -> {tcp}")],
        ),
        // Nothing to show: nothing is taken, least of all plain text.
        (
            Disable,
            Protocol::Https,
            server_tls(ServerTlsMode::Simple),
            vec![],
        ),
        (
            Strict,
            Protocol::Https,
            files(),
            vec![format!("9080 tls (mtls) -> {http}")],
        ),
        (
            Permissive,
            Protocol::Https,
            files(),
            vec![
                format!("9080 tls Mesh (mtls) -> {http}"),
                format!("9080 raw -> {http}"),
            ],
        ),
    ] {
        let scope = under(policy(Some(mode), &[]), with_tls(protocol, tls));
        let lines = chains_of(&scope, &server(Protocol::Http), "9080 ");
        assert_eq!(lines, want, "{mode:?} {protocol:?}");
    }
}

#[test]
fn whose_workloads_may_connect() {
    let mesh = || Mesh {
        trust_domain: "td".into(),
        trust_domain_aliases: vec!["old.td".into(), "td".into()],
        foreign_trust_domains: vec!["other.td".into()],
        ..Mesh::default()
    };
    let any = Mesh {
        any_trust_domain: true,
        ..mesh()
    };
    for (mesh, want) in [(mesh(), &["td", "old.td", "other.td"][..]), (any, &[])] {
        let scope = Scope {
            mesh: Shared::new(mesh),
            ..scope(Vec::new())
        };
        let listeners = sidecar_listeners(&scope, &server(Protocol::Http));
        let secured = listeners.iter().flat_map(|l| &l.chains);
        let found: BTreeMap<_, _> = secured
            .filter_map(|chain| match &chain.tls {
                Some(DownstreamTls::Mesh { trust_domains, .. }) => {
                    Some((trust_domains.clone(), ()))
                }
                _ => None,
            })
            .collect();
        let want: Vec<_> = want.iter().map(|td| (*td).into()).collect();
        assert_eq!(found.into_keys().collect::<Vec<_>>(), [want]);
    }
}
