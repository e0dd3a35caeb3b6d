//! Filters that decide whether a connection or a request may pass: RBAC, and ext_authz where a provider is asked.

use std::net::IpAddr;

use meltemi_proto::any::type_name;
use meltemi_proto::envoy::config::core::v3::GrpcService;
use meltemi_proto::envoy::config::core::v3::grpc_service::TargetSpecifier;
use meltemi_proto::envoy::config::core::v3::http_uri::HttpUpstreamType;
use meltemi_proto::envoy::config::listener::v3::{FilterChain, filter};
use meltemi_proto::envoy::config::rbac::v3::{Rbac, rbac::Action};
use meltemi_proto::envoy::extensions::filters::http::ext_authz::v3 as http_ext_authz;
use meltemi_proto::envoy::extensions::filters::http::rbac::v3 as http_rbac;
use meltemi_proto::envoy::extensions::filters::network::ext_authz::v3 as network_ext_authz;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, http_filter,
};
use meltemi_proto::envoy::extensions::filters::network::rbac::v3 as network_rbac;
use meltemi_proto::envoy::r#type::matcher::v3::MetadataMatcher;
use meltemi_proto::google::protobuf::{Any, Struct, Value, value::Kind};
use prost::Message as _;

use crate::call::Call;
use crate::http::Request;
use crate::matching::dynamic_metadata;
use crate::outcome::{Miss, MissKind, Stage, Step};
use crate::rbac::{Facts, Said, evaluate};

const HTTP_RBAC: &str = "envoy.extensions.filters.http.rbac.v3.RBAC";
const NETWORK_RBAC: &str = "envoy.extensions.filters.network.rbac.v3.RBAC";
const HTTP_EXT_AUTHZ: &str = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz";
const NETWORK_EXT_AUTHZ: &str = "envoy.extensions.filters.network.ext_authz.v3.ExtAuthz";

/// One filter, decoded.
#[derive(Debug)]
enum Guard {
    Rules {
        /// Under which name it writes metadata.
        filter: &'static str,
        rules: Option<Rbac>,
        shadow: Option<Rbac>,
        /// How the names of what shadow rules write begin.
        prefix: String,
    },
    Provider {
        cluster: String,
        /// Only what this matches is asked about; without it everything.
        when: Option<MetadataMatcher>,
    },
    /// It decides, and cannot be followed.
    Unknown(String),
}

/// What is known of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connection<'a> {
    pub(crate) call: &'a Call,
    /// The name in the client's certificate: none without TLS, empty without a certificate.
    pub(crate) principal: Option<&'a str>,
    /// The server name of the handshake, in lower case.
    pub(crate) server_name: &'a str,
}

/// What the filters of a connection manager say to a request: what each of them decided, and why it ends there, if it does.
pub(crate) fn of_request(
    manager: &HttpConnectionManager,
    request: &Request,
    connection: &Connection<'_>,
) -> (Vec<Step>, Option<Miss>) {
    let filters = manager.http_filters.iter().filter(|f| !f.disabled);
    let guards = filters.filter_map(|filter| match &filter.config_type {
        Some(http_filter::ConfigType::TypedConfig(any)) => http(any),
        _ => None,
    });
    let remote = remote(manager, request, connection.call.source);
    judge(guards, Some(request), remote, connection)
}

/// What the network filters before the one that ends the chain say to a connection.
pub(crate) fn of_connection(
    chain: &FilterChain,
    connection: &Connection<'_>,
) -> (Vec<Step>, Option<Miss>) {
    let guards = chain
        .filters
        .iter()
        .filter_map(|filter| match &filter.config_type {
            Some(filter::ConfigType::TypedConfig(any)) => network(any),
            _ => None,
        });
    judge(guards, None, connection.call.source, connection)
}

fn http(any: &Any) -> Option<Guard> {
    let guard = match type_name(&any.type_url) {
        HTTP_RBAC => http_rbac::Rbac::decode(any.value.as_slice()).map(|config| {
            if config.matcher.is_some() {
                return Guard::Unknown("RBAC by a matcher tree".to_owned());
            }
            Guard::Rules {
                filter: "envoy.filters.http.rbac",
                rules: config.rules,
                shadow: config.shadow_rules,
                prefix: config.shadow_rules_stat_prefix,
            }
        }),
        HTTP_EXT_AUTHZ => http_ext_authz::ExtAuthz::decode(any.value.as_slice()).map(|config| {
            let cluster = match &config.services {
                Some(http_ext_authz::ext_authz::Services::GrpcService(service)) => grpc(service),
                Some(http_ext_authz::ext_authz::Services::HttpService(service)) => service
                    .server_uri
                    .as_ref()
                    .and_then(|uri| match uri.http_upstream_type.as_ref()? {
                        HttpUpstreamType::Cluster(cluster) => Some(cluster.clone()),
                    }),
                None => None,
            };
            Guard::Provider {
                cluster: cluster.unwrap_or_default(),
                when: config.filter_enabled_metadata,
            }
        }),
        _ => return None,
    };
    Some(guard.unwrap_or_else(|error| Guard::Unknown(error.to_string())))
}

fn network(any: &Any) -> Option<Guard> {
    let guard = match type_name(&any.type_url) {
        NETWORK_RBAC => network_rbac::Rbac::decode(any.value.as_slice()).map(|config| {
            if config.matcher.is_some() {
                return Guard::Unknown("RBAC by a matcher tree".to_owned());
            }
            Guard::Rules {
                filter: "envoy.filters.network.rbac",
                rules: config.rules,
                shadow: config.shadow_rules,
                prefix: config.shadow_rules_stat_prefix,
            }
        }),
        NETWORK_EXT_AUTHZ => {
            let config = network_ext_authz::ExtAuthz::decode(any.value.as_slice());
            config.map(|config| Guard::Provider {
                cluster: config
                    .grpc_service
                    .as_ref()
                    .and_then(grpc)
                    .unwrap_or_default(),
                when: config.filter_enabled_metadata,
            })
        }
        _ => return None,
    };
    Some(guard.unwrap_or_else(|error| Guard::Unknown(error.to_string())))
}

fn grpc(service: &GrpcService) -> Option<String> {
    match service.target_specifier.as_ref()? {
        TargetSpecifier::EnvoyGrpc(grpc) => Some(grpc.cluster_name.clone()),
        TargetSpecifier::GoogleGrpc(grpc) => Some(grpc.target_uri.clone()),
    }
}

/// The filters in their order, until one refuses.
fn judge(
    guards: impl Iterator<Item = Guard>,
    request: Option<&Request>,
    remote: IpAddr,
    connection: &Connection<'_>,
) -> (Vec<Step>, Option<Miss>) {
    let call = connection.call;
    let mut metadata = call.metadata.clone();
    let mut steps = Vec::new();
    let miss = |kind, why: String, candidates| Miss {
        at: Stage::Authorization,
        kind,
        why,
        candidates,
        status: request.is_some().then_some(403),
    };
    for guard in guards {
        let facts = Facts {
            direct: call.source,
            remote,
            destination: (call.address, call.port),
            principal: connection.principal,
            server_name: connection.server_name,
            request,
            metadata: &metadata,
        };
        match guard {
            Guard::Rules {
                filter,
                rules,
                shadow,
                prefix,
            } => {
                let tried = shadow
                    .as_ref()
                    .map(|shadow| (shadow, evaluate(shadow, &facts)));
                if let Some(rules) = &rules {
                    let said = evaluate(rules, &facts);
                    steps.push(step(rules, &said));
                    if !said.allowed {
                        let candidates = match said.policy {
                            Some(_) => Vec::new(),
                            None => names(rules),
                        };
                        let why = why(rules, &said);
                        return (steps, Some(miss(MissKind::Denied, why, candidates)));
                    }
                }
                if let Some((shadow, said)) = tried {
                    steps.extend(tried_step(shadow, &said, &prefix));
                    let fields = metadata.entry(filter.to_owned()).or_default();
                    write(fields, &prefix, &said);
                }
            }
            Guard::Provider { cluster, when } => {
                let asked = when.is_none_or(|when| dynamic_metadata(&when, &metadata));
                if !asked {
                    continue;
                }
                let refuses = call.provider_refuses;
                let answer = if refuses {
                    "refuses"
                } else {
                    "is taken to allow"
                };
                let why = format!("the extension provider is asked, and {answer}");
                steps.push(Step {
                    stage: Stage::Authorization,
                    chosen: cluster,
                    why: why.clone(),
                    config: None,
                });
                if refuses {
                    return (steps, Some(miss(MissKind::Denied, why, Vec::new())));
                }
            }
            Guard::Unknown(what) => {
                let why = format!("a filter that authorizes cannot be followed here: {what}");
                let miss = Miss {
                    status: None,
                    ..miss(MissKind::NotFollowed, why, Vec::new())
                };
                return (steps, Some(miss));
            }
        }
    }
    (steps, None)
}

fn step(rules: &Rbac, said: &Said<'_>) -> Step {
    Step {
        stage: Stage::Authorization,
        chosen: said.policy.unwrap_or("no rule").to_owned(),
        why: why(rules, said),
        config: None,
    }
}

fn why(rules: &Rbac, said: &Said<'_>) -> String {
    let count = rules.policies.len();
    match (rules.action(), said.policy) {
        (Action::Allow, Some(rule)) => format!("rule {rule} allows it"),
        (Action::Allow, None) => format!("rules that allow: {count}, and none is met"),
        (Action::Deny, Some(rule)) => format!("rule {rule} denies it"),
        (Action::Deny, None) => format!("rules that deny: {count}, and none is met"),
        (Action::Log, Some(rule)) => format!("rule {rule} marks it for the log"),
        (Action::Log, None) => format!("rules that audit: {count}, and none is met"),
    }
}

/// What rules that are only tried say. Those by which a provider is asked say nothing themselves.
fn tried_step(shadow: &Rbac, said: &Said<'_>, prefix: &str) -> Option<Step> {
    prefix.starts_with("istio_dry_run").then(|| Step {
        why: format!("{}, in a dry run only", why(shadow, said)),
        ..step(shadow, said)
    })
}

/// The names of the rules, in order.
fn names(rules: &Rbac) -> Vec<String> {
    let mut names: Vec<String> = rules.policies.keys().cloned().collect();
    names.sort();
    names
}

/// What shadow rules leave for filters after them.
fn write(fields: &mut Struct, prefix: &str, said: &Said<'_>) {
    let text = |text: &str| Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    };
    let result = if said.allowed { "allowed" } else { "denied" };
    let key = format!("{prefix}shadow_engine_result");
    fields.fields.insert(key, text(result));
    if let Some(policy) = said.policy {
        let key = format!("{prefix}shadow_effective_policy_id");
        fields.fields.insert(key, text(policy));
    }
}

/// The client's address as the connection manager takes it from `x-forwarded-for`. Envoy: the last address, or one that
/// stands as many places before it as there are trusted proxies; an edge proxy without such believes the connection only.
fn remote(manager: &HttpConnectionManager, request: &Request, direct: IpAddr) -> IpAddr {
    let edge = manager.use_remote_address.is_some_and(|flag| flag.value);
    let hops = usize::try_from(manager.xff_num_trusted_hops).unwrap_or(usize::MAX);
    let skipped = match (edge, hops) {
        (true, 0) => return direct,
        (true, hops) => hops - 1,
        (false, hops) => hops,
    };
    let header = request.header("x-forwarded-for").unwrap_or_default();
    let found = header.rsplit(',').nth(skipped);
    found
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(direct)
}
