//! Asking an extension provider: ext_authz. Istio 1.31: `extauthz.go`.

use std::time::Duration;

use meltemi_model::provider::{ExtAuthz, ExtAuthzProtocol};
use meltemi_model::{Hostname, Str};

use super::{EXT_AUTHZ_STATS, HTTP_RBAC, NETWORK_RBAC, filters, pb, text};

use meltemi_model::security::TextMatch;
use pb::extensions::filters::http::ext_authz::v3 as http_ext_authz;
use pb::extensions::filters::network::ext_authz::v3 as network_ext_authz;

/// How the names of rules begin that a provider is asked about.
pub(super) const PREFIX: &str = "istio-ext-authz";

/// An extension provider that can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authorizer {
    /// The cluster of its service.
    pub cluster: Str,
    /// The host of its service.
    pub host: Hostname,
    /// How it is asked.
    pub settings: ExtAuthz,
}

/// The HTTP filter.
pub(super) fn http(provider: &Authorizer, name: &str) -> pb::hcm::HttpFilter {
    use http_ext_authz::ext_authz::Services;
    let (services, allowed_headers) = match &provider.settings.protocol {
        ExtAuthzProtocol::Grpc => (Services::GrpcService(grpc(provider)), None),
        ExtAuthzProtocol::Http {
            request_headers, ..
        } => (
            Services::HttpService(service(provider)),
            header_list(request_headers),
        ),
    };
    let config = http_ext_authz::ExtAuthz {
        services: Some(services),
        transport_api_version: pb::core::ApiVersion::V3.into(),
        failure_mode_allow: provider.settings.fail_open,
        clear_route_cache: provider.settings.clear_route_cache,
        status_on_error: provider
            .settings
            .status_on_error
            .map(|code| pb::r#type::v3::HttpStatus { code: code.into() }),
        with_request_body: provider.settings.body.as_ref().map(|body| {
            http_ext_authz::BufferSettings {
                max_request_bytes: body.max_bytes,
                allow_partial_message: body.allow_partial,
                pack_as_bytes: body.as_bytes,
            }
        }),
        allowed_headers,
        filter_enabled_metadata: Some(marked(HTTP_RBAC, name)),
        ..Default::default()
    };
    filters::http_filter("envoy.filters.http.ext_authz", pb::any(&config))
}

/// The network filter; `None` where the provider speaks HTTP only.
pub(super) fn network(provider: &Authorizer, name: &str) -> Option<pb::listener::Filter> {
    if provider.settings.protocol != ExtAuthzProtocol::Grpc {
        return None;
    }
    let config = network_ext_authz::ExtAuthz {
        stat_prefix: "tcp.".to_owned(),
        grpc_service: Some(grpc(provider)),
        failure_mode_allow: provider.settings.fail_open,
        transport_api_version: pb::core::ApiVersion::V3.into(),
        filter_enabled_metadata: Some(marked(NETWORK_RBAC, name)),
        ..Default::default()
    };
    Some(filters::network(
        "envoy.filters.network.ext_authz",
        pb::any(&config),
    ))
}

/// Only what a rule of this provider marked is asked about.
fn marked(filter: &str, provider: &str) -> pb::matcher::MetadataMatcher {
    let key = format!("{EXT_AUTHZ_STATS}shadow_effective_policy_id");
    let rule = pb::string_prefix(format!("{PREFIX}-{provider}"));
    text::metadata(filter, [key.as_str()], text::value(rule))
}

fn timeout(provider: &Authorizer) -> pb::protobuf::Duration {
    pb::duration(
        provider
            .settings
            .timeout
            .unwrap_or(Duration::from_secs(600)),
    )
}

fn grpc(provider: &Authorizer) -> pb::core::GrpcService {
    use pb::core::grpc_service::{EnvoyGrpc, TargetSpecifier};
    pb::core::GrpcService {
        target_specifier: Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc {
            cluster_name: provider.cluster.to_string(),
            authority: provider.host.to_string(),
            ..Default::default()
        })),
        timeout: Some(timeout(provider)),
        ..Default::default()
    }
}

fn service(provider: &Authorizer) -> http_ext_authz::HttpService {
    use pb::core::http_uri::HttpUpstreamType;
    let ExtAuthzProtocol::Http {
        path_prefix,
        extra_headers,
        upstream_on_allow,
        downstream_on_deny,
        downstream_on_allow,
        ..
    } = &provider.settings.protocol
    else {
        return http_ext_authz::HttpService::default();
    };
    let added = extra_headers
        .iter()
        .map(|(key, value)| pb::core::HeaderValue {
            key: key.to_string(),
            value: value.to_string(),
            ..Default::default()
        });
    let answers = [upstream_on_allow, downstream_on_deny, downstream_on_allow];
    let answers = answers.into_iter().any(|list| !list.is_empty());
    http_ext_authz::HttpService {
        path_prefix: path_prefix.to_string(),
        server_uri: Some(pb::core::HttpUri {
            // It must be there, and nobody looks at it.
            uri: format!("http://{}", provider.host.as_str()),
            http_upstream_type: Some(HttpUpstreamType::Cluster(provider.cluster.to_string())),
            timeout: Some(timeout(provider)),
        }),
        authorization_request: (!extra_headers.is_empty()).then(|| {
            http_ext_authz::AuthorizationRequest {
                headers_to_add: added.collect(),
                ..Default::default()
            }
        }),
        authorization_response: answers.then(|| http_ext_authz::AuthorizationResponse {
            allowed_upstream_headers: header_list(upstream_on_allow),
            allowed_client_headers: header_list(downstream_on_deny),
            allowed_client_headers_on_success: header_list(downstream_on_allow),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn header_list(list: &[TextMatch]) -> Option<pb::matcher::ListStringMatcher> {
    let patterns = list.iter().map(|wanted| pb::matcher::StringMatcher {
        ignore_case: true,
        ..text::text(wanted)
    });
    (!list.is_empty()).then(|| pb::matcher::ListStringMatcher {
        patterns: patterns.collect(),
    })
}
