//! Names: kinds, object keys, host names and localities.

use std::fmt;
use std::sync::{Arc, LazyLock};

/// A shared string. Most strings of a mesh occur thousands of times.
pub type Str = Arc<str>;

/// The empty string, shared: most rows have several, and each of its own would be an allocation.
pub fn empty() -> Str {
    static EMPTY: LazyLock<Str> = LazyLock::new(|| Str::from(""));
    EMPTY.clone()
}

/// The kinds of objects that Meltemi reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// core/v1 Namespace.
    Namespace,
    /// core/v1 Node.
    Node,
    /// core/v1 Pod.
    Pod,
    /// core/v1 Service.
    Service,
    /// discovery.k8s.io/v1 EndpointSlice.
    EndpointSlice,
    /// core/v1 ServiceAccount.
    ServiceAccount,
    /// The ConfigMap `istio` that holds the mesh configuration.
    MeshConfig,
    /// networking.istio.io ServiceEntry.
    ServiceEntry,
    /// networking.istio.io WorkloadEntry.
    WorkloadEntry,
    /// networking.istio.io VirtualService.
    VirtualService,
    /// networking.istio.io DestinationRule.
    DestinationRule,
    /// networking.istio.io Gateway.
    Gateway,
    /// networking.istio.io Sidecar.
    Sidecar,
    /// security.istio.io PeerAuthentication.
    PeerAuthentication,
    /// security.istio.io RequestAuthentication.
    RequestAuthentication,
    /// security.istio.io AuthorizationPolicy.
    AuthorizationPolicy,
    /// networking.k8s.io/v1 Ingress.
    Ingress,
    /// networking.k8s.io/v1 IngressClass.
    IngressClass,
    /// networking.istio.io EnvoyFilter.
    EnvoyFilter,
    /// networking.istio.io ProxyConfig.
    ProxyConfig,
    /// networking.istio.io WorkloadGroup.
    WorkloadGroup,
    /// core/v1 Secret with a certificate.
    Secret,
    /// A ConfigMap with the certificates of a CA.
    CaConfigMap,
    /// What is known of networks from outside: the file of `--networks-config`, addresses of gateways' names.
    Network,
    /// Keys of JWTs that were fetched for RequestAuthentications.
    Jwks,
}

impl Kind {
    /// Every kind, in the order in which sources report them.
    pub const ALL: [Kind; 25] = [
        Kind::Namespace,
        Kind::Node,
        Kind::Pod,
        Kind::Service,
        Kind::EndpointSlice,
        Kind::ServiceAccount,
        Kind::MeshConfig,
        Kind::ServiceEntry,
        Kind::WorkloadEntry,
        Kind::VirtualService,
        Kind::DestinationRule,
        Kind::Gateway,
        Kind::Sidecar,
        Kind::PeerAuthentication,
        Kind::RequestAuthentication,
        Kind::AuthorizationPolicy,
        Kind::Ingress,
        Kind::IngressClass,
        Kind::EnvoyFilter,
        Kind::ProxyConfig,
        Kind::WorkloadGroup,
        Kind::Secret,
        Kind::CaConfigMap,
        Kind::Network,
        Kind::Jwks,
    ];

    /// The name that users write in `kind:`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Namespace => "Namespace",
            Kind::Node => "Node",
            Kind::Pod => "Pod",
            Kind::Service => "Service",
            Kind::EndpointSlice => "EndpointSlice",
            Kind::ServiceAccount => "ServiceAccount",
            Kind::MeshConfig => "ConfigMap",
            Kind::ServiceEntry => "ServiceEntry",
            Kind::WorkloadEntry => "WorkloadEntry",
            Kind::VirtualService => "VirtualService",
            Kind::DestinationRule => "DestinationRule",
            Kind::Gateway => "Gateway",
            Kind::Sidecar => "Sidecar",
            Kind::PeerAuthentication => "PeerAuthentication",
            Kind::RequestAuthentication => "RequestAuthentication",
            Kind::AuthorizationPolicy => "AuthorizationPolicy",
            Kind::Ingress => "Ingress",
            Kind::IngressClass => "IngressClass",
            Kind::EnvoyFilter => "EnvoyFilter",
            Kind::ProxyConfig => "ProxyConfig",
            Kind::WorkloadGroup => "WorkloadGroup",
            Kind::Secret => "Secret",
            Kind::CaConfigMap => "ConfigMap",
            Kind::Network => "MeshNetworks",
            Kind::Jwks => "JWKS",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What identifies an object in one cluster. `namespace` is empty for cluster-scoped kinds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The kind.
    pub kind: Kind,
    /// The namespace, or the empty string.
    pub namespace: Str,
    /// The name.
    pub name: Str,
}

impl ObjectKey {
    /// A key from its parts.
    pub fn new(kind: Kind, namespace: impl Into<Str>, name: impl Into<Str>) -> Self {
        Self {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// A DNS name, possibly with a leading wildcard label (`*.example.com`, `*`). Lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hostname(pub Str);

impl Hostname {
    /// A host name from text; upper case is folded, as DNS does.
    pub fn new(name: &str) -> Self {
        if name.bytes().any(|b| b.is_ascii_uppercase()) {
            Self(name.to_ascii_lowercase().into())
        } else {
            Self(name.into())
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name begins with `*`.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with('*')
    }

    /// Whether the two names have a host in common. Istio 1.31: `host.Name.Matches`.
    pub fn matches(&self, other: &Hostname) -> bool {
        match (self.0.strip_prefix('*'), other.0.strip_prefix('*')) {
            (Some(a), Some(b)) => a.ends_with(b) || b.ends_with(a),
            (Some(a), None) => other.0.ends_with(a),
            (None, Some(b)) => self.0.ends_with(b),
            (None, None) => self.0 == other.0,
        }
    }

    /// Whether every host of `self` is also one of `other`. Istio 1.31: `host.Name.SubsetOf`.
    pub fn subset_of(&self, other: &Hostname) -> bool {
        match (self.0.strip_prefix('*'), other.0.strip_prefix('*')) {
            (Some(a), Some(b)) => a.ends_with(b),
            (Some(_), None) => false,
            (None, Some(b)) => self.0.ends_with(b),
            (None, None) => self.0 == other.0,
        }
    }

    /// Most specific first: exact names before wildcards, longer wildcards before shorter ones.
    /// Istio 1.31: `host.MoreSpecific`.
    pub fn specificity(&self, other: &Hostname) -> std::cmp::Ordering {
        let rank = |h: &Hostname| (h.0.as_ref() == "*", h.is_wildcard(), usize::MAX - h.0.len());
        rank(self)
            .cmp(&rank(other))
            .then_with(|| self.0.cmp(&other.0))
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Region, zone and sub-zone of a workload; parts that are not known are empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locality {
    /// `topology.kubernetes.io/region`.
    pub region: Str,
    /// `topology.kubernetes.io/zone`.
    pub zone: Str,
    /// `topology.istio.io/subzone`.
    pub subzone: Str,
}

impl Default for Locality {
    fn default() -> Self {
        Self {
            region: empty(),
            zone: empty(),
            subzone: empty(),
        }
    }
}

impl Locality {
    /// Parses `region/zone/subzone`, with missing parts empty.
    pub fn parse(text: &str) -> Self {
        let mut parts = text.splitn(3, '/');
        let mut next = || match parts.next() {
            None | Some("") => empty(),
            Some(part) => part.into(),
        };
        Self {
            region: next(),
            zone: next(),
            subzone: next(),
        }
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.region.is_empty() && self.zone.is_empty() && self.subzone.is_empty()
    }
}

impl fmt::Display for Locality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.region)?;
        if !self.zone.is_empty() || !self.subzone.is_empty() {
            write!(f, "/{}", self.zone)?;
        }
        if !self.subzone.is_empty() {
            write!(f, "/{}", self.subzone)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_match_and_contain() {
        for (a, b, matches, subset) in [
            ("a.com", "a.com", true, true),
            ("a.com", "b.com", false, false),
            ("a.com", "*.com", true, true),
            ("*.com", "a.com", true, false),
            ("*.a.com", "*.com", true, true),
            ("*.com", "*.a.com", true, false),
            ("*", "x", true, false),
            ("x", "*", true, true),
        ] {
            let (a, b) = (Hostname::new(a), Hostname::new(b));
            assert_eq!(a.matches(&b), matches, "{a} matches {b}");
            assert_eq!(a.subset_of(&b), subset, "{a} subset of {b}");
        }
    }

    #[test]
    fn localities_are_read_and_shown() {
        for (text, parts, shown) in [
            ("", ["", "", ""], ""),
            ("r", ["r", "", ""], "r"),
            ("r/z", ["r", "z", ""], "r/z"),
            ("r/z/s", ["r", "z", "s"], "r/z/s"),
            ("r/z/s/x", ["r", "z", "s/x"], "r/z/s/x"),
            ("r//s", ["r", "", "s"], "r//s"),
            ("r/", ["r", "", ""], "r"),
        ] {
            let found = Locality::parse(text);
            assert_eq!(
                [&*found.region, &*found.zone, &*found.subzone],
                parts,
                "{text}"
            );
            assert_eq!(found.to_string(), shown, "{text}");
            assert_eq!(found.is_empty(), text.is_empty(), "{text}");
        }
    }

    #[test]
    fn upper_case_of_a_host_is_folded() {
        assert_eq!(Hostname::new("A.Example.COM").as_str(), "a.example.com");
    }

    #[test]
    fn specific_hosts_come_first() {
        let mut hosts: Vec<_> = ["*", "*.com", "a.com", "*.foo.com", "b.foo.com"]
            .map(Hostname::new)
            .into();
        hosts.sort_by(Hostname::specificity);
        let sorted: Vec<_> = hosts.iter().map(Hostname::as_str).collect();
        assert_eq!(sorted, ["b.foo.com", "a.com", "*.foo.com", "*.com", "*"]);
    }
}
