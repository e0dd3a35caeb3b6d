//! Metrics merging: Prometheus scrapes the agent, which scrapes the application as the pod's own annotations said (Istio 1.31:
//! applyPrometheusMerge). Prometheus takes `prometheus.io/port`, `prometheus-io.port` and the like for the same annotation, and so do we.

use serde_json::Value;

use crate::inject::InjectError;
use crate::mesh::MeshConfig;
use crate::{json as gojson, pod};

const MERGE_METRICS: &str = "prometheus.istio.io/merge-metrics";
const SECURE_PORT: &str = "prometheus.istio.io/secure-port";

/// Ports of the data plane that must not be scraped as an application's.
const RESERVED: [(u16, &str); 9] = [
    (15000, "Envoy admin"),
    (15001, "outbound traffic capture"),
    (15004, "pilot debug"),
    (15006, "inbound traffic capture"),
    (15008, "HBONE tunnel"),
    (15020, "pilot-agent status / merged Prometheus"),
    (15021, "Envoy health"),
    (15053, "DNS proxy"),
    (15090, "Envoy Prometheus (already merged)"),
];

/// The name as Prometheus sees it: letters, digits and underscores.
fn sanitized(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}

fn named<'a>(pod: &'a Value, wanted: &str) -> Option<&'a str> {
    pod::annotations(pod)
        .into_iter()
        .find(|(name, _)| sanitized(name) == wanted)
        .map(|(_, value)| value)
}

/// The port that the pod's annotations name.
pub(crate) fn port(pod: &Value) -> Option<&str> {
    named(pod, "prometheus_io_port")
}

/// Removes the annotations in all their spellings.
pub(crate) fn clear(pod: &mut Value) {
    let names: Vec<String> = pod::annotations(pod)
        .into_iter()
        .filter(|(name, _)| {
            matches!(
                sanitized(name).as_str(),
                "prometheus_io_path"
                    | "prometheus_io_port"
                    | "prometheus_io_scrape"
                    | "prometheus_istio_io_scrape_targets"
            )
        })
        .map(|(name, _)| name.to_owned())
        .collect();
    for name in names {
        pod::remove_annotation(pod, &name);
    }
}

fn scrape_wanted(pod: &Value) -> bool {
    pod::annotations(pod)
        .into_iter()
        .filter(|(name, _)| sanitized(name) == "prometheus_io_scrape")
        .find_map(|(_, value)| pod::parse_bool(value))
        .unwrap_or(true)
}

fn enabled(pod: &Value, mesh: &MeshConfig) -> bool {
    pod::annotation(pod, MERGE_METRICS)
        .and_then(pod::parse_bool)
        .unwrap_or_else(|| mesh.prometheus_merge())
}

struct Target {
    port: String,
    path: String,
}

/// `PORT[:PATH],…`; nothing if an entry has no port.
fn targets(text: &str) -> Vec<Target> {
    let mut out = Vec::new();
    for entry in text
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
    {
        let (port, path) = entry.split_once(':').unwrap_or((entry, ""));
        let (port, path) = (port.trim(), path.trim());
        if port.is_empty() {
            tracing::warn!(
                entry,
                "a scrape target without a port; the annotation is ignored"
            );
            return Vec::new();
        }
        out.push(Target {
            port: port.to_owned(),
            path: if path.is_empty() { "/metrics" } else { path }.to_owned(),
        });
    }
    out
}

/// Why a port cannot be scraped, as the end of a sentence.
fn refusal(port: &str, agent: i64) -> Option<Refusal> {
    let sign = port.strip_prefix(['+', '-']).unwrap_or(port);
    let number = sign
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| port.parse::<i64>().ok())
        .flatten();
    let Some(number) = number.filter(|number| (1..=65535).contains(number)) else {
        return Some(Refusal::Invalid);
    };
    if number == agent {
        return Some(Refusal::Agent);
    }
    let reserved = RESERVED.iter().find(|(port, _)| i64::from(*port) == number);
    reserved.map(|(_, reason)| Refusal::Reserved(reason))
}

enum Refusal {
    Invalid,
    Agent,
    Reserved(&'static str),
}

/// Moves the pod's own annotations into the proxy's environment and lets Prometheus scrape the agent.
///
/// # Errors
/// A port that cannot be scraped.
pub(crate) fn merge(pod: &mut Value, mesh: &MeshConfig) -> Result<(), InjectError> {
    if !scrape_wanted(pod) || !enabled(pod, mesh) {
        return Ok(());
    }
    let agent = mesh.status_port();
    // The agent's port: the user wants it so, or the pod is injected again.
    if port(pod).is_some_and(|port| port == agent.to_string()) {
        return Ok(());
    }
    let text = |name: &str| named(pod, name).unwrap_or_default().to_owned();
    let scrape = text("prometheus_io_scrape");
    let (mut port, mut path) = (text("prometheus_io_port"), text("prometheus_io_path"));
    let targets = targets(&text("prometheus_istio_io_scrape_targets"));
    for target in &targets {
        if let Some(refusal) = refusal(&target.port, agent) {
            let port = &target.port;
            return Err(InjectError::Prometheus(format!(
                "invalid prometheus scrape targets: {}",
                match refusal {
                    Refusal::Invalid => format!("invalid target port {port:?}"),
                    Refusal::Agent => format!("target port {port} conflicts with agent port"),
                    Refusal::Reserved(reason) => format!(
                        "target port {port} is reserved for Istio ({reason}) and cannot be scraped"
                    ),
                }
            )));
        }
    }
    if let Some(first) = targets.first() {
        (port, path) = (first.port.clone(), first.path.clone());
    } else if !port.is_empty()
        && let Some(refusal) = refusal(&port, agent)
    {
        return Err(InjectError::Prometheus(format!(
            "invalid prometheus scrape configuration: {}",
            match refusal {
                Refusal::Invalid => format!("invalid port {port:?}"),
                Refusal::Agent => format!("port {port} conflicts with agent port"),
                Refusal::Reserved(reason) => {
                    format!("port {port} is reserved for Istio ({reason}) and cannot be scraped")
                }
            }
        )));
    }
    let any = !(scrape.is_empty() && port.is_empty() && path.is_empty() && targets.is_empty());
    if any && let Some(sidecar) = pod::any_container_mut(pod, pod::PROXY) {
        let quoted = |text: &str| gojson::text(&Value::from(text));
        let mut json = format!(
            "{{\"scrape\":{},\"path\":{},\"port\":{}",
            quoted(&scrape),
            quoted(&path),
            quoted(&port)
        );
        if !targets.is_empty() {
            let targets: Vec<String> = targets
                .iter()
                .map(|t| {
                    format!(
                        "{{\"port\":{},\"path\":{}}}",
                        quoted(&t.port),
                        quoted(&t.path)
                    )
                })
                .collect();
            json.push_str(&format!(",\"targets\":[{}]", targets.join(",")));
        }
        json.push('}');
        pod::push_env(sidecar, "ISTIO_PROMETHEUS_ANNOTATIONS", &json);
    }
    clear(pod);
    pod::annotate(pod, "prometheus.io/port", &agent.to_string());
    pod::annotate(pod, "prometheus.io/path", "/stats/prometheus");
    pod::annotate(pod, "prometheus.io/scrape", "true");
    Ok(())
}

/// Tells the port of the merged metrics with TLS if the proxy's environment names one and the user did not.
pub(crate) fn secure_port(pod: &mut Value) {
    if named(pod, "prometheus_istio_io_secure_port").is_some() {
        return;
    }
    let port = pod::any_container(pod, pod::PROXY).and_then(|sidecar| {
        let env = sidecar["env"].as_array()?;
        env.iter().find_map(|variable| {
            let value = variable["value"]
                .as_str()
                .filter(|v| !v.is_empty() && *v != "0")?;
            (variable["name"] == "ENVOY_SECURE_MERGED_METRICS_PORT").then(|| value.to_owned())
        })
    });
    if let Some(port) = port {
        pod::annotate(pod, SECURE_PORT, &port);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(annotations: &Value) -> Result<(Value, Value), String> {
        let mut pod = json!({"metadata": {"annotations": annotations}, "spec": {"containers": [{"name": "istio-proxy"}]}});
        merge(&mut pod, &MeshConfig::default()).map_err(|error| error.to_string())?;
        Ok((
            pod["metadata"]["annotations"].clone(),
            pod["spec"]["containers"][0]["env"][0]["value"].clone(),
        ))
    }

    const AGENT: &str = r#"{"prometheus.io/path":"/stats/prometheus","prometheus.io/port":"15020","prometheus.io/scrape":"true"}"#;

    #[test]
    fn scraping_goes_through_the_agent() {
        let agent: Value = serde_json::from_str(AGENT).unwrap();
        for (annotations, expected, env) in [
            (json!({}), agent.clone(), Value::Null),
            (
                json!({"prometheus.io/scrape": "false"}),
                json!({"prometheus.io/scrape": "false"}),
                Value::Null,
            ),
            (
                json!({"prometheus.io/port": "15020"}),
                json!({"prometheus.io/port": "15020"}),
                Value::Null,
            ),
            (
                json!({"prometheus-io.port": "80", "prometheus.io/path": "/m"}),
                agent.clone(),
                json!(r#"{"scrape":"","path":"/m","port":"80"}"#),
            ),
            (
                json!({"prometheus.istio.io/scrape-targets": "80, 81:/x"}),
                agent.clone(),
                json!(
                    r#"{"scrape":"","path":"/metrics","port":"80","targets":[{"port":"80","path":"/metrics"},{"port":"81","path":"/x"}]}"#
                ),
            ),
            (
                json!({MERGE_METRICS: "false", "prometheus.io/port": "1"}),
                json!({MERGE_METRICS: "false", "prometheus.io/port": "1"}),
                Value::Null,
            ),
        ] {
            assert_eq!(merged(&annotations), Ok((expected, env)), "{annotations}");
        }
    }

    #[test]
    fn the_data_planes_ports_are_refused() {
        for (annotations, part) in [
            (
                json!({"prometheus.io/port": "15090"}),
                "port 15090 is reserved for Istio (Envoy Prometheus (already merged)) and cannot be scraped",
            ),
            (
                json!({"prometheus.io/port": "015020"}),
                "port 015020 conflicts with agent port",
            ),
            (
                json!({"prometheus.io/port": "http"}),
                "invalid prometheus scrape configuration: invalid port \"http\"",
            ),
            (
                json!({"prometheus.istio.io/scrape-targets": "80,15000"}),
                "invalid prometheus scrape targets: target port 15000 is reserved for Istio (Envoy admin)",
            ),
        ] {
            let error = merged(&annotations).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
