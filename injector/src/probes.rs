//! Probe rewriting: the kubelet probes the agent, which probes the application, so that probes pass mutual TLS (Istio 1.31: applyRewrite).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::config::Values;
use crate::mesh::MeshConfig;
use crate::{json as gojson, pod};

const REWRITE: &str = "sidecar.istio.io/rewriteAppHTTPProbers";
const APP_PROBERS: &str = "ISTIO_KUBE_APP_PROBERS";

/// Probes, and the ends of the paths at which the agent answers for them.
const PROBES: [(&str, &str); 3] = [
    ("readinessProbe", "readyz"),
    ("livenessProbe", "livez"),
    ("startupProbe", "startupz"),
];
const HOOKS: [(&str, &str); 2] = [("preStop", "prestopz"), ("postStart", "poststartz")];

fn probe_path(container: &str, end: &str) -> String {
    format!("/app-health/{container}/{end}")
}

fn hook_path(container: &str, end: &str) -> String {
    format!("/app-lifecycle/{container}/{end}")
}

/// Rewrites the probes and life cycle hooks of all containers but the proxy, if this is wanted.
pub(crate) fn rewrite(pod: &mut Value, mesh: &MeshConfig, values: &Values) {
    if pod::any_container(pod, pod::PROXY).is_none() {
        return;
    }
    let wanted = pod::annotation(pod, REWRITE)
        .and_then(pod::parse_bool)
        .unwrap_or_else(|| values.flag("/sidecarInjectorWebhook/rewriteAppHTTPProbe"));
    if !wanted {
        return;
    }
    let status_port = mesh.status_port();
    let probers = app_probers(pod, status_port);
    if !probers.is_empty() {
        let injected_before = pod::annotation(pod, pod::STATUS).is_some();
        if let Some(sidecar) = pod::any_container_mut(pod, pod::PROXY) {
            set_probers(sidecar, probers, injected_before);
        }
    }
    let port = match pod::annotation(pod, pod::STATUS_PORT) {
        Some(text) => text.parse().unwrap_or_else(|_| {
            tracing::error!(
                value = text,
                "the annotation {} is no number",
                pod::STATUS_PORT
            );
            0
        }),
        None => status_port,
    };
    for list in [pod::CONTAINERS, pod::INIT_CONTAINERS] {
        if pod::containers(pod, list).is_empty() {
            continue;
        }
        for container in pod::containers_mut(pod, list) {
            let name = pod::name(container).to_owned();
            if name == pod::PROXY {
                continue;
            }
            for (probe, end) in PROBES {
                convert(
                    container.get_mut(probe),
                    &probe_path(&name, end),
                    port,
                    true,
                );
            }
            for (hook, end) in HOOKS {
                let hook = container.get_mut("lifecycle").and_then(|l| l.get_mut(hook));
                convert(hook, &hook_path(&name, end), port, false);
            }
        }
    }
}

/// What the agent must do for each path.
fn app_probers(pod: &Value, status_port: i64) -> BTreeMap<String, Value> {
    let mut out = BTreeMap::new();
    let all = [pod::INIT_CONTAINERS, pod::CONTAINERS].map(|list| pod::containers(pod, list));
    for container in all.into_iter().flatten() {
        let name = pod::name(container);
        if name == pod::PROXY {
            continue;
        }
        let probes = PROBES.map(|(probe, end)| (&container[probe], probe_path(name, end), true));
        let hooks =
            HOOKS.map(|(hook, end)| (&container["lifecycle"][hook], hook_path(name, end), false));
        for (handler, path, is_probe) in probes.into_iter().chain(hooks) {
            if let Some(prober) = prober(handler, container, status_port, is_probe) {
                out.insert(path, prober);
            }
        }
    }
    out
}

fn prober(handler: &Value, container: &Value, status_port: i64, is_probe: bool) -> Option<Value> {
    let kinds: &[&str] = if is_probe {
        &["httpGet", "tcpSocket", "grpc"]
    } else {
        &["httpGet", "tcpSocket"]
    };
    let kind = kinds.iter().find(|kind| handler[**kind].is_object())?;
    let mut action = handler[*kind].clone();
    if *kind != "grpc" {
        let port = match &action["port"] {
            // A name that no port has: the kubelet could not probe either.
            Value::String(name) => {
                let ports = container["ports"].as_array()?;
                // Of several ports with a name the last one counts.
                let port = ports
                    .iter()
                    .rev()
                    .find(|port| port["name"] == name.as_str())?;
                port["containerPort"].as_i64().unwrap_or_default()
            }
            number => {
                let number = number.as_i64().unwrap_or_default();
                // Rewritten already.
                if number == status_port {
                    return None;
                }
                number
            }
        };
        action["port"] = port.into();
    }
    let mut out = Map::new();
    out.insert((*kind).to_owned(), action);
    if let Some(timeout) = handler["timeoutSeconds"]
        .as_i64()
        .filter(|t| is_probe && *t != 0)
    {
        out.insert("timeoutSeconds".to_owned(), timeout.into());
    }
    Some(Value::Object(out))
}

/// Sets the variable. A pod that was injected before keeps what the variable said: its probes are rewritten already.
fn set_probers(sidecar: &mut Value, mut probers: BTreeMap<String, Value>, injected_before: bool) {
    let text = |probers: BTreeMap<String, Value>| {
        gojson::text(&Value::Object(probers.into_iter().collect()))
    };
    let known = sidecar["env"]
        .as_array_mut()
        .and_then(|env| {
            env.iter_mut()
                .find(|variable| variable["name"] == APP_PROBERS)
        })
        .filter(|_| injected_before);
    let Some(known) = known else {
        pod::push_env(sidecar, APP_PROBERS, &text(probers));
        return;
    };
    let before = serde_json::from_str::<BTreeMap<String, Value>>(
        known["value"].as_str().unwrap_or_default(),
    );
    match before {
        Ok(before) => {
            probers.extend(before);
            *known = json!({"name": APP_PROBERS, "value": text(probers)});
        }
        Err(error) => tracing::error!(%error, "the variable {APP_PROBERS} is no JSON"),
    }
}

/// Lets the kubelet ask the agent; commands stay.
fn convert(handler: Option<&mut Value>, path: &str, port: i64, is_probe: bool) {
    let Some(handler) = handler else { return };
    if let Some(get) = handler.get_mut("httpGet").filter(|get| get.is_object()) {
        get["path"] = path.into();
        get["port"] = port.into();
        // The agent speaks TLS to the application.
        if get["scheme"] == "HTTPS" {
            get["scheme"] = "HTTP".into();
        }
        return;
    }
    let tcp = handler["tcpSocket"].is_object();
    if tcp || is_probe && handler["grpc"].is_object() {
        let Some(map) = handler.as_object_mut() else {
            return;
        };
        map.shift_remove(if tcp { "tcpSocket" } else { "grpc" });
        map.insert("httpGet".to_owned(), json!({"path": path, "port": port}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_go_through_the_agent() {
        let mut pod = json!({"metadata": {"annotations": {REWRITE: "true"}}, "spec": {"containers": [
            {"name": "app", "ports": [{"name": "http", "containerPort": 80}],
                "readinessProbe": {"httpGet": {"path": "/r", "port": "http", "scheme": "HTTPS"}, "timeoutSeconds": 3},
                "livenessProbe": {"tcpSocket": {"port": 81}},
                "startupProbe": {"grpc": {"port": 82, "service": null}},
                "lifecycle": {"preStop": {"exec": {"command": ["x"]}}, "postStart": {"httpGet": {"path": "/p", "port": 80}}}},
            {"name": "other", "readinessProbe": {"httpGet": {"path": "/", "port": "none"}}},
            {"name": "istio-proxy", "readinessProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021}}}]}});
        rewrite(&mut pod, &MeshConfig::default(), &Values::default());
        let containers = &pod["spec"]["containers"];
        assert_eq!(
            containers[2]["env"][0]["value"],
            r#"{"/app-health/app/livez":{"tcpSocket":{"port":81}},"/app-health/app/readyz":{"httpGet":{"path":"/r","port":80,"scheme":"HTTPS"},"timeoutSeconds":3},"/app-health/app/startupz":{"grpc":{"port":82,"service":null}},"/app-lifecycle/app/poststartz":{"httpGet":{"path":"/p","port":80}}}"#
        );
        assert_eq!(
            containers[0]["readinessProbe"]["httpGet"],
            json!({"path": "/app-health/app/readyz", "port": 15020, "scheme": "HTTP"})
        );
        assert_eq!(
            containers[0]["livenessProbe"],
            json!({"httpGet": {"path": "/app-health/app/livez", "port": 15020}})
        );
        assert_eq!(
            containers[0]["startupProbe"],
            json!({"httpGet": {"path": "/app-health/app/startupz", "port": 15020}})
        );
        assert_eq!(
            containers[0]["lifecycle"]["preStop"],
            json!({"exec": {"command": ["x"]}})
        );
        assert_eq!(containers[2]["readinessProbe"]["httpGet"]["port"], 15021);
    }
}
