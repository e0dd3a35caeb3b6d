use std::path::Path;
use std::time::Duration;

use meltemi_model::mesh::PathNormalization;
use meltemi_model::{Kind, ObjectKey, Shared, Str};
use meltemi_proto::pool::{json_to_message, message_to_json};
use serde_json::{Value, json};

use super::*;

const LISTENER: &str = "envoy.config.listener.v3.Listener";

fn json_of(input: &ListenerInput) -> Value {
    message_to_json(LISTENER, &input.build().body).unwrap()
}

/// What Istio's own proxy gets in the mesh of the default chart.
fn istio_http() -> HttpFacet {
    HttpFacet {
        metadata_exchange: true,
        alpn: true,
        stats: true,
        path: PathNormalization::Base,
        tracing: Some(Tracing {
            sampling: 10_000,
            max_path_tag_length: None,
            service: "productpage".into(),
            revision: "v1".into(),
            cluster_id: "Kubernetes".into(),
            mesh_id: "cluster.local".into(),
            namespace: "default".into(),
        }),
        ..Default::default()
    }
}

fn istio_network() -> NetworkFacet {
    NetworkFacet { stats: true, ..Default::default() }
}

fn log(json: bool, format: &str) -> AccessLog {
    AccessLog { path: "/dev/stdout".into(), json, format: format.into() }
}

fn chain(matching: Option<ChainMatch>, terminal: Terminal) -> Chain {
    Chain {
        name: "".into(),
        matching,
        reads_sni: false,
        tls: None,
        metadata_exchange: false,
        terminal,
        config: None,
    }
}

fn tcp(cluster: &str) -> Terminal {
    Terminal::Tcp(Box::new(TcpChain::to(cluster.into())))
}

fn rds(name: &str, stat_prefix: &str) -> Terminal {
    http(RouteSource::Rds(name.into()), stat_prefix)
}

fn http(route: RouteSource, stat_prefix: &str) -> Terminal {
    Terminal::Http(Box::new(HttpChain {
        stat_prefix: stat_prefix.into(),
        route,
        http2: false,
        grpc_web: false,
        absolute_url: false,
        dns_cache: None,
    }))
}

fn input(kind: ListenerKind, address: &str, port: u16, chains: Vec<Chain>) -> ListenerInput {
    ListenerInput {
        name: format!("{address}_{port}").into(),
        addresses: vec![address.into()],
        port,
        kind,
        transparent: false,
        exact_balance: false,
        detection_timeout: Duration::ZERO,
        proxy_protocol: false,
        chains,
        fallthrough: Some("PassthroughCluster".into()),
        network: Shared::new(istio_network()),
        http: Some(Shared::new(istio_http())),
        from: Vec::new(),
    }
}

const REDIRECTED: ListenerKind = ListenerKind::Outbound { bind_to_port: false };

fn plain_http() -> Option<ChainMatch> {
    Some(ChainMatch { transport: Transport::Raw, alpn: Alpn::PlainHttp, ..Default::default() })
}

#[test]
fn a_tcp_listener_is_its_one_chain() {
    let cluster = "outbound|27017||mongo.default.svc.cluster.local";
    let built = json_of(&input(REDIRECTED, "10.96.1.10", 27017, vec![chain(None, tcp(cluster))]));
    let want = json!({
        "name": "10.96.1.10_27017",
        "address": {"socket_address": {"address": "10.96.1.10", "port_value": 27017}},
        "bind_to_port": false,
        "traffic_direction": "OUTBOUND",
        "continue_on_listener_filters_timeout": true,
        "listener_filters_timeout": "0s",
        "filter_chains": [{
            "transport_socket_connect_timeout": "15s",
            "filters": [
                {"name": "istio.stats", "typed_config": {"@type": "type.googleapis.com/stats.PluginConfig"}},
                {"name": "envoy.filters.network.tcp_proxy", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                    "cluster": cluster,
                    "stat_prefix": cluster,
                }},
            ],
        }],
    });
    assert_eq!(built, want);
}

/// (node, listener, its input) as the plan makes them for the base world.
fn base_inputs() -> Vec<(&'static str, ListenerInput)> {
    let shared_http = chain(plain_http(), rds("9080", "outbound_0.0.0.0_9080;"));
    let sniffed = vec![
        chain(None, tcp("outbound|9153||kube-dns.kube-system.svc.cluster.local")),
        chain(plain_http(), rds("kube-dns.kube-system.svc.cluster.local:9153", "outbound_10.96.0.10_9153;")),
    ];
    let blackhole = Chain {
        name: "virtualOutbound-blackhole".into(),
        ..chain(
            Some(ChainMatch { port: Some(15001), ..Default::default() }),
            Terminal::Tcp(Box::new(TcpChain::blackhole())),
        )
    };
    let catch_all = Chain { name: "virtualOutbound-catchall-tcp".into(), ..chain(None, tcp("PassthroughCluster")) };
    let virtual_outbound = ListenerInput {
        name: "virtualOutbound".into(),
        fallthrough: None,
        ..input(ListenerKind::VirtualOutbound, "0.0.0.0", 15001, vec![blackhole, catch_all])
    };
    vec![
        ("productpage", input(REDIRECTED, "0.0.0.0", 9080, vec![shared_http])),
        ("productpage", input(REDIRECTED, "10.96.0.10", 9153, sniffed)),
        ("productpage", virtual_outbound),
        ("productpage", virtual_inbound(true, true)),
        ("gateway", gateway()),
    ]
}

fn gateway() -> ListenerInput {
    let facet = HttpFacet {
        server_name: "istio-envoy".into(),
        use_remote_address: true,
        client_cert: Some(ClientCert { forward: ForwardClientCert::SanitizeSet, details: Some(true) }),
        tracing: istio_http().tracing.map(|tracing| Tracing {
            service: "istio-ingressgateway".into(),
            revision: "latest".into(),
            namespace: "istio-system".into(),
            ..tracing
        }),
        ..istio_http()
    };
    let chains = vec![chain(None, rds("http.8080", "outbound_0.0.0.0_8080;"))];
    ListenerInput { http: Some(Shared::new(facet)), ..input(ListenerKind::Gateway, "0.0.0.0", 8080, chains) }
}

/// `virtualInbound` of productpage. `istio`: the proxy has Istio's filters; `mtls`: and certificates.
fn virtual_inbound(istio: bool, mtls: bool) -> ListenerInput {
    let matching = |port: Option<u16>, transport, alpn| {
        Some(ChainMatch { port, transport, alpn, ..Default::default() })
    };
    let named = |name: &str, matching, terminal, tls: Option<bool>| Chain {
        name: name.into(),
        metadata_exchange: istio,
        tls: tls.map(|peer_exchange| DownstreamTls::Mesh {
            peer_exchange: peer_exchange && istio,
            trust_domains: vec!["cluster.local".into()],
        }),
        ..chain(matching, terminal)
    };
    let route = |cluster: &str, host: &str, port| {
        RouteSource::Inbound(InboundRoute {
            cluster: cluster.into(),
            host: host.into(),
            port,
            grpc: false,
            strip_peer_metadata: !istio,
        })
    };
    let passthrough = || http(route("InboundPassthroughCluster", "", 0), "InboundPassthroughCluster;");
    let own = || {
        let host = "productpage.default.svc.cluster.local";
        http(route("inbound|9080||", host, 9080), "inbound_0.0.0.0_9080;")
    };
    let all_http = "virtualInbound-catchall-http";
    let blackhole = Terminal::Tcp(Box::new(TcpChain::blackhole()));
    let raw_tcp = || tcp("InboundPassthroughCluster");
    let mut chains = vec![
        named("virtualInbound-blackhole", matching(Some(15006), Transport::Any, Alpn::Any), blackhole, None),
        named(all_http, matching(None, Transport::Tls, Alpn::MeshHttp), passthrough(), Some(false)),
        named(all_http, matching(None, Transport::Raw, Alpn::PlainHttp), passthrough(), None),
        named("virtualInbound", matching(None, Transport::Tls, Alpn::MeshTcp), raw_tcp(), Some(true)),
        named("virtualInbound", matching(None, Transport::Raw, Alpn::Any), raw_tcp(), None),
        named("virtualInbound", matching(None, Transport::Tls, Alpn::Any), raw_tcp(), None),
        named("0.0.0.0_9080", matching(Some(9080), Transport::Tls, Alpn::Mesh), own(), Some(false)),
        named("0.0.0.0_9080", matching(Some(9080), Transport::Raw, Alpn::Any), own(), None),
    ];
    if !mtls {
        chains.retain(|c| c.matching.as_ref().is_none_or(|m| m.transport != Transport::Tls));
    }
    let facet = HttpFacet {
        metadata_exchange: istio,
        stats: istio,
        alpn: false,
        server_name: "istio-envoy".into(),
        client_cert: Some(ClientCert { forward: ForwardClientCert::AppendForward, details: Some(false) }),
        ..istio_http()
    };
    ListenerInput {
        name: "virtualInbound".into(),
        http: Some(Shared::new(facet)),
        network: Shared::new(NetworkFacet { stats: istio, ..Default::default() }),
        ..input(ListenerKind::VirtualInbound, "0.0.0.0", 15006, chains)
    }
}

#[test]
fn listeners_of_the_base_world_equal_istiods() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/xds/base/expected");
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
    for foreign in ["stats.PluginConfig", "TypedStruct", "metadata_exchange", "alpn.v2alpha1"] {
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
    let names: Vec<&str> =
        listener["listener_filters"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    // Without a chain for TLS nobody looks for it.
    assert_eq!(names, ["envoy.filters.listener.original_dst", "envoy.filters.listener.http_inspector"]);
}

#[test]
fn outbound_chains_without_a_catch_all_fall_through() {
    let by_name = ChainMatch { server_names: vec!["a.example.com".into()], ..Default::default() };
    let sni = Chain { reads_sni: true, ..chain(Some(by_name), tcp("outbound|443||a.example.com")) };
    let listener = json_of(&input(REDIRECTED, "0.0.0.0", 443, vec![sni]));
    assert_eq!(listener["default_filter_chain"]["name"], "PassthroughFilterChain");
    assert_eq!(listener["filter_chains"][0]["filter_chain_match"], json!({"server_names": ["a.example.com"]}));
    assert_eq!(listener["listener_filters"][0]["name"], "envoy.filters.listener.tls_inspector");
}

#[test]
fn inspectors_are_off_where_they_are_not_needed() {
    let at = |port: Option<u16>, transport, alpn| {
        chain(Some(ChainMatch { port, transport, alpn, ..Default::default() }), tcp("c"))
    };
    let one = json!({"destination_port_range": {"start": 80, "end": 81}});
    let two = json!({"destination_port_range": {"start": 81, "end": 82}});
    let (tls, raw) = (Transport::Tls, Transport::Raw);
    let http_only = vec![at(None, raw, Alpn::PlainHttp)];
    let mixed = vec![at(None, tls, Alpn::Any), at(Some(80), raw, Alpn::Any), at(Some(81), raw, Alpn::Any)];
    let opt_in = vec![at(Some(80), tls, Alpn::Any), at(Some(81), raw, Alpn::Any)];
    let cases = [
        (http_only, vec![("http_inspector", Value::Null)]),
        (mixed, vec![("tls_inspector", json!({"or_match": {"rules": [one, two]}}))]),
        (opt_in, vec![("tls_inspector", json!({"not_match": one}))]),
    ];
    for (chains, want) in cases {
        let listener = json_of(&input(ListenerKind::Inbound, "10.0.0.1", 80, chains));
        let found: Vec<(&str, Value)> = listener["listener_filters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| (f["name"].as_str().unwrap().rsplit('.').next().unwrap(), f["filter_disabled"].clone()))
            .collect();
        assert_eq!(found, want);
    }
}

#[test]
fn access_logs_have_istios_formats() {
    let cases = [
        (log(false, ""), "text_format_source", json!({"inline_string": Value::Null})),
        (log(false, "%PROTOCOL%"), "text_format_source", json!({"inline_string": "%PROTOCOL%\n"})),
        (log(true, r#"{"a":{"b":"%PROTOCOL%"}}"#), "json_format", json!({"a": {"b": "%PROTOCOL%"}})),
        (log(true, "not JSON"), "json_format", Value::Null),
    ];
    for (log, field, want) in cases {
        let network = NetworkFacet { access_log: Some(log), listener_log: true, ..Default::default() };
        let chains = vec![chain(None, tcp("c"))];
        let kind = ListenerKind::VirtualOutbound;
        let listener =
            json_of(&ListenerInput { network: Shared::new(network), ..input(kind, "0.0.0.0", 15001, chains) });
        assert_eq!(listener["access_log"][0]["filter"], json!({"response_flag_filter": {"flags": ["NR"]}}));
        let format = &listener["filter_chains"][0]["filters"][0]["typed_config"]["access_log"][0]["typed_config"]
            ["log_format"][field];
        match (field, &want) {
            ("json_format", Value::Null) => assert_eq!(format.as_object().unwrap().len(), 24),
            (_, want) if want["inline_string"].is_null() && field == "text_format_source" => {
                let text = format["inline_string"].as_str().unwrap();
                assert!(text.starts_with("[%START_TIME%] \"%REQ(:METHOD)%") && text.ends_with("%ROUTE_NAME%\n"));
                assert!(!text.contains("  "));
            }
            (_, want) => assert_eq!(format, want),
        }
    }
}

#[test]
fn proxy_headers_and_idle_timeouts_reach_http() {
    let facet = HttpFacet {
        pass_server_header: true,
        no_request_id: true,
        suppress_debug_headers: true,
        preserve_case: true,
        http10: true,
        skip_external_metadata: true,
        idle_timeout: Some(Duration::from_secs(15)),
        path: PathNormalization::DecodeAndMergeSlashes,
        ..istio_http()
    };
    let chains = vec![chain(plain_http(), rds("80", "outbound_0.0.0.0_80;"))];
    let listener =
        json_of(&ListenerInput { http: Some(Shared::new(facet)), ..input(REDIRECTED, "0.0.0.0", 80, chains) });
    let manager = &listener["filter_chains"][0]["filters"][0]["typed_config"];
    assert_eq!(manager["server_header_transformation"], "PASS_THROUGH");
    assert_eq!(manager["generate_request_id"], false);
    assert_eq!(manager["common_http_protocol_options"], json!({"idle_timeout": "15s"}));
    assert_eq!(manager["http_protocol_options"]["accept_http_10"], true);
    assert_eq!(manager["http_protocol_options"]["header_key_format"]["stateful_formatter"]["name"], "preserve_case");
    assert_eq!((&manager["merge_slashes"], &manager["normalize_path"]), (&json!(true), &json!(true)));
    assert_eq!(manager["path_with_escaped_slashes_action"], "UNESCAPE_AND_FORWARD");
    let filters = manager["http_filters"].as_array().unwrap();
    let exchange = &filters[0]["typed_config"]["value"]["upstream_propagation"][0]["istio_headers"];
    assert_eq!(exchange, &json!({"skip_external_clusters": true}));
    assert_eq!(filters.last().unwrap()["typed_config"]["suppress_envoy_headers"], true);
}

#[test]
fn tcp_settings_of_rules_and_the_object_behind_a_chain() {
    let proxy = TcpChain {
        clusters: Clusters::Weighted(vec![("a".into(), 90), ("b".into(), 10)]),
        stat_prefix: "mongo.default".into(),
        max_connection_duration: Some(Duration::from_secs(60)),
        hash_source_ip: true,
        tunnel: Some(TcpTunnel { target: "proxy.example.com:3128".into(), post: false }),
        mongo: true,
        ..TcpChain::to("a".into())
    };
    let key = ObjectKey::new(Kind::VirtualService, "default", "mongo");
    let routed = Chain { config: Some(key), ..chain(None, Terminal::Tcp(Box::new(proxy))) };
    let listener = json_of(&input(REDIRECTED, "10.0.0.1", 27017, vec![routed]));
    let chain = &listener["filter_chains"][0];
    let path = "/apis/networking.istio.io/v1/namespaces/default/virtual-service/mongo";
    assert_eq!(chain["metadata"], json!({"filter_metadata": {"istio": {"config": path}}}));
    let filters = chain["filters"].as_array().unwrap();
    assert_eq!(filters[1]["name"], "envoy.filters.network.mongo_proxy");
    let want = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "mongo.default",
        "weighted_clusters": {"clusters": [{"name": "a", "weight": 90}, {"name": "b", "weight": 10}]},
        "max_downstream_connection_duration": "60s",
        "hash_policy": [{"source_ip": {}}],
        "tunneling_config": {"hostname": "proxy.example.com:3128"},
    });
    assert_eq!(filters[2]["typed_config"], want);
}

#[test]
fn certificate_files_come_from_the_agent_or_are_read_by_envoy() {
    let tls = |agent, validate_client| {
        DownstreamTls::Server(ServerTls {
            certificates: ServerCertificates::Files {
                certificates: vec![Certificate { chain: "/c.crt".into(), key: "/c.key".into() }],
                ca: "/ca.crt".into(),
                agent,
            },
            require_client_certificate: validate_client,
            validate_client,
            subject_alt_names: vec!["client.example.com".into()],
            peer_exchange: false,
            min_version: 12,
            max_version: 0,
            cipher_suites: Vec::new(),
        })
    };
    let context = |tls| {
        let secured = Chain { tls: Some(tls), ..chain(None, tcp("c")) };
        let listener = json_of(&input(ListenerKind::Gateway, "0.0.0.0", 8443, vec![secured]));
        assert_eq!(listener["listener_filters"][0]["name"], "envoy.filters.listener.tls_inspector");
        listener["filter_chains"][0]["transport_socket"]["typed_config"].clone()
    };
    let agent = context(tls(true, true));
    let common = &agent["common_tls_context"];
    assert_eq!(common["tls_certificate_sds_secret_configs"][0]["name"], "file-cert:/c.crt~/c.key");
    let validation = &common["combined_validation_context"];
    assert_eq!(validation["validation_context_sds_secret_config"]["name"], "file-root:/ca.crt");
    assert_eq!(common["tls_params"], json!({"tls_minimum_protocol_version": "TLSv1_2"}));
    assert_eq!(agent["require_client_certificate"], true);

    let own = context(tls(false, false));
    assert!(!own.to_string().contains("sds"));
    let want = json!([{"certificate_chain": {"filename": "/c.crt"}, "private_key": {"filename": "/c.key"}}]);
    assert_eq!(own["common_tls_context"]["tls_certificates"], want);
}

#[test]
fn sockets_are_pipes_and_further_addresses_stand_apart() {
    let socket = json_of(&input(REDIRECTED, "unix:///var/run/sock", 0, vec![chain(None, tcp("c"))]));
    assert_eq!(socket["address"], json!({"pipe": {"path": "/var/run/sock"}}));
    let addresses: Vec<Str> = vec!["0.0.0.0".into(), "::".into()];
    let dual =
        json_of(&ListenerInput { addresses, ..input(REDIRECTED, "0.0.0.0", 80, vec![chain(None, tcp("c"))]) });
    let want = json!([{"address": {"socket_address": {"address": "::", "port_value": 80}}}]);
    assert_eq!(dual["additional_addresses"], want);
}

#[test]
fn route_and_cluster_names_are_told() {
    let chains = vec![chain(plain_http(), rds("80", "x;")), chain(None, tcp("outbound|80||a"))];
    let input = input(REDIRECTED, "0.0.0.0", 80, chains);
    assert_eq!(input.route_names().map(|n| &**n).collect::<Vec<_>>(), ["80"]);
    let clusters: Vec<&str> = input.cluster_names().into_iter().map(|n| &**n).collect();
    assert_eq!(clusters, ["PassthroughCluster", "outbound|80||a"]);
}
