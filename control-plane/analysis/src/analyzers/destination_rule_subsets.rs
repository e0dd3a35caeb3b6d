//! Subsets without pods.

use std::collections::BTreeMap;

use crate::analyze::Found;
use crate::hosts::{all_hosts, service_for};
use crate::labels::{Set, selects};
use crate::message::types;
use crate::object::{map, text};
use crate::{Input, Kind, Object};

const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";
const SUBZONE: &str = "topology.istio.io/subzone";
const HOST: &str = "kubernetes.io/hostname";

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    let hosts = all_hosts(input);
    let pods: Vec<_> = input
        .of(Kind::Pod)
        .map(|pod| endpoint_labels(input, pod))
        .collect();
    for rule in input.of(Kind::DestinationRule) {
        let host = rule.text("/spec/host");
        let export_to = rule.texts("/spec/exportTo");
        let Some(service) = service_for(&hosts, &rule.namespace, &export_to, host) else {
            found.add(&types::UNKNOWN_DESTINATION_RULE_HOST, rule, "", &[&host]);
            continue;
        };
        let own = service.entry.map_or(Set::new(), |entry| {
            map(&entry.value, "/spec/workloadSelector/labels")
        });
        for subset in rule.list("/spec/subsets") {
            let mut selector = own.clone();
            selector.extend(map(subset, "/labels"));
            if !pods.iter().any(|labels| selects(&selector, labels)) {
                let name = text(subset, "/name");
                found.add(
                    &types::DESTINATION_RULE_SUBSET_NOT_SELECT_PODS,
                    rule,
                    "",
                    &[&name],
                );
            }
        }
    }
}

/// The labels of the pod's endpoint: its own, and those of the place of its node, each level only below the one above.
fn endpoint_labels<'a>(input: &'a Input<'a>, pod: &'a Object) -> BTreeMap<&'a str, &'a str> {
    let mut labels = pod.labels();
    let node = pod.text("/spec/nodeName");
    if let Some(place) = input.find(Kind::Node, "", node).map(Object::labels) {
        for (i, level) in [REGION, ZONE, SUBZONE].into_iter().enumerate() {
            match place.get(level).filter(|value| !value.is_empty()) {
                Some(value) => labels.insert(level, value),
                None if i == 0 => continue,
                None => break,
            };
        }
    }
    if !node.is_empty() {
        labels.insert(HOST, node);
    }
    labels
}
