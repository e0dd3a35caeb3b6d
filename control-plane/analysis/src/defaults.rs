//! What every installation has: without it, files that refer to it would be blamed.

use serde_json::json;

use crate::{Mesh, Object};

/// The ingress gateway's Service and one pod behind it. Istio 1.31: the same names, ports and labels.
pub fn default_objects(mesh: &Mesh, namespace: &str) -> Vec<Object> {
    if !mesh.has_ingress() {
        return Vec::new();
    }
    let name = mesh.ingress_service();
    let port = |name: &str, number: u16| json!({"name": name, "port": number, "protocol": "TCP", "targetPort": number});
    let objects = [
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": format!("{name}-dummypod"),
                "namespace": namespace,
                "labels": {"istio": "ingressgateway"},
            },
            "spec": {"containers": [{"name": "istio-proxy"}]},
        }),
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "ports": [port("http2", 80), port("https", 443), port("tcp", 31400), port("tls", 15443)],
                "selector": {"istio": "ingressgateway"},
            },
        }),
    ];
    let objects = objects.into_iter();
    objects
        .filter_map(|value| {
            Object::new(value, namespace).map(|object| Object {
                file: "internal-ingress".to_owned(),
                line: 1,
                ..object
            })
        })
        .collect()
}
