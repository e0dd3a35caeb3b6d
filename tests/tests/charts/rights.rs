//! The chart grants exactly what the program asks for: the kinds that it watches and the table of what it does.

use std::collections::BTreeSet;

use meltemi_cluster::rbac::{RULES, Scope};
use meltemi_sources::kube::{VERBS, watched};
use serde_yaml::{Mapping, Value};

use super::helm::{Object, Release, helm, render};

/// (group, resource, verb)
type Right = (String, String, String);

fn granted(objects: &[Object], id: &str) -> BTreeSet<Right> {
    let role = objects
        .iter()
        .find(|object| object.id == id)
        .expect("the role is there");
    let mut rights = BTreeSet::new();
    let words = |rule: &Value, field: &str| -> Vec<String> {
        let list = rule[field].as_sequence().cloned().unwrap_or_default();
        list.iter()
            .filter_map(|word| word.as_str().map(str::to_owned))
            .collect()
    };
    for rule in role.value["rules"].as_sequence().expect("rules") {
        for group in words(rule, "apiGroups") {
            for resource in words(rule, "resources") {
                for verb in words(rule, "verbs") {
                    rights.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    rights
}

fn needed(scope: Scope) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for rule in RULES.iter().filter(|rule| rule.scope == scope) {
        for verb in rule.verbs {
            rights.insert((rule.group.into(), rule.resource.into(), (*verb).into()));
        }
    }
    if scope == Scope::Cluster {
        for kind in watched() {
            for verb in VERBS {
                rights.insert((kind.group.into(), kind.plural.into(), verb.into()));
            }
        }
    }
    rights
}

#[test]
fn the_roles_grant_exactly_what_the_program_needs() {
    let Some(helm) = helm() else { return };
    let release = Release {
        name: "istiod".to_owned(),
        namespace: "istio-system".to_owned(),
        upgrade: false,
    };
    let objects = render(&helm, "meltemi", &release, &Value::Mapping(Mapping::new()))
        .expect("the chart renders");
    for (role, scope) in [
        (
            "ClusterRole/istiod-clusterrole-istio-system",
            Scope::Cluster,
        ),
        ("Role/istiod", Scope::ControlPlane),
    ] {
        let (granted, needed) = (granted(&objects, role), needed(scope));
        let missing: Vec<&Right> = needed.difference(&granted).collect();
        let idle: Vec<&Right> = granted.difference(&needed).collect();
        assert!(
            missing.is_empty() && idle.is_empty(),
            "{role}\nnot granted: {missing:#?}\ngranted to nobody's use: {idle:#?}"
        );
    }
}
