//! Injectors: one for each pod, and its Service is there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::analyze::Found;
use crate::input::full_name;
use crate::labels::{Set, label_selector_selects};
use crate::message::{listed, types};
use crate::object::{has, list, map, text, texts};
use crate::{Input, Kind, Object};

const REVISION: &str = "istio.io/rev";

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    let mut revisions = BTreeSet::new();
    let mut hooks: Vec<(String, &'a Value, &'a Object)> = Vec::new();
    for configuration in input.of(Kind::MutatingWebhookConfiguration) {
        let own = revisions_of(configuration);
        let of_it = configuration.list("/webhooks");
        let is_istio = of_it
            .iter()
            .any(|hook| text(hook, "/name").ends_with("istio.io"));
        if own.is_empty() && !is_istio {
            continue;
        }
        revisions.extend(own);
        for hook in of_it {
            let name = format!("{}/{}", configuration.name, text(hook, "/name"));
            hooks.push((name, hook, configuration));
        }
    }
    overlaps(&hooks, &revisions, found);
    for (_, hook, configuration) in hooks {
        let service = "/clientConfig/service";
        if !has(hook, service) {
            continue;
        }
        let namespace = text(hook, &format!("{service}/namespace"));
        let name = text(hook, &format!("{service}/name"));
        if input.find(Kind::Service, namespace, name).is_none() {
            let name = full_name(namespace, name);
            let what =
                format!("Injector refers to a control plane service that does not exist: {name}.");
            found.add(&types::INVALID_WEBHOOK, configuration, "", &[&what]);
        }
    }
}

fn revisions_of(configuration: &Object) -> BTreeSet<&str> {
    let mut revisions: BTreeSet<_> = configuration.label(REVISION).into_iter().collect();
    for hook in configuration.list("/webhooks") {
        for selector in ["namespaceSelector", "objectSelector"] {
            let labels = map(hook, &format!("/{selector}/matchLabels"));
            revisions.extend(labels.get(REVISION));
            let wanted = list(hook, &format!("/{selector}/matchExpressions")).iter();
            for wanted in wanted.filter(|wanted| text(wanted, "/key") == REVISION) {
                revisions.extend(texts(wanted, "/values"));
            }
        }
    }
    revisions
}

/// Every pair of labels of a namespace and of a pod may match one injector at most.
fn overlaps<'a>(
    hooks: &[(String, &'a Value, &'a Object)],
    revisions: &BTreeSet<&str>,
    found: &mut Found<'a>,
) {
    for namespace in label_sets("istio-injection", ["enabled", "disabled"], revisions) {
        for pod in label_sets("sidecar.istio.io/inject", ["true", "false"], revisions) {
            let matching: BTreeMap<_, _> = hooks
                .iter()
                .filter(|(_, hook, _)| {
                    label_selector_selects(hook.get("namespaceSelector"), &namespace)
                        && label_selector_selects(hook.get("objectSelector"), &pod)
                })
                .map(|(name, _, configuration)| (name.as_str(), *configuration))
                .collect();
            if matching.len() < 2 {
                continue;
            }
            for (name, configuration) in &matching {
                let others = matching.keys().filter(|other| *other != name);
                let what = format!(
                    "Webhook overlaps with others: {}. This may cause injection to occur twice.",
                    listed(others)
                );
                found.add(&types::INVALID_WEBHOOK, configuration, "", &[&what]);
            }
        }
    }
}

/// Without labels, with each value, and all that with each revision.
fn label_sets<'a>(
    name: &'a str,
    values: [&'a str; 2],
    revisions: &BTreeSet<&'a str>,
) -> Vec<Set<'a>> {
    let mut sets = Vec::new();
    for revision in std::iter::once(None).chain(revisions.iter().map(Some)) {
        for value in std::iter::once(None).chain(values.into_iter().map(Some)) {
            let mut set = Set::new();
            set.extend(revision.map(|revision| (REVISION, *revision)));
            set.extend(value.map(|value| (name, value)));
            sets.push(set);
        }
    }
    sets
}
