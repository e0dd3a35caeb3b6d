//! Tables: rules and the terms of RBAC that they become. The whole filters stand in the goldens.

use std::collections::BTreeMap;

use meltemi_model::provider::{ExtAuthz, ExtAuthzProtocol, ProviderService};
use meltemi_model::security::{
    AuthorizationAction, AuthorizationPolicy, AuthorizationRule, Condition, Operation, Source,
    TextMatch, Values,
};
use meltemi_model::testing::authorization_policy;
use meltemi_model::{Hostname, Shared, Str};
use meltemi_proto::pool;
use serde_json::Value;

use super::{Authorization, Authorizer, Level, http, pb, rule, tcp, text, trust_domain};

fn any<T>(any: impl IntoIterator<Item = T>) -> Values<T> {
    Values {
        any: any.into_iter().collect(),
        none: Vec::new(),
    }
}

fn texts(list: &[&str]) -> Values<TextMatch> {
    any(list.iter().map(|text| TextMatch::parse(text)))
}

fn strings(list: &[&str]) -> Vec<Str> {
    list.iter().map(|text| (*text).into()).collect()
}

fn methods(list: &[&str]) -> Operation {
    Operation {
        methods: texts(list),
        ..Operation::default()
    }
}

fn policy(name: &str, action: AuthorizationAction, rule: AuthorizationRule) -> AuthorizationPolicy {
    AuthorizationPolicy {
        rules: vec![rule],
        ..authorization_policy("ns", name, action)
    }
}

fn authorization(policies: Vec<AuthorizationPolicy>) -> Authorization {
    let provider = |protocol| Authorizer {
        cluster: "outbound|9000||asked.test".into(),
        host: Hostname::new("asked.test"),
        settings: ExtAuthz {
            service: ProviderService::parse("asked.test", 9000),
            timeout: None,
            fail_open: false,
            clear_route_cache: false,
            status_on_error: None,
            body: None,
            protocol,
        },
    };
    let over_http = ExtAuthzProtocol::Http {
        path_prefix: "".into(),
        request_headers: Vec::new(),
        extra_headers: Vec::new(),
        upstream_on_allow: Vec::new(),
        downstream_on_deny: Vec::new(),
        downstream_on_allow: Vec::new(),
    };
    Authorization {
        policies: policies.into_iter().map(Shared::new).collect(),
        trust_domains: strings(&["td"]),
        providers: BTreeMap::from([
            ("grpc".into(), provider(ExtAuthzProtocol::Grpc)),
            ("http".into(), provider(over_http)),
        ]),
        multiple_providers: false,
    }
}

fn json<M: prost::Message + prost::Name>(message: &M) -> Value {
    pool::message_to_json(&M::full_name(), &message.encode_to_vec()).expect("a known message")
}

/// Name of each filter with the names of its rules, those of a dry run in brackets.
fn summary(filters: impl IntoIterator<Item = (String, Value)>) -> Vec<String> {
    let names = |rules: &Value| {
        let policies = rules["policies"].as_object().into_iter().flatten();
        let names: Vec<&str> = policies.map(|(name, _)| name.as_str()).collect();
        format!(
            "{} {}",
            rules["action"].as_str().unwrap_or("ALLOW"),
            names.join(" ")
        )
    };
    let line = |(name, config): (String, Value)| {
        let name = name.rsplit('.').next().unwrap_or_default().to_owned();
        let rules = config
            .get("rules")
            .map(|rules| format!(" {}", names(rules)));
        let shadow = config.get("shadow_rules");
        let shadow = shadow.map(|rules| format!(" [{}]", names(rules)));
        name + &rules.unwrap_or_default() + &shadow.unwrap_or_default()
    };
    filters.into_iter().map(line).collect()
}

fn of_http(authorization: &Authorization) -> Vec<String> {
    let built = http(authorization);
    let filters = built.custom.iter().chain(&built.rules);
    summary(filters.map(|filter| (filter.name.clone(), json(filter)["typed_config"].clone())))
}

fn of_tcp(authorization: &Authorization) -> Vec<String> {
    let filters = tcp(authorization);
    let filters = filters.iter();
    summary(filters.map(|filter| (filter.name.clone(), json(filter)["typed_config"].clone())))
}

#[test]
fn filters_stand_in_the_order_of_evaluation() {
    let custom = |name: &str| AuthorizationAction::Custom(name.into());
    let all = authorization(vec![
        policy(
            "allow",
            AuthorizationAction::Allow,
            AuthorizationRule::default(),
        ),
        policy(
            "deny",
            AuthorizationAction::Deny,
            AuthorizationRule::default(),
        ),
        policy(
            "audit",
            AuthorizationAction::Audit,
            AuthorizationRule::default(),
        ),
        policy("ask", custom("grpc"), AuthorizationRule::default()),
    ]);
    let want = [
        "rbac [DENY istio-ext-authz-grpc-ns[ns]-policy[ask]-rule[0]]",
        "ext_authz",
        "rbac LOG ns[ns]-policy[audit]-rule[0]",
        "rbac DENY ns[ns]-policy[deny]-rule[0]",
        "rbac ALLOW ns[ns]-policy[allow]-rule[0]",
    ];
    assert_eq!(of_http(&all), want);
    assert_eq!(of_tcp(&all), want);
}

#[test]
fn providers_that_cannot_be_asked_refuse() {
    let ask = |name: &str, provider: &str| {
        let custom = AuthorizationAction::Custom(provider.into());
        policy(name, custom, AuthorizationRule::default())
    };
    let refused = |name: &str, provider: &str| {
        format!(
            "rbac DENY istio-ext-authz-{provider}-ns[ns]-policy[{name}]-rule[0]-deny-due-to-bad-CUSTOM-action"
        )
    };
    let missing = authorization(vec![ask("a", "gone")]);
    assert_eq!(of_http(&missing), [refused("a", "gone")]);
    assert_eq!(of_tcp(&missing), [refused("a", "gone")]);
    // One that speaks HTTP has nothing to say about connections.
    let over_http = authorization(vec![ask("a", "http")]);
    assert_eq!(of_tcp(&over_http), [""; 0]);
    let mut both = authorization(vec![ask("a", "http"), ask("b", "grpc")]);
    assert_eq!(of_http(&both), [refused("b", "grpc"), refused("a", "http")]);
    both.multiple_providers = true;
    assert_eq!(of_http(&both).len(), 4);
}

#[test]
fn dry_runs_share_the_filter_of_their_action() {
    let tried = |name: &str, action| AuthorizationPolicy {
        dry_run: true,
        ..policy(name, action, AuthorizationRule::default())
    };
    let all = authorization(vec![
        policy(
            "real",
            AuthorizationAction::Deny,
            AuthorizationRule::default(),
        ),
        tried("tried", AuthorizationAction::Deny),
        tried("alone", AuthorizationAction::Allow),
    ]);
    assert_eq!(
        of_http(&all),
        [
            "rbac DENY ns[ns]-policy[real]-rule[0] [DENY ns[ns]-policy[tried]-rule[0]]",
            "rbac [ALLOW ns[ns]-policy[alone]-rule[0]]",
        ]
    );
}

#[test]
fn connections_know_nothing_of_requests() {
    let http_only = AuthorizationRule {
        to: vec![methods(&["GET"])],
        ..AuthorizationRule::default()
    };
    let mixed = AuthorizationRule {
        to: vec![Operation {
            ports: any([80]),
            ..methods(&["GET"])
        }],
        ..AuthorizationRule::default()
    };
    let allow = pb::rbac::rbac::Action::Allow;
    let deny = pb::rbac::rbac::Action::Deny;
    for (rule, action, want) in [
        (&http_only, allow, None),
        (&mixed, allow, None),
        (
            &http_only,
            deny,
            Some(r#"[{"and_rules":{"rules":[{"any":true}]}}]"#),
        ),
        (
            &mixed,
            deny,
            Some(r#"[{"and_rules":{"rules":[{"or_rules":{"rules":[{"destination_port":80}]}}]}}]"#),
        ),
    ] {
        let built = rule::policy(rule, action, &strings(&["td"]), Level::Tcp);
        let permissions = built.map(|built| json(&built)["permissions"].to_string());
        assert_eq!(permissions.as_deref(), want, "{rule:?}");
    }
}

#[test]
fn texts_become_matchers() {
    for (written, want) in [
        ("a", r#"{"exact":"a"}"#),
        ("a*", r#"{"prefix":"a"}"#),
        ("*a", r#"{"suffix":"a"}"#),
        // A wildcard at the beginning is looked at first.
        ("*a*", r#"{"suffix":"a*"}"#),
        ("*", r#"{"safe_regex":{"regex":".+"}}"#),
    ] {
        let found = json(&text::text(&TextMatch::parse(written)));
        assert_eq!(found.to_string(), want, "{written}");
    }
    for (written, want) in [
        ("td/ns/a/sa/b", r#"{"exact":"spiffe://td/ns/a/sa/b"}"#),
        ("td/*", r#"{"prefix":"spiffe://td/"}"#),
        ("*/a.b", r#"{"safe_regex":{"regex":"spiffe://.*/a\\.b"}}"#),
        ("*", r#"{"safe_regex":{"regex":".+"}}"#),
    ] {
        assert_eq!(
            json(&text::principal(written)).to_string(),
            want,
            "{written}"
        );
    }
}

#[test]
fn identities_of_trust_domains_with_aliases() {
    let domains = strings(&["new", "old", "*-wild"]);
    for (written, want) in [
        (
            "new/ns/a/sa/b",
            "new/ns/a/sa/b old/ns/a/sa/b *-wild/ns/a/sa/b",
        ),
        (
            "old/ns/a/sa/b",
            "new/ns/a/sa/b old/ns/a/sa/b *-wild/ns/a/sa/b",
        ),
        // What policies for no mesh in particular say.
        (
            "cluster.local/ns/a/sa/b",
            "new/ns/a/sa/b old/ns/a/sa/b *-wild/ns/a/sa/b",
        ),
        ("other/ns/a/sa/b", "other/ns/a/sa/b"),
        ("*/ns/a/sa/b", "*/ns/a/sa/b"),
        ("new/*", "new/*"),
        ("*", "*"),
    ] {
        let found = trust_domain::principals(&strings(&[written]), &domains);
        assert_eq!(found.join(" "), want, "{written}");
    }
    for (written, want) in [
        (&["old"][..], "new old *-wild"),
        (&["old", "new"], "new old *-wild"),
        (&["cluster.local"], "cluster.local"),
        (&["o*"], "o*"),
    ] {
        let found = trust_domain::domains(&strings(written), &domains);
        assert_eq!(found.join(" "), want, "{written:?}");
    }
}

#[test]
fn requests_tokens_name_issuer_and_subject() {
    let is = |claims: [&str; 2]| -> Vec<String> { claims.map(str::to_owned).to_vec() };
    for (written, want) in [
        ("i/s", is([r#"{"exact":"i"}"#, r#"{"exact":"s"}"#])),
        (
            "https://i/s",
            is([r#"{"exact":"https://i"}"#, r#"{"exact":"s"}"#]),
        ),
        (
            "i/*",
            is([r#"{"exact":"i"}"#, r#"{"safe_regex":{"regex":".+"}}"#]),
        ),
        ("i/s*", is([r#"{"exact":"i"}"#, r#"{"prefix":"s"}"#])),
        (
            "*/s",
            is([r#"{"safe_regex":{"regex":".+"}}"#, r#"{"exact":"s"}"#]),
        ),
        ("*i/s", is([r#"{"suffix":"i"}"#, r#"{"exact":"s"}"#])),
        (
            "*s",
            is([r#"{"safe_regex":{"regex":".+"}}"#, r#"{"suffix":"s"}"#]),
        ),
        (
            "i*",
            is([r#"{"prefix":"i"}"#, r#"{"safe_regex":{"regex":".+"}}"#]),
        ),
    ] {
        let rule = AuthorizationRule {
            from: vec![Source {
                request_principals: any(strings(&[written])),
                ..Source::default()
            }],
            when: vec![Condition::DestinationPort(any([80]))],
            ..AuthorizationRule::default()
        };
        let allow = pb::rbac::rbac::Action::Allow;
        let built = rule::policy(&rule, allow, &strings(&["td"]), Level::Http).expect("a policy");
        let built = json(&built);
        let ids = &built["principals"][0]["and_ids"]["ids"][0]["and_ids"]["ids"];
        let found: Vec<String> = (0..2)
            .map(|at| ids[at]["metadata"]["value"]["string_match"].to_string())
            .collect();
        assert_eq!(found, want, "{written}");
    }
}
