//! Faults, CORS, mirrors and hash policies.

use meltemi_model::Str;
use meltemi_model::routing::{AbortStatus, CorsPolicy, Fault, Mirror, PerMillion};
use meltemi_model::traffic::HashKey;
use meltemi_proto::envoy::extensions::filters::common::fault::v3::{FaultDelay, fault_delay};
use meltemi_proto::envoy::extensions::filters::http::cors::v3 as cors;
use meltemi_proto::envoy::extensions::filters::http::fault::v3 as fault;

use super::wire::{all_requests, boolean, core, duration, per_million, rt, string_matcher};

/// An injected fault. Istio 1.31: `TranslateFault`.
pub(super) fn http_fault(input: &Fault) -> Option<fault::HttpFault> {
    let delay = input.delay.map(|(share, time)| FaultDelay {
        percentage: Some(per_million(share)),
        fault_delay_secifier: Some(fault_delay::FaultDelaySecifier::FixedDelay(duration(time))),
    });
    let abort = input
        .abort
        .as_ref()
        .map(|(share, status)| fault::FaultAbort {
            // Istio leaves the percentage out when there is none; to Envoy that means never.
            percentage: (*share != PerMillion(0)).then(|| per_million(*share)),
            error_type: Some(match status {
                AbortStatus::Http(status) => fault::fault_abort::ErrorType::HttpStatus(*status),
                AbortStatus::Grpc(status) => fault::fault_abort::ErrorType::GrpcStatus(*status),
            }),
            ..Default::default()
        });
    (delay.is_some() || abort.is_some()).then(|| fault::HttpFault {
        delay,
        abort,
        ..Default::default()
    })
}

/// A CORS policy. Istio 1.31: `TranslateCORSPolicy`.
pub(super) fn cors_policy(input: &CorsPolicy) -> cors::CorsPolicy {
    cors::CorsPolicy {
        allow_origin_string_match: input.allow_origins.iter().map(string_matcher).collect(),
        allow_methods: input.allow_methods.join(","),
        allow_headers: input.allow_headers.join(","),
        expose_headers: input.expose_headers.join(","),
        max_age: input
            .max_age
            .map(|age| age.as_secs().to_string())
            .unwrap_or_default(),
        allow_credentials: input.allow_credentials.map(boolean),
        filter_enabled: Some(core::RuntimeFractionalPercent {
            default_value: Some(all_requests()),
            ..Default::default()
        }),
        // Envoy's default changed in 1.30; Istio keeps the old one.
        forward_not_matching_preflights: Some(boolean(
            input.forward_unmatched_preflights != Some(false),
        )),
        ..Default::default()
    }
}

/// Copies of requests to `cluster`; `None` for a share of zero. Istio 1.31: `TranslateRequestMirrorPolicy`.
pub(super) fn mirror_policy(
    mirror: &Mirror,
    cluster: &Str,
) -> Option<rt::route_action::RequestMirrorPolicy> {
    let share = match mirror.share {
        Some(PerMillion(0)) => return None,
        Some(share) => per_million(share),
        None => all_requests(),
    };
    Some(rt::route_action::RequestMirrorPolicy {
        cluster: cluster.to_string(),
        runtime_fraction: Some(core::RuntimeFractionalPercent {
            default_value: Some(share),
            ..Default::default()
        }),
        trace_sampled: Some(boolean(false)),
        disable_shadow_host_suffix_append: true,
        ..Default::default()
    })
}

/// What requests are hashed by. Istio 1.31: `ConsistentHashToHashPolicy`.
pub(super) fn hash_policy(key: &HashKey) -> Option<rt::route_action::HashPolicy> {
    use rt::route_action::hash_policy as hash;
    let specifier = match key {
        HashKey::None => return None,
        HashKey::Header(name) => hash::PolicySpecifier::Header(hash::Header {
            header_name: name.to_string(),
            ..Default::default()
        }),
        HashKey::SourceIp => {
            hash::PolicySpecifier::ConnectionProperties(hash::ConnectionProperties {
                source_ip: true,
            })
        }
        HashKey::QueryParameter(name) => {
            hash::PolicySpecifier::QueryParameter(hash::QueryParameter {
                name: name.to_string(),
            })
        }
        HashKey::Cookie {
            name,
            path,
            ttl,
            attributes,
        } => hash::PolicySpecifier::Cookie(hash::Cookie {
            name: name.to_string(),
            ttl: ttl.map(duration),
            path: path.to_string(),
            attributes: attributes
                .iter()
                .map(|(name, value)| hash::CookieAttribute {
                    name: name.to_string(),
                    value: value.to_string(),
                })
                .collect(),
        }),
    };
    Some(rt::route_action::HashPolicy {
        policy_specifier: Some(specifier),
        ..Default::default()
    })
}
