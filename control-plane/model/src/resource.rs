//! What is served: encoded xDS resources, sets of them, and the snapshot of one class of proxies.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::{ObjectKey, Str};

/// The resource types that are served, in the order in which one push sends them (make before break: clusters before
/// the listeners and routes that use them). Istio 1.31: `PushOrder`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceType {
    /// Clusters (CDS).
    Cluster,
    /// ClusterLoadAssignments (EDS).
    Endpoint,
    /// Listeners (LDS).
    Listener,
    /// RouteConfigurations (RDS).
    Route,
    /// TypedExtensionConfigs (ECDS).
    Extension,
    /// The table of names for agents that answer DNS queries (NDS); istiod sends it last.
    NameTable,
    /// Certificates and keys (SDS). Who may have which depends on the caller, so they are no part of what a class gets:
    /// each stream has its own set.
    Secret,
}

impl ResourceType {
    /// All types that a stream may be served: those of its class, and its own.
    pub const SERVED: [ResourceType; 7] = [
        ResourceType::Cluster,
        ResourceType::Endpoint,
        ResourceType::Listener,
        ResourceType::Route,
        ResourceType::Extension,
        ResourceType::NameTable,
        ResourceType::Secret,
    ];

    /// The types that a class of proxies gets, in push order.
    pub const ALL: [ResourceType; 6] = [
        ResourceType::Cluster,
        ResourceType::Endpoint,
        ResourceType::Listener,
        ResourceType::Route,
        ResourceType::Extension,
        ResourceType::NameTable,
    ];

    /// The full type URL on the wire.
    pub fn type_url(self) -> &'static str {
        match self {
            ResourceType::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            ResourceType::Endpoint => {
                "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
            }
            ResourceType::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            ResourceType::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            ResourceType::Secret => {
                "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
            }
            ResourceType::Extension => {
                "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
            }
            ResourceType::NameTable => "type.googleapis.com/istio.networking.nds.v1.NameTable",
        }
    }

    /// The type of a type URL, if it is one that is served.
    pub fn from_type_url(url: &str) -> Option<Self> {
        Self::SERVED.into_iter().find(|t| t.type_url() == url)
    }

    /// `CDS`, `EDS`, `LDS`, `RDS`, `ECDS`, `NDS` or `SDS`.
    pub fn short(self) -> &'static str {
        match self {
            ResourceType::Cluster => "CDS",
            ResourceType::Endpoint => "EDS",
            ResourceType::Listener => "LDS",
            ResourceType::Route => "RDS",
            ResourceType::Extension => "ECDS",
            ResourceType::Secret => "SDS",
            ResourceType::NameTable => "NDS",
        }
    }

    /// Whether an empty subscription means "everything". Istio 1.31: all types but EDS, RDS, SDS and ECDS.
    pub fn is_wildcard(self) -> bool {
        matches!(
            self,
            ResourceType::Cluster | ResourceType::Listener | ResourceType::NameTable
        )
    }

    /// Position in [`ResourceType::SERVED`].
    pub fn index(self) -> usize {
        self as usize
    }
}

/// The version of a resource: the hash of its canonical bytes, so equal on every replica and after a restart (I4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version([u8; 8]);

impl Version {
    /// The version of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut short = [0; 8];
        short.copy_from_slice(&blake3::hash(bytes).as_bytes()[..8]);
        Self(short)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One encoded resource. Sessions share it; nobody copies the body. Its `Debug` shows no secret.
#[derive(Clone)]
pub struct Resource {
    /// Its type.
    pub ty: ResourceType,
    /// Its name, unique within its type.
    pub name: Str,
    /// Hash of `body`.
    pub version: Version,
    /// The canonical encoding of the message (the `value` of its Any).
    pub body: Bytes,
    /// The objects that decided its content, for `explain`.
    pub from: Arc<[ObjectKey]>,
}

impl Resource {
    /// A resource from canonical bytes; the version is computed here, so it cannot disagree with them.
    pub fn new(ty: ResourceType, name: Str, body: Bytes, from: Arc<[ObjectKey]>) -> Self {
        let version = Version::of(&body);
        Self {
            ty,
            name,
            version,
            body,
            from,
        }
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Resource");
        shown
            .field("ty", &self.ty)
            .field("name", &self.name)
            .field("version", &self.version)
            .field("from", &self.from);
        if self.ty == ResourceType::Secret {
            shown.field("bytes", &self.body.len());
        } else {
            shown.field("body", &self.body);
        }
        shown.finish()
    }
}

/// All resources of one type that a class of proxies gets.
#[derive(Debug, Clone)]
pub struct ResourceSet {
    /// The type of every member.
    pub ty: ResourceType,
    /// By name.
    pub by_name: BTreeMap<Str, Arc<Resource>>,
    /// Hash over all names and versions; equal sets have equal versions. SotW's `version_info`.
    pub version: Version,
}

impl ResourceSet {
    /// Collects resources of one type. A later one with the same name replaces the earlier.
    pub fn new(ty: ResourceType, resources: impl IntoIterator<Item = Arc<Resource>>) -> Self {
        let by_name: BTreeMap<Str, Arc<Resource>> =
            resources.into_iter().map(|r| (r.name.clone(), r)).collect();
        let mut all = Vec::with_capacity(by_name.len() * 64);
        for (name, resource) in &by_name {
            all.extend_from_slice(&(name.len() as u64).to_le_bytes());
            all.extend_from_slice(name.as_bytes());
            all.extend_from_slice(&resource.version.0);
        }
        Self {
            ty,
            by_name,
            version: Version::of(&all),
        }
    }

    /// The set without members.
    pub fn empty(ty: ResourceType) -> Self {
        Self::new(ty, [])
    }
}

/// Everything that one class of proxies gets at one revision of the world.
#[derive(Debug, Clone)]
pub struct ProxySnapshot {
    /// The world's revision that it was compiled from.
    pub revision: u64,
    sets: [Arc<ResourceSet>; ResourceType::ALL.len()],
    /// Those of one stream; empty in what a class gets.
    secrets: Arc<ResourceSet>,
}

impl ProxySnapshot {
    /// A snapshot from one set per type, in the order of [`ResourceType::ALL`].
    pub fn new(revision: u64, sets: [Arc<ResourceSet>; ResourceType::ALL.len()]) -> Self {
        debug_assert!(
            sets.iter().zip(ResourceType::ALL).all(|(s, t)| s.ty == t),
            "sets must be in push order"
        );
        Self {
            revision,
            sets,
            secrets: Arc::new(ResourceSet::empty(ResourceType::Secret)),
        }
    }

    /// The same with the secrets of one stream.
    #[must_use]
    pub fn with_secrets(&self, secrets: Arc<ResourceSet>) -> Self {
        debug_assert!(secrets.ty == ResourceType::Secret, "a set of secrets");
        Self {
            secrets,
            ..self.clone()
        }
    }

    /// The snapshot that holds nothing.
    pub fn empty() -> Self {
        Self::new(
            0,
            ResourceType::ALL.map(|t| Arc::new(ResourceSet::empty(t))),
        )
    }

    /// The set of one type.
    pub fn set(&self, ty: ResourceType) -> &Arc<ResourceSet> {
        self.sets.get(ty.index()).unwrap_or(&self.secrets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(name: &str, body: &'static str) -> Arc<Resource> {
        let body = Bytes::from_static(body.as_bytes());
        let resource = Resource::new(ResourceType::Route, name.into(), body, Arc::from([]));
        Arc::new(resource)
    }

    #[test]
    fn versions_depend_on_names_and_bytes_only() {
        let set = |list: &[(&str, &'static str)]| {
            let resources = list.iter().map(|(name, body)| resource(name, body));
            ResourceSet::new(ResourceType::Route, resources).version
        };
        let one = set(&[("a", "x"), ("b", "y")]);
        assert_eq!(one, set(&[("b", "y"), ("a", "x")]));
        for other in [
            set(&[("a", "x")]),
            set(&[("a", "y"), ("b", "x")]),
            set(&[("a", "x"), ("bb", "y")]),
            set(&[("ab", "y"), ("a", "x")]),
            set(&[]),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!(resource("a", "x").version, Version::of(b"x"));
        assert_eq!(Version::of(b"x").to_string().len(), 16);
    }

    #[test]
    fn a_secret_is_not_shown() {
        let body = Bytes::from_static(b"ThisIsTheKey");
        let secret = Resource::new(ResourceType::Secret, "x".into(), body, Arc::from([]));
        let shown = format!("{secret:?}");
        assert!(shown.contains("bytes: 12") && !shown.contains("ThisIsTheKey"));
        assert!(format!("{:?}", resource("a", "body")).contains("body"));
        let set = ResourceSet::new(ResourceType::Secret, [Arc::new(secret)]);
        let snapshot = ProxySnapshot::empty().with_secrets(Arc::new(set));
        assert_eq!(snapshot.set(ResourceType::Secret).by_name.len(), 1);
    }

    #[test]
    fn type_urls_are_read_back() {
        for (index, ty) in ResourceType::SERVED.into_iter().enumerate() {
            assert_eq!(ResourceType::from_type_url(ty.type_url()), Some(ty));
            assert_eq!(ty.index(), index);
        }
        assert_eq!(ResourceType::from_type_url("type.googleapis.com/x"), None);
    }

    #[test]
    fn a_snapshot_holds_one_set_of_each_type() {
        let snapshot = ProxySnapshot::empty();
        for ty in ResourceType::SERVED {
            assert_eq!(snapshot.set(ty).ty, ty);
            assert!(snapshot.set(ty).by_name.is_empty());
        }
    }
}
