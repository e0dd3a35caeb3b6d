//! core/v1 Service, with what the API server would fill in.

use std::fmt;
use std::net::IpAddr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use meltemi_model::port::Protocol;
use meltemi_model::service::{
    KubeService, KubeServicePort, TRAFFIC_DISTRIBUTION, TargetPort, TrafficDistribution,
};
use meltemi_model::{Hostname, Labels, Object, Shared, Str};

use super::findings::Findings;
use super::meta::{Raw, labels};
use super::{LowerSettings, names};

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    r#type: String,
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Vec<String>,
    selector: std::collections::BTreeMap<String, String>,
    external_name: String,
    #[serde(rename = "externalIPs")]
    external_ips: Vec<String>,
    ports: Vec<Port>,
    publish_not_ready_addresses: bool,
    internal_traffic_policy: String,
    traffic_distribution: String,
}

/// The fields of `spec` that Kubernetes has and Istio has no use for.
const OTHER_FIELDS: &[&str] = &[
    "allocateLoadBalancerNodePorts",
    "externalTrafficPolicy",
    "healthCheckNodePort",
    "ipFamilies",
    "ipFamily",
    "ipFamilyPolicy",
    "loadBalancerClass",
    "loadBalancerIP",
    "loadBalancerSourceRanges",
    "sessionAffinity",
    "sessionAffinityConfig",
    "topologyKeys",
];

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Port {
    name: String,
    protocol: String,
    app_protocol: Option<String>,
    port: u16,
    target_port: Option<IntOrString>,
    node_port: u16,
}

enum IntOrString {
    Int(u16),
    String(String),
}

impl<'de> Deserialize<'de> for IntOrString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = IntOrString;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port number or the name of a container port")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<IntOrString, E> {
                u16::try_from(number)
                    .ok()
                    .filter(|number| *number > 0)
                    .map(IntOrString::Int)
                    .ok_or_else(|| {
                        E::custom(format!("{number} is not a port; write one from 1 to 65535"))
                    })
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<IntOrString, E> {
                match text.parse() {
                    Ok(number) => self.visit_u64(number),
                    Err(_) => Ok(IntOrString::String(text.to_owned())),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    load_balancer: LoadBalancer,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LoadBalancer {
    ingress: Vec<Ingress>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ingress {
    ip: String,
    hostname: String,
}

pub(super) fn lower(
    raw: &Raw<'_>,
    findings: &mut Findings,
    settings: &LowerSettings,
) -> Option<Object> {
    let is_other = |path: &str| {
        path.strip_prefix("spec.")
            .is_some_and(|field| OTHER_FIELDS.contains(&field))
    };
    let spec: Spec = findings.parse_but("spec", raw.part("spec"), |path| !is_other(path))?;
    let status: Status = findings.parse_part("status", raw.part("status"))?;
    let external_name = external_name(&spec, findings);
    let headless = spec.cluster_ip == "None" || spec.cluster_ips.iter().any(|ip| ip == "None");
    if spec.ports.is_empty() && external_name.is_none() && !headless {
        findings.error("spec.ports", "a Service needs at least one port");
    }
    Some(Object::Service(Shared::new(KubeService {
        selector: labels(&spec.selector),
        cluster_ips: cluster_ips(&spec, headless, findings),
        headless,
        external_ips: external_ips(&spec, &status),
        node_selector: node_selector(&spec, raw, findings),
        ports: ports(&spec, findings),
        publish_not_ready: spec.publish_not_ready_addresses,
        internal_traffic_local: spec.internal_traffic_policy == "Local",
        traffic_distribution: traffic_distribution(&spec, raw, findings),
        export_to: export_to(raw),
        service_accounts: service_accounts(raw, settings),
        external_name,
        meta: raw.meta.clone(),
    })))
}

fn external_name(spec: &Spec, findings: &mut Findings) -> Option<Hostname> {
    if spec.r#type != "ExternalName" {
        return None;
    }
    if spec.external_name.is_empty() {
        findings.error(
            "spec.externalName",
            "a Service of type ExternalName needs an externalName",
        );
        return None;
    }
    // Kubernetes accepts the absolute form with a dot at the end; Istio compares without.
    Some(Hostname::new(spec.external_name.trim_end_matches('.')))
}

/// `clusterIPs` wins where both are there; the API server keeps their first entries equal.
fn cluster_ips(spec: &Spec, headless: bool, findings: &mut Findings) -> Vec<Str> {
    if headless || spec.r#type == "ExternalName" {
        return Vec::new();
    }
    let mut ips: Vec<(String, &str)> = Vec::new();
    if spec.cluster_ips.is_empty() && !spec.cluster_ip.is_empty() {
        ips.push(("spec.clusterIP".to_owned(), &spec.cluster_ip));
    }
    for (i, ip) in spec.cluster_ips.iter().enumerate() {
        ips.push((format!("spec.clusterIPs[{i}]"), ip));
    }
    for (path, ip) in &ips {
        if ip.parse::<IpAddr>().is_err() {
            findings.error(path, format!("{ip:?} is not an IP address"));
        }
    }
    ips.into_iter().map(|(_, ip)| ip.into()).collect()
}

fn external_ips(spec: &Spec, status: &Status) -> Vec<Str> {
    let mut ips: Vec<Str> = Vec::new();
    if spec.r#type == "LoadBalancer" {
        for ingress in &status.load_balancer.ingress {
            let address = if ingress.ip.is_empty() {
                &ingress.hostname
            } else {
                &ingress.ip
            };
            if !address.is_empty() {
                ips.push(address.as_str().into());
            }
        }
    }
    ips.extend(spec.external_ips.iter().map(|ip| Str::from(ip.as_str())));
    ips
}

const NODE_SELECTOR: &str = "traffic.istio.io/nodeSelector";

/// Istio 1.31: `getNodeSelectorsForService`; a value that is no map of labels selects all nodes.
fn node_selector(spec: &Spec, raw: &Raw<'_>, findings: &mut Findings) -> Option<Labels> {
    let value = raw.meta.annotations.get(NODE_SELECTOR)?;
    if spec.r#type != "NodePort" {
        return None;
    }
    let parsed = serde_json::from_str::<std::collections::BTreeMap<String, String>>(value);
    if parsed.is_err() && !value.is_empty() {
        findings.warning(
            format!("metadata.annotations[{NODE_SELECTOR:?}]"),
            "not a map of labels, so all nodes are taken; write for instance {\"pool\": \"edge\"}",
        );
    }
    Some(labels(&parsed.unwrap_or_default()))
}

fn ports(spec: &Spec, findings: &mut Findings) -> Vec<KubeServicePort> {
    let mut out: Vec<KubeServicePort> = Vec::with_capacity(spec.ports.len());
    for (i, port) in spec.ports.iter().enumerate() {
        let path = format!("spec.ports[{i}]");
        if port.port == 0 {
            findings.error(
                format!("{path}.port"),
                "0 is not a port; write one from 1 to 65535",
            );
        }
        if !matches!(port.protocol.as_str(), "" | "TCP" | "UDP" | "SCTP") {
            let message = format!(
                "{:?} is not a protocol; write TCP, UDP or SCTP",
                port.protocol
            );
            findings.error(format!("{path}.protocol"), message);
        }
        if port.name.is_empty() && spec.ports.len() > 1 {
            findings.error(format!("{path}.name"), "each of several ports needs a name");
        }
        if out.iter().any(|p| *p.name == *port.name) && !port.name.is_empty() {
            let message = format!("the port name {:?} is used twice", port.name);
            findings.error(format!("{path}.name"), message);
        }
        let same = |other: &Port| (other.port, transport(other)) == (port.port, transport(port));
        if spec.ports[..i].iter().any(same) {
            let message = format!("port {} is listed twice", port.port);
            findings.error(format!("{path}.port"), message);
        }
        out.push(KubeServicePort {
            name: port.name.as_str().into(),
            number: port.port,
            target: match &port.target_port {
                Some(IntOrString::Int(number)) => TargetPort::Number(*number),
                Some(IntOrString::String(name)) if !name.is_empty() => {
                    TargetPort::Name(name.as_str().into())
                }
                _ => TargetPort::Number(port.port),
            },
            node_port: port.node_port,
            protocol: protocol(port),
        });
    }
    out
}

fn transport(port: &Port) -> &str {
    if port.protocol.is_empty() {
        "TCP"
    } else {
        &port.protocol
    }
}

/// Ports whose protocol is not sniffed although nobody declared it: SMTP, DNS, MySQL, MongoDB.
const WELL_KNOWN_TCP: &[u16] = &[25, 53, 3306, 27017];

/// The application protocol: `appProtocol`, else the name up to its first hyphen. Istio 1.31: `kube.ConvertProtocol`.
fn protocol(port: &Port) -> Protocol {
    if port.protocol == "UDP" {
        return Protocol::Udp;
    }
    match port.app_protocol.as_deref() {
        Some("kubernetes.io/h2c") => return Protocol::Http2,
        Some("kubernetes.io/ws") => return Protocol::Http,
        Some("kubernetes.io/wss") => return Protocol::Https,
        _ => {}
    }
    let name = port.app_protocol.as_deref().unwrap_or(&port.name);
    if name
        .get(..8)
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case("grpc-web"))
    {
        return Protocol::GrpcWeb;
    }
    let prefix = name.split('-').next().unwrap_or_default();
    match names::protocol(prefix) {
        Protocol::Unsupported if WELL_KNOWN_TCP.contains(&port.port) => Protocol::Tcp,
        protocol => protocol,
    }
}

/// The field, then the annotation. Where neither says anything the namespace's annotation counts, which only the world
/// knows. Istio 1.31: `GetTrafficDistribution`.
fn traffic_distribution(
    spec: &Spec,
    raw: &Raw<'_>,
    findings: &mut Findings,
) -> Option<TrafficDistribution> {
    match spec.traffic_distribution.as_str() {
        "PreferClose" | "PreferSameZone" => return Some(TrafficDistribution::PreferSameZone),
        "PreferSameNode" => return Some(TrafficDistribution::PreferSameNode),
        "" => {}
        other => findings.warning(
            "spec.trafficDistribution",
            format!("{other:?} is not known and ignored; write PreferSameZone or PreferSameNode"),
        ),
    }
    let said = TrafficDistribution::of_annotation(&raw.meta.annotations);
    if said == Some(TrafficDistribution::Any) {
        findings.warning(
            format!("metadata.annotations[{TRAFFIC_DISTRIBUTION:?}]"),
            "the value is not known and ignored; write PreferClose or PreferSameNode",
        );
    }
    said
}

fn export_to(raw: &Raw<'_>) -> meltemi_model::service::ExportTo {
    let annotation = raw.meta.annotations.get("networking.istio.io/exportTo");
    let list = annotation.filter(|value| !value.is_empty());
    let list: Vec<&str> = list
        .map(|value| value.split(',').map(str::trim).collect())
        .unwrap_or_default();
    names::export_to(list, raw.namespace())
}

/// Identities that the service may have. Istio 1.31: `ConvertService`.
fn service_accounts(raw: &Raw<'_>, settings: &LowerSettings) -> Vec<Str> {
    let list = |key: &str| {
        let value = raw.meta.annotations.get(key).filter(|v| !v.is_empty());
        let names = value.map(|v| v.split(',').map(str::to_owned).collect::<Vec<_>>());
        names.unwrap_or_default()
    };
    let mut out: Vec<Str> = Vec::new();
    for canonical in list("alpha.istio.io/canonical-serviceaccounts") {
        out.push(canonical.into());
    }
    for name in list("alpha.istio.io/kubernetes-serviceaccounts") {
        let id = format!(
            "spiffe://{}/ns/{}/sa/{name}",
            settings.trust_domain,
            raw.namespace()
        );
        out.push(id.into());
    }
    out
}
