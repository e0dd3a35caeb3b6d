//! The annotations of a pod are checked before anything is made of them; the texts of the errors are Istio's (1.31: validateAnnotations).

use std::net::IpAddr;

use serde_json::Value;

use crate::mesh::{self, ProxyConfig};
use crate::{pod, quantity};

type Check = fn(&str) -> Result<(), String>;

const CHECKS: [(&str, Check); 19] = [
    ("sidecar.istio.io/interceptionMode", interception_mode),
    ("status.sidecar.istio.io/port", status_port),
    (
        "readiness.status.sidecar.istio.io/initialDelaySeconds",
        uint32,
    ),
    ("readiness.status.sidecar.istio.io/periodSeconds", uint32),
    ("readiness.status.sidecar.istio.io/failureThreshold", uint32),
    (
        "traffic.sidecar.istio.io/includeOutboundIPRanges",
        include_ip_ranges,
    ),
    (
        "traffic.sidecar.istio.io/excludeOutboundIPRanges",
        exclude_ip_ranges,
    ),
    (
        "traffic.sidecar.istio.io/includeInboundPorts",
        include_inbound_ports,
    ),
    (
        "traffic.sidecar.istio.io/excludeInboundPorts",
        exclude_inbound_ports,
    ),
    (
        "traffic.sidecar.istio.io/excludeOutboundPorts",
        exclude_outbound_ports,
    ),
    ("traffic.sidecar.istio.io/excludeInterfaces", interfaces),
    ("traffic.sidecar.istio.io/kubevirtInterfaces", interfaces),
    ("istio.io/reroute-virtual-interfaces", interfaces),
    ("prometheus.istio.io/merge-metrics", boolean),
    ("proxy.istio.io/config", proxy_config),
    ("sidecar.istio.io/proxyCPU", resource),
    ("sidecar.istio.io/proxyMemory", resource),
    ("sidecar.istio.io/proxyCPULimit", resource),
    ("sidecar.istio.io/proxyMemoryLimit", resource),
];

/// Why the value of an annotation cannot be used; every value of an annotation that is not checked can.
///
/// # Errors
/// The reason, in Istio's words.
pub fn check_annotation(name: &str, value: &str) -> Result<(), String> {
    let check = CHECKS.iter().find(|(checked, _)| *checked == name);
    check.map_or(Ok(()), |(_, check)| check(value))
}

/// All mistakes in the annotations of a pod as one message.
///
/// # Errors
/// The message.
pub(crate) fn validated(pod: &Value) -> Result<(), String> {
    let mut mistakes = Vec::new();
    for (name, value) in pod::annotations(pod) {
        if let Err(error) = check_annotation(name, value) {
            mistakes.push(format!(
                "invalid value '{value}' for annotation '{name}': {error}"
            ));
        }
    }
    if mistakes.is_empty() {
        Ok(())
    } else {
        Err(listed(&mistakes))
    }
}

/// Several errors in the form in which istiod prints them.
fn listed(mistakes: &[String]) -> String {
    let noun = if mistakes.len() == 1 {
        "error"
    } else {
        "errors"
    };
    let mut text = format!("{} {noun} occurred:\n", mistakes.len());
    for mistake in mistakes {
        text.push_str(&format!("\t* {mistake}\n"));
    }
    text + "\n"
}

fn interception_mode(mode: &str) -> Result<(), String> {
    match mode {
        "REDIRECT" | "TPROXY" | "NONE" => Ok(()),
        _ => Err(format!(
            "interceptionMode invalid, use REDIRECT,TPROXY,NONE: {mode}"
        )),
    }
}

fn status_port(text: &str) -> Result<(), String> {
    // Istio names the wrong parameter here.
    port(text).map_err(|error| format!("excludeInboundPorts invalid: {error}"))
}

fn unsigned(text: &str, limit: u64) -> Result<u64, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        return Err(format!(
            "strconv.ParseUint: parsing {text:?}: invalid syntax"
        ));
    }
    text.parse()
        .ok()
        .filter(|number| *number <= limit)
        .ok_or_else(|| format!("strconv.ParseUint: parsing {text:?}: value out of range"))
}

fn uint32(text: &str) -> Result<(), String> {
    unsigned(text, u64::from(u32::MAX)).map(|_| ())
}

fn port(text: &str) -> Result<(), String> {
    unsigned(text.trim(), u64::from(u16::MAX))
        .map(|_| ())
        .map_err(|error| format!("failed parsing port '{text}': {error}"))
}

fn ports(name: &str, list: &str) -> Result<(), String> {
    let list = list.trim();
    if list.is_empty() {
        return Ok(());
    }
    for text in list.split(',') {
        port(text)
            .map_err(|error| format!("{name} invalid: failed parsing port '{text}': {error}"))?;
    }
    Ok(())
}

fn include_inbound_ports(list: &str) -> Result<(), String> {
    if list == "*" {
        return Ok(());
    }
    ports("includeInboundPorts", list)
}

fn exclude_inbound_ports(list: &str) -> Result<(), String> {
    ports("excludeInboundPorts", list)
}

fn exclude_outbound_ports(list: &str) -> Result<(), String> {
    ports("excludeOutboundPorts", list)
}

fn cidrs(list: &str) -> Result<(), String> {
    if list.is_empty() {
        return Ok(());
    }
    for cidr in list.split(',') {
        prefix(cidr).map_err(|error| {
            format!("failed parsing cidr '{cidr}': netip.ParsePrefix({cidr:?}): {error}")
        })?;
    }
    Ok(())
}

fn prefix(text: &str) -> Result<(), &'static str> {
    let (address, bits) = text.rsplit_once('/').ok_or("no '/'")?;
    let address: IpAddr = address.parse().map_err(|_| "unable to parse IP")?;
    let digits = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
    if !digits || bits.len() > 1 && bits.starts_with('0') {
        return Err("bad bits after slash");
    }
    let most = if address.is_ipv4() { 32 } else { 128 };
    match bits.parse::<u32>() {
        Ok(bits) if bits <= most => Ok(()),
        _ => Err("prefix length out of range"),
    }
}

fn include_ip_ranges(list: &str) -> Result<(), String> {
    if list == "*" {
        return Ok(());
    }
    cidrs(list).map_err(|error| format!("includeIPRanges invalid: {error}"))
}

fn exclude_ip_ranges(list: &str) -> Result<(), String> {
    cidrs(list).map_err(|error| format!("excludeIPRanges invalid: {error}"))
}

fn interfaces(list: &str) -> Result<(), String> {
    if list.is_empty() {
        return Ok(());
    }
    for name in list.split(',').map(str::trim) {
        if name.is_empty() {
            return Err("empty interface name".to_owned());
        }
        if name.len() > 15 {
            return Err(format!("interface name {name:?} too long (max 15 chars)"));
        }
        let valid = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if !valid {
            return Err(format!(
                "interface name {name:?} contains invalid characters"
            ));
        }
    }
    Ok(())
}

fn boolean(text: &str) -> Result<(), String> {
    pod::parse_bool(text)
        .map(|_| ())
        .ok_or_else(|| format!("strconv.ParseBool: parsing {text:?}: invalid syntax"))
}

fn resource(text: &str) -> Result<(), String> {
    if text.chars().any(char::is_control) {
        return Err("value contains control characters".to_owned());
    }
    quantity::canonical(text)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

fn proxy_config(yaml: &str) -> Result<(), String> {
    let given = mesh::read_yaml(yaml)
        .and_then(|given| mesh::merged_proxy_config(&given, mesh::default_proxy_config()))
        .map_err(|error| {
            let error = error
                .strip_prefix("could not parse proxy config: ")
                .unwrap_or(&error);
            format!("failed to convert to apply proxy config: {error}")
        })?;
    proxy_config_mistakes(&given)
}

/// What Istio checks of a proxy config (1.31: ValidateMeshConfigProxyConfig), as far as a proxy cannot start with it.
fn proxy_config_mistakes(config: &ProxyConfig) -> Result<(), String> {
    let text = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or_default();
    let number = |key: &str| config.get(key).and_then(Value::as_i64).unwrap_or_default();
    let mut mistakes = Vec::new();
    if text("configPath").is_empty() {
        mistakes.push("config path must be set".to_owned());
    }
    if text("binaryPath").is_empty() {
        mistakes.push("binary path must be set".to_owned());
    }
    match (
        config.get("serviceCluster"),
        config.get("tracingServiceName"),
    ) {
        (Some(Value::String(name)), _) if name.is_empty() => {
            mistakes.push("service cluster must be specified".to_owned());
        }
        (None, None) => mistakes
            .push("oneof service cluster or tracing service name must be specified".to_owned()),
        _ => {}
    }
    if let Some(drain) = crate::proto::duration(text("drainDuration"))
        && (drain <= 0 || drain % 1_000_000_000 != 0)
    {
        mistakes.push(if drain <= 0 {
            "invalid drain duration: duration must be greater than 1ms".to_owned()
        } else {
            "drain time only supports durations to seconds precision".to_owned()
        });
    }
    match text("discoveryAddress") {
        "" => {
            mistakes.push("discovery address must be set to the proxy discovery service".to_owned())
        }
        address => {
            if let Err(error) = proxy_address(address) {
                mistakes.push(format!("invalid discovery address: {error}"));
            }
        }
    }
    for (key, what) in [
        ("proxyAdminPort", "invalid proxy admin port:"),
        ("statusPort", "invalid status port:"),
    ] {
        if !(1..=65535).contains(&number(key)) {
            mistakes.push(format!(
                "{what} port number {} must be in the range 1..65535",
                number(key)
            ));
        }
    }
    if mistakes.is_empty() {
        Ok(())
    } else {
        Err(listed(&mistakes))
    }
}

fn proxy_address(address: &str) -> Result<(), String> {
    let (host, port) = address.rsplit_once(':').ok_or_else(|| {
        format!("unable to split {address:?}: address {address}: missing port in address")
    })?;
    match port.parse::<u32>() {
        Ok(1..=65535) => {}
        Ok(number) => {
            return Err(format!(
                "port number {number} must be in the range 1..65535"
            ));
        }
        Err(_) => return Err(format!("port ({port}) is not a number")),
    }
    if host.is_empty() {
        return Err("domain name too short".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(name: &str, value: &str, expected: Option<&str>) {
        let pod = json!({"metadata": {"annotations": {name: value}}});
        match (validated(&pod), expected) {
            (Ok(()), None) => {}
            (Err(error), Some(part)) if error.contains(part) => {}
            (found, expected) => panic!("{name}={value}: {found:?}, wanted {expected:?}"),
        }
    }

    #[test]
    fn annotations_are_checked() {
        check("sidecar.istio.io/interceptionMode", "TPROXY", None);
        check(
            "sidecar.istio.io/interceptionMode",
            "x",
            Some("interceptionMode invalid, use REDIRECT,TPROXY,NONE: x"),
        );
        check("status.sidecar.istio.io/port", "0", None);
        check(
            "status.sidecar.istio.io/port",
            "65536",
            Some("excludeInboundPorts invalid: failed parsing port '65536'"),
        );
        check(
            "readiness.status.sidecar.istio.io/periodSeconds",
            "-1",
            Some("invalid syntax"),
        );
        check(
            "traffic.sidecar.istio.io/includeOutboundIPRanges",
            "*",
            None,
        );
        check(
            "traffic.sidecar.istio.io/includeOutboundIPRanges",
            "10.0.0.0/8,::1/128",
            None,
        );
        check(
            "traffic.sidecar.istio.io/includeOutboundIPRanges",
            "10.0.0.0/33",
            Some("includeIPRanges invalid: failed parsing cidr '10.0.0.0/33'"),
        );
        check(
            "traffic.sidecar.istio.io/excludeOutboundIPRanges",
            "bad",
            Some("excludeIPRanges invalid"),
        );
        check(
            "traffic.sidecar.istio.io/includeInboundPorts",
            "80, 81",
            None,
        );
        check("traffic.sidecar.istio.io/includeInboundPorts", "", None);
        check(
            "traffic.sidecar.istio.io/excludeInboundPorts",
            "x",
            Some("excludeInboundPorts invalid: failed parsing port 'x'"),
        );
        check(
            "traffic.sidecar.istio.io/excludeOutboundPorts",
            "*",
            Some("excludeOutboundPorts invalid"),
        );
        check(
            "traffic.sidecar.istio.io/excludeInterfaces",
            "eth0, net1",
            None,
        );
        check(
            "traffic.sidecar.istio.io/excludeInterfaces",
            "eth0;rm",
            Some("contains invalid characters"),
        );
        check(
            "prometheus.istio.io/merge-metrics",
            "yes",
            Some("strconv.ParseBool: parsing \"yes\": invalid syntax"),
        );
        check(
            "proxy.istio.io/config",
            "statusPort: 99999",
            Some("invalid status port:"),
        );
        check(
            "proxy.istio.io/config",
            "a: [",
            Some("failed to convert to apply proxy config"),
        );
        check("proxy.istio.io/config", "concurrency: 2", None);
        check("sidecar.istio.io/proxyCPU", "100m", None);
        check(
            "sidecar.istio.io/proxyCPU",
            "100m\n",
            Some("value contains control characters"),
        );
        check(
            "sidecar.istio.io/proxyMemory",
            "lots",
            Some("quantities must match"),
        );
        check("other", "anything", None);
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let pod = json!({"metadata": {"annotations": {
            "sidecar.istio.io/proxyCPU": "x", "prometheus.istio.io/merge-metrics": "y"}}});
        let text = validated(&pod).unwrap_err();
        assert!(text.starts_with("2 errors occurred:\n\t* invalid value 'y' for annotation 'prometheus.istio.io/merge-metrics': "), "{text}");
    }
}
