//! What is watched, as data. The charts' ClusterRole grants exactly this.

use kube::api::ApiResource;
use meltemi_api::kinds::KINDS;

/// The verbs that the source needs on every kind.
pub const VERBS: [&str; 3] = ["get", "list", "watch"];

/// A kind of objects in the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Its API group; empty for the core group.
    pub group: &'static str,
    /// The versions that can be read, the preferred one first.
    pub versions: &'static [&'static str],
    /// `Service`.
    pub kind: &'static str,
    /// `services`.
    pub plural: &'static str,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// Whether it comes with a CustomResourceDefinition, and may be missing.
    pub custom: bool,
    /// Only objects that this field selector selects.
    pub fields: Option<String>,
    /// Whether only names and labels are read, not the objects.
    pub metadata_only: bool,
}

const V1: &[&str] = &["v1"];

/// Everything that [`super::watch`] watches, by group and plural, the CustomResourceDefinitions included.
pub fn watched() -> Vec<Watched> {
    let mut kinds = vec![
        core("Namespace", "namespaces", false),
        core("Node", "nodes", false),
        Watched {
            // Istio 1.31: what failed (evicted pods above all) stays in the API server for long and answers nobody.
            fields: Some("status.phase!=Failed".to_owned()),
            ..core("Pod", "pods", true)
        },
        core("Service", "services", true),
        core("ServiceAccount", "serviceaccounts", true),
        // The mesh configuration, and those with a CA, which any namespace may have.
        core("ConfigMap", "configmaps", true),
        Watched {
            // Istio 1.31: the large ones in most clusters, and never a proxy's.
            fields: Some(
                "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token".to_owned(),
            ),
            ..core("Secret", "secrets", true)
        },
        Watched {
            group: "discovery.k8s.io",
            ..core("EndpointSlice", "endpointslices", true)
        },
        Watched {
            group: "networking.k8s.io",
            ..core("Ingress", "ingresses", true)
        },
        Watched {
            group: "networking.k8s.io",
            ..core("IngressClass", "ingressclasses", false)
        },
        definitions(),
    ];
    kinds.extend(KINDS.iter().map(|kind| Watched {
        group: kind.group,
        versions: kind.versions,
        custom: true,
        ..core(kind.kind, kind.plural, true)
    }));
    kinds.sort_by_key(|k| (k.group, k.plural));
    kinds
}

/// The CustomResourceDefinitions, of which only the names are read.
pub(super) fn definitions() -> Watched {
    Watched {
        group: "apiextensions.k8s.io",
        metadata_only: true,
        ..core(
            "CustomResourceDefinition",
            "customresourcedefinitions",
            false,
        )
    }
}

fn core(kind: &'static str, plural: &'static str, namespaced: bool) -> Watched {
    Watched {
        group: "",
        versions: V1,
        kind,
        plural,
        namespaced,
        custom: false,
        fields: None,
        metadata_only: false,
    }
}

impl Watched {
    /// `services`, `gateways.networking.istio.io`: also the name of its CustomResourceDefinition, if it has one.
    pub fn resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// Whether a group is of Kubernetes' own objects, of which services and workloads are made, or of configuration.
    pub(super) fn is_of_registry(group: &str) -> bool {
        !group.ends_with(".istio.io")
    }

    /// Its `apiVersion` in one of its versions.
    pub(super) fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() {
            version.to_owned()
        } else {
            format!("{}/{version}", self.group)
        }
    }

    pub(super) fn api_resource(&self, version: &str) -> ApiResource {
        ApiResource {
            group: self.group.to_owned(),
            version: version.to_owned(),
            api_version: self.api_version(version),
            kind: self.kind.to_owned(),
            plural: self.plural.to_owned(),
        }
    }
}
