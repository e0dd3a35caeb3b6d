//! Random policies and requests. The universe is small, so that rules are often met, and often nearly.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use crate::direct::{Http, Request};

/// The extension providers: over gRPC, over HTTP.
pub(crate) const PROVIDERS: [&str; 2] = ["ask-grpc", "ask-http"];

/// The names, in the place of `*` and `*name`, that a field may have.
type Texts = &'static [&'static str];

const PRINCIPALS: Texts = &[
    "td.test/ns/a/sa/x",
    "old.test/ns/a/sa/y",
    "cluster.local/ns/b/sa/x",
    "far.test/ns/a/sa/x",
    "td.test/ns/a/*",
    "old.test/ns/b/sa/*",
    "far.test/*",
    "*/sa/y",
    "*/ns/b/sa/x",
    "*",
];
const REQUEST_PRINCIPALS: Texts = &[
    "issuer.test/alice",
    "other.test/bob",
    "issuer.test/*",
    "*/bob",
    "issuer*",
    "*r.test/alice",
    "*ice",
    "*",
];
const NAMESPACES: Texts = &["a", "b", "a.b", "a*", "*b", "*"];
const ACCOUNTS: Texts = &["x", "a/y", "b/x", "a/x.y"];
const DOMAINS: Texts = &["td.test", "old.test", "far.test", "*.test", "far*", "*"];
const BLOCKS: Texts = &[
    "10.0.0.0/8",
    "10.1.2.3",
    "192.168.1.0/24",
    "10.1.2.9/30",
    "fd00::/8",
    "0.0.0.0/0",
];
const HOSTS: Texts = &["web.test", "WEB.test", "web*", "*.test", "*", "other.test"];
const METHODS: Texts = &["GET", "POST", "P*", "*T", "*"];
const PATHS: Texts = &[
    "/a",
    "/a/b",
    "/a*",
    "*/b",
    "*.html",
    "*",
    "/{*}/b",
    "/a/{**}",
    "/a/{*}/c",
    "/{**}/c",
    "/a/{*}/{**}",
];
const PORTS: Texts = &["8080", "9000", "80"];
const TEXTS: Texts = &["one", "two", "on*", "*wo", "*", "o.e"];
const ELEMENTS: Texts = &["one", "[one]", "[t*]", "*", "two"];

fn some(texts: Texts) -> impl Strategy<Value = Value> {
    proptest::collection::vec(select(texts), 1..3).prop_map(|texts| json!(texts))
}

/// Some of the fields, each perhaps with its negation; at least one.
fn fields(known: &'static [(&'static str, Texts)]) -> impl Strategy<Value = Value> {
    let one = select(known).prop_flat_map(|(name, texts)| (Just(name), any::<bool>(), some(texts)));
    proptest::collection::vec(one, 1..4).prop_map(|fields| {
        let fields = fields.into_iter().map(|(name, not, values)| {
            let name = match not {
                true => format!("not{}{}", name[..1].to_uppercase(), &name[1..]),
                false => name.to_owned(),
            };
            (name, values)
        });
        Value::Object(fields.collect::<Map<_, _>>())
    })
}

/// What a provider may be asked about.
fn source_of_custom() -> impl Strategy<Value = Value> {
    fields(&[("ipBlocks", BLOCKS), ("remoteIpBlocks", BLOCKS)])
        .prop_map(|source| json!({"source": source}))
}

fn source() -> impl Strategy<Value = Value> {
    let most = fields(&[
        ("principals", PRINCIPALS),
        ("requestPrincipals", REQUEST_PRINCIPALS),
        ("namespaces", NAMESPACES),
        ("trustDomains", DOMAINS),
        ("ipBlocks", BLOCKS),
        ("remoteIpBlocks", BLOCKS),
    ]);
    // Accounts stand beside neither principals nor namespaces.
    let accounts = fields(&[
        ("serviceAccounts", ACCOUNTS),
        ("ipBlocks", BLOCKS),
        ("remoteIpBlocks", BLOCKS),
    ]);
    prop_oneof![3 => most, 1 => accounts].prop_map(|source| json!({"source": source}))
}

fn operation() -> impl Strategy<Value = Value> {
    fields(&[
        ("hosts", HOSTS),
        ("methods", METHODS),
        ("paths", PATHS),
        ("ports", PORTS),
    ])
    .prop_map(|operation| json!({"operation": operation}))
}

/// The keys of conditions; those that hold for providers, too, come first.
const KEYS: &[(&str, Texts)] = &[
    ("source.ip", BLOCKS),
    ("remote.ip", BLOCKS),
    ("destination.ip", BLOCKS),
    ("destination.port", PORTS),
    ("connection.sni", TEXTS),
    ("request.headers[x-a]", TEXTS),
    ("experimental.envoy.filters.test[key]", ELEMENTS),
    ("source.namespace", NAMESPACES),
    ("source.serviceAccount", ACCOUNTS),
    ("source.principal", PRINCIPALS),
    ("source.trustDomain", DOMAINS),
    ("request.auth.principal", REQUEST_PRINCIPALS),
    ("request.auth.audiences", TEXTS),
    ("request.auth.presenter", TEXTS),
    ("request.auth.claims[groups]", TEXTS),
    ("request.auth.claims[deep][er]", TEXTS),
];
const KEYS_OF_CUSTOM: usize = 7;

fn condition(keys: &'static [(&'static str, Texts)]) -> impl Strategy<Value = Value> {
    select(keys).prop_flat_map(|(key, texts)| {
        let values = (
            proptest::option::of(some(texts)),
            proptest::option::weighted(0.3, some(texts)),
        );
        (values, some(texts)).prop_map(move |((any, none), one)| {
            let any = if none.is_none() {
                any.or(Some(one))
            } else {
                any
            };
            let mut when = json!({"key": key});
            if let Some(any) = any {
                when["values"] = any;
            }
            if let Some(none) = none {
                when["notValues"] = none;
            }
            when
        })
    })
}

fn rule(custom: bool) -> impl Strategy<Value = Value> {
    let some_of = |part: BoxedStrategy<Value>| {
        prop_oneof![Just(Vec::new()), proptest::collection::vec(part, 1..3)]
    };
    let parts = (
        some_of(match custom {
            true => source_of_custom().boxed(),
            false => source().boxed(),
        }),
        some_of(operation().boxed()),
        some_of(match custom {
            true => condition(&KEYS[..KEYS_OF_CUSTOM]).boxed(),
            false => condition(KEYS).boxed(),
        }),
    );
    parts.prop_map(|(from, to, when)| {
        let mut rule = json!({});
        for (name, list) in [("from", from), ("to", to), ("when", when)] {
            if !list.is_empty() {
                rule[name] = json!(list);
            }
        }
        rule
    })
}

fn policy() -> impl Strategy<Value = Value> {
    let action = prop_oneof![
        4 => Just("ALLOW"), 4 => Just("DENY"), 1 => Just("AUDIT"), 2 => Just("CUSTOM"),
    ];
    let provider = prop_oneof![3 => Just(PROVIDERS[0]), 3 => Just(PROVIDERS[1]), 1 => Just("gone")];
    let rules = |action| proptest::collection::vec(rule(action == "CUSTOM"), 1..3);
    let acting = action.prop_flat_map(move |action| (Just(action), rules(action)));
    let root = proptest::bool::weighted(0.2);
    let dry_run = proptest::bool::weighted(0.1);
    (acting, provider, root, dry_run).prop_map(|((action, rules), provider, root, dry_run)| {
        let mut policy = json!({
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": {"name": "", "namespace": if root { "istio-system" } else { "a" }},
            "spec": {"action": action, "rules": rules},
        });
        if action == "CUSTOM" {
            policy["spec"]["provider"] = json!({"name": provider});
        }
        // Others have no dry run.
        if dry_run && ["ALLOW", "DENY"].contains(&action) {
            policy["metadata"]["annotations"] = json!({"istio.io/dry-run": "true"});
        }
        policy
    })
}

/// Policies for one workload, in a world in which there is nothing else.
pub(crate) fn policies() -> impl Strategy<Value = Vec<Value>> {
    let empty = json!({
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": "", "namespace": "a"},
        "spec": {},
    });
    let one = prop_oneof![20 => policy(), 1 => Just(empty)];
    proptest::collection::vec(one, 1..5).prop_map(|mut policies| {
        for (at, policy) in policies.iter_mut().enumerate() {
            policy["metadata"]["name"] = json!(format!("p{at}"));
        }
        policies
    })
}

fn claims() -> impl Strategy<Value = Value> {
    let text = || {
        proptest::option::of(select(vec![
            json!("one"),
            json!(["two", "one"]),
            json!("three"),
        ]))
    };
    let names = (
        select(vec!["issuer.test", "other.test"]),
        select(vec!["alice", "bob"]),
    );
    let token = (names, text(), text(), text(), text()).prop_map(
        |((issuer, subject), audience, presenter, groups, deeper)| {
            let mut claims = json!({"iss": issuer, "sub": subject});
            for (name, value) in [("aud", audience), ("azp", presenter), ("groups", groups)] {
                if let Some(value) = value {
                    claims[name] = value;
                }
            }
            if let Some(value) = deeper {
                claims["deep"] = json!({"er": value});
            }
            claims
        },
    );
    prop_oneof![1 => Just(Value::Null), 2 => token]
}

fn http() -> impl Strategy<Value = Http> {
    let header = proptest::option::of(select(vec!["one", "two", "oxe", "", "three"]));
    (
        select(vec!["GET", "POST", "PUT", "DELETE"]),
        select(vec![
            "web.test",
            "Web.Test",
            "other.test",
            "web",
            "test.web",
        ]),
        select(vec![
            "/a",
            "/a/b",
            "/a/b/c",
            "/b",
            "/a/",
            "/x/b",
            "/a/b?q=/c",
            "/index.html",
            "/ab",
            "/a/x/c",
            "/c",
        ]),
        header,
        claims(),
    )
        .prop_map(|(method, host, path, header, claims)| Http {
            method: method.to_owned(),
            host: host.to_owned(),
            path: path.to_owned(),
            headers: header
                .map(|value| ("x-a".to_owned(), value.to_owned()))
                .into_iter()
                .collect::<BTreeMap<_, _>>(),
            claims,
        })
}

/// A request or connection of any kind.
pub(crate) fn request() -> impl Strategy<Value = Request> {
    let identity = proptest::option::weighted(
        0.8,
        select(vec![
            "td.test/ns/a/sa/x",
            "old.test/ns/a/sa/y",
            "td.test/ns/b/sa/x",
            "far.test/ns/a/sa/x",
            "cluster.local/ns/a/sa/y",
            "td.test/ns/a.b/sa/x.y",
            "td.test/ns/axb/sa/xxy",
        ]),
    );
    let addresses = (
        select(vec![
            "10.1.2.3",
            "10.1.2.8",
            "192.168.1.7",
            "172.16.0.1",
            "fd00::1",
        ]),
        proptest::option::of(select(vec![
            "10.1.2.3",
            "192.168.1.7, 10.1.2.9",
            "10.1.2.3, 172.16.0.1",
            "nobody",
        ])),
        select(vec!["10.1.2.10", "192.168.1.10"]),
        select(vec![80_u16, 8080, 9000]),
    );
    let metadata = select(vec![
        json!({}),
        json!({"key": "one"}),
        json!({"key": ["one", "three"]}),
        json!({"key": ["two"]}),
        json!({"key": "two"}),
    ]);
    let name = select(vec!["", "one", "two", "oxe"]);
    (
        identity,
        addresses,
        metadata,
        name,
        proptest::option::weighted(0.75, http()),
    )
        .prop_map(
            |(identity, (source, forwarded, address, port), metadata, name, http)| Request {
                // A server name is part of a handshake.
                server_name: identity.map_or("", |_| name).to_owned(),
                identity: identity.map(str::to_owned),
                source: source.parse().expect("an address"),
                forwarded: forwarded.map(str::to_owned),
                destination: (address.parse().expect("an address"), port),
                metadata,
                http,
            },
        )
}
