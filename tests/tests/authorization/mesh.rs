//! A mesh of a few objects, and the filters that guard one of its proxies.

use meltemi::{offline, simulation};
use meltemi_model::Diagnostics;
use meltemi_proto::any::type_name;
use meltemi_proto::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, http_filter,
};
use meltemi_sources::lower::{LowerSettings, lower};
use prost::Message as _;
use serde::Deserialize as _;
use serde_json::{Value, json};

const HTTP: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const TCP: &str = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";

/// The documents of a YAML text.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).expect("YAML"))
        .filter(|document| !document.is_null())
        .collect()
}

/// The mesh configuration as the object that holds it.
pub(crate) fn mesh_config(config: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": config.to_string()},
    })
}

/// A world of these objects, and what was found in them.
pub(crate) fn world(objects: &[Value]) -> (offline::Input, Vec<String>) {
    let settings = LowerSettings::default();
    let mut said = Vec::new();
    let mut good = Vec::new();
    for object in objects {
        let lowered = lower(object, &settings);
        said.extend(lowered.diagnostics.iter().map(ToString::to_string));
        good.extend(lowered.object);
    }
    (
        offline::of_objects(good, Diagnostics::new(), &settings),
        said,
    )
}

/// The sidecar of a pod without services.
pub(crate) fn sidecar(namespace: &str, labels: &Value) -> offline::Node {
    offline::Node {
        id: format!("sidecar~10.0.0.1~app-0.{namespace}~{namespace}.svc.cluster.local"),
        cluster: format!("app.{namespace}"),
        locality: String::new(),
        metadata: json!({"ISTIO_VERSION": "1.31.0", "NAMESPACE": namespace, "LABELS": labels}),
    }
}

/// The listener of all inbound connections.
pub(crate) fn inbound(input: &offline::Input, node: &offline::Node) -> Listener {
    let answer = offline::compile(input, node).expect("a node");
    let (mut resources, problems) = simulation::resources(&answer.snapshot);
    assert!(problems.is_empty(), "{problems:?}");
    let inbound = resources.listeners.remove("virtualInbound");
    inbound.expect("an inbound listener")
}

/// The filters of the first chain that speaks HTTP.
pub(crate) fn http_filters(listener: &Listener) -> Vec<HttpFilter> {
    let filters = listener.filter_chains.iter().flat_map(|c| &c.filters);
    let manager = filters
        .filter_map(|filter| typed(filter, HTTP))
        .next()
        .expect("a chain that speaks HTTP");
    let manager = HttpConnectionManager::decode(manager).expect("a connection manager");
    manager.http_filters
}

/// The filters of the first chain that passes connections on to the pod.
pub(crate) fn network_filters(listener: &Listener) -> Vec<Filter> {
    let passes = |chain: &&FilterChain| {
        chain.name != "virtualInbound-blackhole"
            && chain.filters.iter().any(|f| typed(f, TCP).is_some())
    };
    let chain = listener.filter_chains.iter().find(passes);
    chain.expect("a chain for TCP").filters.clone()
}

fn typed<'a>(filter: &'a Filter, wanted: &str) -> Option<&'a [u8]> {
    match &filter.config_type {
        Some(filter::ConfigType::TypedConfig(any)) if type_name(&any.type_url) == wanted => {
            Some(&any.value)
        }
        _ => None,
    }
}

/// Whether a filter authorizes, by the type of its configuration.
pub(crate) fn authorizes(type_url: &str) -> bool {
    ["RBAC", "ExtAuthz"].contains(&type_name(type_url).rsplit('.').next().unwrap_or_default())
}

/// The type of an HTTP filter's configuration.
pub(crate) fn http_type(filter: &HttpFilter) -> &str {
    match &filter.config_type {
        Some(http_filter::ConfigType::TypedConfig(any)) => &any.type_url,
        _ => "",
    }
}

/// The type of a network filter's configuration.
pub(crate) fn network_type(filter: &Filter) -> &str {
    match &filter.config_type {
        Some(filter::ConfigType::TypedConfig(any)) => &any.type_url,
        _ => "",
    }
}
