//! What the names of Istio's clusters and route configurations say.

/// A cluster's name, taken apart; parts that it has not are empty. Istio 1.31: `ParseSubsetKey`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ClusterName<'a> {
    pub(super) inbound: bool,
    pub(super) port: u32,
    pub(super) subset: &'a str,
    pub(super) host: &'a str,
}

/// `outbound|9080|v1|host`, or `outbound_.9080_.v1_.host`.
pub(super) fn cluster_name(name: &str) -> ClusterName<'_> {
    let by_sni = name.starts_with("outbound_") || name.starts_with("inbound_");
    let separator = if by_sni { "_." } else { "|" };
    let mut found = ClusterName::default();
    let Some((direction, rest)) = name.split_once(separator) else {
        return found;
    };
    found.inbound = direction == "inbound";
    let Some((port, rest)) = rest.split_once(separator) else {
        return found;
    };
    found.port = port.parse().unwrap_or(0);
    let Some((subset, host)) = rest.split_once(separator) else {
        return found;
    };
    found.subset = subset;
    if !host.contains(separator) {
        found.host = host;
    }
    found
}

/// The port of a sidecar's route configuration: `9080`, or `inbound|8080||`; 0: it names none.
pub(super) fn route_port(name: &str) -> u32 {
    if name.starts_with("inbound") {
        cluster_name(name).port
    } else {
        name.parse().unwrap_or(0)
    }
}

/// A gateway's route configuration, taken apart. Istio 1.31: `ParseGatewayRDSRouteName`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct GatewayRoute {
    pub(super) port: u32,
    pub(super) port_name: String,
    /// `namespace/name`.
    pub(super) gateway: String,
}

/// `http.80`, or `https.443.port.gateway.namespace`.
pub(super) fn gateway_route(name: &str) -> GatewayRoute {
    if let Some(port) = name.strip_prefix("http.") {
        return GatewayRoute {
            port: port.parse().unwrap_or(0),
            ..GatewayRoute::default()
        };
    }
    let parts: Vec<&str> = name.split('.').collect();
    let ["https", port, port_name, gateway, namespace] = parts.as_slice() else {
        return GatewayRoute::default();
    };
    GatewayRoute {
        port: port.parse().unwrap_or(0),
        port_name: (*port_name).to_owned(),
        gateway: format!("{namespace}/{gateway}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        for (name, inbound, port, subset, host) in [
            ("outbound|9080|v1|a.b", false, 9080, "v1", "a.b"),
            ("outbound|80||a.b", false, 80, "", "a.b"),
            ("inbound|8080||", true, 8080, "", ""),
            ("outbound_.80_.v1_.a.b", false, 80, "v1", "a.b"),
            ("BlackHoleCluster", false, 0, "", ""),
            ("outbound|x|v1|a|b", false, 0, "v1", ""),
        ] {
            let want = ClusterName {
                inbound,
                port,
                subset,
                host,
            };
            assert_eq!(cluster_name(name), want, "{name}");
        }
        for (name, port) in [
            ("9080", 9080),
            ("inbound|8080||", 8080),
            ("InboundPassthroughCluster", 0),
            ("a.b:80", 0),
        ] {
            assert_eq!(route_port(name), port, "{name}");
        }
        for (name, port, port_name, gateway) in [
            ("http.80", 80, "", ""),
            ("http.80.1.2.3.4", 0, "", ""),
            ("https.443.tls.gw.ns", 443, "tls", "ns/gw"),
            ("https.443.tls.gw.ns.1.2.3.4", 0, "", ""),
        ] {
            let want = GatewayRoute {
                port,
                port_name: port_name.into(),
                gateway: gateway.into(),
            };
            assert_eq!(gateway_route(name), want, "{name}");
        }
    }
}
