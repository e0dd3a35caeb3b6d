//! What holds for every rendering, whatever the values.

use std::collections::BTreeSet;

use meltemi_api::mesh_config::MeshConfig;
use serde_yaml::Value;

use super::helm::Object;

/// What is wrong with a set of objects.
pub(crate) fn violations(objects: &[Object]) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for object in objects {
        let id = &object.id;
        let namespace = object.value["metadata"]["namespace"].as_str();
        if !seen.insert((id.clone(), namespace)) {
            found.push(format!("{id} is there twice"));
        }
        let in_namespace = !CLUSTER_SCOPED.contains(&object.kind.as_str());
        if in_namespace != namespace.is_some() {
            found.push(format!("{id} has the namespace {namespace:?}"));
        }
        if object.value["metadata"]["labels"]["app.kubernetes.io/part-of"] != "istio" {
            found.push(format!("{id} lacks the labels that all objects bear"));
        }
        match object.kind.as_str() {
            "Deployment" | "DaemonSet" => found.extend(workload(object)),
            "Service" => found.extend(service(object, objects)),
            "ConfigMap" => found.extend(config(object)),
            "RoleBinding" | "ClusterRoleBinding" => {
                let role = &object.value["roleRef"];
                let role = format!("{}/{}", text(&role["kind"]), text(&role["name"]));
                if !objects.iter().any(|object| object.id == role) {
                    found.push(format!("{id} binds {role}, which is not there"));
                }
            }
            _ => {}
        }
    }
    found
}

const CLUSTER_SCOPED: [&str; 5] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn elements(value: &Value) -> &[Value] {
    value.as_sequence().map_or(&[], Vec::as_slice)
}

fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_mapping().is_some_and(|selector| {
        !selector.is_empty()
            && selector
                .iter()
                .all(|(key, value)| labels.get(key) == Some(value))
    })
}

fn workload(object: &Object) -> Vec<String> {
    let mut found = Vec::new();
    let spec = &object.value["spec"];
    let pod = &spec["template"];
    if !selects(&spec["selector"]["matchLabels"], &pod["metadata"]["labels"]) {
        found.push(format!("{} does not select its own pods", object.id));
    }
    for container in elements(&pod["spec"]["containers"]) {
        let mut names = BTreeSet::new();
        for variable in elements(&container["env"]) {
            if !names.insert(text(&variable["name"])) {
                found.push(format!(
                    "{} sets {} twice",
                    object.id,
                    text(&variable["name"])
                ));
            }
            if variable
                .get("value")
                .is_some_and(|value| !value.is_string())
            {
                found.push(format!("{}: {variable:?} is no text", object.id));
            }
        }
        for mount in elements(&container["volumeMounts"]) {
            let volumes = elements(&pod["spec"]["volumes"]);
            if !volumes.iter().any(|volume| volume["name"] == mount["name"]) {
                found.push(format!(
                    "{} mounts {}, which is not there",
                    object.id,
                    text(&mount["name"])
                ));
            }
        }
    }
    found
}

fn service(object: &Object, objects: &[Object]) -> Vec<String> {
    let mut found = Vec::new();
    let mut reached = false;
    for workload in objects
        .iter()
        .filter(|o| ["Deployment", "DaemonSet"].contains(&o.kind.as_str()))
    {
        let labels = &workload.value["spec"]["template"]["metadata"]["labels"];
        reached |= selects(&object.value["spec"]["selector"], labels);
    }
    if !reached {
        found.push(format!("{} selects no pods", object.id));
    }
    found
}

fn config(object: &Object) -> Vec<String> {
    let mut found = Vec::new();
    let data = &object.value["data"];
    for (key, value) in data.as_mapping().into_iter().flatten() {
        let key = text(key);
        if key.ends_with(".pem") {
            continue;
        }
        if let Err(error) = serde_yaml::from_str::<Value>(text(value)) {
            found.push(format!("{}: {key} is no YAML: {error}", object.id));
        }
    }
    if let Some(mesh) = data.get("mesh") {
        let mesh: serde_json::Value = serde_yaml::from_str(text(mesh)).unwrap_or_default();
        match meltemi_api::parse::<MeshConfig>(&mesh) {
            Ok(read) if read.unknown.is_empty() => {}
            Ok(read) => found.push(format!("{}: unknown {:?}", object.id, read.unknown)),
            Err(error) => found.push(format!("{}: {error}", object.id)),
        }
    }
    found
}
