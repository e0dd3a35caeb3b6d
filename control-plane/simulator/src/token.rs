//! Tokens of requests: the filter `jwt_authn`.

use meltemi_proto::any::struct_from_json;
use meltemi_proto::envoy::config::core::v3::data_source::Specifier;
use meltemi_proto::envoy::extensions::filters::http::jwt_authn::v3::jwt_provider::JwksSourceSpecifier;
use meltemi_proto::envoy::extensions::filters::http::jwt_authn::v3::jwt_requirement::RequiresType;
use meltemi_proto::envoy::extensions::filters::http::jwt_authn::v3::requirement_rule::RequirementType;
use meltemi_proto::envoy::extensions::filters::http::jwt_authn::v3::{
    JwtAuthentication, JwtProvider, JwtRequirement,
};
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use meltemi_proto::google::protobuf::Struct;
use prost::Message as _;
use serde_json::{Map, Value, json};

use crate::http::Request;
use crate::outcome::{Miss, MissKind, Stage};

mod claims;
mod verify;

use claims::{claim, normalized, shown};
use verify::{Problem, Token, verify};

/// The filter's name, under which it leaves the claims of a token.
pub(crate) const FILTER: &str = "envoy.filters.http.jwt_authn";

/// What a request has after the filter.
#[derive(Debug, Default)]
pub(crate) struct Authenticated {
    /// The claims, for those who match metadata.
    pub(crate) metadata: Option<Struct>,
    /// The route is chosen once the claims are known.
    pub(crate) clears_route: bool,
}

/// Looks at the tokens of a request, and changes its headers as the filter does. `now` in seconds since 1970.
pub(crate) fn authenticate(
    manager: &HttpConnectionManager,
    request: &mut Request,
    now: Option<u64>,
) -> Result<Option<Authenticated>, Miss> {
    let Some(config) = config(manager) else {
        return Ok(None);
    };
    if config.bypass_cors_preflight && is_preflight(request) {
        return Ok(None);
    }
    let rule = config.rules.iter().find(|rule| covers_all(rule));
    let requirement = match rule.and_then(|rule| rule.requirement_type.as_ref()) {
        Some(RequirementType::Requires(requirement)) => requirement,
        Some(RequirementType::RequirementName(_)) | None => return Ok(None),
    };
    let mut filter = Filter {
        config: &config,
        request,
        now,
        tokens: Vec::new(),
        payload: None,
        changes: Vec::new(),
        clears_route: false,
    };
    filter.extract();
    match filter.meets(requirement) {
        Ok(()) => Ok(Some(filter.finish())),
        Err(problem) => Err(Miss {
            at: Stage::Network,
            kind: match problem {
                Problem::NotFollowed(_) => MissKind::NotFollowed,
                _ => MissKind::Refused,
            },
            why: problem.to_string(),
            candidates: Vec::new(),
            status: match problem {
                Problem::NotFollowed(_) => None,
                _ => Some(401),
            },
        }),
    }
}

fn config(manager: &HttpConnectionManager) -> Option<JwtAuthentication> {
    let mut filters = manager.http_filters.iter();
    let filter = filters.find(|filter| filter.name == FILTER && !filter.disabled)?;
    match &filter.config_type {
        Some(ConfigType::TypedConfig(any)) => JwtAuthentication::decode(any.value.as_slice()).ok(),
        _ => None,
    }
}

/// Istio writes one rule for all paths; others are not looked at.
fn covers_all(
    rule: &meltemi_proto::envoy::extensions::filters::http::jwt_authn::v3::RequirementRule,
) -> bool {
    use meltemi_proto::envoy::config::route::v3::route_match::PathSpecifier;
    let matching = rule.r#match.as_ref();
    let path = matching.and_then(|matching| matching.path_specifier.as_ref());
    matches!(path, Some(PathSpecifier::Prefix(prefix)) if prefix == "/")
}

fn is_preflight(request: &Request) -> bool {
    let has = |name: &str| request.header(name).is_some_and(|value| !value.is_empty());
    request.method == "OPTIONS" && has("origin") && has("access-control-request-method")
}

/// Where a token stood.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Header(String),
    Parameter,
    Cookie,
}

/// What is done to headers when the request goes on.
#[derive(Debug)]
enum Change {
    Remove(String),
    Set(String, String),
}

struct Filter<'a> {
    config: &'a JwtAuthentication,
    request: &'a mut Request,
    now: Option<u64>,
    /// The tokens that each provider looks at, by its name.
    tokens: Vec<(&'a str, Place, String)>,
    payload: Option<Value>,
    changes: Vec<Change>,
    clears_route: bool,
}

impl<'a> Filter<'a> {
    /// Finds the tokens, and removes headers that only the filter may fill.
    fn extract(&mut self) {
        for (name, provider) in &self.config.providers {
            for (place, token) in places(provider, self.request) {
                self.tokens.push((name, place, token));
            }
        }
        for provider in self.config.providers.values() {
            let claims = provider.claim_to_headers.iter();
            let filled = claims.map(|claim| &claim.header_name);
            for header in filled.chain([&provider.forward_payload_header]) {
                if !header.is_empty() {
                    self.request.remove_header(header);
                }
            }
        }
    }

    fn meets(&mut self, requirement: &JwtRequirement) -> Result<(), Problem> {
        match &requirement.requires_type {
            None => Ok(()),
            Some(RequiresType::ProviderName(name)) => self.provider(name),
            Some(RequiresType::RequiresAll(all)) => {
                all.requirements.iter().try_for_each(|one| self.meets(one))
            }
            Some(RequiresType::RequiresAny(any)) => self.any(&any.requirements),
            Some(RequiresType::AllowMissing(_)) => Ok(()),
            Some(_) => Err(Problem::NotFollowed(
                "a requirement that Istio does not write is not followed here",
            )),
        }
    }

    /// One of them. A token that is missing is one only where the list says so; of failures that of a token counts before
    /// one for want of it.
    fn any(&mut self, list: &[JwtRequirement]) -> Result<(), Problem> {
        let may_miss = |one: &&JwtRequirement| {
            matches!(one.requires_type, Some(RequiresType::AllowMissing(_)))
        };
        let mut worst = Problem::Missing;
        for one in list.iter().filter(|one| !may_miss(one)) {
            match self.meets(one) {
                Ok(()) => return Ok(()),
                Err(problem) if problem.outweighs(&worst) => worst = problem,
                Err(_) => {}
            }
        }
        if worst == Problem::Missing && list.iter().any(|one| may_miss(&one)) {
            return Ok(());
        }
        Err(worst)
    }

    fn provider(&mut self, name: &str) -> Result<(), Problem> {
        let Some((name, provider)) = self.config.providers.get_key_value(name) else {
            return Err(Problem::Missing);
        };
        let own = |(of, _, _): &&(&str, Place, String)| of == name;
        let tokens: Vec<_> = self.tokens.iter().filter(own).cloned().collect();
        let keys = match &provider.jwks_source_specifier {
            Some(JwksSourceSpecifier::LocalJwks(source)) => match &source.specifier {
                Some(Specifier::InlineString(text)) => text.as_str(),
                _ => return Err(Problem::NotFollowed("keys in a file are not followed here")),
            },
            _ if tokens.is_empty() => "",
            _ => return Err(Problem::NotFollowed("the proxy fetches the keys by itself")),
        };
        let mut worst = Problem::Missing;
        for (_, place, text) in tokens {
            let checked = Token::parse(&text)
                .and_then(|token| verify(&token, provider, keys, self.now).map(|()| token));
            match checked {
                Ok(token) => {
                    self.accept(provider, &place, &token);
                    return Ok(());
                }
                Err(problem) => worst = problem,
            }
        }
        Err(worst)
    }

    fn accept(&mut self, provider: &JwtProvider, place: &Place, token: &Token) {
        self.clears_route |= provider.clear_route_cache;
        if let (Place::Header(name), false) = (place, provider.forward) {
            self.changes.push(Change::Remove(name.clone()));
        }
        if !provider.forward_payload_header.is_empty() {
            let header = provider.forward_payload_header.clone();
            self.changes
                .push(Change::Set(header, token.payload.clone()));
        }
        for wanted in &provider.claim_to_headers {
            if let Some(text) = claim(&token.claims, &wanted.claim_name).and_then(shown) {
                let header = wanted.header_name.clone();
                self.changes.push(Change::Set(header, text));
            }
        }
        let normalize = provider.normalize_payload_in_metadata.as_ref();
        let lists = normalize.map_or(&[][..], |normalize| &normalize.space_delimited_claims);
        if !provider.payload_in_metadata.is_empty() {
            let name = provider.payload_in_metadata.clone();
            let claims = normalized(&token.claims, lists);
            let payload = self.payload.get_or_insert_with(|| json!({}));
            payload[name] = Value::Object(claims);
        }
    }

    fn finish(self) -> Authenticated {
        for change in self.changes {
            match change {
                Change::Remove(name) => self.request.remove_header(&name),
                Change::Set(name, value) => self.request.set_header(&name, &value),
            }
        }
        Authenticated {
            metadata: self.payload.as_ref().map(struct_from_json),
            clears_route: self.clears_route,
        }
    }
}

/// The tokens at the places where a provider looks. Envoy: without any, `Authorization: Bearer` and the parameter
/// `access_token`.
fn places(provider: &JwtProvider, request: &Request) -> Vec<(Place, String)> {
    let mut found = Vec::new();
    let is_default = provider.from_headers.is_empty()
        && provider.from_params.is_empty()
        && provider.from_cookies.is_empty();
    let mut header = |name: &str, prefix: &str| {
        let Some(value) = request.header(name) else {
            return;
        };
        if let Some(at) = value.find(prefix) {
            let token = value[at + prefix.len()..].trim();
            let token = token.split([' ', ',']).next().unwrap_or_default();
            let place = Place::Header(name.to_ascii_lowercase());
            found.push((place, token.to_owned()));
        }
    };
    if is_default {
        header("authorization", "Bearer ");
    }
    for from in &provider.from_headers {
        header(&from.name, &from.value_prefix);
    }
    let default = is_default.then(|| "access_token".to_owned());
    for name in provider.from_params.iter().chain(&default) {
        if let Some(token) = request.parameter(name) {
            found.push((Place::Parameter, token.to_owned()));
        }
    }
    for name in &provider.from_cookies {
        if let Some(token) = request.cookie(name) {
            found.push((Place::Cookie, token));
        }
    }
    found
}

/// The claims of a token.
type Claims = Map<String, Value>;

#[cfg(test)]
mod tests;
