//! RBAC and ext_authz: which filter ends a call, and what filters before it leave for it.

use meltemi_proto::Canonical;
use meltemi_proto::any::pack;
use meltemi_proto::envoy::config::core::v3::TypedExtensionConfig;
use meltemi_proto::envoy::config::core::v3::{CidrRange, GrpcService, grpc_service};
use meltemi_proto::envoy::config::listener::v3::{Filter, FilterChain, filter};
use meltemi_proto::envoy::config::rbac::v3::permission::Rule;
use meltemi_proto::envoy::config::rbac::v3::principal::{Authenticated, Identifier};
use meltemi_proto::envoy::config::rbac::v3::rbac::Action;
use meltemi_proto::envoy::config::rbac::v3::{Permission, Policy, Principal, Rbac};
use meltemi_proto::envoy::extensions::filters::http::ext_authz::v3 as ext_authz;
use meltemi_proto::envoy::extensions::filters::http::rbac::v3 as http_rbac;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, http_filter,
};
use meltemi_proto::envoy::extensions::filters::network::rbac::v3 as network_rbac;
use meltemi_proto::envoy::extensions::path::r#match::uri_template::v3::UriTemplateMatchConfig;
use meltemi_proto::envoy::r#type::matcher::v3::metadata_matcher::{PathSegment, path_segment};
use meltemi_proto::envoy::r#type::matcher::v3::value_matcher::MatchPattern as Pattern;
use meltemi_proto::envoy::r#type::matcher::v3::{
    MetadataMatcher, StringMatcher, ValueMatcher, string_matcher,
};

use crate::guard::{Connection, of_connection, of_request};
use crate::http::{Arrival, arrive};
use crate::{Call, MissKind};

use super::fixtures::{exact, flag, get, number};

fn typed<M: Canonical>(name: &str, message: &M) -> HttpFilter {
    HttpFilter {
        name: name.to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(pack(message))),
        ..HttpFilter::default()
    }
}

fn policy(rule: Rule, identifier: Identifier) -> Policy {
    Policy {
        permissions: vec![Permission { rule: Some(rule) }],
        principals: vec![Principal {
            identifier: Some(identifier),
        }],
        ..Policy::default()
    }
}

fn rules(action: Action, policies: &[(&str, Policy)]) -> Rbac {
    let policies = policies.iter();
    Rbac {
        action: action.into(),
        policies: policies
            .map(|(name, policy)| ((*name).to_owned(), policy.clone()))
            .collect(),
        ..Rbac::default()
    }
}

fn rbac(rules: Rbac) -> HttpFilter {
    let config = http_rbac::Rbac {
        rules: Some(rules),
        ..http_rbac::Rbac::default()
    };
    typed("rbac", &config)
}

fn shadow(rules: Rbac, prefix: &str) -> HttpFilter {
    let config = http_rbac::Rbac {
        shadow_rules: Some(rules),
        shadow_rules_stat_prefix: prefix.to_owned(),
        ..http_rbac::Rbac::default()
    };
    typed("rbac", &config)
}

/// Asks about what a rule whose name begins so marked.
fn asking(marked: &str) -> HttpFilter {
    let rule = StringMatcher {
        match_pattern: Some(string_matcher::MatchPattern::Prefix(marked.to_owned())),
        ..StringMatcher::default()
    };
    let config = ext_authz::ExtAuthz {
        services: Some(ext_authz::ext_authz::Services::GrpcService(GrpcService {
            target_specifier: Some(grpc_service::TargetSpecifier::EnvoyGrpc(
                grpc_service::EnvoyGrpc {
                    cluster_name: "asked".to_owned(),
                    ..grpc_service::EnvoyGrpc::default()
                },
            )),
            ..GrpcService::default()
        })),
        filter_enabled_metadata: Some(MetadataMatcher {
            filter: "envoy.filters.http.rbac".to_owned(),
            path: vec![PathSegment {
                segment: Some(path_segment::Segment::Key(
                    "x_shadow_effective_policy_id".to_owned(),
                )),
            }],
            value: Some(ValueMatcher {
                match_pattern: Some(Pattern::StringMatch(rule)),
            }),
            ..MetadataMatcher::default()
        }),
        ..ext_authz::ExtAuthz::default()
    };
    typed("ext_authz", &config)
}

fn manager(filters: Vec<HttpFilter>) -> HttpConnectionManager {
    HttpConnectionManager {
        http_filters: filters,
        ..HttpConnectionManager::default()
    }
}

/// What was chosen at each step, then how it ends.
fn said(manager: &HttpConnectionManager, call: &Call, principal: Option<&str>) -> String {
    let Ok(Arrival::Request(request)) = arrive(manager, call, false) else {
        panic!("no request");
    };
    let connection = Connection {
        call,
        principal,
        server_name: "",
    };
    let (steps, miss) = of_request(manager, &request, &connection);
    let mut said: Vec<String> = steps.into_iter().map(|step| step.chosen).collect();
    said.push(match miss {
        Some(miss) => format!("{} {:?}", miss.kind, miss.status),
        None => "passes".to_owned(),
    });
    said.join(", ")
}

fn anything() -> (Rule, Identifier) {
    (Rule::Any(true), Identifier::Any(true))
}

fn method(name: &str) -> Policy {
    let header = meltemi_proto::envoy::config::route::v3::HeaderMatcher {
        name: ":method".to_owned(),
        header_match_specifier: Some(
            meltemi_proto::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier::StringMatch(
                exact(name),
            ),
        ),
        ..Default::default()
    };
    policy(Rule::Header(header), anything().1)
}

#[test]
fn filters_decide_in_their_order() {
    let (rule, identifier) = anything();
    let all = policy(rule, identifier);
    let call = get("web", "/");
    for (what, filters, want) in [
        ("nothing asks", vec![], "passes"),
        (
            "no rule allows",
            vec![rbac(rules(Action::Allow, &[("post", method("POST"))]))],
            "no rule, denied Some(403)",
        ),
        (
            "the first rule by name is told",
            vec![rbac(rules(
                Action::Allow,
                &[("b", all.clone()), ("a", method("GET"))],
            ))],
            "a, passes",
        ),
        (
            "a rule denies before another filter allows",
            vec![
                rbac(rules(Action::Deny, &[("deny", method("GET"))])),
                rbac(rules(Action::Allow, &[("allow", all.clone())])),
            ],
            "deny, denied Some(403)",
        ),
        (
            "the log refuses nothing",
            vec![
                rbac(rules(Action::Log, &[("log", all.clone())])),
                rbac(rules(Action::Allow, &[("allow", all.clone())])),
            ],
            "log, allow, passes",
        ),
        (
            "a dry run refuses nothing",
            vec![shadow(
                rules(Action::Deny, &[("tried", all.clone())]),
                "istio_dry_run_deny_",
            )],
            "tried, passes",
        ),
        (
            "a provider is asked about what was marked for it",
            vec![
                shadow(rules(Action::Deny, &[("p-rule", all.clone())]), "x_"),
                asking("p-"),
            ],
            "asked, passes",
        ),
        (
            "and about nothing else",
            vec![
                shadow(rules(Action::Deny, &[("p-rule", method("POST"))]), "x_"),
                asking("p-"),
                asking("q-"),
            ],
            "passes",
        ),
        (
            "a filter that is switched off",
            vec![HttpFilter {
                disabled: true,
                ..rbac(rules(Action::Allow, &[]))
            }],
            "passes",
        ),
    ] {
        assert_eq!(said(&manager(filters), &call, None), want, "{what}");
    }
    let refusing = Call {
        provider_refuses: true,
        ..call
    };
    let filters = vec![
        shadow(rules(Action::Deny, &[("p-", all)]), "x_"),
        asking("p-"),
    ];
    assert_eq!(
        said(&manager(filters), &refusing, None),
        "asked, denied Some(403)"
    );
}

#[test]
fn names_are_in_certificates() {
    let named = |name: Option<&str>| {
        let authenticated = Authenticated {
            principal_name: name.map(exact),
        };
        let rule = policy(Rule::Any(true), Identifier::Authenticated(authenticated));
        manager(vec![rbac(rules(Action::Allow, &[("rule", rule)]))])
    };
    let call = get("web", "/");
    let yes = "rule, passes";
    let no = "no rule, denied Some(403)";
    for (wanted, shown, want) in [
        (Some("a"), Some("a"), yes),
        (Some("a"), Some("b"), no),
        (Some("a"), Some(""), no),
        (Some("a"), None, no),
        // TLS alone is enough where no name is asked for.
        (None, Some(""), yes),
        (None, None, no),
    ] {
        let found = said(&named(wanted), &call, shown);
        assert_eq!(found, want, "{wanted:?} {shown:?}");
    }
}

#[test]
fn addresses_behind_trusted_proxies() {
    let range = CidrRange {
        address_prefix: "203.0.113.0".to_owned(),
        prefix_len: Some(number(24)),
    };
    let of = |identifier| policy(Rule::Any(true), identifier);
    let both = [
        ("direct", of(Identifier::DirectRemoteIp(range.clone()))),
        ("remote", of(Identifier::RemoteIp(range))),
    ];
    // One filter for each, so that each is told.
    let filters: Vec<HttpFilter> = both
        .iter()
        .map(|one| rbac(rules(Action::Log, std::slice::from_ref(one))))
        .collect();
    for (edge, hops, source, forwarded, want) in [
        (false, 0, "203.0.113.1", "", "direct remote"),
        (false, 0, "10.0.0.1", "", ""),
        (false, 0, "10.0.0.1", "203.0.113.9", "remote"),
        (false, 0, "203.0.113.1", "203.0.113.9, 10.0.0.2", "direct"),
        (false, 1, "10.0.0.1", "203.0.113.9, 10.0.0.2", "remote"),
        (false, 0, "10.0.0.1", "nonsense", ""),
        // An edge proxy believes nobody, unless it is told how many proxies stand before it.
        (true, 0, "10.0.0.1", "203.0.113.9", ""),
        (true, 1, "10.0.0.1", "203.0.113.9", "remote"),
        (true, 2, "10.0.0.1", "203.0.113.9, 10.0.0.2", "remote"),
        (true, 2, "203.0.113.1", "10.0.0.2", "direct remote"),
    ] {
        let manager = HttpConnectionManager {
            use_remote_address: Some(flag(edge)),
            xff_num_trusted_hops: hops,
            ..manager(filters.clone())
        };
        let mut call = get("web", "/");
        call.source = source.parse().expect("an address");
        if !forwarded.is_empty() {
            let header = ("X-Forwarded-For".to_owned(), forwarded.to_owned());
            call.headers.push(header);
        }
        let found = said(&manager, &call, None);
        let met: Vec<&str> = found
            .split(", ")
            .filter(|word| ["direct", "remote"].contains(word))
            .collect();
        assert_eq!(met.join(" "), want, "{edge} {hops} {source} {forwarded}");
    }
}

#[test]
fn path_templates() {
    for (template, path, want) in [
        ("/a/*", "/a/b", true),
        ("/a/*", "/a/b?q=/c", true),
        ("/a/*", "/a/", false),
        ("/a/*", "/a/b/c", false),
        ("/a/**", "/a/", true),
        ("/a/**", "/a", false),
        ("/a/**", "/a/b/c", true),
        ("/*/c", "/a/c", true),
        ("/**/c", "/a/b/c", true),
        ("/a.b/*", "/axb/c", false),
        // Envoy: these take none of the characters that must be escaped, nor `=` and `*`.
        ("/a/*", "/a/b=c", false),
    ] {
        let config = UriTemplateMatchConfig {
            path_template: template.to_owned(),
        };
        let rule = Rule::UriTemplate(TypedExtensionConfig {
            name: "uri-template".to_owned(),
            typed_config: Some(pack(&config)),
        });
        let rule = policy(rule, Identifier::Any(true));
        let manager = manager(vec![rbac(rules(Action::Allow, &[("rule", rule)]))]);
        let passes = said(&manager, &get("web", path), None).ends_with("passes");
        assert_eq!(passes, want, "{template} {path}");
    }
}

#[test]
fn connections_are_closed() {
    let chain = |rules: Rbac| {
        let config = network_rbac::Rbac {
            rules: Some(rules),
            ..network_rbac::Rbac::default()
        };
        FilterChain {
            filters: vec![Filter {
                name: "rbac".to_owned(),
                config_type: Some(filter::ConfigType::TypedConfig(pack(&config))),
            }],
            ..FilterChain::default()
        }
    };
    let port = |port| policy(Rule::DestinationPort(port), Identifier::Any(true));
    let call = Call::to("10.0.0.1", 80);
    let connection = Connection {
        call: &call,
        principal: None,
        server_name: "",
    };
    let (_, none) = of_connection(
        &chain(rules(Action::Allow, &[("80", port(80))])),
        &connection,
    );
    assert_eq!(none, None);
    let (_, miss) = of_connection(
        &chain(rules(Action::Deny, &[("80", port(80))])),
        &connection,
    );
    let miss = miss.expect("denied");
    assert_eq!((miss.kind, miss.status), (MissKind::Denied, None));
    // Nothing of a request is known.
    let (_, miss) = of_connection(
        &chain(rules(Action::Allow, &[("get", method("GET"))])),
        &connection,
    );
    assert_eq!(miss.map(|miss| miss.kind), Some(MissKind::Denied));
}
