use meltemi_model::object::Object;
use meltemi_model::testing::{destination_rule, export_to, labels, service, subset};
use meltemi_model::traffic::TrafficPolicy;

use super::*;
use crate::World;
use crate::fixtures::{later, world};

/// A rule for `a.default.svc.cluster.local`.
fn rule(namespace: &str, name: &str) -> DestinationRule {
    destination_rule(namespace, name, "a.default.svc.cluster.local")
}

fn for_host(namespace: &str, name: &str, host: &str) -> DestinationRule {
    destination_rule(namespace, name, host)
}

fn exported(rule: DestinationRule, to: &str) -> DestinationRule {
    DestinationRule {
        export_to: export_to(to),
        ..rule
    }
}

fn selecting(rule: DestinationRule, selector: &str) -> DestinationRule {
    DestinationRule {
        workload_selector: Some(labels(selector)),
        ..rule
    }
}

fn with_subsets(rule: DestinationRule, names: &[&str]) -> DestinationRule {
    let name = &rule.meta.key.name;
    let by = format!("from={name}");
    DestinationRule {
        subsets: names.iter().map(|n| subset(n, &by, None)).collect(),
        ..rule
    }
}

fn with_policy(rule: DestinationRule, proxy_protocol: u8) -> DestinationRule {
    DestinationRule {
        policy: Some(TrafficPolicy {
            proxy_protocol: Some(proxy_protocol),
            ..TrafficPolicy::default()
        }),
        ..rule
    }
}

fn aged(rule: DestinationRule, created: i64) -> DestinationRule {
    DestinationRule {
        meta: later(created, rule.meta.clone()),
        ..rule
    }
}

fn with(rules: impl IntoIterator<Item = DestinationRule>) -> World {
    world(rules.into_iter().map(Object::from))
}

/// The names of the rules that hold for service `a.default`, `+`-joined, with a `!` where a selector chose them.
fn chosen(world: &World, namespace: &str, own: &str) -> String {
    let service = service("a", &[]);
    let found = world
        .destination_rules
        .seen_from(namespace, &world.mesh)
        .choose(&service, &labels(own));
    found.map_or_else(String::new, |(rule, selects)| {
        let names: Vec<&str> = rule.from.iter().map(|k| &*k.name).collect();
        names.join("+") + if selects { "!" } else { "" }
    })
}

#[test]
fn whose_rule_holds() {
    let client = || rule("client", "client");
    let owner = || rule("default", "owner");
    let root = || rule("istio-system", "root");
    let all = || vec![client(), owner(), root()];
    for (name, rules, namespace, want) in [
        ("the client's own", all(), "client", "client"),
        ("the service's", all(), "other", "owner"),
        (
            "the root namespace's",
            vec![client(), root()],
            "other",
            "root",
        ),
        ("nobody's", vec![client()], "other", ""),
        (
            "a client of the root namespace asks the service's first",
            all(),
            "istio-system",
            "owner",
        ),
        (
            "but has private ones of its own",
            vec![owner(), exported(root(), "istio-system")],
            "istio-system",
            "root",
        ),
        (
            "private to its namespace",
            vec![exported(owner(), "default")],
            "other",
            "",
        ),
        (
            "which sees it",
            vec![exported(owner(), "default")],
            "default",
            "owner",
        ),
        (
            "exported by name",
            vec![exported(owner(), "other")],
            "other",
            "owner",
        ),
        (
            "exported to others",
            vec![exported(owner(), "third")],
            "other",
            "",
        ),
        (
            "exported away from its own namespace",
            vec![exported(owner(), "third")],
            "default",
            "",
        ),
        (
            "what is not exported hides the root namespace's no more",
            vec![exported(owner(), "third"), root()],
            "other",
            "root",
        ),
        ("to nobody", vec![exported(owner(), "~")], "default", ""),
        (
            "to everybody",
            vec![exported(owner(), "*")],
            "other",
            "owner",
        ),
    ] {
        assert_eq!(chosen(&with(rules), namespace, ""), want, "{name}");
    }
}

#[test]
fn the_mesh_says_who_sees_what_says_nothing() {
    let mesh = Mesh {
        destination_rule_export_to: export_to("."),
        ..Mesh::default()
    };
    let world = world([rule("default", "owner").into(), mesh.into()]);
    assert_eq!(chosen(&world, "default", ""), "owner");
    assert_eq!(chosen(&world, "other", ""), "");
}

#[test]
fn the_most_specific_host_holds() {
    let rules = |hosts: &[&str]| {
        let rule = |host: &&str| for_host("default", host, host);
        with(hosts.iter().map(rule).collect::<Vec<_>>())
    };
    let exact = "a.default.svc.cluster.local";
    for (hosts, want) in [
        (&["*", "*.default.svc.cluster.local", exact][..], exact),
        (
            &["*", "*.svc.cluster.local", "*.default.svc.cluster.local"],
            "*.default.svc.cluster.local",
        ),
        (&["*", "*.com"], "*"),
        (&["b.default.svc.cluster.local", "*.com"], ""),
    ] {
        assert_eq!(chosen(&rules(hosts), "client", ""), want, "{hosts:?}");
    }
}

#[test]
fn rules_of_one_host_are_merged_the_oldest_first() {
    let young = aged(
        with_policy(with_subsets(rule("default", "a-young"), &["v1", "v2"]), 2),
        9,
    );
    let old = aged(with_subsets(rule("default", "z-old"), &["v1"]), 1);
    let youngest = aged(with_policy(rule("default", "b-youngest"), 1), 10);
    let world = with([young, old, youngest]);
    let (merged, _) = world
        .destination_rules
        .seen_from("client", &world.mesh)
        .choose(&service("a", &[]), &labels(""))
        .unwrap();
    let from: Vec<_> = merged.from.iter().map(|k| &*k.name).collect();
    assert_eq!(from, ["z-old", "a-young", "b-youngest"]);
    let subsets: Vec<_> = merged
        .subsets
        .iter()
        .map(|s| (&*s.name, &**s.labels.get("from").unwrap()))
        .collect();
    assert_eq!(subsets, [("v1", "z-old"), ("v2", "a-young")]);
    assert_eq!(merged.policy.as_ref().unwrap().proxy_protocol, Some(2));
}

#[test]
fn what_is_exported_differently_stays_apart() {
    let rules = |first: &str, second: &str| {
        with([
            aged(exported(rule("default", "first"), first), 1),
            aged(exported(rule("default", "second"), second), 2),
        ])
    };
    // (exportTo of both, what clients in `x`, `y` and `default` get).
    for (first, second, x, y, own) in [
        ("x", "x", "first+second", "", ""),
        ("x", "y", "first", "second", ""),
        ("*", "*", "first+second", "first+second", "first+second"),
        ("", "*", "second", "second", "second"),
        ("*", "x", "second", "first", "first"),
    ] {
        let world = rules(first, second);
        let found = ["x", "y", "default"].map(|namespace| chosen(&world, namespace, ""));
        assert_eq!(found, [x, y, own], "{first:?} {second:?}");
    }
}

#[test]
fn a_workload_selector_is_for_its_own_namespace() {
    let rules = || {
        with([
            selecting(rule("default", "one"), "app=one"),
            selecting(rule("default", "two"), "app=two"),
            rule("default", "plain"),
        ])
    };
    for (namespace, own, want) in [
        ("default", "app=one", "one!"),
        ("default", "app=two,version=v1", "two!"),
        ("default", "app=three", "plain"),
        ("other", "app=one", "plain"),
    ] {
        assert_eq!(chosen(&rules(), namespace, own), want, "{namespace} {own}");
    }
    let same = [("a", 1), ("b", 2)]
        .map(|(name, age)| aged(selecting(rule("default", name), "app=one"), age));
    assert_eq!(chosen(&with(same), "default", "app=one"), "a+b!");
}

#[test]
fn a_workload_selector_does_not_count_at_the_server() {
    let inbound = |rules: Vec<DestinationRule>| {
        let world = with(rules);
        let service = service("a", &[]);
        let found = world
            .destination_rules
            .choose_inbound(&service, "default", &world.mesh);
        found.map(|rule| rule.from[0].name.to_string())
    };
    let selector = || selecting(rule("default", "one"), "app=one");
    assert_eq!(inbound(vec![selector()]), None);
    let both = vec![selector(), rule("default", "plain")];
    assert_eq!(inbound(both).as_deref(), Some("plain"));
}

#[test]
fn labels_matter_only_while_a_rule_selects_workloads() {
    let plain = rule("default", "plain");
    assert!(!with([plain.clone()]).destination_rules.selects_workloads());
    let rules = [plain, selecting(rule("default", "one"), "app=one")];
    assert!(with(rules).destination_rules.selects_workloads());
}
