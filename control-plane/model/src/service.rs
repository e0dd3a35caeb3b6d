//! Services: what Kubernetes and ServiceEntries declare, and the one form that everything below uses.

use std::collections::BTreeSet;

use crate::object::Meta;
use crate::port::Protocol;
use crate::workload::WorkloadEntrySpec;
use crate::{Hostname, Labels, ObjectKey, Str};

/// To which namespaces an object is visible. Istio: `exportTo`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExportTo {
    /// Nothing was said: the mesh's default for the kind applies.
    Default,
    /// Nobody (`~`).
    Nobody,
    /// Everybody (`*`).
    Everybody,
    /// These namespaces. `.` has been replaced by the object's own.
    Namespaces(BTreeSet<Str>),
}

impl ExportTo {
    /// Whether an object is visible in `namespace`, with `default` for [`ExportTo::Default`].
    pub fn visible_in(&self, namespace: &str, default: &ExportTo, own: &str) -> bool {
        match self {
            ExportTo::Default if default == &ExportTo::Default => true,
            ExportTo::Default => default.visible_in(namespace, &ExportTo::Everybody, own),
            ExportTo::Nobody => false,
            ExportTo::Everybody => true,
            // A mesh default is not bound to an object, so it keeps "." and it means the object's namespace.
            ExportTo::Namespaces(set) => {
                set.contains(namespace) || (set.contains(".") && namespace == own)
            }
        }
    }
}

/// A Kubernetes Service as declared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KubeService {
    /// Key, labels, annotations, age.
    pub meta: Meta,
    /// Pods that are its endpoints; empty: none by selector.
    pub selector: Labels,
    /// Cluster addresses, first one primary; empty when headless.
    pub cluster_ips: Vec<Str>,
    /// `clusterIP: None`.
    pub headless: bool,
    /// `spec.externalName` of an ExternalName service.
    pub external_name: Option<Hostname>,
    /// `spec.externalIPs` and the load balancer's addresses.
    pub external_ips: Vec<Str>,
    /// For type NodePort with the annotation `traffic.istio.io/nodeSelector`: labels of the nodes at whose addresses it is
    /// reached from another network.
    pub node_selector: Option<Labels>,
    /// Its ports; UDP and SCTP included.
    pub ports: Vec<KubeServicePort>,
    /// `spec.publishNotReadyAddresses`.
    pub publish_not_ready: bool,
    /// `spec.internalTrafficPolicy: Local`.
    pub internal_traffic_local: bool,
    /// `spec.trafficDistribution` or its annotation; `None`: not said, so the namespace's annotation counts.
    pub traffic_distribution: Option<TrafficDistribution>,
    /// `networking.istio.io/exportTo`.
    pub export_to: ExportTo,
    /// SPIFFE identities from `alpha.istio.io/*serviceaccounts`.
    pub service_accounts: Vec<Str>,
}

/// A port of a Kubernetes Service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KubeServicePort {
    /// Its name; may be empty when it is the only one.
    pub name: Str,
    /// The service port.
    pub number: u16,
    /// Where pods listen.
    pub target: TargetPort,
    /// `spec.ports[].nodePort`, 0 when there is none.
    pub node_port: u16,
    /// Chosen from appProtocol, then the name, then the well-known number. Istio: protocol selection.
    pub protocol: Protocol,
}

/// `targetPort`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TargetPort {
    /// A number.
    Number(u16),
    /// The name of a container port.
    Name(Str),
}

/// Preference for near endpoints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrafficDistribution {
    /// None.
    #[default]
    Any,
    /// `PreferClose` and `PreferSameZone`: same network, region, zone, subzone first.
    PreferSameZone,
    /// `PreferSameNode`.
    PreferSameNode,
}

/// The annotation that says it for a ServiceEntry or for a whole namespace.
pub const TRAFFIC_DISTRIBUTION: &str = "networking.istio.io/traffic-distribution";

impl TrafficDistribution {
    /// Reads the annotation; `None` when it says nothing. Istio 1.31: `GetTrafficDistribution`, where a value that is not
    /// known means none.
    pub fn of_annotation(annotations: &Labels) -> Option<Self> {
        let value = annotations
            .get(TRAFFIC_DISTRIBUTION)
            .filter(|value| !value.is_empty())?;
        Some(match value.to_ascii_lowercase().as_str() {
            "preferclose" | "prefersamezone" => Self::PreferSameZone,
            "prefersamenode" => Self::PreferSameNode,
            _ => Self::Any,
        })
    }
}

/// A ServiceEntry as declared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceEntry {
    /// Key, labels, annotations, age.
    pub meta: Meta,
    /// Host names.
    pub hosts: Vec<Hostname>,
    /// Virtual addresses: IPs or CIDRs.
    pub addresses: Vec<Str>,
    /// Addresses that were allocated: (host, address) of `status.addresses`, for each host at most one of IPv4, then at
    /// most one of IPv6.
    pub allocated: Vec<(Hostname, Str)>,
    /// Ports.
    pub ports: Vec<ServiceEntryPort>,
    /// `location: MESH_INTERNAL`.
    pub mesh_internal: bool,
    /// How addresses are found.
    pub resolution: Resolution,
    /// Inline endpoints.
    pub endpoints: Vec<WorkloadEntrySpec>,
    /// Pods and WorkloadEntries that are its endpoints.
    pub workload_selector: Option<Labels>,
    /// Visibility.
    pub export_to: ExportTo,
    /// Names that the server's certificate must hold.
    pub subject_alt_names: Vec<Str>,
}

/// A port of a ServiceEntry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceEntryPort {
    /// The name.
    pub name: Str,
    /// The number.
    pub number: u16,
    /// Where endpoints listen, when not at `number`; 0: the same.
    pub target: u16,
    /// The protocol.
    pub protocol: Protocol,
}

impl ServiceEntryPort {
    /// Where endpoints listen that say nothing else.
    pub fn listens_at(&self) -> u16 {
        if self.target == 0 {
            self.number
        } else {
            self.target
        }
    }
}

/// How the endpoints of a service are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    /// From the control plane (EDS).
    ClientSideLb,
    /// Envoy resolves the name and uses all addresses (STRICT_DNS).
    Dns,
    /// Envoy resolves the name and uses one address (LOGICAL_DNS).
    DnsRoundRobin,
    /// The address that the client asked for (ORIGINAL_DST).
    Passthrough,
    /// Each host name is resolved as it is asked for (dynamic forward proxy).
    DynamicDns,
    /// An ExternalName that stands for another service. Istio 1.31: `Alias`.
    Alias,
}

/// What identifies a service: its host name and namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// Fully qualified.
    pub host: Hostname,
    /// The namespace of the object that declares it.
    pub namespace: Str,
}

/// A service in the form that everything below uses, whoever declared it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Service {
    /// Host name and namespace.
    pub key: ServiceKey,
    /// The short name (`reviews`); a ServiceEntry's is its host name. Used in metadata `istio.services`.
    pub name: Str,
    /// The object that declares it.
    pub object: ObjectKey,
    /// Whether Kubernetes declares it, rather than a ServiceEntry.
    pub kubernetes: bool,
    /// Age of the declaring object, in seconds since 1970.
    pub created: i64,
    /// Its object's labels.
    pub labels: Labels,
    /// How endpoints are found.
    pub resolution: Resolution,
    /// Virtual addresses (IPs, or CIDRs of a ServiceEntry); empty: none ("0.0.0.0" in Istio's terms).
    pub addresses: Vec<Str>,
    /// Addresses that were allocated to a ServiceEntry without any, for proxies that answer DNS queries of their
    /// application: at most one of IPv4, then at most one of IPv6.
    pub allocated: Vec<Str>,
    /// Addresses at which it can be reached from outside (externalIPs, load balancer).
    pub external_addresses: Vec<Str>,
    /// TCP-based ports, in declared order. UDP is left out unless it is all there is to a port number.
    pub ports: Vec<ServicePort>,
    /// `location: MESH_EXTERNAL`.
    pub mesh_external: bool,
    /// Visibility.
    pub export_to: ExportTo,
    /// Kubernetes: no cluster IP.
    pub headless: bool,
    /// SPIFFE identities that it may have besides those of its endpoints (annotations, `subjectAltNames`).
    pub subject_alt_names: Vec<Str>,
    /// `publishNotReadyAddresses`.
    pub publish_not_ready: bool,
    /// `internalTrafficPolicy: Local`.
    pub node_local: bool,
    /// Preference for near endpoints.
    pub traffic_distribution: TrafficDistribution,
    /// The selector of a Kubernetes Service.
    pub selector: Labels,
    /// The name that an ExternalName service stands for.
    pub external_name: Option<Hostname>,
    /// ExternalName services that stand for this one, by namespace and host name. Istio 1.31: `resolveServiceAliases`.
    pub aliases: Vec<ServiceKey>,
    /// A ServiceEntry without resolution may send a port elsewhere: (port, target port).
    pub passthrough_targets: Vec<(u16, u16)>,
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePort {
    /// Its name.
    pub name: Str,
    /// The service port.
    pub number: u16,
    /// The application protocol.
    pub protocol: Protocol,
}

impl Service {
    /// The port with this number.
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|p| p.number == number)
    }
}

/// `outbound|9080|v1|reviews.default.svc.cluster.local`. Istio 1.31: `BuildSubsetKey`.
pub fn outbound_name(port: u16, subset: &str, host: &Hostname) -> String {
    joined("outbound|", port, "|", subset, host)
}

/// `inbound|9080||`. Istio 1.31: `BuildInboundSubsetKey`.
pub fn inbound_name(port: u16) -> String {
    format!("inbound|{port}||")
}

/// The SNI between sidecars: `outbound_.9080_.v1_.reviews.default.svc.cluster.local`. Istio 1.31: `BuildDNSSrvSubsetKey`.
pub fn sni_name(port: u16, subset: &str, host: &Hostname) -> String {
    joined("outbound_.", port, "_.", subset, host)
}

/// Names are made for every cluster of every class, so without the formatting machinery.
fn joined(head: &str, port: u16, separator: &str, subset: &str, host: &Hostname) -> String {
    let (mut digits, host) = (itoa::Buffer::new(), host.as_str());
    let pieces = [
        head,
        digits.format(port),
        separator,
        subset,
        separator,
        host,
    ];
    pieces.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::export_to;

    #[test]
    fn who_sees_an_object_of_namespace_own() {
        // (exportTo, the mesh's default, seen in `own`, seen in `other`).
        for (export, default, own, other) in [
            ("", "", true, true),
            ("", "*", true, true),
            ("", ".", true, false),
            ("", "~", false, false),
            ("", "other", false, true),
            ("*", ".", true, true),
            ("~", "*", false, false),
            ("own", "*", true, false),
            ("other", "*", false, true),
            ("own,other", "~", true, true),
        ] {
            let seen =
                |namespace| export_to(export).visible_in(namespace, &export_to(default), "own");
            assert_eq!(
                (seen("own"), seen("other")),
                (own, other),
                "{export:?} {default:?}"
            );
        }
    }

    #[test]
    fn names_of_clusters() {
        let host = Hostname::new("a.default.svc.cluster.local");
        assert_eq!(
            outbound_name(80, "v1", &host),
            "outbound|80|v1|a.default.svc.cluster.local"
        );
        assert_eq!(
            sni_name(80, "", &host),
            "outbound_.80_._.a.default.svc.cluster.local"
        );
        assert_eq!(inbound_name(8080), "inbound|8080||");
    }

    #[test]
    fn the_annotation_for_near_endpoints() {
        use TrafficDistribution::{Any, PreferSameNode, PreferSameZone};
        for (value, want) in [
            ("", None),
            ("PreferClose", Some(PreferSameZone)),
            ("prefersamezone", Some(PreferSameZone)),
            ("PreferSameNode", Some(PreferSameNode)),
            ("nonsense", Some(Any)),
        ] {
            let annotations = [(TRAFFIC_DISTRIBUTION, value)].into_iter().collect();
            assert_eq!(
                TrafficDistribution::of_annotation(&annotations),
                want,
                "{value}"
            );
        }
        assert_eq!(TrafficDistribution::of_annotation(&Labels::default()), None);
    }
}
