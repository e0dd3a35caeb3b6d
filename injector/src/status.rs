//! The annotation `sidecar.istio.io/status` tells what was injected, so that it can be taken out before the next injection.

use serde_json::{Value, json};

use crate::{json as gojson, pod, prometheus};

/// What the templates brought, in their order, as the annotation's text. The keys have a fixed order; what is empty is null.
pub(crate) fn text(template_pod: &Value, revision: &str) -> String {
    let names = |list: &str| {
        let names: Vec<&str> = pod::containers(template_pod, list)
            .iter()
            .map(pod::name)
            .collect();
        if names.is_empty() {
            Value::Null
        } else {
            json!(names)
        }
    };
    let revision = if revision.is_empty() {
        "default"
    } else {
        revision
    };
    let parts = [
        ("initContainers", names("initContainers")),
        ("containers", names("containers")),
        ("volumes", names("volumes")),
        ("imagePullSecrets", names("imagePullSecrets")),
        ("revision", Value::from(revision)),
    ];
    let parts = parts.map(|(key, value)| format!("\"{key}\":{}", gojson::text(&value)));
    format!("{{{}}}", parts.join(","))
}

/// The names that a previous injection put into a list; nothing if there was none.
pub(crate) fn injected_before(pod: &Value, list: &str) -> Vec<String> {
    let Some(status) = pod::annotation(pod, pod::STATUS) else {
        return Vec::new();
    };
    let Ok(status) = serde_json::from_str::<Value>(status) else {
        tracing::error!("the annotation {} is no JSON", pod::STATUS);
        return Vec::new();
    };
    let names = status[list].as_array().into_iter().flatten();
    names
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect()
}

/// The pod without what a previous injection put in: its containers, its Prometheus annotations, its status.
pub(crate) fn stripped(pod: &Value, status_port: i64) -> Value {
    let before = pod::annotation(pod, pod::STATUS)
        .and_then(|status| serde_json::from_str::<Value>(status).ok())
        .filter(Value::is_object);
    if before.is_none() {
        return pod.clone();
    }
    let mut pod = pod.clone();
    for list in [pod::CONTAINERS, pod::INIT_CONTAINERS] {
        let names = injected_before(&pod, list);
        if !names.is_empty() {
            pod::containers_mut(&mut pod, list)
                .retain(|c| !names.iter().any(|name| name == pod::name(c)));
        }
    }
    if prometheus::port(&pod).is_some_and(|port| port == status_port.to_string()) {
        prometheus::clear(&mut pod);
    }
    pod::remove_annotation(&mut pod, pod::STATUS);
    pod
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_injected_is_taken_out() {
        let template = json!({"spec": {"initContainers": [{"name": "istio-init"}], "containers": [{"name": "istio-proxy"}], "volumes": [{"name": "v"}]}});
        let status = text(&template, "");
        assert_eq!(
            status,
            r#"{"initContainers":["istio-init"],"containers":["istio-proxy"],"volumes":["v"],"imagePullSecrets":null,"revision":"default"}"#
        );
        let pod = json!({"metadata": {"annotations": {"sidecar.istio.io/status": status, "prometheus.io/port": "15020", "prometheus.io/path": "/", "a": "b"}},
            "spec": {"initContainers": [{"name": "istio-init"}, {"name": "own"}], "containers": [{"name": "app"}, {"name": "istio-proxy"}]}});
        assert_eq!(
            stripped(&pod, 15020),
            json!({"metadata": {"annotations": {"a": "b"}}, "spec": {"initContainers": [{"name": "own"}], "containers": [{"name": "app"}]}})
        );
        let odd = json!({"metadata": {"annotations": {"sidecar.istio.io/status": "injected"}}, "spec": {}});
        assert_eq!(stripped(&odd, 15020), odd);
    }
}
