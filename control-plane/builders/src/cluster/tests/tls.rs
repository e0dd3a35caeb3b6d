use meltemi_model::traffic::{Algorithm, ClientTls, LoadBalancer, TlsMode};

use super::*;

/// The context of the only transport socket, or of the one for endpoints with mutual TLS.
fn context(cluster: &Value) -> &Value {
    let automatic = cluster.pointer("/transport_socket_matches/0/transport_socket/typed_config");
    automatic
        .or(cluster.pointer("/transport_socket/typed_config"))
        .unwrap_or(&Value::Null)
}

fn with_tls(tls: ClientTls) -> OutboundCluster {
    let policy = for_all_ports(PortPolicy {
        tls: Some(tls),
        ..PortPolicy::default()
    });
    outbound(Protocol::Http, Some(policy))
}

fn mode(mode: TlsMode) -> ClientTls {
    ClientTls {
        mode,
        ..ClientTls::default()
    }
}

/// Of the mesh, with these identities at port `p80`.
fn known(input: OutboundCluster, names: &[&str]) -> OutboundCluster {
    let names = names.iter().map(|n| Str::from(*n)).collect();
    OutboundCluster {
        identities: Shared::new(vec![("p80".into(), names)]),
        ..input
    }
}

fn secret(context: &Value, pointer: &str) -> Value {
    context.pointer(pointer).cloned().unwrap_or_default()
}

const CERTIFICATE: &str = "/common_tls_context/tls_certificate_sds_secret_configs/0";
const ROOT: &str =
    "/common_tls_context/combined_validation_context/validation_context_sds_secret_config";
const NAMES: &str = "/common_tls_context/combined_validation_context/default_validation_context/match_subject_alt_names";
const ALPN: &str = "/common_tls_context/alpn_protocols";

#[test]
fn whether_there_is_tls() {
    let none = [Value::Null, Value::Null];
    let fixed = [json!("envoy.transport_sockets.tls"), Value::Null];
    let matched = [Value::Null, json!("tlsMode-istio")];
    let plain = || outbound(Protocol::Http, None);
    let external = || to(service("b.com", &[(80, Protocol::Http)]));
    let headless = || {
        to(Service {
            resolution: Resolution::Passthrough,
            ..service("a", &[(80, Protocol::Http)])
        })
    };
    let passthrough = || {
        let policy = for_all_ports(PortPolicy {
            load_balancer: Some(LoadBalancer {
                algorithm: Some(Algorithm::Passthrough),
                ..LoadBalancer::default()
            }),
            ..PortPolicy::default()
        });
        outbound(Protocol::Http, Some(policy))
    };
    let without_identity = |input: OutboundCluster| OutboundCluster {
        facet: ClusterFacet {
            identity: false,
            ..facet()
        },
        ..input
    };
    let all_mtls = |input: OutboundCluster| OutboundCluster {
        all_mtls: true,
        ..input
    };
    let off = Mesh {
        auto_mtls: false,
        ..Mesh::default()
    };
    for (name, input, want) in [
        ("automatic", plain(), &matched),
        (
            "automatic, without identity",
            without_identity(plain()),
            &none,
        ),
        (
            "automatic, turned off",
            OutboundCluster {
                mesh: Shared::new(off),
                ..plain()
            },
            &none,
        ),
        (
            "automatic, disabled by policy",
            OutboundCluster {
                mtls_disabled: true,
                ..plain()
            },
            &none,
        ),
        (
            "Istio's, disabled by policy",
            OutboundCluster {
                mtls_disabled: true,
                ..with_tls(mode(TlsMode::IstioMutual))
            },
            &fixed,
        ),
        ("external", external(), &none),
        ("headless, not all endpoints", headless(), &none),
        ("headless, all endpoints", all_mtls(headless()), &fixed),
        ("passthrough, not all endpoints", passthrough(), &none),
        (
            "passthrough, all endpoints",
            all_mtls(passthrough()),
            &fixed,
        ),
        (
            "named by SNI",
            OutboundCluster {
                sni_dnat: true,
                ..plain()
            },
            &none,
        ),
        ("disabled", with_tls(mode(TlsMode::Disable)), &none),
        ("Istio's", with_tls(mode(TlsMode::IstioMutual)), &fixed),
        (
            "Istio's, without identity",
            without_identity(with_tls(mode(TlsMode::IstioMutual))),
            &none,
        ),
        ("simple", with_tls(mode(TlsMode::Simple)), &fixed),
        (
            "simple, without identity",
            without_identity(with_tls(mode(TlsMode::Simple))),
            &fixed,
        ),
        (
            "mutual without certificate",
            with_tls(mode(TlsMode::Mutual)),
            &none,
        ),
    ] {
        let cluster = json_of_outbound(input);
        let found = ["/transport_socket/name", "/transport_socket_matches/0/name"]
            .map(|place| cluster.pointer(place).cloned().unwrap_or_default());
        assert_eq!(&found, want, "{name}");
    }
}

#[test]
fn endpoints_without_mutual_tls_get_plain_text() {
    let cluster = json_of_outbound(outbound(Protocol::Http, None));
    let want = json!({
        "/transport_socket_matches/0/match": {"tlsMode": "istio"},
        "/transport_socket_matches/1/name": "tlsMode-disabled",
        "/transport_socket_matches/1/match": {},
        "/transport_socket_matches/1/transport_socket/name": "envoy.transport_sockets.raw_buffer",
        "/transport_socket_matches/2": null,
    });
    check("automatic", &cluster, &want);
}

#[test]
fn the_mesh_shows_its_certificates() {
    let given = ClientTls {
        sni: "other".into(),
        subject_alt_names: vec!["spiffe://given".into()],
        ..mode(TlsMode::IstioMutual)
    };
    let own_sni = "outbound_.80_._.a.default.svc.cluster.local";
    let plain = |protocol| {
        known(
            outbound(protocol, None),
            &["spiffe://cluster.local/ns/x/sa/y"],
        )
    };
    let exact = |name: &str| json!([{"exact": name}]);
    let own = exact("spiffe://cluster.local/ns/x/sa/y");
    let no_exchange = ClusterFacet {
        metadata_exchange: false,
        ..facet()
    };
    for (name, input, sni, names, alpn) in [
        (
            "automatic",
            plain(Protocol::Http),
            own_sni,
            own.clone(),
            json!(["istio-peer-exchange", "istio"]),
        ),
        (
            "HTTP/2",
            plain(Protocol::Grpc),
            own_sni,
            own.clone(),
            json!(["istio-peer-exchange", "istio", "h2"]),
        ),
        (
            "without metadata exchange",
            OutboundCluster {
                facet: no_exchange.clone(),
                ..plain(Protocol::Http)
            },
            own_sni,
            own.clone(),
            json!(["istio"]),
        ),
        (
            "HTTP/2 without metadata exchange",
            OutboundCluster {
                facet: no_exchange,
                ..plain(Protocol::Http2)
            },
            own_sni,
            own.clone(),
            json!(["istio", "h2"]),
        ),
        (
            "asked for",
            known(
                with_tls(mode(TlsMode::IstioMutual)),
                &["spiffe://cluster.local/ns/x/sa/y"],
            ),
            own_sni,
            own,
            json!(["istio-peer-exchange", "istio"]),
        ),
        (
            "with names of one's own",
            known(with_tls(given), &["spiffe://cluster.local/ns/x/sa/y"]),
            "other",
            exact("spiffe://given"),
            json!(["istio-peer-exchange", "istio"]),
        ),
    ] {
        let cluster = json_of_outbound(input);
        let context = context(&cluster);
        assert_eq!(context["sni"], sni, "{name}");
        assert_eq!(secret(context, NAMES), names, "{name}");
        assert_eq!(secret(context, ALPN), alpn, "{name}");
        assert_eq!(secret(context, CERTIFICATE)["name"], "default", "{name}");
        assert_eq!(secret(context, ROOT)["name"], "ROOTCA", "{name}");
    }
}

#[test]
fn the_nodes_agent_is_asked_for_workload_secrets_and_envoy_waits() {
    let cluster = json_of_outbound(outbound(Protocol::Http, None));
    let want = json!({
        "name": "default",
        "sds_config": {
            "api_config_source": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "sds-grpc"}}],
                "set_node_on_first_message_only": true,
            },
            "initial_fetch_timeout": "0s",
            "resource_api_version": "V3",
        },
    });
    assert_eq!(secret(context(&cluster), CERTIFICATE), want);
}

#[test]
fn identities_stand_under_every_name_of_the_trust_domain() {
    let mesh = Mesh {
        trust_domain: "td@one".into(),
        trust_domain_aliases: vec!["two".into(), "three@x".into()],
        ..Mesh::default()
    };
    let input = OutboundCluster {
        mesh: Shared::new(mesh),
        ..outbound(Protocol::Http, None)
    };
    let names = ["spiffe://td.one/ns/x/sa/y", "spiffe://elsewhere/ns/x/sa/y"];
    let cluster = json_of_outbound(known(input, &names));
    let want = json!([
        {"exact": "spiffe://elsewhere/ns/x/sa/y"},
        {"exact": "spiffe://td.one/ns/x/sa/y"},
        {"exact": "spiffe://three.x/ns/x/sa/y"},
        {"exact": "spiffe://two/ns/x/sa/y"},
    ]);
    assert_eq!(secret(context(&cluster), NAMES), want);
}

#[test]
fn a_users_own_tls() {
    let files = ClientTls {
        client_certificate: "/cert".into(),
        private_key: "/key".into(),
        ca_certificates: "/ca".into(),
        ca_crl: "/crl".into(),
        sni: "b.com".into(),
        subject_alt_names: vec!["b.com".into()],
        ..mode(TlsMode::Mutual)
    };
    let skip = ClientTls {
        insecure_skip_verify: Some(true),
        ..mode(TlsMode::Simple)
    };
    let agentless = |input| OutboundCluster {
        facet: ClusterFacet {
            identity: false,
            ..facet()
        },
        ..input
    };
    let context_at =
        |rest: &str| format!("/transport_socket/typed_config/common_tls_context{rest}");
    let validation = "/combined_validation_context";
    for (name, input, want) in [
        (
            "simple: the system's roots, SNI and name from the request",
            with_tls(mode(TlsMode::Simple)),
            json!({
                context_at(&format!("{validation}/validation_context_sds_secret_config/name")): "file-root:system",
                context_at(&format!("{validation}/validation_context_sds_secret_config/sds_config/initial_fetch_timeout")): null,
                context_at("/alpn_protocols"): null,
                "/transport_socket/typed_config/sni": null,
                "OPTIONS/upstream_http_protocol_options": {"auto_sni": true, "auto_san_validation": true},
            }),
        ),
        (
            "simple without an agent",
            agentless(with_tls(mode(TlsMode::Simple))),
            json!({context_at("/validation_context"): {"system_root_certs": {}}}),
        ),
        (
            "mutual with files",
            with_tls(files.clone()),
            json!({
                context_at("/tls_certificate_sds_secret_configs/0/name"): "file-cert:/cert~/key",
                context_at(&format!("{validation}/validation_context_sds_secret_config/name")): "file-root:/ca",
                context_at(&format!("{validation}/default_validation_context")): {
                    "match_subject_alt_names": [{"exact": "b.com"}], "crl": {"filename": "/crl"},
                },
                "/transport_socket/typed_config/sni": "b.com",
                "OPTIONS": null,
            }),
        ),
        (
            "mutual with files, without an agent",
            agentless(with_tls(files)),
            json!({
                context_at("/tls_certificates"): [
                    {"certificate_chain": {"filename": "/cert"}, "private_key": {"filename": "/key"}},
                ],
                context_at("/validation_context/trusted_ca"): {"filename": "/ca"},
            }),
        ),
        (
            "without verification",
            with_tls(skip),
            json!({
                context_at("/validation_context"): {},
                context_at(validation): null,
                "OPTIONS/upstream_http_protocol_options": {"auto_sni": true},
            }),
        ),
    ] {
        check(name, &json_of_outbound(input), &want);
    }
}

#[test]
fn http2_is_offered_to_a_server_outside() {
    let policy = for_all_ports(PortPolicy {
        tls: Some(mode(TlsMode::Simple)),
        ..PortPolicy::default()
    });
    let cluster = json_of_outbound(outbound(Protocol::Grpc, Some(policy)));
    assert_eq!(secret(context(&cluster), ALPN), json!(["h2"]));
}

#[test]
fn names_of_a_service_entry_count_where_the_rule_has_none() {
    let entry = Service {
        subject_alt_names: vec!["san.b.com".into()],
        ..service("b.com", &[(80, Protocol::Http)])
    };
    let own = ClientTls {
        subject_alt_names: vec!["own".into()],
        ..mode(TlsMode::Simple)
    };
    let of_kubernetes = Service {
        kubernetes: true,
        ..entry.clone()
    };
    for (service, tls, want) in [
        (
            &entry,
            mode(TlsMode::Simple),
            json!([{"exact": "san.b.com"}]),
        ),
        (&entry, own, json!([{"exact": "own"}])),
        (&of_kubernetes, mode(TlsMode::Simple), Value::Null),
    ] {
        let cluster = json_of_outbound(OutboundCluster {
            service: Shared::new(service.clone()),
            ..with_tls(tls)
        });
        assert_eq!(secret(context(&cluster), NAMES), want);
    }
}

#[test]
fn credentials_are_for_gateways_and_chosen_workloads() {
    let tls = |mode_: TlsMode, name: &str| ClientTls {
        credential_name: name.into(),
        sni: "b.com".into(),
        ..mode(mode_)
    };
    let skip = ClientTls {
        insecure_skip_verify: Some(true),
        ..tls(TlsMode::Mutual, "s")
    };
    // (name, a gateway, chosen by the rule, TLS, certificate, root); null where there is none.
    for (name, router, chosen, tls, certificate, root) in [
        (
            "any sidecar",
            false,
            false,
            tls(TlsMode::Mutual, "s"),
            json!(null),
            json!(null),
        ),
        (
            "a gateway",
            true,
            false,
            tls(TlsMode::Mutual, "s"),
            json!("kubernetes://s"),
            json!("kubernetes://s-cacert"),
        ),
        (
            "a chosen sidecar",
            false,
            true,
            tls(TlsMode::Simple, "s"),
            json!(null),
            json!("kubernetes://s-cacert"),
        ),
        (
            "a ConfigMap is no secret",
            false,
            false,
            tls(TlsMode::Simple, "configmap://c"),
            json!(null),
            json!("configmap://c-cacert"),
        ),
        (
            "without verification",
            true,
            false,
            skip,
            json!("kubernetes://s"),
            json!(null),
        ),
    ] {
        let cluster = json_of_outbound(OutboundCluster {
            rule_selects_workload: chosen,
            facet: ClusterFacet { router, ..facet() },
            ..with_tls(tls)
        });
        let context = context(&cluster);
        let name_at = |place| {
            secret(context, place)
                .get("name")
                .cloned()
                .unwrap_or_default()
        };
        assert_eq!(
            (name_at(CERTIFICATE), name_at(ROOT)),
            (certificate, root),
            "{name}"
        );
    }
}

#[test]
fn files_of_the_proxy_stand_for_the_meshs_certificate() {
    let files = meltemi_model::proxy::ClientFiles {
        certificate: "/c.pem".into(),
        key: "/k.pem".into(),
        root: "/r.pem".into(),
    };
    let own = json!("file-cert:/c.pem~/k.pem");
    let of_user = ClientTls {
        client_certificate: "/user.pem".into(),
        private_key: "/user-key.pem".into(),
        ..mode(TlsMode::Mutual)
    };
    let external = OutboundCluster {
        service: to(Service {
            mesh_external: true,
            ..service("b.com", &[(80, Protocol::Http)])
        })
        .service,
        ..with_tls(of_user.clone())
    };
    for (name, input, want) in [
        ("automatic", outbound(Protocol::Http, None), own.clone()),
        ("by rule", with_tls(of_user), own),
        (
            "outside of the mesh",
            external,
            json!("file-cert:/user.pem~/user-key.pem"),
        ),
        ("one-sided", with_tls(mode(TlsMode::Simple)), Value::Null),
    ] {
        let cluster = json_of_outbound(OutboundCluster {
            facet: ClusterFacet {
                files: Some(files.clone()),
                ..facet()
            },
            ..input
        });
        let found = cluster
            .pointer("/transport_socket/typed_config")
            .map(|context| secret(context, &format!("{CERTIFICATE}/name")));
        assert_eq!(found.unwrap_or_default(), want, "{name}");
    }
}
