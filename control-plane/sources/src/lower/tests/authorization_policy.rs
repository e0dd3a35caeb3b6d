use meltemi_model::security::{
    Attribute, AuthorizationAction, AuthorizationPolicy, AuthorizationRule, Condition, IpRange,
    TextMatch, Values,
};
use meltemi_model::testing::labels;
use meltemi_model::{Severity, Shared};

use super::{get, lowered, words};

fn policy(spec: &str) -> String {
    let spec = spec.replace('\n', "\n  ");
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: x, namespace: ns}}\nspec:\n  {spec}"
    )
}

fn rule(rule: &str) -> AuthorizationRule {
    let policy: Shared<AuthorizationPolicy> =
        get!(served AuthorizationPolicy, policy(&format!("rules: [{rule}]")));
    policy.rules[0].clone()
}

/// Those that any of, then those that none of.
fn shown<T>(values: &Values<T>, show: impl Fn(&T) -> String) -> String {
    let list = |values: &[T]| values.iter().map(&show).collect::<Vec<_>>().join(" ");
    format!("{} / {}", list(&values.any), list(&values.none))
}

fn text(text: &TextMatch) -> String {
    match text {
        TextMatch::Any => "any".to_owned(),
        TextMatch::Exact(text) => format!("={text}"),
        TextMatch::Prefix(text) => format!("{text}.."),
        TextMatch::Suffix(text) => format!("..{text}"),
    }
}

fn range(range: &IpRange) -> String {
    format!("{}/{}", range.address, range.prefix)
}

#[test]
fn whom_policies_are_for() {
    let target = |spec: &str| {
        get!(served AuthorizationPolicy, policy(spec))
            .target
            .clone()
    };
    let own = labels("app=a");
    let edge = labels("app=a,gateway.networking.k8s.io/gateway-name=edge");
    let gateway =
        |name: &str| format!("{{group: gateway.networking.k8s.io, kind: Gateway, name: {name}}}");
    for (spec, of_own, of_edge) in [
        ("{}".to_owned(), true, true),
        ("selector: {matchLabels: {app: a}}".to_owned(), true, true),
        ("selector: {matchLabels: {app: b}}".to_owned(), false, false),
        (format!("targetRefs: [{}]", gateway("edge")), false, true),
        (
            format!("targetRefs: [{}, {}]", gateway("a"), gateway("edge")),
            false,
            true,
        ),
        (format!("targetRef: {}", gateway("other")), false, false),
        // For waypoints.
        (
            "targetRefs: [{kind: Service, name: a}]".to_owned(),
            false,
            false,
        ),
    ] {
        let target = target(&spec);
        assert_eq!(target.selects(&own, true), of_own, "{spec}");
        assert_eq!(target.selects(&edge, true), of_edge, "{spec}");
    }
}

#[test]
fn actions_and_dry_runs() {
    for (spec, annotation, want, dry_run) in [
        ("{}", "", AuthorizationAction::Allow, false),
        (
            "{action: DENY, rules: [{}]}",
            "",
            AuthorizationAction::Deny,
            false,
        ),
        (
            "{action: AUDIT, rules: [{}]}",
            "",
            AuthorizationAction::Audit,
            false,
        ),
        (
            "{action: CUSTOM, provider: {name: p}, rules: [{}]}",
            "",
            AuthorizationAction::Custom("p".into()),
            false,
        ),
        ("{}", "true", AuthorizationAction::Allow, true),
        ("{}", "false", AuthorizationAction::Allow, false),
    ] {
        let mut text = policy(spec);
        if !annotation.is_empty() {
            let with =
                format!("namespace: ns, annotations: {{istio.io/dry-run: \"{annotation}\"}}");
            text = text.replace("namespace: ns", &with);
        }
        let found = get!(served AuthorizationPolicy, text);
        assert_eq!((&found.action, found.dry_run), (&want, dry_run), "{spec}");
    }
}

#[test]
fn sources_and_operations() {
    let rule = rule(
        "{from: [{source: {principals: [td/ns/a/sa/b], notPrincipals: ['*'], namespaces: [a], ipBlocks: [10.0.0.0/8, \
         192.0.2.1], notRemoteIpBlocks: ['fd00::1'], requestPrincipals: [i/s], trustDomains: [td]}}, {source: \
         {serviceAccounts: [b, c/d]}}], to: [{operation: {hosts: ['*.test'], methods: ['*'], notMethods: [GET], paths: \
         ['/a/{*}'], ports: ['80'], notPorts: ['81']}}]}",
    );
    let plain = |text: &meltemi_model::Str| text.to_string();
    let [first, second] = rule.from.as_slice() else {
        panic!("{rule:?}");
    };
    assert_eq!(shown(&first.principals, plain), "td/ns/a/sa/b / *");
    assert_eq!(shown(&first.namespaces, plain), "a / ");
    assert_eq!(shown(&first.ip_blocks, range), "10.0.0.0/8 192.0.2.1/32 / ");
    assert_eq!(shown(&first.remote_ip_blocks, range), " / fd00::1/128");
    assert_eq!(shown(&first.request_principals, plain), "i/s / ");
    assert_eq!(shown(&first.trust_domains, plain), "td / ");
    let account = |(namespace, name): &(meltemi_model::Str, meltemi_model::Str)| {
        format!("{namespace}/{name}")
    };
    assert_eq!(shown(&second.service_accounts, account), "ns/b c/d / ");
    let operation = &rule.to[0];
    assert_eq!(shown(&operation.hosts, text), "...test / ");
    assert_eq!(shown(&operation.methods, text), "any / =GET");
    assert_eq!(shown(&operation.paths, plain), "/a/{*} / ");
    assert_eq!(shown(&operation.ports, u16::to_string), "80 / 81");
}

#[test]
fn conditions() {
    let condition = |when: &str| {
        let mut rule = rule(&format!("{{when: [{{{when}}}]}}"));
        rule.when.swap_remove(0)
    };
    for (key, want) in [
        ("'request.headers[x-a]'", Attribute::Header("x-a".into())),
        (
            "request.auth.audiences",
            Attribute::Claim(vec!["aud".into()]),
        ),
        (
            "request.auth.presenter",
            Attribute::Claim(vec!["azp".into()]),
        ),
        (
            "'request.auth.claims[a]'",
            Attribute::Claim(vec!["a".into()]),
        ),
        (
            "'request.auth.claims[a][b.c]'",
            Attribute::Claim(vec!["a".into(), "b.c".into()]),
        ),
        ("connection.sni", Attribute::ServerName),
    ] {
        let found = condition(&format!("key: {key}, values: ['v*']"));
        let Condition::Text(attribute, values) = found else {
            panic!("{key}: {found:?}");
        };
        assert_eq!(attribute, want);
        assert_eq!(shown(&values, text), "v.. / ");
    }
    for (key, value, want) in [
        ("source.ip", "10.0.0.1", "SourceIp"),
        ("remote.ip", "10.0.0.1", "RemoteIp"),
        ("destination.ip", "10.0.0.1", "DestinationIp"),
        ("destination.port", "'80'", "DestinationPort"),
        ("source.namespace", "a", "SourceNamespace"),
        ("source.serviceAccount", "a", "SourceServiceAccount"),
        ("source.trustDomain", "a", "SourceTrustDomain"),
        ("source.principal", "a", "SourcePrincipal"),
        ("request.auth.principal", "a", "RequestPrincipal"),
        ("'experimental.envoy.filters.a.b[c]'", "a", "Metadata"),
    ] {
        let found = format!(
            "{:?}",
            condition(&format!("key: {key}, notValues: [{value}]"))
        );
        assert!(found.starts_with(want), "{key}: {found}");
    }
    let metadata = condition("key: 'experimental.envoy.filters.a.b[c]', values: ['[x]']");
    let Condition::Metadata { filter, key, .. } = metadata else {
        panic!("{metadata:?}");
    };
    assert_eq!((&*filter, &*key), ("envoy.filters.a.b", "c"));
}

/// What cannot be translated denies what it was to guard, and says so.
#[test]
fn mistakes_close() {
    for (spec, path) in [
        (
            "rules: [{from: [{source: {ipBlocks: [nowhere]}}]}]",
            "spec.rules[0].from[0].source.ipBlocks",
        ),
        (
            "rules: [{when: [{key: a.b, values: [c]}]}]",
            "spec.rules[0].when[0]",
        ),
        (
            "rules: [{to: [{operation: {ports: [http]}}]}]",
            "spec.rules[0].to[0].operation.ports",
        ),
        (
            "rules: [{to: [{operation: {paths: ['/{**}/{*}']}}]}]",
            "spec.rules[0].to[0].operation.paths",
        ),
        ("rules: [{from: [{}]}]", "spec.rules[0].from[0]"),
        // Without the misspelt condition everybody would be allowed.
        (
            "rules: [{form: [{source: {namespaces: [a]}}]}]",
            "spec.rules[0].form",
        ),
        (
            "rules: [{from: [{source: {namespaces: a}}]}]",
            "spec.rules[0].from[0].source.namespaces",
        ),
        ("action: REFUSE", "spec.action"),
        ("{action: CUSTOM, rules: [{}]}", "spec.provider"),
        ("rules: 7", "spec.rules"),
    ] {
        for (selector, selected) in [
            ("", "every workload"),
            ("selector: {matchLabels: {app: a}}\n", "that it selects"),
        ] {
            let text = match spec.strip_prefix('{') {
                Some(_) if !selector.is_empty() => continue,
                _ => policy(&format!("{selector}{spec}")),
            };
            let lowered = lowered(&text);
            let all = words(&lowered.diagnostics);
            let error = |d: &&meltemi_model::Diagnostic| {
                d.severity == Severity::Error && d.path.starts_with(path)
            };
            assert!(
                lowered.diagnostics.iter().any(|d| error(&d)),
                "{spec}: {all}"
            );
            assert!(all.contains("denies every request"), "{spec}: {all}");
            assert!(all.contains(selected), "{spec}: {all}");
            let Some(meltemi_model::Object::AuthorizationPolicy(closed)) = &lowered.object else {
                panic!("{spec}: it has disappeared: {all}");
            };
            assert_eq!(closed.action, AuthorizationAction::Deny, "{spec}");
            assert_eq!(closed.rules, [AuthorizationRule::default()], "{spec}");
            assert_eq!(
                closed.target.selects(&labels("app=b"), true),
                selector.is_empty()
            );
        }
    }
}

/// What would only be watched is left out, and what denies nothing stays so.
#[test]
fn mistakes_without_harm() {
    let audit = lowered(&policy(
        "action: AUDIT\nrules: [{to: [{operation: {ports: [http]}}]}]",
    ));
    assert!(audit.object.is_none(), "{audit:?}");
    let nothing = get!(served AuthorizationPolicy, policy("action: DENY"));
    assert_eq!(nothing.rules, []);
}
