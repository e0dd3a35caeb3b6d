//! Short names of Envoy's messages, and constructors for the small ones.

use std::time::Duration;

use meltemi_model::routing::{PerMillion, StringMatch};
use meltemi_proto::google::protobuf as wkt;

pub(super) use crate::duration;
pub(super) use crate::uint32 as number;
pub(super) use meltemi_proto::envoy::config::core::v3 as core;
pub(super) use meltemi_proto::envoy::config::route::v3 as rt;
pub(super) use meltemi_proto::envoy::r#type::matcher::v3 as matcher;
pub(super) use meltemi_proto::envoy::r#type::v3 as types;

/// The metadata namespace that istioctl, Kiali and the stats filter read.
const ISTIO: &str = "istio";

pub(super) fn boolean(value: bool) -> wkt::BoolValue {
    wkt::BoolValue { value }
}

/// The most that `grpc-timeout` headers may ask for. The field is deprecated for `max_stream_duration`, which also ends
/// streams that clients meant to be endless; Istio keeps it.
#[allow(deprecated)]
pub(super) fn limit_grpc(action: &mut rt::RouteAction, limit: Duration) {
    action.max_grpc_timeout = Some(duration(limit));
}

pub(super) fn regex(pattern: &str) -> matcher::RegexMatcher {
    matcher::RegexMatcher {
        regex: pattern.to_owned(),
        ..Default::default()
    }
}

pub(super) fn string_matcher(value: &StringMatch) -> matcher::StringMatcher {
    use matcher::string_matcher::MatchPattern;
    let pattern = match value {
        StringMatch::Exact(text) => MatchPattern::Exact(text.to_string()),
        StringMatch::Prefix(text) => MatchPattern::Prefix(text.to_string()),
        StringMatch::Regex(text) => MatchPattern::SafeRegex(regex(text)),
    };
    matcher::StringMatcher {
        match_pattern: Some(pattern),
        ..Default::default()
    }
}

pub(super) fn per_million(share: PerMillion) -> types::FractionalPercent {
    types::FractionalPercent {
        numerator: share.0,
        denominator: types::fractional_percent::DenominatorType::Million as i32,
    }
}

/// 100 %, spelled as Istio spells it where the user said nothing.
pub(super) fn all_requests() -> types::FractionalPercent {
    types::FractionalPercent {
        numerator: 100,
        denominator: types::fractional_percent::DenominatorType::Hundred as i32,
    }
}

/// `filter_metadata.istio.config`: the path of the object that a resource was made from. Istio 1.31:
/// `AddConfigInfoMetadata`.
pub(super) fn config_metadata(path: String) -> core::Metadata {
    let value = wkt::Value {
        kind: Some(wkt::value::Kind::StringValue(path)),
    };
    let fields = wkt::Struct {
        fields: [("config".to_owned(), value)].into(),
    };
    core::Metadata {
        filter_metadata: [(ISTIO.to_owned(), fields)].into(),
        ..Default::default()
    }
}

/// `host:port`, with IPv6 addresses in brackets. Istio 1.31: `DomainName`.
pub(super) fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}
