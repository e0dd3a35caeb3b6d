use std::time::Duration;

use meltemi_model::testing::{endpoint, export_to};
use meltemi_model::traffic::{ClientTls, OutlierDetection, TlsMode};
use meltemi_model::workload::Endpoint;

use super::*;

fn endpoints(list: impl IntoIterator<Item = Endpoint>) -> Option<Shared<EndpointSet>> {
    let list = list.into_iter().map(Shared::new).collect();
    let ports = vec![("p80".into(), list)];
    Some(Shared::new(EndpointSet { ports }))
}

fn resolved(resolution: Resolution) -> Service {
    Service {
        resolution,
        ..service("b.com", &[(80, Protocol::Http)])
    }
}

#[test]
fn how_endpoints_are_found() {
    let rows = [
        (Resolution::ClientSideLb, false, "EDS"),
        (Resolution::Dns, false, "STRICT_DNS"),
        (Resolution::DnsRoundRobin, true, "LOGICAL_DNS"),
        (Resolution::Passthrough, false, "ORIGINAL_DST"),
        (Resolution::Passthrough, true, "EDS"),
    ];
    for (resolution, router, want) in rows {
        let cluster = json_of_outbound(OutboundCluster {
            facet: ClusterFacet { router, ..facet() },
            ..to(resolved(resolution))
        });
        check(
            &format!("{resolution:?} {router}"),
            &cluster,
            &json!({"/type": want}),
        );
        let eds = json!({
            "service_name": "outbound|80||b.com",
            "eds_config": {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"},
        });
        let eds = if want == "EDS" { eds } else { Value::Null };
        check(want, &cluster, &json!({"/eds_cluster_config": eds}));
    }
}

#[test]
fn names() {
    let subset_of = |input: OutboundCluster, sni_dnat| OutboundCluster {
        subset: "v1".into(),
        sni_dnat,
        ..input
    };
    let plain = || outbound(Protocol::Http, None);
    for (input, want) in [
        (plain(), "outbound|80||a.default.svc.cluster.local"),
        (
            subset_of(plain(), false),
            "outbound|80|v1|a.default.svc.cluster.local",
        ),
        (
            subset_of(plain(), true),
            "outbound_.80_.v1_.a.default.svc.cluster.local",
        ),
    ] {
        let input = ClusterInput::Outbound(input);
        let stat = format!("{want};");
        check(
            want,
            &json_of(&input),
            &json!({"/name": want, "/alt_stat_name": stat}),
        );
        assert_eq!(&*input.build().name, want);
    }
}

#[test]
fn names_in_statistics() {
    let kubernetes = || outbound(Protocol::Http, None);
    let entry = || to(service("b.com", &[(80, Protocol::Http)]));
    for (pattern, input, want) in [
        ("%SERVICE%", kubernetes(), "a.default;"),
        ("%SERVICE%", entry(), "b.com;"),
        (
            "%SERVICE_NAME%_%SERVICE_PORT%_%SERVICE_PORT_NAME%",
            kubernetes(),
            "a_80_p80;",
        ),
        (
            "%SERVICE_FQDN%",
            kubernetes(),
            "a.default.svc.cluster.local;",
        ),
        ("x.%SUBSET_NAME%.%TARGET_PORT%", kubernetes(), "x.v1.0;"),
    ] {
        let mesh = Mesh {
            outbound_stat_name: pattern.into(),
            ..Mesh::default()
        };
        let cluster = json_of_outbound(OutboundCluster {
            subset: "v1".into(),
            mesh: Shared::new(mesh),
            ..input
        });
        check(pattern, &cluster, &json!({"/alt_stat_name": want}));
    }
}

#[test]
fn dns_clusters_hold_their_endpoints() {
    let mesh = Mesh {
        dns_refresh_rate: Duration::from_secs(5),
        ..Mesh::default()
    };
    let names = || endpoints(["b.com", "c.com"].map(|name| endpoint(name, 80)));
    let addresses = |cluster: &Value| -> Vec<Value> {
        let groups = cluster["load_assignment"]["endpoints"].as_array().unwrap();
        groups
            .iter()
            .flat_map(|g| g["lb_endpoints"].as_array().unwrap())
            .map(|e| {
                e.pointer("/endpoint/address/socket_address/address")
                    .unwrap()
                    .clone()
            })
            .collect()
    };
    let both = || vec!["b.com", "c.com"];
    for (resolution, dns_family, family, want) in [
        (Resolution::Dns, DnsFamily::V4, "V4_ONLY", both()),
        (Resolution::Dns, DnsFamily::V6, "V6_ONLY", both()),
        (Resolution::Dns, DnsFamily::All, "ALL", both()),
        (
            Resolution::DnsRoundRobin,
            DnsFamily::V4,
            "V4_ONLY",
            vec!["b.com"],
        ),
    ] {
        let cluster = json_of_outbound(OutboundCluster {
            endpoints: names(),
            mesh: Shared::new(mesh.clone()),
            facet: ClusterFacet {
                dns_family,
                ..facet()
            },
            ..to(resolved(resolution))
        });
        let fields = json!({
            "/dns_lookup_family": family,
            "/dns_refresh_rate": "5s",
            "/dns_jitter": "0.100s",
            "/respect_dns_ttl": true,
            "/typed_dns_resolver_config/name": "envoy.network.dns_resolver.cares",
            "/typed_dns_resolver_config/typed_config/udp_max_queries": 100,
            "/load_assignment/cluster_name": "outbound|80||b.com",
        });
        check(family, &cluster, &fields);
        assert_eq!(addresses(&cluster), want, "{resolution:?}");
    }
}

#[test]
fn endpoints_of_a_dns_cluster_depend_on_subset_and_place() {
    let at = |address: &str, version: &str, locality: &str| Endpoint {
        labels: labels(&format!("version={version}")),
        locality: Locality::parse(locality),
        ..endpoint(address, 80)
    };
    let all = endpoints([
        at("a.b.com", "v1", "r1/z1"),
        at("b.b.com", "v2", "r1/z1"),
        at("c.b.com", "v1", "r2/z1"),
    ]);
    let ejects = for_all_ports(PortPolicy {
        outlier_detection: Some(OutlierDetection::default()),
        ..PortPolicy::default()
    });
    let here = Some((Locality::parse("r2/z1"), Labels::default()));
    let version = subset("v1", "version=v1", None);
    // (name, subset, where the proxy is, `address priority` of each).
    for (name, subset, place, want) in [
        ("all", "", None, vec!["a.b.com 0", "b.b.com 0", "c.b.com 0"]),
        ("a subset", "v1", None, vec!["a.b.com 0", "c.b.com 0"]),
        (
            "near first",
            "",
            here,
            vec!["a.b.com 1", "b.b.com 1", "c.b.com 0"],
        ),
    ] {
        let cluster = json_of_outbound(OutboundCluster {
            subset: subset.into(),
            rule: Some(rule(Some(ejects.clone()), vec![version.clone()])),
            endpoints: all.clone(),
            facet: ClusterFacet { place, ..facet() },
            ..to(resolved(Resolution::Dns))
        });
        let mut found = Vec::new();
        for group in cluster["load_assignment"]["endpoints"].as_array().unwrap() {
            for endpoint in group["lb_endpoints"].as_array().unwrap() {
                let address = endpoint
                    .pointer("/endpoint/address/socket_address/address")
                    .unwrap();
                let priority = group["priority"].as_u64().unwrap_or_default();
                found.push(format!("{} {priority}", address.as_str().unwrap()));
            }
        }
        assert_eq!(found, want, "{name}");
    }
}

#[test]
fn an_original_destination_may_have_another_port() {
    for (targets, want) in [
        (vec![], Value::Null),
        (vec![(81, 8081)], Value::Null),
        (vec![(80, 8080)], json!({"upstream_port_override": 8080})),
    ] {
        let cluster = json_of_outbound(to(Service {
            passthrough_targets: targets,
            ..resolved(Resolution::Passthrough)
        }));
        let want = json!({"/original_dst_lb_config": want, "/lb_policy": "CLUSTER_PROVIDED"});
        check("port", &cluster, &want);
    }
}

#[test]
fn metadata_tells_service_subset_and_rule() {
    let services =
        |host: &str, name: &str| json!([{"host": host, "name": name, "namespace": "default"}]);
    let own = services("a.default.svc.cluster.local", "a");
    let path = "/apis/networking.istio.io/v1/namespaces/default/destination-rule/a";
    let tls = |mode| {
        let tls = Some(ClientTls {
            mode,
            ..ClientTls::default()
        });
        let policy = PortPolicy {
            tls,
            ..PortPolicy::default()
        };
        outbound(Protocol::Http, Some(for_all_ports(policy)))
    };
    let external = || to(service("b.com", &[(80, Protocol::Http)]));
    for (name, input, want) in [
        (
            "a service",
            outbound(Protocol::Http, None),
            json!({"services": own}),
        ),
        (
            "an external one",
            external(),
            json!({"services": services("b.com", "b.com"), "external": true}),
        ),
        (
            "a subset of it",
            OutboundCluster {
                subset: "v1".into(),
                ..external()
            },
            json!({"services": services("b.com", "b.com"), "subset": "v1"}),
        ),
        (
            "a rule",
            outbound(Protocol::Http, Some(TrafficPolicy::default())),
            json!({"services": own, "config": path}),
        ),
        (
            "a user's TLS",
            tls(TlsMode::Simple),
            json!({"services": own, "config": path, "alpn_override": "false"}),
        ),
        (
            "Istio's TLS",
            tls(TlsMode::IstioMutual),
            json!({"services": own, "config": path}),
        ),
    ] {
        let cluster = json_of_outbound(input);
        check(
            name,
            &cluster,
            &json!({"/metadata/filter_metadata/istio": want}),
        );
    }
}

#[test]
fn peers_exchange_metadata_where_both_can() {
    for (metadata_exchange, want) in [
        (true, json!("istio.metadata_exchange")),
        (false, Value::Null),
    ] {
        let cluster = json_of_outbound(OutboundCluster {
            facet: ClusterFacet {
                metadata_exchange,
                ..facet()
            },
            ..outbound(Protocol::Tcp, None)
        });
        check("filter", &cluster, &json!({"/filters/0/name": want}));
    }
}

#[test]
fn the_proxy_protocol_wraps_every_socket() {
    let wrapped = |version: u8, mesh_external, tls: Option<TlsMode>| {
        let policy = TrafficPolicy {
            proxy_protocol: Some(version),
            ..for_all_ports(PortPolicy {
                tls: tls.map(|mode| ClientTls {
                    mode,
                    ..ClientTls::default()
                }),
                ..PortPolicy::default()
            })
        };
        let service = Service {
            mesh_external,
            ..service("a", &[(80, Protocol::Tcp)])
        };
        json_of_outbound(OutboundCluster {
            service: Shared::new(service),
            ..outbound(Protocol::Tcp, Some(policy))
        })
    };
    let outer = "envoy.transport_sockets.upstream_proxy_protocol";
    let inner = "/transport_socket/typed_config/transport_socket/name";
    let first = "/transport_socket_matches/0/transport_socket/typed_config/transport_socket/name";
    let second = "/transport_socket_matches/1/transport_socket/typed_config/transport_socket/name";
    // Version 1 is the default of the field, which JSON leaves out.
    for (name, cluster, want) in [
        (
            "plain text",
            wrapped(1, true, None),
            json!({
                "/transport_socket/name": outer,
                "/transport_socket/typed_config/config": {},
                inner: "envoy.transport_sockets.raw_buffer",
            }),
        ),
        (
            "TLS",
            wrapped(2, true, Some(TlsMode::Simple)),
            json!({
                "/transport_socket/typed_config/config": {"version": "V2"},
                inner: "envoy.transport_sockets.tls",
            }),
        ),
        (
            "automatic TLS",
            wrapped(2, false, None),
            json!({
                "/transport_socket": null,
                first: "envoy.transport_sockets.tls",
                second: "envoy.transport_sockets.raw_buffer",
            }),
        ),
    ] {
        check(name, &cluster, &want);
    }
}

#[test]
fn what_made_a_cluster_is_told() {
    let input = ClusterInput::Outbound(outbound(Protocol::Http, Some(TrafficPolicy::default())));
    let from: Vec<_> = input.build().from.iter().map(ToString::to_string).collect();
    assert_eq!(from, ["Service default/a", "DestinationRule default/a"]);
}

#[test]
fn what_is_not_shown_makes_no_other_bytes() {
    let hidden = Service {
        export_to: export_to("other"),
        publish_not_ready: true,
        ..service("a", &[(80, Protocol::Http)])
    };
    let plain = ClusterInput::Outbound(outbound(Protocol::Http, None))
        .build()
        .body;
    assert_eq!(ClusterInput::Outbound(to(hidden)).build().body, plain);
}
