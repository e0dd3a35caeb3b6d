//! The kinds that Istio 1.31 serves, as data: what its CRDs (`manifests/charts/base/files/crd-all.gen.yaml`) declare.

/// Where objects of a kind live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In the cluster, outside namespaces.
    Cluster,
}

/// One custom resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// Such as `VirtualService`.
    pub kind: &'static str,
    /// Such as `networking.istio.io`.
    pub group: &'static str,
    /// The versions that are served, the preferred one first (Kubernetes: `v1` before betas before alphas).
    pub versions: &'static [&'static str],
    /// The version that is stored.
    pub storage: &'static str,
    /// The resource name in URLs, such as `virtualservices`.
    pub plural: &'static str,
    /// The short names that kubectl accepts.
    pub short_names: &'static [&'static str],
    /// Where its objects live; every kind of Istio is namespaced.
    pub scope: Scope,
}

const EXTENSIONS: &str = "extensions.istio.io";
const NETWORKING: &str = "networking.istio.io";
const SECURITY: &str = "security.istio.io";
const TELEMETRY: &str = "telemetry.istio.io";
const ALPHA1: &[&str] = &["v1alpha1"];
const FROM_ALPHA3: &[&str] = &["v1", "v1beta1", "v1alpha3"];
const FROM_BETA1: &[&str] = &["v1", "v1beta1"];

/// Every kind, by group and name.
pub const KINDS: &[Kind] = &[
    kind(
        EXTENSIONS,
        "TrafficExtension",
        "trafficextensions",
        ALPHA1,
        "v1alpha1",
        &[],
    ),
    kind(
        EXTENSIONS,
        "WasmPlugin",
        "wasmplugins",
        ALPHA1,
        "v1alpha1",
        &[],
    ),
    kind(
        NETWORKING,
        "DestinationRule",
        "destinationrules",
        FROM_ALPHA3,
        "v1",
        &["dr"],
    ),
    kind(
        NETWORKING,
        "EnvoyFilter",
        "envoyfilters",
        &["v1alpha3"],
        "v1alpha3",
        &[],
    ),
    kind(
        NETWORKING,
        "Gateway",
        "gateways",
        FROM_ALPHA3,
        "v1",
        &["gw"],
    ),
    kind(
        NETWORKING,
        "ProxyConfig",
        "proxyconfigs",
        &["v1beta1"],
        "v1beta1",
        &[],
    ),
    kind(
        NETWORKING,
        "ServiceEntry",
        "serviceentries",
        FROM_ALPHA3,
        "v1",
        &["se"],
    ),
    kind(NETWORKING, "Sidecar", "sidecars", FROM_ALPHA3, "v1", &[]),
    kind(
        NETWORKING,
        "VirtualService",
        "virtualservices",
        FROM_ALPHA3,
        "v1",
        &["vs"],
    ),
    kind(
        NETWORKING,
        "WorkloadEntry",
        "workloadentries",
        FROM_ALPHA3,
        "v1",
        &["we"],
    ),
    kind(
        NETWORKING,
        "WorkloadGroup",
        "workloadgroups",
        FROM_ALPHA3,
        "v1",
        &["wg"],
    ),
    kind(
        SECURITY,
        "AuthorizationPolicy",
        "authorizationpolicies",
        FROM_BETA1,
        "v1",
        &["ap"],
    ),
    kind(
        SECURITY,
        "PeerAuthentication",
        "peerauthentications",
        FROM_BETA1,
        "v1",
        &["pa"],
    ),
    kind(
        SECURITY,
        "RequestAuthentication",
        "requestauthentications",
        FROM_BETA1,
        "v1",
        &["ra"],
    ),
    kind(
        TELEMETRY,
        "Telemetry",
        "telemetries",
        &["v1", "v1alpha1"],
        "v1alpha1",
        &["telemetry"],
    ),
];

const fn kind(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    versions: &'static [&'static str],
    storage: &'static str,
    short_names: &'static [&'static str],
) -> Kind {
    Kind {
        kind,
        group,
        versions,
        storage,
        plural,
        short_names,
        scope: Scope::Namespaced,
    }
}

/// The kind of an object by its `apiVersion` (`networking.istio.io/v1`) and `kind`, if that version is served.
pub fn find(api_version: &str, kind: &str) -> Option<&'static Kind> {
    let (group, version) = api_version.split_once('/')?;
    KINDS.iter().find(|known| {
        known.kind == kind && known.group == group && known.versions.contains(&version)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_served_versions_only() {
        for (api_version, kind, plural) in [
            (
                "networking.istio.io/v1",
                "VirtualService",
                Some("virtualservices"),
            ),
            (
                "networking.istio.io/v1alpha3",
                "VirtualService",
                Some("virtualservices"),
            ),
            ("networking.istio.io/v1", "EnvoyFilter", None),
            ("networking.istio.io/v2", "VirtualService", None),
            ("gateway.networking.k8s.io/v1", "Gateway", None),
            ("v1", "Service", None),
        ] {
            assert_eq!(
                find(api_version, kind).map(|known| known.plural),
                plural,
                "{api_version} {kind}"
            );
        }
    }

    #[test]
    fn is_sorted_and_stores_what_it_serves() {
        assert!(
            KINDS
                .windows(2)
                .all(|pair| (pair[0].group, pair[0].kind) < (pair[1].group, pair[1].kind))
        );
        for known in KINDS {
            assert!(known.versions.contains(&known.storage), "{}", known.kind);
        }
    }
}
