//! Filters whose configuration never changes, or nearly so.

use meltemi_model::{Kind, ObjectKey};
use serde_json::json;

use super::facet::{AnyDnsCache, DnsFamily};
use super::pb;

use pb::extensions::filters::http;
use pb::extensions::filters::listener as listener_filters;
use pb::hcm::HttpFilter;
use pb::listener::{Filter, ListenerFilter, filter, listener_filter};

/// A network filter.
pub(super) fn network(name: &str, config: pb::protobuf::Any) -> Filter {
    Filter {
        name: name.to_owned(),
        config_type: Some(filter::ConfigType::TypedConfig(config)),
    }
}

/// An HTTP filter.
pub(super) fn http_filter(name: &str, config: pb::protobuf::Any) -> HttpFilter {
    HttpFilter {
        name: name.to_owned(),
        config_type: Some(pb::hcm::http_filter::ConfigType::TypedConfig(config)),
        ..Default::default()
    }
}

/// A listener filter.
fn listener_filter(name: &str, config: pb::protobuf::Any) -> ListenerFilter {
    ListenerFilter {
        name: name.to_owned(),
        config_type: Some(listener_filter::ConfigType::TypedConfig(config)),
        ..Default::default()
    }
}

/// `istio.metadata_exchange` of connections: the peers of one that negotiated `istio-peer-exchange` begin by telling
/// each other who they are. Istio 1.31: `xdsfilters.TCPListenerMx`.
pub(super) fn network_metadata_exchange() -> Filter {
    let config = json!({"protocol": "istio-peer-exchange", "enable_discovery": true});
    network(
        "istio.metadata_exchange",
        pb::typed_struct("envoy.tcp.metadataexchange.config.MetadataExchange", config),
    )
}

/// `istio.metadata_exchange` of requests. Istio 1.31: `SidecarInboundMetadataFilter`, `SidecarOutboundMetadataFilter`,
/// `SidecarOutboundMetadataFilterSkipHeaders`.
pub(super) fn http_metadata_exchange(inbound: bool, skip_external: bool) -> HttpFilter {
    let discovery = json!([{"istio_headers": {}}, {"workload_discovery": {}}]);
    let config = if inbound {
        json!({"downstream_discovery": discovery, "downstream_propagation": [{"istio_headers": {}}]})
    } else {
        let headers = if skip_external {
            json!({"skip_external_clusters": true})
        } else {
            json!({})
        };
        json!({"upstream_discovery": discovery, "upstream_propagation": [{"istio_headers": headers}]})
    };
    http_filter(
        "istio.metadata_exchange",
        pb::typed_struct("io.istio.http.peer_metadata.Config", config),
    )
}

/// `istio.stats` of requests.
pub(super) fn http_stats(disable_host_header_fallback: bool) -> HttpFilter {
    http_filter("istio.stats", stats(disable_host_header_fallback))
}

/// `istio.stats` of connections.
pub(super) fn network_stats(disable_host_header_fallback: bool) -> Filter {
    network("istio.stats", stats(disable_host_header_fallback))
}

fn stats(disable_host_header_fallback: bool) -> pb::protobuf::Any {
    pb::any(&pb::stats::PluginConfig {
        disable_host_header_fallback,
        ..Default::default()
    })
}

/// `istio.alpn`: tells the server's proxy by ALPN which protocol was found here. Istio 1.31: `xdsfilters.Alpn`.
pub(super) fn alpn() -> HttpFilter {
    use pb::alpn::filter_config::{AlpnOverride, Protocol};
    let entry = |protocol: Protocol, names: [&str; 3]| AlpnOverride {
        upstream_protocol: protocol.into(),
        alpn_override: names.map(str::to_owned).to_vec(),
    };
    let config = pb::alpn::FilterConfig {
        alpn_override: vec![
            entry(Protocol::Http10, ["istio-http/1.0", "istio", "http/1.0"]),
            entry(Protocol::Http11, ["istio-http/1.1", "istio", "http/1.1"]),
            entry(Protocol::Http2, ["istio-h2", "istio", "h2"]),
        ],
    };
    http_filter("istio.alpn", pb::any(&config))
}

/// `envoy.filters.http.grpc_web`.
pub(super) fn grpc_web() -> HttpFilter {
    http_filter(
        "envoy.filters.http.grpc_web",
        pb::any(&http::grpc_web::v3::GrpcWeb::default()),
    )
}

/// `envoy.filters.http.grpc_stats`.
pub(super) fn grpc_stats() -> HttpFilter {
    use http::grpc_stats::v3::{FilterConfig, filter_config::PerMethodStatSpecifier};
    let config = FilterConfig {
        emit_filter_state: true,
        per_method_stat_specifier: Some(PerMethodStatSpecifier::StatsForAllMethods(pb::bool(
            false,
        ))),
        ..Default::default()
    };
    http_filter("envoy.filters.http.grpc_stats", pb::any(&config))
}

/// `envoy.filters.http.fault`; routes configure it.
pub(super) fn fault() -> HttpFilter {
    http_filter(
        "envoy.filters.http.fault",
        pb::any(&http::fault::v3::HttpFault::default()),
    )
}

/// `envoy.filters.http.cors`; routes configure it.
pub(super) fn cors() -> HttpFilter {
    http_filter(
        "envoy.filters.http.cors",
        pb::any(&http::cors::v3::Cors::default()),
    )
}

/// `envoy.filters.http.router`, always the last one.
pub(super) fn router(suppress_envoy_headers: bool) -> HttpFilter {
    let config = http::router::v3::Router {
        suppress_envoy_headers,
        ..Default::default()
    };
    http_filter("envoy.filters.http.router", pb::any(&config))
}

/// A DNS cache that is named after a wildcard host. Istio 1.31: `model.BuildDNSCacheName`.
pub(crate) fn host_dns_cache(name: &str, family: DnsFamily) -> pb::dns_cache::DnsCacheConfig {
    pb::dns_cache::DnsCacheConfig {
        name: name.to_owned(),
        dns_lookup_family: lookup_family(family).into(),
        ..Default::default()
    }
}

/// The DNS cache of ALLOW_ANY_DYNAMIC_DNS. It must equal that of the cluster `AllowAnyDynamicDNSCluster`, field by
/// field, or Envoy refuses both. Istio 1.31: `buildAllowAnyDynamicDNSDNSCacheConfig`.
pub(crate) fn any_dns_cache(cache: &AnyDnsCache) -> pb::dns_cache::DnsCacheConfig {
    use pb::extensions::network::dns_resolver::cares::v3::CaresDnsResolverConfig;
    let resolver = || pb::core::TypedExtensionConfig {
        name: "envoy.network.dns_resolver.cares".to_owned(),
        typed_config: Some(pb::any(&CaresDnsResolverConfig {
            resolvers: vec![super::address::address("127.0.0.1", 15053)],
            ..Default::default()
        })),
    };
    pb::dns_cache::DnsCacheConfig {
        max_hosts: Some(pb::u32(1024)),
        typed_dns_resolver_config: cache.agent.then(resolver),
        ..host_dns_cache("allow_any_dfp_dns_cache", cache.family)
    }
}

/// `envoy.filters.http.dynamic_forward_proxy` over the cache of ALLOW_ANY_DYNAMIC_DNS.
pub(super) fn any_dns(cache: &AnyDnsCache) -> HttpFilter {
    dynamic_forward_proxy(any_dns_cache(cache))
}

/// `envoy.filters.http.dynamic_forward_proxy` over a cache.
pub(super) fn dynamic_forward_proxy(cache: pb::dns_cache::DnsCacheConfig) -> HttpFilter {
    use http::dynamic_forward_proxy::v3::{FilterConfig, filter_config::ImplementationSpecifier};
    let config = FilterConfig {
        implementation_specifier: Some(ImplementationSpecifier::DnsCacheConfig(cache)),
        ..Default::default()
    };
    http_filter("envoy.filters.http.dynamic_forward_proxy", pb::any(&config))
}

pub(crate) fn lookup_family(family: DnsFamily) -> pb::cluster::cluster::DnsLookupFamily {
    match family {
        DnsFamily::V4 => pb::cluster::cluster::DnsLookupFamily::V4Only,
        DnsFamily::V6 => pb::cluster::cluster::DnsLookupFamily::V6Only,
        DnsFamily::All => pb::cluster::cluster::DnsLookupFamily::All,
    }
}

/// `envoy.filters.listener.original_dst`.
pub(super) fn original_dst() -> ListenerFilter {
    listener_filter(
        "envoy.filters.listener.original_dst",
        pb::any(&listener_filters::original_dst::v3::OriginalDst {}),
    )
}

/// `envoy.filters.listener.original_src`: the mark lets the agent's rules tell the proxy's own packets (TPROXY).
pub(super) fn original_src() -> ListenerFilter {
    let config = listener_filters::original_src::v3::OriginalSrc {
        mark: 1337,
        ..Default::default()
    };
    listener_filter("envoy.filters.listener.original_src", pb::any(&config))
}

/// `envoy.filters.listener.proxy_protocol`.
pub(super) fn proxy_protocol() -> ListenerFilter {
    let config = listener_filters::proxy_protocol::v3::ProxyProtocol::default();
    listener_filter("envoy.filters.listener.proxy_protocol", pb::any(&config))
}

/// `envoy.filters.listener.tls_inspector`, with a small first buffer instead of 64 KB for each connection.
pub(super) fn tls_inspector() -> ListenerFilter {
    let config = listener_filters::tls_inspector::v3::TlsInspector {
        initial_read_buffer_size: Some(pb::u32(512)),
        ..Default::default()
    };
    listener_filter("envoy.filters.listener.tls_inspector", pb::any(&config))
}

/// `envoy.filters.listener.http_inspector`.
pub(super) fn http_inspector() -> ListenerFilter {
    let config = listener_filters::http_inspector::v3::HttpInspector {};
    listener_filter("envoy.filters.listener.http_inspector", pb::any(&config))
}

/// Metadata that names the object which configured a chain; istioctl and Kiali read it.
/// Istio 1.31: `util.BuildConfigInfoMetadata`.
pub(super) fn config_metadata(object: &ObjectKey) -> pb::core::Metadata {
    pb::metadata("istio", &json!({ "config": config_path(object) }))
}

/// `/apis/networking.istio.io/v1/namespaces/<ns>/virtual-service/<name>`.
fn config_path(object: &ObjectKey) -> String {
    let kind = match object.kind {
        Kind::VirtualService => "virtual-service",
        Kind::DestinationRule => "destination-rule",
        Kind::ServiceEntry => "service-entry",
        Kind::WorkloadEntry => "workload-entry",
        Kind::Gateway => "gateway",
        Kind::Sidecar => "sidecar",
        // No other kind configures a chain.
        other => other.as_str(),
    };
    format!(
        "/apis/networking.istio.io/v1/namespaces/{}/{kind}/{}",
        object.namespace, object.name
    )
}
