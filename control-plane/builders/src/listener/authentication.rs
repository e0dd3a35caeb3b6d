//! Tokens of requests. Istio 1.31: `convertToEnvoyJwtConfig`.

use std::collections::HashMap;
use std::time::Duration;

use meltemi_model::security::{JwtProvider, Keys};
use meltemi_model::{Shared, Str};

use super::{filters, pb};

use pb::extensions::filters::http::jwt_authn::v3 as jwt;

use jwt::jwt_requirement::RequiresType;

/// Which tokens requests may carry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authentication {
    /// The issuers, in order.
    pub providers: Vec<Shared<JwtProvider>>,
    /// Choose the route again when the claims are known: a gateway's routes may ask for them.
    pub clear_route_cache: bool,
}

/// How long a proxy uses keys that it fetched. Istio 1.31: five minutes.
const CACHED: Duration = Duration::from_secs(300);

/// The filter. A token that is there must be valid; one that is not there may be missing.
pub(super) fn filter(tokens: &Authentication) -> pb::hcm::HttpFilter {
    let names: Vec<String> = (0..tokens.providers.len())
        .map(|i| format!("origins-{i}"))
        .collect();
    let providers = names.iter().zip(&tokens.providers);
    let providers: HashMap<_, _> = providers
        .map(|(name, p)| (name.clone(), provider(p, tokens.clear_route_cache)))
        .collect();
    let everything = pb::route::RouteMatch {
        path_specifier: Some(pb::route::route_match::PathSpecifier::Prefix(
            "/".to_owned(),
        )),
        ..Default::default()
    };
    let rule = jwt::RequirementRule {
        r#match: Some(everything),
        requirement_type: Some(jwt::requirement_rule::RequirementType::Requires(
            requirement(&names),
        )),
    };
    let config = jwt::JwtAuthentication {
        providers,
        rules: vec![rule],
        bypass_cors_preflight: true,
        ..Default::default()
    };
    filters::http_filter("envoy.filters.http.jwt_authn", pb::any(&config))
}

/// Of one issuer: its token or none. Of several: a token of one of them, or for each of them its token or none. The first
/// part is for issuers whose tokens stand at the same place, where each would refuse the other's.
fn requirement(names: &[String]) -> jwt::JwtRequirement {
    let mut each = names.iter().map(|name| {
        let missing = RequiresType::AllowMissing(pb::protobuf::Empty::default());
        any_of(vec![of_provider(name), requires(missing)])
    });
    if names.len() == 1
        && let Some(only) = each.next()
    {
        return only;
    }
    let all = RequiresType::RequiresAll(jwt::JwtRequirementAndList {
        requirements: each.collect(),
    });
    let mut either: Vec<_> = names.iter().map(|name| of_provider(name)).collect();
    either.push(requires(all));
    any_of(either)
}

fn requires(of: RequiresType) -> jwt::JwtRequirement {
    jwt::JwtRequirement {
        requires_type: Some(of),
    }
}

fn of_provider(name: &str) -> jwt::JwtRequirement {
    requires(RequiresType::ProviderName(name.to_owned()))
}

fn any_of(requirements: Vec<jwt::JwtRequirement>) -> jwt::JwtRequirement {
    requires(RequiresType::RequiresAny(jwt::JwtRequirementOrList {
        requirements,
    }))
}

fn provider(provider: &JwtProvider, clear_route_cache: bool) -> jwt::JwtProvider {
    let rule = &provider.rule;
    let texts = |list: &[Str]| list.iter().map(Str::to_string).collect();
    let headers = rule
        .from_headers
        .iter()
        .map(|(name, prefix)| jwt::JwtHeader {
            name: name.to_string(),
            value_prefix: prefix.to_string(),
        });
    let claims = rule.claim_headers.iter();
    let claims = claims.map(|(header, claim)| jwt::JwtClaimToHeader {
        header_name: header.to_string(),
        claim_name: claim.to_string(),
        ..Default::default()
    });
    jwt::JwtProvider {
        issuer: rule.issuer.to_string(),
        audiences: texts(&rule.audiences),
        forward: rule.forward,
        from_headers: headers.collect(),
        from_params: texts(&rule.from_params),
        from_cookies: texts(&rule.from_cookies),
        forward_payload_header: rule.payload_header.to_string(),
        payload_in_metadata: "payload".to_owned(),
        normalize_payload_in_metadata: Some(jwt::jwt_provider::NormalizePayload {
            space_delimited_claims: texts(&rule.space_delimited),
        }),
        claim_to_headers: claims.collect(),
        clear_route_cache,
        jwks_source_specifier: Some(keys(&provider.keys, rule.timeout())),
        ..Default::default()
    }
}

fn keys(keys: &Keys, timeout: Duration) -> jwt::jwt_provider::JwksSourceSpecifier {
    use jwt::jwt_provider::JwksSourceSpecifier;
    use pb::core::{data_source::Specifier, http_uri::HttpUpstreamType};
    match keys {
        Keys::Inline(text) => JwksSourceSpecifier::LocalJwks(pb::core::DataSource {
            specifier: Some(Specifier::InlineString(text.to_string())),
            ..Default::default()
        }),
        Keys::Remote { uri, cluster } => JwksSourceSpecifier::RemoteJwks(jwt::RemoteJwks {
            http_uri: Some(pb::core::HttpUri {
                uri: uri.to_string(),
                timeout: Some(pb::duration(timeout)),
                http_upstream_type: Some(HttpUpstreamType::Cluster(cluster.to_string())),
            }),
            cache_duration: Some(pb::duration(CACHED)),
            ..Default::default()
        }),
    }
}

#[cfg(test)]
mod tests;
