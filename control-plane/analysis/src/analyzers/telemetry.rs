//! Telemetries: what they select, and where they send.

use std::collections::BTreeMap;

use crate::analyze::Found;
use crate::labels::{first_label, selects, shown};
use crate::message::types;
use crate::object::{has, list, map, text};
use crate::{Input, Kind, Object};

use super::sidecar::names;

pub(super) fn defaults<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    let mut by_namespace: BTreeMap<&str, Vec<&'a Object>> = BTreeMap::new();
    for telemetry in input.of(Kind::Telemetry) {
        if !telemetry.has("/spec/selector") {
            by_namespace
                .entry(&telemetry.namespace)
                .or_default()
                .push(telemetry);
        }
    }
    for (namespace, telemetries) in by_namespace {
        if telemetries.len() > 1 {
            let names = names(&telemetries);
            for telemetry in telemetries {
                let kind = &types::MULTIPLE_TELEMETRIES_WITHOUT_WORKLOAD_SELECTORS;
                found.add(kind, telemetry, "", &[&names, &namespace]);
            }
        }
    }
}

pub(super) fn selectors<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    let mut of_pods: BTreeMap<(&str, &str), Vec<&'a Object>> = BTreeMap::new();
    for telemetry in input.of(Kind::Telemetry) {
        let selector = map(&telemetry.value, "/spec/selector/matchLabels");
        if selector.is_empty() {
            continue;
        }
        let mut selects_any = false;
        for pod in input.of(Kind::Pod) {
            if pod.namespace == telemetry.namespace && selects(&selector, &pod.labels()) {
                selects_any = true;
                let of_pod = of_pods.entry((&pod.namespace, &pod.name));
                of_pod.or_default().push(telemetry);
            }
        }
        if !selects_any {
            let field = first_label("spec.selector.matchLabels", &selector);
            let kind = &types::REFERENCED_RESOURCE_NOT_FOUND;
            found.add(kind, telemetry, &field, &[&"selector", &shown(&selector)]);
        }
    }
    for ((namespace, pod), telemetries) in of_pods {
        if telemetries.len() > 1 {
            let names = names(&telemetries);
            for telemetry in telemetries {
                let kind = &types::CONFLICTING_TELEMETRY_WORKLOAD_SELECTORS;
                found.add(
                    kind,
                    telemetry,
                    "metadata.name",
                    &[&names, &namespace, &pod],
                );
            }
        }
    }
}

pub(super) fn providers<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    if input.mesh.has_default_access_logging() {
        return;
    }
    for telemetry in input.of(Kind::Telemetry) {
        for logging in telemetry.list("/spec/accessLogging") {
            let is_off = logging.get("disabled").and_then(serde_json::Value::as_bool) == Some(true);
            if !is_off && list(logging, "/providers").is_empty() {
                let args: [&dyn std::fmt::Display; 2] = [&telemetry.name, &telemetry.namespace];
                found.add(&types::INVALID_TELEMETRY_PROVIDER, telemetry, "", &args);
            }
        }
    }
}

pub(super) fn lightstep<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    let providers = list(&input.mesh.0, "/extensionProviders").iter();
    let lightstep: Vec<_> = providers
        .filter(|provider| has(provider, "/lightstep"))
        .map(|provider| text(provider, "/name"))
        .collect();
    for telemetry in input.of(Kind::Telemetry) {
        let tracing = telemetry.list("/spec/tracing").iter();
        for provider in tracing.flat_map(|tracing| list(tracing, "/providers")) {
            let name = text(provider, "/name");
            if lightstep.contains(&name) {
                let what = format!(
                    "The Lightstep provider {name} is deprecated, please migrate to OpenTelemetry provider."
                );
                found.add(&types::DEPRECATED, telemetry, "", &[&what]);
            }
        }
    }
}
