//! The HTTP connection manager. Istio 1.31: `buildHTTPConnectionManager`.

use std::time::Duration;

use meltemi_model::mesh::PathNormalization;
use meltemi_model::{Shared, Str};
use meltemi_proto::canonical::Stencil;

use super::facet::{ClientCert, DnsFamily, ForwardClientCert, HttpFacet};
use super::inbound_route::InboundRoute;
use super::{
    ListenerKind, access_log, authentication, authorization, filters, inbound_route, pb, tracing,
};
use crate::stencils::Stencils;

use pb::hcm::HttpConnectionManager;
use pb::hcm::http_connection_manager as manager;

/// What is particular to the HTTP of one chain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpChain {
    /// The whole stat prefix; Istio's end with `;` so that the host's dots survive.
    pub stat_prefix: Str,
    /// Where routes come from.
    pub route: RouteSource,
    /// The port is declared as HTTP/2.
    pub http2: bool,
    /// The port is declared as gRPC-Web.
    pub grpc_web: bool,
    /// Works as an HTTP proxy: absolute URLs are accepted.
    pub absolute_url: bool,
    /// The host is a wildcard whose names are resolved as they are asked for: (cache, family).
    pub dns_cache: Option<(Str, DnsFamily)>,
}

impl HttpChain {
    /// HTTP/1 and HTTP/2 as they come, along these routes.
    pub fn new(stat_prefix: impl Into<Str>, route: RouteSource) -> Self {
        Self {
            stat_prefix: stat_prefix.into(),
            route,
            http2: false,
            grpc_web: false,
            absolute_url: false,
            dns_cache: None,
        }
    }
}

/// Where routes come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RouteSource {
    /// A route configuration over RDS.
    Rds(Str),
    /// The one route to the workload itself.
    Inbound(InboundRoute),
    /// Every host is resolved as it is asked for (ALLOW_ANY_DYNAMIC_DNS).
    AnyDynamicDns {
        /// Tell the application how often a request was tried.
        attempt_count: bool,
    },
}

/// Stand-ins for the names of a chain; no name has such characters.
const STAT_PREFIX: &str = "\u{1}stat prefix\u{1}";
const ROUTE_NAME: &str = "\u{1}route name\u{1}";

/// What connection managers have in common that differ in names only.
type Shape = (ListenerKind, HttpChain);

/// The network filter.
pub(super) fn filter(
    chain: &HttpChain,
    facet: &Shared<HttpFacet>,
    kind: ListenerKind,
) -> pb::listener::Filter {
    let manager = by_stencil(chain, facet, kind)
        .unwrap_or_else(|| pb::any(&connection_manager(chain, facet, kind)));
    filters::network("envoy.filters.network.http_connection_manager", manager)
}

/// The same manager with these names. A proxy has one of them for each port or server, and all are of a few shapes.
fn by_stencil(
    chain: &HttpChain,
    facet: &Shared<HttpFacet>,
    kind: ListenerKind,
) -> Option<pb::protobuf::Any> {
    let RouteSource::Rds(route) = &chain.route else {
        return None;
    };
    if chain.stat_prefix.is_empty() || route.is_empty() {
        return None;
    }
    let shape: Shape = (
        kind,
        HttpChain {
            stat_prefix: STAT_PREFIX.into(),
            route: RouteSource::Rds(ROUTE_NAME.into()),
            dns_cache: chain.dns_cache.clone(),
            ..*chain
        },
    );
    let stencils = facet.made(|_: &Stencils<Shape>| true, |_| Stencils::default());
    let stencil = stencils.get(shape, |(kind, chain)| {
        let manager = connection_manager(chain, facet, *kind);
        Stencil::cut(&manager, &[STAT_PREFIX, ROUTE_NAME])
    })?;
    let value = stencil.fill(&[&chain.stat_prefix, route]);
    debug_assert_eq!(
        value,
        meltemi_proto::encode(&connection_manager(chain, facet, kind)),
        "a stencil writes what the builder builds"
    );
    Some(pb::protobuf::Any {
        type_url: meltemi_proto::any::type_url::<HttpConnectionManager>(),
        value: value.into(),
    })
}

fn connection_manager(
    chain: &HttpChain,
    facet: &HttpFacet,
    kind: ListenerKind,
) -> HttpConnectionManager {
    use manager::PathWithEscapedSlashesAction as Slashes;
    let decode = facet.path == PathNormalization::DecodeAndMergeSlashes;
    let transformation = if facet.pass_server_header {
        manager::ServerHeaderTransformation::PassThrough
    } else {
        manager::ServerHeaderTransformation::Overwrite
    };
    HttpConnectionManager {
        stat_prefix: chain.stat_prefix.to_string(),
        http_filters: http_filters(chain, facet, kind),
        tracing: facet.tracing.as_ref().map(tracing::tracing),
        common_http_protocol_options: facet.idle_timeout.map(|timeout| {
            pb::core::HttpProtocolOptions {
                idle_timeout: Some(pb::duration(timeout)),
                ..Default::default()
            }
        }),
        http_protocol_options: http1_options(chain, facet, kind),
        http2_protocol_options: (kind.is_inbound() && chain.http2).then(Default::default),
        server_name: facet.server_name.to_string(),
        server_header_transformation: transformation.into(),
        // Streams may idle for as long as routes allow.
        stream_idle_timeout: Some(pb::duration(Duration::ZERO)),
        access_log: facet
            .access_log
            .iter()
            .map(access_log::access_log)
            .collect(),
        use_remote_address: Some(pb::bool(facet.use_remote_address)),
        xff_num_trusted_hops: facet.trusted_hops,
        generate_request_id: facet.no_request_id.then(|| pb::bool(false)),
        proxy_100_continue: true,
        upgrade_configs: vec![manager::UpgradeConfig {
            upgrade_type: "websocket".to_owned(),
            ..Default::default()
        }],
        normalize_path: Some(pb::bool(facet.path != PathNormalization::None)),
        merge_slashes: decode || facet.path == PathNormalization::MergeSlashes,
        path_with_escaped_slashes_action: if decode {
            Slashes::UnescapeAndForward
        } else {
            Slashes::KeepUnchanged
        }
        .into(),
        request_id_extension: Some(tracing::request_id()),
        route_specifier: Some(route_specifier(&chain.route)),
        forward_client_cert_details: forward(facet.client_cert.as_ref()).into(),
        set_current_client_cert_details: facet.client_cert.as_ref().and_then(client_cert_details),
        append_x_forwarded_port: facet.forwarded_port,
        ..Default::default()
    }
}

fn route_specifier(source: &RouteSource) -> manager::RouteSpecifier {
    match source {
        RouteSource::Rds(name) => manager::RouteSpecifier::Rds(pb::hcm::Rds {
            config_source: Some(pb::ads()),
            route_config_name: name.to_string(),
        }),
        RouteSource::Inbound(route) => {
            manager::RouteSpecifier::RouteConfig(inbound_route::config(route))
        }
        RouteSource::AnyDynamicDns { attempt_count } => {
            manager::RouteSpecifier::RouteConfig(inbound_route::any_dynamic_dns(*attempt_count))
        }
    }
}

/// The order of filters is Istio's: metadata first, so that refusals can be told apart by peer; the router last.
fn http_filters(
    chain: &HttpChain,
    facet: &HttpFacet,
    kind: ListenerKind,
) -> Vec<pb::hcm::HttpFilter> {
    let inbound = kind.is_inbound();
    let mut list = Vec::with_capacity(8);
    if facet.metadata_exchange {
        list.push(filters::http_metadata_exchange(
            inbound,
            facet.skip_external_metadata,
        ));
    }
    // Custom authorizers are asked first, and rules may ask for what tokens say.
    let policies = facet.authorization.as_ref();
    let (custom, rules) = policies
        .map(|policies| authorization::http(policies))
        .map_or_else(Default::default, |guards| (guards.custom, guards.rules));
    list.extend(custom);
    if let Some(tokens) = &facet.authentication {
        list.push(authentication::filter(tokens));
    }
    list.extend(rules);
    if chain.grpc_web {
        list.push(filters::grpc_web());
    }
    list.push(filters::grpc_stats());
    if facet.alpn && !inbound {
        list.push(filters::alpn());
    }
    list.push(filters::fault());
    list.push(filters::cors());
    if facet.stats {
        list.push(filters::http_stats(kind.disables_host_fallback()));
    }
    if let Some((name, family)) = &chain.dns_cache {
        list.push(filters::dynamic_forward_proxy(filters::host_dns_cache(
            name, *family,
        )));
    }
    if let Some(cache) = &facet.any_dns {
        list.push(filters::any_dns(cache));
    }
    list.push(filters::router(facet.suppress_debug_headers));
    list
}

/// HTTP/1 options; gateways always send the message, also when it is empty.
fn http1_options(
    chain: &HttpChain,
    facet: &HttpFacet,
    kind: ListenerKind,
) -> Option<pb::core::Http1ProtocolOptions> {
    use pb::core::http1_protocol_options::{HeaderKeyFormat, header_key_format::HeaderFormat};
    use pb::extensions::http::header_formatters::preserve_case::v3::PreserveCaseFormatterConfig;
    let wanted =
        kind == ListenerKind::Gateway || facet.http10 || facet.preserve_case || chain.absolute_url;
    let preserve = || HeaderKeyFormat {
        header_format: Some(HeaderFormat::StatefulFormatter(
            pb::core::TypedExtensionConfig {
                name: "preserve_case".to_owned(),
                typed_config: Some(pb::any(&PreserveCaseFormatterConfig::default())),
            },
        )),
    };
    wanted.then(|| pb::core::Http1ProtocolOptions {
        allow_absolute_url: chain.absolute_url.then(|| pb::bool(true)),
        accept_http_10: facet.http10,
        header_key_format: facet.preserve_case.then(preserve),
        ..Default::default()
    })
}

fn forward(cert: Option<&ClientCert>) -> manager::ForwardClientCertDetails {
    use manager::ForwardClientCertDetails as Details;
    match cert.map(|c| c.forward) {
        None | Some(ForwardClientCert::Sanitize) => Details::Sanitize,
        Some(ForwardClientCert::ForwardOnly) => Details::ForwardOnly,
        Some(ForwardClientCert::AppendForward) => Details::AppendForward,
        Some(ForwardClientCert::SanitizeSet) => Details::SanitizeSet,
        Some(ForwardClientCert::AlwaysForwardOnly) => Details::AlwaysForwardOnly,
    }
}

fn client_cert_details(cert: &ClientCert) -> Option<manager::SetCurrentClientCertDetails> {
    cert.details
        .map(|details| manager::SetCurrentClientCertDetails {
            subject: Some(pb::bool(details.subject)),
            cert: details.cert,
            chain: details.chain,
            dns: details.dns,
            uri: details.uri,
            ..Default::default()
        })
}
