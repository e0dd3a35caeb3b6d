//! The listeners of the recorded base world, and what other proxies get in their place.

use std::path::Path;

use meltemi_model::Shared;
use meltemi_model::security::TlsLimits;
use meltemi_proto::pool::{json_to_message, message_to_json};
use serde_json::{Value, json};

use super::fixtures::{
    LISTENER, REDIRECTED, chain, http, input, istio_http, json_of, plain_http, rds, tcp, traced,
};
use crate::listener::{
    Alpn, CertDetails, Chain, ChainMatch, ClientCert, DownstreamTls, ForwardClientCert, HttpFacet,
    InboundRoute, ListenerInput, ListenerKind, NetworkFacet, RouteSource, TcpChain, Terminal,
    Tracing, Transport,
};

/// (node, listener, its input) as the plan makes them for the base world.
fn base_inputs() -> Vec<(&'static str, ListenerInput)> {
    let shared_http = chain(plain_http(), rds("9080", "outbound_0.0.0.0_9080;"));
    let sniffed = vec![
        chain(
            None,
            tcp("outbound|9153||kube-dns.kube-system.svc.cluster.local"),
        ),
        chain(
            plain_http(),
            rds(
                "kube-dns.kube-system.svc.cluster.local:9153",
                "outbound_10.96.0.10_9153;",
            ),
        ),
    ];
    let blackhole = Chain {
        name: "virtualOutbound-blackhole".into(),
        ..chain(
            Some(ChainMatch {
                port: Some(15001),
                ..Default::default()
            }),
            Terminal::tcp(TcpChain::blackhole()),
        )
    };
    let catch_all = Chain {
        name: "virtualOutbound-catchall-tcp".into(),
        ..chain(None, tcp("PassthroughCluster"))
    };
    let virtual_outbound = ListenerInput {
        name: "virtualOutbound".into(),
        fallthrough: None,
        ..input(
            ListenerKind::VirtualOutbound,
            "0.0.0.0",
            15001,
            vec![blackhole, catch_all],
        )
    };
    vec![
        (
            "productpage",
            input(REDIRECTED, "0.0.0.0", 9080, vec![shared_http]),
        ),
        (
            "productpage",
            input(REDIRECTED, "10.96.0.10", 9153, sniffed),
        ),
        ("productpage", virtual_outbound),
        ("productpage", virtual_inbound(true, true)),
        ("gateway", gateway()),
    ]
}

fn gateway() -> ListenerInput {
    let facet = HttpFacet {
        server_name: "istio-envoy".into(),
        use_remote_address: true,
        client_cert: Some(ClientCert {
            forward: ForwardClientCert::SanitizeSet,
            details: Some(CertDetails {
                cert: true,
                ..CertDetails::NAMES
            }),
        }),
        tracing: istio_http().tracing.map(|tracing| Tracing {
            own: Some(traced("istio-ingressgateway", "latest", "istio-system")),
            ..tracing
        }),
        ..istio_http()
    };
    let chains = vec![chain(None, rds("http.8080", "outbound_0.0.0.0_8080;"))];
    ListenerInput {
        http: Some(Shared::new(facet)),
        ..input(ListenerKind::Gateway, "0.0.0.0", 8080, chains)
    }
}

/// Where a chain of [`virtual_inbound`] leads.
#[derive(Clone, Copy)]
enum To {
    Nowhere,
    Http(&'static str, u16),
    Tcp,
}

/// Name, port, transport, application protocol, mutual TLS, target.
type InboundChain = (&'static str, Option<u16>, Transport, Alpn, bool, To);

/// The chains of `virtualInbound` of productpage.
const INBOUND: [InboundChain; 8] = {
    use Transport::{Any, Raw, Tls};
    let (all, own) = ("virtualInbound", "0.0.0.0_9080");
    let all_http = "virtualInbound-catchall-http";
    let host = "productpage.default.svc.cluster.local";
    [
        (
            "virtualInbound-blackhole",
            Some(15006),
            Any,
            Alpn::Any,
            false,
            To::Nowhere,
        ),
        (all_http, None, Tls, Alpn::MeshHttp, true, To::Http("", 0)),
        (all_http, None, Raw, Alpn::PlainHttp, false, To::Http("", 0)),
        (all, None, Tls, Alpn::MeshTcp, true, To::Tcp),
        (all, None, Raw, Alpn::Any, false, To::Tcp),
        (all, None, Tls, Alpn::Any, false, To::Tcp),
        (own, Some(9080), Tls, Alpn::Mesh, true, To::Http(host, 9080)),
        (own, Some(9080), Raw, Alpn::Any, false, To::Http(host, 9080)),
    ]
};

fn terminal(to: To, istio: bool) -> Terminal {
    let cluster = "InboundPassthroughCluster";
    let route = |cluster: &str, host: &str, port| {
        let (cluster, host) = (cluster.into(), host.into());
        RouteSource::Inbound(InboundRoute {
            cluster,
            host,
            port,
            grpc: false,
            strip_peer_metadata: !istio,
        })
    };
    match to {
        To::Nowhere => Terminal::tcp(TcpChain::blackhole()),
        To::Tcp => tcp(cluster),
        To::Http(host, 0) => http(route(cluster, host, 0), "InboundPassthroughCluster;"),
        To::Http(host, port) => http(
            route(&format!("inbound|{port}||"), host, port),
            &format!("inbound_0.0.0.0_{port};"),
        ),
    }
}

/// `virtualInbound` of productpage. `istio`: the proxy has Istio's filters; `mtls`: and certificates.
fn virtual_inbound(istio: bool, mtls: bool) -> ListenerInput {
    let chains = INBOUND
        .into_iter()
        .filter(|(_, _, transport, ..)| mtls || *transport != Transport::Tls)
        .map(|(name, port, transport, alpn, secure, to)| Chain {
            name: name.into(),
            metadata_exchange: istio,
            tls: secure.then(|| DownstreamTls::Mesh {
                peer_exchange: istio && matches!(to, To::Tcp),
                trust_domains: vec!["cluster.local".into()],
                limits: TlsLimits::default(),
            }),
            ..chain(
                Some(ChainMatch {
                    port,
                    transport,
                    alpn,
                    ..Default::default()
                }),
                terminal(to, istio),
            )
        });
    let facet = HttpFacet {
        metadata_exchange: istio,
        stats: istio,
        alpn: false,
        server_name: "istio-envoy".into(),
        client_cert: Some(ClientCert {
            forward: ForwardClientCert::AppendForward,
            details: Some(CertDetails::NAMES),
        }),
        ..istio_http()
    };
    ListenerInput {
        name: "virtualInbound".into(),
        http: Some(Shared::new(facet)),
        network: Shared::new(NetworkFacet {
            stats: istio,
            ..Default::default()
        }),
        ..input(
            ListenerKind::VirtualInbound,
            "0.0.0.0",
            15006,
            chains.collect(),
        )
    }
}

#[test]
#[allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "reads the recorded worlds, where there are any"
)]
fn listeners_of_the_base_world_equal_istiods() {
    let corpus =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/xds/base/expected");
    if !corpus.exists() {
        println!("skipped: no corpus");
        return;
    }
    for (node, input) in base_inputs() {
        let text = std::fs::read_to_string(corpus.join(format!("{node}.json"))).unwrap();
        let recorded: Value = serde_json::from_str(&text).unwrap();
        let want = &recorded["lds"][&*input.name];
        assert!(want.is_object(), "{node} has {}", input.name);
        let want = message_to_json(LISTENER, &json_to_message(LISTENER, want).unwrap()).unwrap();
        assert_eq!(json_of(&input), want, "{node} {}", input.name);
    }
}

#[test]
fn a_stock_envoy_gets_nothing_that_it_does_not_know() {
    let text = json_of(&virtual_inbound(false, true)).to_string();
    for foreign in [
        "stats.PluginConfig",
        "TypedStruct",
        "metadata_exchange",
        "alpn.v2alpha1",
    ] {
        assert!(!text.contains(foreign), "{foreign}");
    }
    // It accepts what sidecars offer, but offers nothing that needs a filter of Istio.
    let listener = json_of(&virtual_inbound(false, true));
    for chain in listener["filter_chains"].as_array().unwrap() {
        let tls = &chain["transport_socket"]["typed_config"]["common_tls_context"];
        if tls.is_object() {
            assert_eq!(tls["alpn_protocols"], json!(["h2", "http/1.1"]));
        }
        for filter in chain["filters"].as_array().unwrap() {
            let routes = &filter["typed_config"]["route_config"];
            if routes.is_object() {
                let strip = json!(["x-envoy-peer-metadata", "x-envoy-peer-metadata-id"]);
                assert_eq!(routes["request_headers_to_remove"], strip);
            }
        }
    }
}

#[test]
fn a_proxy_without_certificates_is_not_asked_for_any() {
    let listener = json_of(&virtual_inbound(false, false));
    assert!(!listener.to_string().contains("sds-grpc"));
    let names: Vec<&str> = listener["listener_filters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["name"].as_str().unwrap())
        .collect();
    // Without a chain for TLS nobody looks for it.
    assert_eq!(
        names,
        [
            "envoy.filters.listener.original_dst",
            "envoy.filters.listener.http_inspector"
        ]
    );
}
