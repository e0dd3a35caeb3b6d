use std::time::Duration;

use meltemi_model::mesh::PathNormalization;
use meltemi_model::security::TlsLimits;
use meltemi_model::{Kind, ObjectKey, Shared, Str};
use serde_json::{Value, json};

use super::*;

mod base;
mod fixtures;

use fixtures::{REDIRECTED, chain, input, istio_http, json_of, log, plain_http, rds, tcp};

#[test]
fn a_tcp_listener_is_its_one_chain() {
    let cluster = "outbound|27017||mongo.default.svc.cluster.local";
    let built = json_of(&input(
        REDIRECTED,
        "10.96.1.10",
        27017,
        vec![chain(None, tcp(cluster))],
    ));
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
#[test]
fn outbound_chains_without_a_catch_all_fall_through() {
    let by_name = ChainMatch {
        server_names: vec!["a.example.com".into()],
        ..Default::default()
    };
    let sni = Chain {
        reads_sni: true,
        ..chain(Some(by_name), tcp("outbound|443||a.example.com"))
    };
    let listener = json_of(&input(REDIRECTED, "0.0.0.0", 443, vec![sni]));
    assert_eq!(
        listener["default_filter_chain"]["name"],
        "PassthroughFilterChain"
    );
    assert_eq!(
        listener["filter_chains"][0]["filter_chain_match"],
        json!({"server_names": ["a.example.com"]})
    );
    assert_eq!(
        listener["listener_filters"][0]["name"],
        "envoy.filters.listener.tls_inspector"
    );
}

#[test]
fn inspectors_are_off_where_they_are_not_needed() {
    let at = |port: Option<u16>, transport, alpn| {
        chain(
            Some(ChainMatch {
                port,
                transport,
                alpn,
                ..Default::default()
            }),
            tcp("c"),
        )
    };
    let one = json!({"destination_port_range": {"start": 80, "end": 81}});
    let two = json!({"destination_port_range": {"start": 81, "end": 82}});
    let (tls, raw) = (Transport::Tls, Transport::Raw);
    let http_only = vec![at(None, raw, Alpn::PlainHttp)];
    let mixed = vec![
        at(None, tls, Alpn::Any),
        at(Some(80), raw, Alpn::Any),
        at(Some(81), raw, Alpn::Any),
    ];
    let opt_in = vec![at(Some(80), tls, Alpn::Any), at(Some(81), raw, Alpn::Any)];
    let cases = [
        (http_only, vec![("http_inspector", Value::Null)]),
        (
            mixed,
            vec![("tls_inspector", json!({"or_match": {"rules": [one, two]}}))],
        ),
        (opt_in, vec![("tls_inspector", json!({"not_match": one}))]),
    ];
    for (chains, want) in cases {
        let listener = json_of(&input(ListenerKind::Inbound, "10.0.0.1", 80, chains));
        let found: Vec<(&str, Value)> = listener["listener_filters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| {
                (
                    f["name"].as_str().unwrap().rsplit('.').next().unwrap(),
                    f["filter_disabled"].clone(),
                )
            })
            .collect();
        assert_eq!(found, want);
    }
}

#[test]
fn access_logs_have_istios_formats() {
    let cases = [
        (
            log(false, ""),
            "text_format_source",
            json!({"inline_string": Value::Null}),
        ),
        (
            log(false, "%PROTOCOL%"),
            "text_format_source",
            json!({"inline_string": "%PROTOCOL%\n"}),
        ),
        (
            log(true, r#"{"a":{"b":"%PROTOCOL%"}}"#),
            "json_format",
            json!({"a": {"b": "%PROTOCOL%"}}),
        ),
        (log(true, "not JSON"), "json_format", Value::Null),
    ];
    for (log, field, want) in cases {
        let network = NetworkFacet {
            access_log: Some(log),
            listener_log: true,
            ..Default::default()
        };
        let chains = vec![chain(None, tcp("c"))];
        let kind = ListenerKind::VirtualOutbound;
        let listener = json_of(&ListenerInput {
            network: Shared::new(network),
            ..input(kind, "0.0.0.0", 15001, chains)
        });
        assert_eq!(
            listener["access_log"][0]["filter"],
            json!({"response_flag_filter": {"flags": ["NR"]}})
        );
        let format = &listener["filter_chains"][0]["filters"][0]["typed_config"]["access_log"][0]["typed_config"]
            ["log_format"][field];
        match (field, &want) {
            ("json_format", Value::Null) => assert_eq!(format.as_object().unwrap().len(), 24),
            (_, want) if want["inline_string"].is_null() && field == "text_format_source" => {
                let text = format["inline_string"].as_str().unwrap();
                assert!(
                    text.starts_with("[%START_TIME%] \"%REQ(:METHOD)%")
                        && text.ends_with("%ROUTE_NAME%\n")
                );
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
    let listener = json_of(&ListenerInput {
        http: Some(Shared::new(facet)),
        ..input(REDIRECTED, "0.0.0.0", 80, chains)
    });
    let manager = &listener["filter_chains"][0]["filters"][0]["typed_config"];
    assert_eq!(manager["server_header_transformation"], "PASS_THROUGH");
    assert_eq!(manager["generate_request_id"], false);
    assert_eq!(
        manager["common_http_protocol_options"],
        json!({"idle_timeout": "15s"})
    );
    assert_eq!(manager["http_protocol_options"]["accept_http_10"], true);
    assert_eq!(
        manager["http_protocol_options"]["header_key_format"]["stateful_formatter"]["name"],
        "preserve_case"
    );
    assert_eq!(
        (&manager["merge_slashes"], &manager["normalize_path"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        manager["path_with_escaped_slashes_action"],
        "UNESCAPE_AND_FORWARD"
    );
    let filters = manager["http_filters"].as_array().unwrap();
    let exchange = &filters[0]["typed_config"]["value"]["upstream_propagation"][0]["istio_headers"];
    assert_eq!(exchange, &json!({"skip_external_clusters": true}));
    assert_eq!(
        filters.last().unwrap()["typed_config"]["suppress_envoy_headers"],
        true
    );
}

#[test]
fn tcp_settings_of_rules_and_the_object_behind_a_chain() {
    let proxy = TcpChain {
        clusters: Clusters::Weighted(vec![("a".into(), 90), ("b".into(), 10)]),
        stat_prefix: "mongo.default".into(),
        max_connection_duration: Some(Duration::from_secs(60)),
        hash_source_ip: true,
        tunnel: Some(TcpTunnel {
            target: "proxy.example.com:3128".into(),
            post: false,
        }),
        mongo: true,
        ..TcpChain::to("a".into())
    };
    let key = ObjectKey::new(Kind::VirtualService, "default", "mongo");
    let routed = Chain {
        config: Some(key),
        ..chain(None, Terminal::Tcp(Box::new(proxy)))
    };
    let listener = json_of(&input(REDIRECTED, "10.0.0.1", 27017, vec![routed]));
    let chain = &listener["filter_chains"][0];
    let path = "/apis/networking.istio.io/v1/namespaces/default/virtual-service/mongo";
    assert_eq!(
        chain["metadata"],
        json!({"filter_metadata": {"istio": {"config": path}}})
    );
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
fn mutual_tls_of_the_mesh_within_its_limits() {
    let context = |trust_domains: &[&str], limits| {
        let secured = Chain {
            tls: Some(DownstreamTls::Mesh {
                peer_exchange: false,
                trust_domains: trust_domains.iter().map(|td| (*td).into()).collect(),
                limits,
            }),
            ..chain(None, tcp("c"))
        };
        let kind = ListenerKind::VirtualInbound;
        let listener = json_of(&input(kind, "0.0.0.0", 15006, vec![secured]));
        listener["filter_chains"][0]["transport_socket"]["typed_config"].clone()
    };
    let usual = context(&["td", "old.td"], TlsLimits::default());
    let common = &usual["common_tls_context"];
    let params = &common["tls_params"];
    assert_eq!(usual["require_client_certificate"], true);
    assert_eq!(params["tls_minimum_protocol_version"], "TLSv1_2");
    assert_eq!(params["tls_maximum_protocol_version"], "TLSv1_3");
    assert_eq!(params["cipher_suites"].as_array().map(Vec::len), Some(6));
    let names = json!([{"prefix": "spiffe://td/"}, {"prefix": "spiffe://old.td/"}]);
    let validation =
        "/combined_validation_context/default_validation_context/match_subject_alt_names";
    assert_eq!(common.pointer(validation), Some(&names));
    let narrow = TlsLimits {
        min_version: 13,
        cipher_suites: vec!["ECDHE-RSA-AES256-GCM-SHA384".into()],
        ecdh_curves: vec!["P-256".into()],
    };
    let narrow = context(&[], narrow);
    let common = &narrow["common_tls_context"];
    let want = json!({
        "tls_minimum_protocol_version": "TLSv1_3",
        "tls_maximum_protocol_version": "TLSv1_3",
        "cipher_suites": ["ECDHE-RSA-AES256-GCM-SHA384"],
    });
    assert_eq!(common["tls_params"], want);
    assert_eq!(common.pointer(validation), None, "any trust domain");
}

#[test]
fn certificate_files_come_from_the_agent_or_are_read_by_envoy() {
    let tls = |agent, validate_client| {
        DownstreamTls::Server(ServerTls {
            certificates: ServerCertificates::Files {
                certificates: vec![Certificate {
                    chain: "/c.crt".into(),
                    key: "/c.key".into(),
                }],
                ca: "/ca.crt".into(),
                reader: if agent {
                    FileReader::Agent
                } else {
                    FileReader::Envoy
                },
            },
            require_client_certificate: validate_client,
            validate_client,
            subject_alt_names: vec!["client.example.com".into()],
            verify_spki: Vec::new(),
            verify_hash: Vec::new(),
            skip_verify: false,
            crl: "".into(),
            peer_exchange: false,
            min_version: 12,
            max_version: 0,
            cipher_suites: Vec::new(),
            ecdh_curves: Vec::new(),
        })
    };
    let context = |tls| {
        let secured = Chain {
            tls: Some(tls),
            ..chain(None, tcp("c"))
        };
        let listener = json_of(&input(
            ListenerKind::Gateway,
            "0.0.0.0",
            8443,
            vec![secured],
        ));
        assert_eq!(
            listener["listener_filters"][0]["name"],
            "envoy.filters.listener.tls_inspector"
        );
        listener["filter_chains"][0]["transport_socket"]["typed_config"].clone()
    };
    let agent = context(tls(true, true));
    let common = &agent["common_tls_context"];
    assert_eq!(
        common["tls_certificate_sds_secret_configs"][0]["name"],
        "file-cert:/c.crt~/c.key"
    );
    let validation = &common["combined_validation_context"];
    assert_eq!(
        validation["validation_context_sds_secret_config"]["name"],
        "file-root:/ca.crt"
    );
    assert_eq!(
        common["tls_params"],
        json!({"tls_minimum_protocol_version": "TLSv1_2"})
    );
    assert_eq!(agent["require_client_certificate"], true);

    let own = context(tls(false, false));
    assert!(!own.to_string().contains("sds"));
    let want = json!([{"certificate_chain": {"filename": "/c.crt"}, "private_key": {"filename": "/c.key"}}]);
    assert_eq!(own["common_tls_context"]["tls_certificates"], want);
}

#[test]
fn sockets_are_pipes_and_further_addresses_stand_apart() {
    let socket = json_of(&input(
        REDIRECTED,
        "unix:///var/run/sock",
        0,
        vec![chain(None, tcp("c"))],
    ));
    assert_eq!(
        socket["address"],
        json!({"pipe": {"path": "/var/run/sock"}})
    );
    let addresses: Vec<Str> = vec!["0.0.0.0".into(), "::".into()];
    let dual = json_of(&ListenerInput {
        addresses,
        ..input(REDIRECTED, "0.0.0.0", 80, vec![chain(None, tcp("c"))])
    });
    let want = json!([{"address": {"socket_address": {"address": "::", "port_value": 80}}}]);
    assert_eq!(dual["additional_addresses"], want);
}

#[test]
fn route_and_cluster_names_are_told() {
    let chains = vec![
        chain(plain_http(), rds("80", "x;")),
        chain(None, tcp("outbound|80||a")),
    ];
    let input = input(REDIRECTED, "0.0.0.0", 80, chains);
    assert_eq!(
        input.route_names().map(|n| &**n).collect::<Vec<_>>(),
        ["80"]
    );
    let clusters: Vec<&str> = input.cluster_names().into_iter().map(|n| &**n).collect();
    assert_eq!(clusters, ["PassthroughCluster", "outbound|80||a"]);
}
