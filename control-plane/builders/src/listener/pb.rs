//! Short names for Envoy's modules and wrappers, so that the files beside this one read like the messages they build.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use meltemi_proto::any::struct_from_json;
use serde_json::Value;

pub(super) use meltemi_proto::any::pack as any;
pub(super) use meltemi_proto::envoy::config::accesslog::v3 as accesslog;
pub(super) use meltemi_proto::envoy::config::cluster::v3 as cluster;
pub(super) use meltemi_proto::envoy::config::core::v3 as core;
pub(super) use meltemi_proto::envoy::config::listener::v3 as listener;
pub(super) use meltemi_proto::envoy::config::rbac::v3 as rbac;
pub(super) use meltemi_proto::envoy::config::route::v3 as route;
pub(super) use meltemi_proto::envoy::extensions;
pub(super) use meltemi_proto::envoy::r#type;
pub(super) use meltemi_proto::google::protobuf;
pub(super) use meltemi_proto::istio::{alpn, stats};

pub(super) use extensions::common::dynamic_forward_proxy::v3 as dns_cache;
pub(super) use extensions::filters::network::http_connection_manager::v3 as hcm;
pub(super) use extensions::filters::network::tcp_proxy::v3 as tcp_proxy;
pub(super) use extensions::transport_sockets::tls::v3 as tls;
pub(super) use r#type::matcher::v3 as matcher;

pub(super) use crate::duration;
pub(super) use crate::uint32 as u32;

/// The canonical bytes of a listener.
pub(super) fn encode(message: &listener::Listener) -> Bytes {
    meltemi_proto::encode(message)
}

/// A wrapped boolean.
pub(super) fn bool(value: bool) -> protobuf::BoolValue {
    protobuf::BoolValue { value }
}

/// A filter configuration whose type not every Envoy has, as JSON. Istio 1.31 sends these as `udpa.type.v1.TypedStruct`.
pub(super) fn typed_struct(type_name: &str, value: Value) -> protobuf::Any {
    meltemi_proto::any::typed_struct(&format!("{}{type_name}", meltemi_proto::any::PREFIX), value)
}

/// A JSON object as a Struct.
pub(super) fn structure(value: &Value) -> protobuf::Struct {
    struct_from_json(value)
}

/// Metadata with one namespace.
pub(super) fn metadata(namespace: &str, value: &Value) -> core::Metadata {
    let filter_metadata = HashMap::from([(namespace.to_owned(), struct_from_json(value))]);
    core::Metadata {
        filter_metadata,
        ..Default::default()
    }
}

/// The aggregated stream as the source of a resource; Envoy waits for it for as long as it takes.
pub(super) fn ads() -> core::ConfigSource {
    core::ConfigSource {
        initial_fetch_timeout: Some(duration(Duration::ZERO)),
        resource_api_version: core::ApiVersion::V3.into(),
        config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(
            Default::default(),
        )),
        ..Default::default()
    }
}

/// Matches text that begins so.
pub(super) fn string_prefix(prefix: String) -> r#type::matcher::v3::StringMatcher {
    string_matcher(r#type::matcher::v3::string_matcher::MatchPattern::Prefix(
        prefix,
    ))
}

/// Matches equal text.
pub(super) fn string_exact(text: String) -> r#type::matcher::v3::StringMatcher {
    string_matcher(r#type::matcher::v3::string_matcher::MatchPattern::Exact(
        text,
    ))
}

/// Matches text that ends so.
pub(super) fn string_suffix(suffix: String) -> matcher::StringMatcher {
    string_matcher(matcher::string_matcher::MatchPattern::Suffix(suffix))
}

/// Matches text that an RE2 expression describes as a whole.
pub(super) fn string_regex(regex: String) -> matcher::StringMatcher {
    let regex = matcher::RegexMatcher {
        regex,
        ..Default::default()
    };
    string_matcher(matcher::string_matcher::MatchPattern::SafeRegex(regex))
}

fn string_matcher(
    pattern: r#type::matcher::v3::string_matcher::MatchPattern,
) -> r#type::matcher::v3::StringMatcher {
    r#type::matcher::v3::StringMatcher {
        match_pattern: Some(pattern),
        ..Default::default()
    }
}
