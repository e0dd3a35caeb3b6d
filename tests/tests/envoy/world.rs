//! A golden's world, with the ports that a proxy binds changed to free ones.

use std::fs;
use std::path::Path;

use meltemi_tests::golden::Case;
use meltemi_tests::ports::unused;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use crate::corpus::Certificates;

/// Writes it to `objects` in the folder.
pub(crate) fn write(case: &Case, dir: &Path) {
    let text = fs::read_to_string(case.world()).expect("a world");
    let text = Certificates::write(dir).named_in(&text);
    let documents: Vec<Value> = serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).expect("a document"))
        .collect();
    let mut objects: Vec<Value> = documents
        .into_iter()
        .map(|mut object| {
            if object["spec"]["type"] == "LoadBalancer" {
                for port in object["spec"]["ports"].as_array_mut().expect("ports") {
                    port["targetPort"] = unused().into();
                }
            }
            object
        })
        .collect();
    let mut mesh = take_mesh(&mut objects);
    mesh.insert("proxyListenPort".to_owned(), unused().into());
    mesh.insert("proxyInboundListenPort".to_owned(), unused().into());
    objects.push(json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": {"mesh": Value::Object(mesh).to_string()},
    }));
    let folder = dir.join("objects");
    fs::create_dir(&folder).expect("a folder");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    fs::write(folder.join("world.json"), list.to_string()).expect("a file");
}

/// The mesh configuration of the world, which is taken out of it.
fn take_mesh(objects: &mut Vec<Value>) -> Map<String, Value> {
    let is_mesh = |o: &Value| o["kind"] == "ConfigMap" && o["data"]["mesh"].is_string();
    let Some(at) = objects.iter().position(is_mesh) else {
        return Map::new();
    };
    let map = objects.remove(at);
    let text = map["data"]["mesh"].as_str().expect("a mesh configuration");
    serde_yaml::from_str(text).expect("a map")
}
