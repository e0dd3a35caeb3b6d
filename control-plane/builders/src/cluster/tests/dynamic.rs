use meltemi_model::traffic::{ClientTls, TlsMode};

use super::*;
use crate::listener::{AnyDnsCache, DnsFamily};

fn wildcard(protocol: Protocol, tls: Option<ClientTls>) -> ClusterInput {
    let policy = tls.map(|tls| {
        for_all_ports(PortPolicy {
            tls: Some(tls),
            ..PortPolicy::default()
        })
    });
    let service = Service {
        resolution: Resolution::DynamicDns,
        mesh_external: true,
        ..service("*.b.com", &[(80, protocol)])
    };
    let input = OutboundCluster {
        port: service.ports[0].clone(),
        service: Shared::new(service),
        ..outbound(protocol, policy)
    };
    ClusterInput::Dynamic(input, DnsFamily::V4)
}

#[test]
fn names_are_resolved_as_they_are_asked_for() {
    let insecure = "/cluster_type/typed_config/allow_insecure_cluster_options";
    let automatic = "OPTIONS/upstream_http_protocol_options";
    let simple = |change: fn(&mut ClientTls)| {
        let mut tls = ClientTls {
            mode: TlsMode::Simple,
            ..ClientTls::default()
        };
        change(&mut tls);
        wildcard(Protocol::Tls, Some(tls))
    };
    for (name, input, want) in [
        (
            "plain",
            wildcard(Protocol::Http, None),
            json!({
                "/name": "outbound|80||*.b.com", "/type": null, "/lb_policy": "CLUSTER_PROVIDED",
                "/cluster_type/name": "envoy.clusters.dynamic_forward_proxy",
                "/cluster_type/typed_config/dns_cache_config":
                    {"name": "*.b.com_dfp_dns_cache", "dns_lookup_family": "V4_ONLY"},
                insecure: null, "OPTIONS": null, "/transport_socket": null, "/common_lb_config": null,
                "/metadata/filter_metadata/istio": {"external": true},
            }),
        ),
        (
            "gRPC",
            wildcard(Protocol::Grpc, None),
            json!({"OPTIONS/explicit_http_config": {"http2_protocol_options": {}}}),
        ),
        (
            "TLS takes its names from the request",
            simple(|_| {}),
            json!({
                automatic: {"auto_sni": true, "auto_san_validation": true}, insecure: null,
                "/transport_socket/name": "envoy.transport_sockets.tls",
            }),
        ),
        (
            "no verification",
            simple(|tls| tls.insecure_skip_verify = Some(true)),
            json!({automatic: {"auto_sni": true}, insecure: true}),
        ),
        (
            "a name of its own",
            simple(|tls| tls.sni = "c.com".into()),
            json!({automatic: {"auto_san_validation": true}, insecure: true}),
        ),
    ] {
        check(name, &json_of(&input), &want);
    }
}

#[test]
fn hosts_that_no_service_declares() {
    let cache = AnyDnsCache {
        family: DnsFamily::V4,
        agent: false,
    };
    let input = ClusterInput::AnyDynamicDns(Shared::default(), facet(), cache);
    let want = json!({
        "/name": "AllowAnyDynamicDNSCluster",
        "/cluster_type/typed_config/dns_cache_config":
            {"name": "allow_any_dfp_dns_cache", "dns_lookup_family": "V4_ONLY", "max_hosts": 1024},
        "/cluster_type/typed_config/allow_insecure_cluster_options": true,
        "OPTIONS/common_http_protocol_options/idle_timeout": "300s",
    });
    check("any", &json_of(&input), &want);
}
