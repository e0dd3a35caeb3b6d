//! The content of the debug pages. Istio 1.31: `pilot/pkg/xds/debug.go`.

use meltemi_model::{Resource, ResourceType};
use meltemi_xds::registry::{Connection, Registry, TypeStatus};
use serde_json::{Map, Value, json};

use crate::engine::Engine;
use crate::render;

/// `/debug/syncz`: for every proxy the nonces sent and acknowledged, and the reason of a rejection. istioctl and `ps`
/// read it. Fields beyond istiod's are `resources` and `heldBack`.
pub(super) fn syncz(engine: &Engine, streams: &Registry, namespace: &str) -> Value {
    let connections = streams.all();
    let shown = connections
        .iter()
        .filter(|c| namespace.is_empty() || *c.proxy.namespace == *namespace);
    Value::Array(shown.map(|c| status(engine, c)).collect())
}

fn status(engine: &Engine, connection: &Connection) -> Value {
    let proxy = &connection.proxy;
    let mut page = Map::new();
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() {
            page.insert(key.into(), json!(value));
        }
    };
    add("cluster_id", &proxy.meta.cluster_id);
    add("proxy", &proxy.id);
    add("proxy_type", proxy.kind.as_str());
    add("istio_version", proxy.meta.text("ISTIO_VERSION"));
    let types = connection.types();
    for (status, name) in types
        .iter()
        .zip(["cluster", "endpoint", "listener", "route"])
    {
        add(&format!("{name}_sent"), &status.nonce_sent);
        add(&format!("{name}_acked"), &status.nonce_acked);
    }
    let asked = types
        .iter()
        .filter(|t| !t.nonce_sent.is_empty() || t.error.is_some());
    let resources: Map<String, Value> = asked
        .map(|t| (t.ty.type_url().to_owned(), type_status(t)))
        .collect();
    page.insert("resources".into(), Value::Object(resources));
    let held = engine.held_from(proxy);
    if !held.is_empty() {
        let names: Vec<String> = held.iter().map(ToString::to_string).collect();
        page.insert("heldBack".into(), json!(names));
    }
    Value::Object(page)
}

fn type_status(status: &TypeStatus) -> Value {
    let mut page = json!({
        "sent": status.nonce_sent,
        "acked": status.nonce_acked,
        "status": status.status.as_str(),
    });
    if let Some(error) = &status.error {
        page["lastError"] = json!(error);
    }
    if !status.rejected.is_empty() {
        let names: Vec<&str> = status.rejected.iter().map(|n| &**n).collect();
        page["rejected"] = json!(names);
    }
    page
}

/// `/debug/networkz`: where the networks of the mesh are entered. The account of a gateway is known of ambient ones only.
pub(super) fn networkz(engine: &Engine) -> Value {
    let world = engine.world();
    let gateways = world.networks.gateways.all().iter().map(|gateway| {
        json!({
            "Network": &*gateway.network,
            "Cluster": &*gateway.cluster,
            "Addr": &*gateway.address,
            "Port": gateway.port,
            "HBONEPort": gateway.hbone_port,
            "ServiceAccount": {"Namespace": "", "Name": ""},
        })
    });
    Value::Array(gateways.collect())
}

/// `/debug/config_dump?proxyID=`: what the proxy was sent, in the form of Envoy's own `/config_dump`.
pub(super) fn config_dump(connection: &Connection, endpoints: bool) -> Value {
    let snapshot = connection.snapshot();
    let version = |ty: ResourceType| snapshot.set(ty).version.to_string();
    let list = |ty: ResourceType, one: &dyn Fn(&Resource) -> Value| -> Value {
        Value::Array(connection.resources(ty).iter().map(|r| one(r)).collect())
    };
    let empty = |name: &str| json!({"@type": format!("type.googleapis.com/envoy.admin.v3.{name}")});
    let clusters = json!({
        "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
        "version_info": version(ResourceType::Cluster),
        "dynamic_active_clusters": list(ResourceType::Cluster, &|r| json!({
            "version_info": r.version.to_string(),
            "cluster": typed(r),
        })),
    });
    let endpoint_configs = endpoints.then(|| {
        json!({
            "@type": "type.googleapis.com/envoy.admin.v3.EndpointsConfigDump",
            "dynamic_endpoint_configs": list(ResourceType::Endpoint, &|r| json!({
                "version_info": r.version.to_string(),
                "endpoint_config": typed(r),
            })),
        })
    });
    let listeners = json!({
        "@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump",
        "version_info": version(ResourceType::Listener),
        "dynamic_listeners": list(ResourceType::Listener, &|r| json!({
            "name": &*r.name,
            "active_state": {"version_info": r.version.to_string(), "listener": typed(r)},
        })),
    });
    let routes = json!({
        "@type": "type.googleapis.com/envoy.admin.v3.RoutesConfigDump",
        "dynamic_route_configs": list(ResourceType::Route, &|r| json!({
            "version_info": r.version.to_string(),
            "route_config": typed(r),
        })),
    });
    let secrets = json!({
        "@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump",
        "dynamic_active_secrets": list(ResourceType::Secret, &|r| json!({
            "name": &*r.name,
            "version_info": r.version.to_string(),
            "secret": typed(r),
        })),
    });
    // Istio lists every kind of dump, in Envoy's order, whether or not there is anything in it.
    let mut configs = vec![empty("BootstrapConfigDump"), clusters];
    configs.extend(endpoint_configs);
    configs.extend([
        listeners,
        empty("ScopedRoutesConfigDump"),
        routes,
        secrets,
        json!({
            "@type": "type.googleapis.com/envoy.admin.v3.EcdsConfigDump",
            "ecds_filters": list(ResourceType::Extension, &|r| json!({
                "version_info": r.version.to_string(),
                "ecds_filter": typed(r),
            })),
        }),
    ]);
    json!({"configs": configs})
}

fn typed(resource: &Resource) -> Value {
    let mut value = render::resource(resource);
    if let Value::Object(fields) = &mut value {
        fields.insert("@type".into(), json!(resource.ty.type_url()));
    }
    value
}
