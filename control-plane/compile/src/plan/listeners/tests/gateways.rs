use std::collections::BTreeSet;

use meltemi_builders::listener::{
    DownstreamTls, FileReader, ListenerInput, ServerCertificates, Terminal,
};
use meltemi_model::gateway::{Gateway, Server, ServerHost, ServerTls, ServerTlsMode};
use meltemi_model::port::Protocol;
use meltemi_model::proxy::{ProxyClass, ProxyKind};
use meltemi_model::routing::VirtualService;
use meltemi_model::{Hostname, Shared, testing};

use super::fixtures::{class, scope, service, summary, tcp_route, tls_route, to, virtual_service};
use crate::plan::gateway::merge;
use crate::plan::listeners::{gateway_listeners, unserved_servers};
use crate::plan::routes;

fn router() -> ProxyClass {
    ProxyClass {
        kind: ProxyKind::Router,
        ..class()
    }
}

fn server(port: u16, protocol: Protocol, host: &str, tls: Option<ServerTls>) -> Server {
    Server {
        port,
        protocol,
        port_name: format!("{protocol:?}-{host}").to_lowercase().into(),
        bind: "".into(),
        hosts: vec![ServerHost {
            namespace: "*".into(),
            host: Hostname::new(host),
        }],
        tls,
        name: "".into(),
    }
}

fn tls(mode: ServerTlsMode, credential: bool) -> ServerTls {
    let mut tls = testing::server_tls(mode);
    if credential {
        tls.credential_names = vec!["secret".into()];
    } else {
        tls.certificates = vec![("/c.crt".into(), "/c.key".into())];
    }
    tls
}

fn gateways(servers: Vec<Server>) -> Vec<Shared<Gateway>> {
    vec![Shared::new(testing::gateway("default", "gw", servers))]
}

/// Bound to `default/gw`.
fn bound(mut vs: VirtualService, host: &str) -> Shared<VirtualService> {
    vs.gateways = vec!["default/gw".into()];
    vs.hosts = vec![Hostname::new(host)];
    Shared::new(vs)
}

fn plan(
    servers: Vec<Server>,
    class: &ProxyClass,
    routes: &[Shared<VirtualService>],
) -> Vec<ListenerInput> {
    let merged = merge(&gateways(servers), class, false);
    let scope = scope(vec![
        service("mongo", &[(27017, Protocol::Tcp)]),
        service("vault", &[(8200, Protocol::Https)]),
    ]);
    gateway_listeners(&scope, class, &merged, routes)
}

#[test]
fn servers_become_chains() {
    use ServerTlsMode::{AutoPassthrough, Passthrough, Simple};
    let any_tcp = || {
        bound(
            virtual_service(
                "t",
                "x",
                Vec::new(),
                vec![tcp_route(Vec::new(), vec![to("mongo", "", 0)])],
            ),
            "*",
        )
    };
    let by_sni = || {
        let routes = vec![tls_route(&["v.example.com"], &[], to("vault", "", 0))];
        bound(
            virtual_service("s", "x", routes, Vec::new()),
            "v.example.com",
        )
    };
    let cases = [
        (
            "HTTP servers share a port",
            vec![
                server(80, Protocol::Http, "a.example.com", None),
                server(80, Protocol::Grpc, "b.example.com", None),
            ],
            vec![("0.0.0.0_80", vec!["* -> routes http.80"])],
        ),
        (
            "TLS that is terminated, by name",
            vec![server(
                443,
                Protocol::Https,
                "a.example.com",
                Some(tls(Simple, false)),
            )],
            vec![(
                "0.0.0.0_443",
                vec![
                    "sni a.example.com (server tls) -> routes https.443.https-a.example.com.gw.default",
                ],
            )],
        ),
        (
            "for any name",
            vec![server(443, Protocol::Https, "*", Some(tls(Simple, false)))],
            vec![(
                "0.0.0.0_443",
                vec!["* (server tls) -> routes https.443.https-*.gw.default"],
            )],
        ),
        (
            "TLS that passes, beside some that is terminated",
            vec![
                server(
                    443,
                    Protocol::Tls,
                    "v.example.com",
                    Some(tls(Passthrough, false)),
                ),
                server(
                    443,
                    Protocol::Https,
                    "a.example.com",
                    Some(tls(Simple, false)),
                ),
            ],
            vec![(
                "0.0.0.0_443",
                vec![
                    "sni v.example.com -> outbound|8200||vault",
                    "sni a.example.com (server tls) -> routes https.443.https-a.example.com.gw.default",
                ],
            )],
        ),
        (
            "TCP",
            vec![server(31400, Protocol::Tcp, "*", None)],
            vec![("0.0.0.0_31400", vec!["* -> outbound|27017||mongo"])],
        ),
        (
            "TCP in TLS",
            vec![server(
                31400,
                Protocol::Tls,
                "d.example.com",
                Some(tls(Simple, false)),
            )],
            vec![(
                "0.0.0.0_31400",
                vec!["sni d.example.com (server tls) -> outbound|27017||mongo"],
            )],
        ),
        (
            "every cluster by its own name",
            vec![server(
                15443,
                Protocol::Tls,
                "*.local",
                Some(tls(AutoPassthrough, false)),
            )],
            vec![(
                "0.0.0.0_15443",
                vec![
                    "sni outbound_.27017_._.mongo.default.svc.cluster.local Mesh -> outbound_.27017_._.mongo",
                    "sni outbound_.8200_._.vault.default.svc.cluster.local Mesh -> outbound_.8200_._.vault",
                ],
            )],
        ),
    ];
    for (what, servers, want) in cases {
        let found = summary(&plan(servers, &router(), &[any_tcp(), by_sni()]));
        let want = want
            .iter()
            .map(|(n, l)| ((*n).to_owned(), l.iter().map(ToString::to_string).collect()))
            .collect();
        assert_eq!(found, want, "{what}");
    }
}

#[test]
fn a_server_without_a_route_has_no_listener() {
    assert_eq!(
        plan(
            vec![server(31400, Protocol::Tcp, "*", None)],
            &router(),
            &[]
        ),
        Vec::new()
    );
}

#[test]
fn what_cannot_be_served_is_told_and_left_out() {
    let without_identity = ProxyClass {
        has_identity: false,
        ..router()
    };
    let istio = || tls(ServerTlsMode::IstioMutual, false);
    let credential = || tls(ServerTlsMode::Simple, true);
    let files = || tls(ServerTlsMode::Simple, false);
    let builtin = ServerTls {
        credential_names: vec!["builtin://".into()],
        ..credential()
    };
    let cases = [
        (router(), istio(), None),
        (without_identity.clone(), istio(), Some("ISTIO_MUTUAL")),
        (router(), credential(), None),
        (without_identity.clone(), credential(), None),
        (without_identity.clone(), builtin, Some("builtin://")),
        (
            router(),
            testing::server_tls(ServerTlsMode::Simple),
            Some("credentialName"),
        ),
        (router(), files(), None),
        (without_identity, files(), None),
    ];
    for (class, tls, reason) in cases {
        let servers = vec![server(443, Protocol::Https, "a.example.com", Some(tls))];
        let merged = merge(&gateways(servers.clone()), &class, false);
        let unserved = unserved_servers(&class, &merged);
        assert_eq!(unserved.len(), usize::from(reason.is_some()));
        assert!(reason.is_none_or(|r| unserved[0].reason.contains(r)));
        assert_eq!(plan(servers, &class, &[]).is_empty(), reason.is_some());
    }
}

#[test]
fn envoy_reads_certificate_files_itself_where_no_agent_does() {
    for has_identity in [true, false] {
        let class = ProxyClass {
            has_identity,
            ..router()
        };
        let servers = vec![server(
            443,
            Protocol::Https,
            "*",
            Some(tls(ServerTlsMode::Simple, false)),
        )];
        let listeners = plan(servers, &class, &[]);
        let Some(DownstreamTls::Server(tls)) = &listeners[0].chains[0].tls else {
            panic!("TLS")
        };
        assert!(
            matches!(&tls.certificates, ServerCertificates::Files { reader, .. } if (*reader == FileReader::Agent) == has_identity)
        );
    }
}

#[test]
fn addresses_names_and_ports() {
    let mut named = server(
        8090,
        Protocol::Https,
        "*",
        Some(tls(ServerTlsMode::Simple, false)),
    );
    named.name = "first".into();
    named.bind = "10.1.1.1".into();
    let listeners = plan(vec![named], &router(), &[]);
    assert_eq!(&*listeners[0].name, "10.1.1.1_8090");
    let Terminal::Http(http) = &listeners[0].chains[0].terminal else {
        panic!("HTTP")
    };
    assert_eq!(&*http.stat_prefix, "first");

    let mut unprivileged = router();
    unprivileged.facet.unprivileged = true;
    assert_eq!(
        plan(
            vec![server(80, Protocol::Http, "*", None)],
            &unprivileged,
            &[]
        ),
        Vec::new()
    );
    let low = vec![
        server(666, Protocol::Http, "*", None),
        server(31400, Protocol::Http, "*", None),
    ];
    assert_eq!(plan(low.clone(), &unprivileged, &[]).len(), 1);
    let told = unserved_servers(&unprivileged, &merge(&gateways(low), &unprivileged, false));
    assert_eq!((told.len(), told[0].index), (1, 0));
    assert!(told[0].reason.contains("port 666"), "{:?}", told[0]);
    // The Service's port 80 is one that the pod may bind.
    unprivileged.gateway_ports.insert(80, vec![8080]);
    let translated = plan(
        vec![server(80, Protocol::Http, "*", None)],
        &unprivileged,
        &[],
    );
    assert_eq!(&*translated[0].name, "0.0.0.0_8080");
}

/// I7: what a listener fetches over RDS is served.
#[test]
fn every_route_configuration_that_a_listener_names_is_planned() {
    let servers = vec![
        server(80, Protocol::Http, "*", None),
        server(
            443,
            Protocol::Https,
            "a.example.com",
            Some(tls(ServerTlsMode::Simple, false)),
        ),
    ];
    let class = router();
    let merged = merge(&gateways(servers), &class, false);
    let scope = scope(Vec::new());
    let listeners = gateway_listeners(&scope, &class, &merged, &[]);
    let wanted: BTreeSet<&str> = listeners
        .iter()
        .flat_map(ListenerInput::route_names)
        .map(|n| &**n)
        .collect();
    let planned = routes::gateway_routes(&scope, &class, &merged, &[]);
    let served: BTreeSet<&str> = planned.iter().map(|route| &*route.name).collect();
    assert_eq!(wanted, served);
}
