//! EnvoyFilters of many kinds, for worlds in which `random-0.host.example` and so on are services.

use std::fmt::Write as _;

/// Kinds of patches that take turns. Each is `(applyTo, match, patch)` in YAML; `N` is the number of the EnvoyFilter.
const TURNS: [[&str; 3]; 10] = [
    [
        "CLUSTER",
        "{cluster: {service: random-N.host.example}}",
        "{operation: MERGE, value: {connect_timeout: Ns}}",
    ],
    [
        "CLUSTER",
        "{context: SIDECAR_OUTBOUND}",
        "{operation: ADD, value: {name: added-N, type: STATIC, connect_timeout: 1s}}",
    ],
    [
        "CLUSTER",
        "{cluster: {service: random-N.host.example}}",
        "{operation: REMOVE}",
    ],
    [
        "LISTENER",
        "{context: SIDECAR_OUTBOUND, listener: {portNumber: 15001}}",
        "{operation: MERGE, value: {metadata: {filter_metadata: {bench-N: {number: 1}}}}}",
    ],
    [
        "NETWORK_FILTER",
        "{context: SIDECAR_INBOUND, listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}}",
        "{operation: MERGE, value: {typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, max_request_headers_kb: 9N}}}",
    ],
    [
        "HTTP_FILTER",
        "{context: SIDECAR_OUTBOUND, listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.router}}}}}",
        "{operation: INSERT_BEFORE, value: {name: bench-N, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: 4N}}}",
    ],
    [
        "ROUTE_CONFIGURATION",
        "{context: SIDECAR_OUTBOUND}",
        "{operation: MERGE, value: {response_headers_to_add: [{header: {key: x-bench-N, value: all}}]}}",
    ],
    [
        "VIRTUAL_HOST",
        "{context: SIDECAR_OUTBOUND, routeConfiguration: {vhost: {name: 'random-N.host.example:80'}}}",
        "{operation: MERGE, value: {request_headers_to_add: [{header: {key: x-bench-N, value: host}}]}}",
    ],
    [
        "HTTP_ROUTE",
        "{context: SIDECAR_OUTBOUND, routeConfiguration: {vhost: {name: 'random-N.host.example:80', route: {action: ROUTE}}}}",
        "{operation: MERGE, value: {route: {timeout: Ns}}}",
    ],
    [
        "EXTENSION_CONFIG",
        "{context: SIDECAR_OUTBOUND}",
        "{operation: ADD, value: {name: extension-N, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer, max_request_bytes: 4N}}}",
    ],
];

/// The EnvoyFilters with numbers below `count`. `app`: the workloads that they select; none: all of the namespace.
pub fn envoy_filters(count: usize, app: Option<&str>) -> String {
    (0..count)
        .map(|number| envoy_filter(number, app, number))
        .collect()
}

/// The EnvoyFilter of a number; `value` is what tells its patch from that of another step.
pub fn envoy_filter(number: usize, app: Option<&str>, value: usize) -> String {
    let [apply_to, condition, patch] = TURNS[number % TURNS.len()];
    let mut text = format!(
        "---\napiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\n\
         metadata: {{name: bench-{number}, namespace: default}}\nspec:\n"
    );
    if let Some(app) = app {
        let _ = writeln!(text, "  workloadSelector: {{labels: {{app: {app}}}}}");
    }
    let _ = writeln!(
        text,
        "  configPatches:\n  - applyTo: {apply_to}\n    match: {}\n    patch: {}",
        with_number(condition, number),
        with_number(patch, value + 1),
    );
    text
}

/// The number in the place of each `N` that is no part of a word.
fn with_number(text: &str, number: usize) -> String {
    let mut done = String::with_capacity(text.len());
    let letters: Vec<char> = text.chars().collect();
    for (at, letter) in letters.iter().enumerate() {
        let is_word = |c: Option<&char>| c.is_some_and(|c| c.is_ascii_uppercase() || *c == '_');
        let before = at.checked_sub(1).and_then(|at| letters.get(at));
        if *letter == 'N' && !is_word(before) && !is_word(letters.get(at + 1)) {
            let _ = write!(done, "{number}");
        } else {
            done.push(*letter);
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;
    use serde_json::Value;

    use super::*;

    #[test]
    fn each_kind_has_its_turn() {
        let text = envoy_filters(TURNS.len(), Some("web"));
        let all: Vec<Value> = serde_yaml::Deserializer::from_str(&text)
            .map(|document| Value::deserialize(document).unwrap())
            .collect();
        assert_eq!(all.len(), TURNS.len());
        for (object, turn) in all.iter().zip(TURNS) {
            assert_eq!(object["spec"]["configPatches"][0]["applyTo"], turn[0]);
            assert_eq!(object["spec"]["workloadSelector"]["labels"]["app"], "web");
        }
        let merged = &all[0]["spec"]["configPatches"][0];
        assert_eq!(
            merged["match"]["cluster"]["service"],
            "random-0.host.example"
        );
        assert_eq!(merged["patch"]["value"]["connect_timeout"], "1s");
        assert_eq!(
            all[3]["spec"]["configPatches"][0]["match"]["context"],
            "SIDECAR_OUTBOUND"
        );
    }
}
