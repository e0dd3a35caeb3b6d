//! `Node.metadata`: booleans are strings, lists are comma strings (dataplane-contract 2.2).

use std::net::IpAddr;

use serde_json::Value;

use crate::{Labels, Str};

/// The metadata that Meltemi reads, and all of it as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeMeta {
    /// NAME.
    pub name: Str,
    /// NAMESPACE.
    pub namespace: Str,
    /// LABELS.
    pub labels: Labels,
    /// INSTANCE_IPS.
    pub instance_ips: Vec<IpAddr>,
    /// ISTIO_VERSION as (major, minor, patch).
    pub istio_version: Option<(u32, u32, u32)>,
    /// CLUSTER_ID.
    pub cluster_id: Str,
    /// NETWORK.
    pub network: Str,
    /// REQUESTED_NETWORK_VIEW, sorted.
    pub network_view: Vec<Str>,
    /// NODE_NAME.
    pub node_name: Str,
    /// INTERCEPTION_MODE.
    pub interception_mode: Str,
    /// Whether the proxy has the SDS cluster `sds-grpc`. `meltemi bootstrap` writes MELTEMI_IDENTITY "none" into the
    /// metadata of a proxy that has not; anybody else is started by an agent that provides it.
    pub has_identity: bool,
    /// POD_PORTS: (name, port).
    pub pod_ports: Vec<(Str, u16)>,
    /// PROXY_CONFIG.
    pub proxy_config: Option<Value>,
    /// Everything, as it came; EnvoyFilters and debug pages read it.
    pub raw: Value,
}

impl NodeMeta {
    /// Reads metadata; values of the wrong form count as absent.
    pub fn parse(raw: &Value) -> Self {
        let text = |key: &str| -> Str {
            raw.get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .into()
        };
        Self {
            name: text("NAME"),
            namespace: text("NAMESPACE"),
            labels: labels(raw.get("LABELS")),
            instance_ips: text("INSTANCE_IPS")
                .split(',')
                .filter_map(|ip| ip.trim().parse().ok())
                .collect(),
            istio_version: raw
                .get("ISTIO_VERSION")
                .and_then(Value::as_str)
                .and_then(version),
            cluster_id: text("CLUSTER_ID"),
            network: text("NETWORK"),
            network_view: list(&text("REQUESTED_NETWORK_VIEW")),
            node_name: text("NODE_NAME"),
            interception_mode: text("INTERCEPTION_MODE"),
            has_identity: &*text("MELTEMI_IDENTITY") != "none",
            pod_ports: pod_ports(raw.get("POD_PORTS")),
            proxy_config: raw.get("PROXY_CONFIG").filter(|v| v.is_object()).cloned(),
            raw: raw.clone(),
        }
    }

    /// A boolean, which agents send as the string "true"; Istio also takes "1" where it is a number by name.
    pub fn flag(&self, key: &str) -> bool {
        match self.raw.get(key) {
            Some(Value::Bool(b)) => *b,
            Some(Value::String(s)) => s == "true" || s == "1",
            _ => false,
        }
    }

    /// A port number, sent as a number or as text; 0 when absent.
    pub fn port(&self, key: &str) -> u16 {
        match self.raw.get(key) {
            Some(Value::Number(n)) => n.as_f64().map_or(0, |n| n as u16),
            Some(Value::String(s)) => s.parse().unwrap_or(0),
            _ => 0,
        }
    }

    /// A text value, or the empty string.
    pub fn text(&self, key: &str) -> &str {
        self.raw
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

/// A list with commas, sorted.
fn list(text: &str) -> Vec<Str> {
    let parts = text.split(',').map(str::trim);
    let mut list: Vec<Str> = parts
        .filter(|part| !part.is_empty())
        .map(Str::from)
        .collect();
    list.sort();
    list.dedup();
    list
}

fn labels(value: Option<&Value>) -> Labels {
    let Some(Value::Object(map)) = value else {
        return Labels::default();
    };
    map.iter()
        .filter_map(|(k, v)| Some((k.as_str(), v.as_str()?)))
        .collect()
}

/// The first `major.minor[.patch]` in the text, as Istio's regular expression finds it.
fn version(text: &str) -> Option<(u32, u32, u32)> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let mut numbers = text[start..].splitn(3, '.').map(|part| {
        let end = part
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(part.len());
        part[..end].parse::<u32>().ok()
    });
    let major = numbers.next()??;
    let minor = numbers.next()??;
    Some((major, minor, numbers.next().flatten().unwrap_or(0)))
}

fn pod_ports(value: Option<&Value>) -> Vec<(Str, u16)> {
    let parsed = match value {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
        Some(other) => other.clone(),
        None => Value::Null,
    };
    let Value::Array(ports) = parsed else {
        return Vec::new();
    };
    ports
        .iter()
        .filter_map(|p| {
            let port = u16::try_from(p.get("containerPort")?.as_u64()?).ok()?;
            Some((
                p.get("name")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .into(),
                port,
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Locality;
    use crate::proxy::{Capabilities, Capability, NodeError, Proxy, ProxyKind};

    fn parse(id: &str, metadata: &Value) -> Result<Proxy, NodeError> {
        Proxy::parse(id, "", Locality::default(), metadata, [])
    }

    #[test]
    fn versions() {
        for (text, want) in [
            ("1.31.0", Some((1, 31, 0))),
            ("1.31", Some((1, 31, 0))),
            ("1.31-alpha.abc", Some((1, 31, 0))),
            ("master", None),
            ("", None),
        ] {
            assert_eq!(version(text), want, "{text}");
        }
    }

    #[test]
    fn a_node_is_read() {
        let id = "sidecar~10.0.0.1~a.ns~ns.svc.cluster.local";
        let proxy = parse(
            id,
            &json!({"ISTIO_VERSION": "1.31.0", "INSTANCE_IPS": "10.0.0.2,fd00::1"}),
        )
        .unwrap();
        assert_eq!(
            (proxy.kind, &*proxy.id, &*proxy.namespace),
            (ProxyKind::Sidecar, "a.ns", "ns")
        );
        assert_eq!(proxy.ips.len(), 2);
        assert_eq!(proxy.capabilities, Capabilities::istio_proxy());
        assert_eq!(
            parse(id, &json!({})).unwrap().capabilities,
            Capabilities::core()
        );
    }

    #[test]
    fn bad_nodes_are_refused_with_a_reason() {
        for (id, want) in [
            ("", NodeError::Missing),
            (
                "sidecar~1.1.1.1~x",
                NodeError::Parts("sidecar~1.1.1.1~x".into()),
            ),
            ("ztunnel~1.1.1.1~x.y~z", NodeError::Kind("ztunnel".into())),
            ("sidecar~nowhere~x.y~z", NodeError::Address),
        ] {
            assert_eq!(parse(id, &json!({})).unwrap_err(), want, "{id}");
        }
    }

    #[test]
    fn capabilities_come_from_extensions_by_category_and_type() {
        let stats = ["stats.PluginConfig".to_owned()];
        let caps = Capabilities::from_extensions([
            ("envoy.filters.http", false, stats.as_slice()),
            ("envoy.filters.network", true, stats.as_slice()),
        ]);
        assert!(caps.has(Capability::StatsHttp));
        assert!(!caps.has(Capability::StatsTcp));
        assert!(!caps.has(Capability::Alpn));
    }
}
