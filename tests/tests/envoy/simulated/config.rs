//! A snapshot as a bootstrap of its own: routes inside of their listeners, clusters that are the test's servers, and the
//! PROXY protocol where connections would be redirected.

use std::collections::BTreeMap;

use meltemi_tests::ports::unused;
use serde_json::{Map, Value, json};

/// The bootstrap, and the port on 127.0.0.1 of each listener that binds.
pub(super) fn bootstrap(
    served: &Value,
    clusters: &BTreeMap<String, u16>,
) -> (Value, BTreeMap<String, u16>) {
    let list = |name: &str| served[name].as_array().cloned().unwrap_or_default();
    let routes: BTreeMap<String, Value> = list("routes")
        .into_iter()
        .filter_map(|route| Some((route["name"].as_str()?.to_owned(), route)))
        .collect();
    let mut doors = BTreeMap::new();
    // Held until all are chosen, so that no port is chosen twice.
    let mut listeners = list("listeners");
    for listener in &mut listeners {
        inline(listener, &routes);
        if listener["bind_to_port"] != false {
            let name = listener["name"].as_str().expect("a name").to_owned();
            doors.insert(name, door(listener));
        }
    }
    let clusters: Vec<Value> = clusters
        .iter()
        .map(|(name, port)| {
            json!({
                "name": name,
                "type": "STATIC",
                "connect_timeout": "5s",
                "load_assignment": {
                    "cluster_name": name,
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(*port)}}]}],
                },
            })
        })
        .collect();
    let config = json!({
        "node": {"id": "simulated", "cluster": "simulated"},
        "admin": {"address": socket(0)},
        "static_resources": {"listeners": listeners, "clusters": clusters},
        "layered_runtime": {"layers": [{"name": "static", "static_layer": {
            "envoy.deprecated_features:envoy.config.listener.v3.Listener.hidden_envoy_deprecated_use_original_dst": true,
        }}]},
    });
    (config, doors)
}

fn socket(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

/// Gives a listener a free port, and has it read where the client meant to go.
fn door(listener: &mut Value) -> u16 {
    let port = unused();
    listener["address"] = socket(port);
    let proxy = json!({
        "name": "envoy.filters.listener.proxy_protocol",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
        },
    });
    let filters = listener["listener_filters"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let others = filters
        .into_iter()
        .filter(|filter| filter["name"] != "envoy.filters.listener.original_dst");
    listener["listener_filters"] = std::iter::once(proxy).chain(others).collect();
    port
}

/// Puts routes where their names stand, and has them say what was chosen.
fn inline(value: &mut Value, routes: &BTreeMap<String, Value>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| inline(item, routes)),
        Value::Object(fields) => {
            if let Some(rds) = fields.remove("rds") {
                let name = rds["route_config_name"].as_str().unwrap_or_default();
                let routes = routes.get(name).cloned();
                fields.insert(
                    "route_config".into(),
                    routes.unwrap_or_else(|| json!({"name": name})),
                );
            }
            if fields.contains_key("virtual_hosts") {
                telling(fields);
            }
            fields.values_mut().for_each(|field| inline(field, routes));
        }
        _ => {}
    }
}

fn telling(routes: &mut Map<String, Value>) {
    add(routes, "x-route", "%ROUTE_NAME%");
    let hosts = routes
        .get_mut("virtual_hosts")
        .and_then(Value::as_array_mut);
    for host in hosts.into_iter().flatten() {
        let name = host["name"].as_str().unwrap_or_default().to_owned();
        if let Value::Object(host) = host {
            add(host, "x-virtual-host", &name);
        }
    }
}

fn add(fields: &mut Map<String, Value>, name: &str, value: &str) {
    let header = json!({
        "header": {"key": name, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    });
    let headers = fields
        .entry("response_headers_to_add")
        .or_insert_with(|| json!([]));
    if let Value::Array(headers) = headers {
        headers.push(header);
    }
}
