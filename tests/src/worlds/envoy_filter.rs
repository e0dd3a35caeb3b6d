//! EnvoyFilters that meet what random worlds make: some change everything, some take resources away or add their own, a few
//! cannot be used.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::istio::object;
use super::{ROOT, created, maybe, metadata, one_of, set};

const ROUTER: &str = "envoy.filters.http.router";
const HTTP: &str = "envoy.filters.network.http_connection_manager";
const MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const BUFFER: &str = "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer";

fn patch(apply_to: &str, matched: &Value, operation: &str, value: &Value) -> Value {
    let mut patch =
        json!({"applyTo": apply_to, "match": matched, "patch": {"operation": operation}});
    if !value.is_null() {
        patch["patch"]["value"] = value.clone();
    }
    patch
}

fn buffer(name: &str, size: u32) -> Value {
    json!({"name": name, "typed_config": {"@type": BUFFER, "max_request_bytes": size}})
}

fn eds(name: &str, endpoints: &str) -> Value {
    json!({"name": name, "type": "EDS", "connect_timeout": "1s",
        "eds_cluster_config": {"service_name": endpoints, "eds_config": {"ads": {}}}})
}

/// A listener that fetches routes.
fn listener(name: &str, port: u32, routes: &str) -> Value {
    json!({
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": HTTP, "typed_config": {
            "@type": MANAGER,
            "stat_prefix": name,
            "rds": {"route_config_name": routes, "config_source": {"ads": {}}},
        }}]}],
    })
}

/// `applyTo`, `match`, operation and value of what users patch.
fn patches() -> Vec<Value> {
    let null = Value::Null;
    let any = json!({});
    let sub = json!({"listener": {"filterChain": {"filter": {"name": HTTP, "subFilter": {"name": ROUTER}}}}});
    let port = json!({"listener": {"portNumber": 80}});
    let service = json!({"cluster": {"service": "s1.a.svc.cluster.local"}});
    let api = |name: &str| json!({"routeConfiguration": {"name": name}});
    vec![
        patch("HTTP_FILTER", &sub, "INSERT_BEFORE", &buffer("before", 1)),
        patch("HTTP_FILTER", &any, "ADD", &buffer("last", 2)),
        patch("HTTP_FILTER", &sub, "REMOVE", &null),
        patch(
            "NETWORK_FILTER",
            &any,
            "INSERT_FIRST",
            &json!({"name": "x"}),
        ),
        patch("FILTER_CHAIN", &port, "REMOVE", &null),
        patch("LISTENER", &port, "REMOVE", &null),
        patch(
            "LISTENER",
            &any,
            "MERGE",
            &json!({"per_connection_buffer_limit_bytes": 7}),
        ),
        patch("LISTENER", &any, "ADD", &listener("own", 7000, "80")),
        patch(
            "LISTENER",
            &any,
            "ADD",
            &listener("other", 7001, "nobody-has-these"),
        ),
        patch("LISTENER_FILTER", &any, "ADD", &json!({"name": "x"})),
        patch("CLUSTER", &service, "REMOVE", &null),
        patch("CLUSTER", &service, "MERGE", &json!({"type": "STATIC"})),
        patch(
            "CLUSTER",
            &any,
            "MERGE",
            &json!({"connect_timeout": "1.5s"}),
        ),
        patch(
            "CLUSTER",
            &any,
            "ADD",
            &eds("own", "outbound|80||s1.a.svc.cluster.local"),
        ),
        patch("CLUSTER", &any, "ADD", &eds("lonely", "nobody-has-these")),
        patch("CLUSTER", &any, "ADD", &json!({"name": "BlackHoleCluster"})),
        patch(
            "ROUTE_CONFIGURATION",
            &api("80"),
            "MERGE",
            &json!({"request_headers_to_remove": ["x"]}),
        ),
        patch(
            "VIRTUAL_HOST",
            &any,
            "MERGE",
            &json!({"include_request_attempt_count": true}),
        ),
        patch(
            "VIRTUAL_HOST",
            &api("80"),
            "ADD",
            &json!({"name": "own", "domains": ["own.example.com"]}),
        ),
        patch(
            "HTTP_ROUTE",
            &any,
            "MERGE",
            &json!({"route": {"idle_timeout": "3s"}}),
        ),
        patch(
            "HTTP_ROUTE",
            &any,
            "INSERT_FIRST",
            &json!({"name": "first", "match": {"prefix": "/"}, "direct_response": {"status": 200}}),
        ),
        patch("EXTENSION_CONFIG", &any, "ADD", &buffer("extension-a", 3)),
        patch("EXTENSION_CONFIG", &any, "ADD", &buffer("extension-b", 4)),
        // What is left out.
        patch(
            "CLUSTER",
            &any,
            "MERGE",
            &json!({"connect_timeout": "soon"}),
        ),
        patch(
            "HTTP_FILTER",
            &any,
            "ADD",
            &json!({"name": "x", "typed_config": {"@type": "type.googleapis.com/no.Such"}}),
        ),
        patch("HTTP_FILTER", &sub, "MERGE", &buffer("", 5)),
    ]
}

pub(super) fn envoy_filter() -> impl Strategy<Value = Value> {
    let names = (
        one_of(["a", "b", ROOT]),
        one_of(["f1", "f2", "f3"]),
        created(),
    );
    let selector = maybe([
        json!({"labels": {"app": "x"}}),
        json!({"labels": {"app": "y"}}),
    ]);
    let context = one_of([
        "ANY",
        "ANY",
        "SIDECAR_INBOUND",
        "SIDECAR_OUTBOUND",
        "GATEWAY",
    ]);
    let proxy = maybe([
        json!({"proxyVersion": "^1\\.31.*"}),
        json!({"proxyVersion": "^1\\.1.*"}),
        json!({"metadata": {"NAMESPACE": "a"}}),
    ]);
    let chosen = (proptest::sample::select(patches()), context, proxy).prop_map(
        |(mut patch, context, proxy)| {
            patch["match"]["context"] = json!(context);
            set(&mut patch["match"], "proxy", proxy);
            patch
        },
    );
    let chosen = proptest::collection::vec(chosen, 1..5);
    (names, selector, one_of([0, 0, 5, -5]), chosen).prop_map(
        |((namespace, name, created), selector, priority, patches)| {
            let mut spec = json!({"configPatches": patches, "priority": priority});
            set(&mut spec, "workloadSelector", selector);
            let metadata = metadata(namespace, name, created);
            object("EnvoyFilter", "v1alpha3", metadata, spec)
        },
    )
}
