//! Which HTTP version a cluster speaks. Istio 1.31: `setUpstreamProtocol`, `setH2Options`, `setUseDownstreamProtocol`.

use std::collections::HashMap;

use meltemi_model::mesh::Mesh;
use meltemi_model::port::Protocol;
use meltemi_model::traffic::ConnectionPool;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use meltemi_proto::envoy::extensions::upstreams::http::v3::http_protocol_options as http;
use meltemi_proto::google::protobuf::Any;

use super::ClusterFacet;
use crate::duration;

/// The key under which Envoy looks for HTTP options of a cluster.
const OPTIONS_KEY: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// The map entry that carries the options. Envoy refuses options that do not choose a protocol; HTTP/1.1 is its own
/// choice where there are none.
pub(super) fn pack(options: &HttpProtocolOptions) -> HashMap<String, Any> {
    let http1 = http::explicit_http_config::ProtocolConfig::HttpProtocolOptions(Default::default());
    let mut options = options.clone();
    if options.upstream_protocol_options.is_none() {
        set_explicit(&mut options, http1);
    }
    let options = &options;
    HashMap::from([(OPTIONS_KEY.to_owned(), meltemi_proto::any::pack(options))])
}

/// The protocol of an outbound port, before any setting of a user.
pub(super) fn of_port(protocol: Protocol, facet: &ClusterFacet) -> Option<HttpProtocolOptions> {
    let mut options = HttpProtocolOptions::default();
    if protocol.is_http2() {
        set_http2(&mut options);
        return Some(options);
    }
    let sniffed = protocol.is_unsupported();
    if facet.preserve_case && (protocol.is_http() || sniffed) {
        let config =
            http::explicit_http_config::ProtocolConfig::HttpProtocolOptions(preserve_case());
        set_explicit(&mut options, config);
    }
    if sniffed && !facet.router {
        use_downstream(&mut options);
    }
    options
        .upstream_protocol_options
        .is_some()
        .then_some(options)
}

/// Whether plain HTTP is upgraded to HTTP/2. Istio 1.31: `shouldH2Upgrade`.
pub(super) fn upgrades(protocol: Protocol, pool: &ConnectionPool, mesh: &Mesh) -> bool {
    match (pool.use_client_protocol, pool.h2_upgrade) {
        (true, _) => false,
        (false, Some(explicit)) => explicit,
        (false, None) => protocol.is_http() && mesh.h2_upgrade,
    }
}

/// Speaks HTTP/2, unless another protocol was chosen before.
pub(super) fn set_http2(options: &mut HttpProtocolOptions) {
    if options.upstream_protocol_options.is_none() {
        let config =
            http::explicit_http_config::ProtocolConfig::Http2ProtocolOptions(Default::default());
        set_explicit(options, config);
    }
}

fn set_explicit(
    options: &mut HttpProtocolOptions,
    config: http::explicit_http_config::ProtocolConfig,
) {
    let explicit = http::ExplicitHttpConfig {
        protocol_config: Some(config),
    };
    options.upstream_protocol_options =
        Some(http::UpstreamProtocolOptions::ExplicitHttpConfig(explicit));
}

/// The HTTP/2 options of a cluster that always speaks HTTP/2.
pub(super) fn explicit_http2(
    options: &mut HttpProtocolOptions,
) -> Option<&mut core::Http2ProtocolOptions> {
    match options.upstream_protocol_options.as_mut()? {
        http::UpstreamProtocolOptions::ExplicitHttpConfig(explicit) => {
            match explicit.protocol_config.as_mut()? {
                http::explicit_http_config::ProtocolConfig::Http2ProtocolOptions(h2) => Some(h2),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Speaks what the client speaks.
pub(super) fn use_downstream(options: &mut HttpProtocolOptions) {
    let http1 = match options.upstream_protocol_options.take() {
        Some(http::UpstreamProtocolOptions::ExplicitHttpConfig(http::ExplicitHttpConfig {
            protocol_config:
                Some(http::explicit_http_config::ProtocolConfig::HttpProtocolOptions(http1)),
        })) => http1,
        _ => core::Http1ProtocolOptions::default(),
    };
    let config = http::UseDownstreamHttpConfig {
        http_protocol_options: Some(http1),
        http2_protocol_options: Some(Default::default()),
        ..Default::default()
    };
    options.upstream_protocol_options = Some(
        http::UpstreamProtocolOptions::UseDownstreamProtocolConfig(config),
    );
}

/// The options of passthrough clusters. Istio 1.31: idle connections to unknown destinations end after five minutes.
pub(super) fn passthrough_options(keep_case: bool) -> HttpProtocolOptions {
    let mut options = HttpProtocolOptions {
        common_http_protocol_options: Some(core::HttpProtocolOptions {
            idle_timeout: Some(duration(std::time::Duration::from_secs(300))),
            ..Default::default()
        }),
        ..Default::default()
    };
    if keep_case {
        set_explicit(
            &mut options,
            http::explicit_http_config::ProtocolConfig::HttpProtocolOptions(preserve_case()),
        );
    }
    use_downstream(&mut options);
    options
}

/// HTTP/1 headers keep the case in which they came.
fn preserve_case() -> core::Http1ProtocolOptions {
    use core::http1_protocol_options::{HeaderKeyFormat, header_key_format::HeaderFormat};
    let formatter = meltemi_proto::envoy::extensions::http::header_formatters::preserve_case::v3::
        PreserveCaseFormatterConfig { forward_reason_phrase: false, ..Default::default() };
    core::Http1ProtocolOptions {
        header_key_format: Some(HeaderKeyFormat {
            header_format: Some(HeaderFormat::StatefulFormatter(
                core::TypedExtensionConfig {
                    name: "preserve_case".into(),
                    typed_config: Some(meltemi_proto::any::pack(&formatter)),
                },
            )),
        }),
        ..Default::default()
    }
}
