//! Resources for people and tools: proto JSON with the proto's own field names, Any expanded, defaults left out.

use meltemi_model::{ProxySnapshot, Resource, ResourceSet, ResourceType};
use meltemi_proto::any::type_name;
use meltemi_proto::pool;
use meltemi_world::World;
use serde_json::{Map, Value, json};

/// `{"clusters":[…],"listeners":[…],"routes":[…],"endpoints":[…]}`, each list sorted by name; `extensions`, `names` and
/// `secrets`, without keys, where there are any.
pub fn snapshot(snapshot: &ProxySnapshot) -> Value {
    let order = [
        ("clusters", ResourceType::Cluster),
        ("listeners", ResourceType::Listener),
        ("routes", ResourceType::Route),
        ("endpoints", ResourceType::Endpoint),
    ];
    let lists = order.map(|(key, ty)| (key.to_owned(), Value::Array(set(snapshot.set(ty)))));
    let mut lists = Map::from_iter(lists);
    for (key, ty) in [
        ("extensions", ResourceType::Extension),
        ("names", ResourceType::NameTable),
        ("secrets", ResourceType::Secret),
    ] {
        let found = set(snapshot.set(ty));
        if !found.is_empty() {
            lists.insert(key.to_owned(), Value::Array(found));
        }
    }
    Value::Object(lists)
}

fn set(set: &ResourceSet) -> Vec<Value> {
    set.by_name.values().map(|r| resource(r)).collect()
}

/// One resource, its fields in the order of their names. What cannot be rendered is shown as the reason, so that a dump never hides a resource.
pub fn resource(resource: &Resource) -> Value {
    let mut value = pool::message_to_json(type_name(resource.ty.type_url()), &resource.body)
        .unwrap_or_else(|error| Value::String(format!("{}: {error}", resource.name)));
    if resource.ty == ResourceType::Secret {
        redact(&mut value);
    }
    value.sort_all_objects();
    value
}

/// `[redacted]`, as Envoy's own dumps show a key.
const REDACTED: &str = "W3JlZGFjdGVkXQ==";

/// Takes the key out of a Secret. The certificates are public.
fn redact(secret: &mut Value) {
    if let Some(key) = secret.pointer_mut("/tls_certificate/private_key") {
        *key = json!({"inline_bytes": REDACTED});
    }
}

/// One line per resource: type, name, version, bytes, and the objects that decided it.
pub fn summary(snapshot: &ProxySnapshot, world: &World) -> String {
    let mut out = String::new();
    for ty in ResourceType::ALL {
        for resource in snapshot.set(ty).by_name.values() {
            let from = world.written(&resource.from).into_iter();
            let from: Vec<String> = from.map(ToString::to_string).collect();
            out.push_str(&format!(
                "{} {} {} {:>6} B  {}\n",
                ty.short(),
                resource.version,
                resource.name,
                resource.body.len(),
                from.join(", ")
            ));
        }
    }
    out
}
