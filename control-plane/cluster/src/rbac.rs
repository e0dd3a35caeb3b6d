//! The rights that this crate needs, as data: a test compares the charts' roles with them.

/// Where a right is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// For objects without a namespace, or in all namespaces: a ClusterRole.
    Cluster,
    /// In the control plane's namespace only: a Role.
    ControlPlane,
}

/// A right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The API group; empty for the core.
    pub group: &'static str,
    /// The resource.
    pub resource: &'static str,
    /// What is done with it.
    pub verbs: &'static [&'static str],
    /// Where.
    pub scope: Scope,
    /// What for.
    pub reason: &'static str,
}

const fn rule(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    scope: Scope,
    reason: &'static str,
) -> Rule {
    Rule {
        group,
        resource,
        verbs,
        scope,
        reason,
    }
}

/// All that this crate does at the API server.
pub const RULES: &[Rule] = &[
    rule(
        "",
        "secrets",
        &["create", "get", "update"],
        Scope::ControlPlane,
        "the key of a self-signed CA",
    ),
    rule(
        "",
        "configmaps",
        &["create", "get", "list", "update", "watch"],
        Scope::Cluster,
        "the root certificate in every namespace; locks and configuration in our own",
    ),
    rule(
        "",
        "namespaces",
        &["list", "watch"],
        Scope::Cluster,
        "the root certificate in every namespace",
    ),
    rule(
        "",
        "nodes",
        &["list", "watch"],
        Scope::Cluster,
        "whether all kubelets know native sidecars",
    ),
    rule(
        "",
        "pods",
        &["get", "list"],
        Scope::Cluster,
        "which workloads run on the node of a proxy that asks for their certificates",
    ),
    rule(
        "admissionregistration.k8s.io",
        "mutatingwebhookconfigurations",
        &["get", "list", "update", "watch"],
        Scope::Cluster,
        "the CA bundle of injection; the default revision",
    ),
    rule(
        "admissionregistration.k8s.io",
        "validatingwebhookconfigurations",
        &["get", "list", "update", "watch"],
        Scope::Cluster,
        "the CA bundle and the failure policy of validation",
    ),
    rule(
        "authentication.k8s.io",
        "tokenreviews",
        &["create"],
        Scope::Cluster,
        "whose token it is",
    ),
    rule(
        "authorization.k8s.io",
        "subjectaccessreviews",
        &["create"],
        Scope::Cluster,
        "whether a gateway's account may list the Secrets of its namespace",
    ),
    rule(
        "coordination.k8s.io",
        "leases",
        &["create", "get", "update"],
        Scope::ControlPlane,
        "locks",
    ),
    rule(
        "networking.istio.io",
        "gateways",
        &["create"],
        Scope::ControlPlane,
        "the dry run that shows whether validation works",
    ),
    rule(
        "networking.istio.io",
        "workloadentries",
        &["create", "delete", "get", "list", "update"],
        Scope::Cluster,
        "the entries of workloads outside Kubernetes that connect",
    ),
    rule(
        "networking.istio.io",
        "workloadentries/status",
        &["update"],
        Scope::Cluster,
        "the health that they report",
    ),
    rule(
        "networking.istio.io",
        "workloadgroups",
        &["get"],
        Scope::Cluster,
        "what their entries are made of",
    ),
    rule(
        "networking.istio.io",
        "serviceentries",
        &["get", "list", "watch"],
        Scope::Cluster,
        "which hosts have no addresses",
    ),
    rule(
        "networking.istio.io",
        "serviceentries/status",
        &["patch"],
        Scope::Cluster,
        "the addresses that are given to hosts",
    ),
    rule(
        "networking.k8s.io",
        "ingresses",
        &["get", "list", "watch"],
        Scope::Cluster,
        "which Ingresses do not know their gateway's addresses yet",
    ),
    rule(
        "networking.k8s.io",
        "ingresses/status",
        &["patch"],
        Scope::Cluster,
        "the addresses of their gateway",
    ),
];

#[cfg(test)]
mod tests;
