//! One object as users write it → the lowered model. Pure: the same value gives the same result.
//!
//! What is wrong is said in Diagnostics that name the field. An object with an error is not used at all, as if
//! Istio's webhook had refused it; the others do not notice. Each kind has its file.

mod authorization_policy;
mod checks;
mod common;
mod destination_rule;
mod endpoint_slice;
mod envoy_filter;
mod findings;
mod gateway;
mod ingress;
mod mesh_config;
mod mesh_networks;
mod meta;
mod names;
mod namespace;
mod node;
mod peer_authentication;
mod pod;
mod policy_target;
mod proxy_config;
mod request_authentication;
mod secret;
mod service;
mod service_account;
mod service_entry;
mod sidecar;
#[cfg(test)]
mod tests;
mod time;
mod virtual_service;
mod workload_entry;
mod workload_group;
mod workload_proxy_config;

use serde_json::Value;

use meltemi_model::allocation::Prefixes;
use meltemi_model::security::JwksFetch;
use meltemi_model::{Diagnostic, Diagnostics, Kind, Object, ObjectKey, Severity, Str};

use findings::Findings;
use meta::Raw;

pub use mesh_config::{lower_mesh, with_features};
pub use mesh_networks::lower_networks;
pub use proxy_config::lower_proxy_config;

/// What lowering must know besides the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LowerSettings {
    /// The DNS suffix of the cluster (`--domain`).
    pub domain: Str,
    /// The cluster's name (CLUSTER_ID).
    pub cluster_id: Str,
    /// The namespace of the control plane, where the ConfigMap `istio` is.
    pub system_namespace: Str,
    /// Our revision (REVISION): the mesh configuration is in the ConfigMap `istio`, or `istio-REVISION` unless it is
    /// `default`.
    pub revision: Str,
    /// The namespace of objects that name none.
    pub default_namespace: Str,
    /// The trust domain of identities that annotations name by service account only.
    pub trust_domain: Str,
    /// istiod's feature flags.
    pub features: Features,
}

/// istiod's feature flags that shape what is served, with istiod's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// PILOT_SKIP_VALIDATE_TRUST_DOMAIN: workloads of any trust domain may connect.
    pub skip_validate_trust_domain: bool,
    /// ENABLE_TLS_ON_SIDECAR_INGRESS: `tls` of a Sidecar's ingress listeners takes effect.
    pub tls_on_sidecar_ingress: bool,
    /// PILOT_FILTER_GATEWAY_CLUSTER_CONFIG: gateways get the clusters of their routes only.
    pub filter_gateway_clusters: bool,
    /// PILOT_SCOPE_GATEWAY_TO_NAMESPACE: a Gateway selects workloads of its own namespace only.
    pub scope_gateway_to_namespace: bool,
    /// PILOT_ENABLE_WORKLOAD_ENTRY_HEALTHCHECKS: WorkloadEntries whose health is checked must be healthy to get traffic.
    pub workload_entry_health: bool,
    /// ISTIO_DUAL_STACK: proxies with addresses of both families are served both.
    pub dual_stack: bool,
    /// ISTIO_ENABLE_IPV4_OUTBOUND_LISTENER_FOR_IPV6_CLUSTERS: IPv6 proxies take redirected connections of IPv4 too.
    pub ipv4_outbound_for_ipv6: bool,
    /// PILOT_ALLOW_SIDECAR_SERVICE_INBOUND_LISTENER_MERGE: service ports stay beside a Sidecar's ingress listeners.
    pub merge_inbound: bool,
    /// PILOT_ENABLE_EDS_FOR_HEADLESS_SERVICES: sidecars balance over the pods of headless Services.
    pub headless_endpoints: bool,
    /// PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS: CUSTOM policies of one workload may name several providers.
    pub multiple_authz_providers: bool,
    /// PILOT_ENABLE_IP_AUTOALLOCATE: ServiceEntries get their addresses from their status, rather than by a hash.
    pub ip_autoallocate: bool,
    /// K8S_INGRESS_NS: the namespace of the gateway that serves Ingresses.
    pub ingress_namespace: Str,
    /// RESOLVE_HOSTNAME_GATEWAYS: host names of networks' gateways are resolved by the control plane.
    pub resolve_hostname_gateways: bool,
    /// PILOT_JWT_ENABLE_REMOTE_JWKS: who fetches the keys of tokens.
    pub jwks_fetch: JwksFetch,
    /// PILOT_IP_AUTOALLOCATE_IPV4_PREFIX and PILOT_IP_AUTOALLOCATE_IPV6_PREFIX: where those addresses are taken from.
    pub ip_prefixes: Prefixes,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            skip_validate_trust_domain: false,
            tls_on_sidecar_ingress: false,
            filter_gateway_clusters: false,
            scope_gateway_to_namespace: false,
            workload_entry_health: true,
            dual_stack: false,
            ipv4_outbound_for_ipv6: false,
            merge_inbound: false,
            headless_endpoints: false,
            multiple_authz_providers: false,
            ip_autoallocate: true,
            ingress_namespace: "istio-system".into(),
            resolve_hostname_gateways: true,
            jwks_fetch: JwksFetch::ControlPlane,
            ip_prefixes: Prefixes::default(),
        }
    }
}

impl Default for LowerSettings {
    fn default() -> Self {
        Self {
            domain: "cluster.local".into(),
            cluster_id: "Kubernetes".into(),
            system_namespace: "istio-system".into(),
            revision: "default".into(),
            default_namespace: "default".into(),
            trust_domain: "cluster.local".into(),
            features: Features::default(),
        }
    }
}

impl LowerSettings {
    /// The name of the ConfigMap with the mesh configuration. Istio 1.31: `getMeshConfigMapName`.
    pub fn mesh_config_map(&self) -> String {
        match &*self.revision {
            "" | "default" => "istio".to_owned(),
            revision => format!("istio-{revision}"),
        }
    }
}

/// What became of one object.
#[derive(Debug, Clone, Default)]
pub struct Lowered {
    /// Its key, as soon as it could be read so far; `None` also for kinds that Meltemi does not read.
    pub key: Option<ObjectKey>,
    /// The object; `None` when it is not used.
    pub object: Option<Object>,
    /// What is to be said about it.
    pub diagnostics: Diagnostics,
}

/// Whether objects of a kind are lowered; the others are foreign, not supported yet, or a mistake.
pub fn is_read(api_version: &str, kind: &str) -> bool {
    matches!(known(api_version, kind), Known::Lowered(_))
}

/// Lowers one object of any kind.
pub fn lower(raw: &Value, settings: &LowerSettings) -> Lowered {
    let (kind, api_version) = match kind_of(raw) {
        Ok(found) => found,
        Err(problem) => return Lowered::refused(problem),
    };
    match known(&api_version, &kind) {
        Known::Lowered(kind) => lower_kind(kind, raw, settings),
        Known::NotYet => Lowered::refused(not_yet(&kind, raw, settings)),
        Known::WrongVersion(instead) => {
            let message = format!("{kind} is not served as {api_version}; write {instead}");
            Lowered::refused(anonymous(Severity::Error, "apiVersion", message))
        }
        Known::Misspelt(instead) => {
            let message = format!("{kind} is not a kind of {api_version}; write {instead}");
            Lowered::refused(anonymous(Severity::Error, "kind", message))
        }
        Known::Foreign => Lowered::default(),
    }
}

impl Lowered {
    fn refused(diagnostic: Diagnostic) -> Self {
        Self {
            key: None,
            object: None,
            diagnostics: vec![diagnostic],
        }
    }
}

fn lower_kind(kind: Kind, value: &Value, settings: &LowerSettings) -> Lowered {
    let raw = match Raw::read(kind, value, settings) {
        Ok(raw) => raw,
        Err(diagnostic) => return Lowered::refused(diagnostic),
    };
    // Of other ConfigMaps only those with a CA matter.
    if kind == Kind::MeshConfig && !mesh_config::is_mesh_config(&raw.meta.key, settings) {
        return lower_kind(Kind::CaConfigMap, value, settings);
    }
    let key = raw.meta.key.clone();
    let mut findings = Findings::new(&key);
    let object = match kind {
        Kind::Namespace => Some(namespace::lower(&raw)),
        Kind::Node => node::lower(&raw, &mut findings),
        Kind::Pod => pod::lower(&raw, &mut findings),
        Kind::Service => service::lower(&raw, &mut findings, settings),
        Kind::EndpointSlice => endpoint_slice::lower(&raw, &mut findings),
        Kind::ServiceAccount => Some(service_account::lower(&raw)),
        Kind::MeshConfig => mesh_config::lower(&raw, &mut findings, settings),
        Kind::ServiceEntry => service_entry::lower(&raw, &mut findings, settings),
        Kind::WorkloadEntry => workload_entry::lower(&raw, &mut findings, settings),
        Kind::VirtualService => virtual_service::lower(&raw, &mut findings, settings),
        Kind::DestinationRule => destination_rule::lower(&raw, &mut findings, settings),
        Kind::Gateway => gateway::lower(&raw, &mut findings),
        Kind::Sidecar => sidecar::lower(&raw, &mut findings, settings),
        Kind::PeerAuthentication => peer_authentication::lower(&raw, &mut findings),
        Kind::RequestAuthentication => request_authentication::lower(&raw, &mut findings),
        Kind::AuthorizationPolicy => authorization_policy::lower(&raw, &mut findings),
        Kind::Ingress => ingress::lower(&raw, &mut findings),
        Kind::IngressClass => ingress::lower_class(&raw, &mut findings),
        Kind::EnvoyFilter => envoy_filter::lower(&raw, &mut findings),
        Kind::ProxyConfig => workload_proxy_config::lower(&raw, &mut findings),
        Kind::WorkloadGroup => workload_group::lower(&raw, &mut findings),
        Kind::Secret => secret::lower(&raw, &mut findings),
        Kind::CaConfigMap => secret::lower_config_map(&raw, &mut findings),
        // No document is of these kinds: they come from a file of its own, from name servers and from issuers of tokens.
        Kind::Network | Kind::Jwks => None,
    };
    let object = object.filter(|_| findings.is_usable());
    // What guards never disappears by a mistake.
    let object = match kind {
        Kind::RequestAuthentication => {
            object.or_else(|| request_authentication::closed(&raw, &mut findings))
        }
        Kind::AuthorizationPolicy => {
            object.or_else(|| authorization_policy::closed(&raw, &mut findings))
        }
        _ => object,
    };
    findings.settle();
    Lowered {
        object,
        key: Some(key),
        diagnostics: findings.into_diagnostics(),
    }
}

enum Known {
    Lowered(Kind),
    /// Istio reads it; Meltemi does not yet.
    NotYet,
    /// One of ours under a version that is not served; the version to write.
    WrongVersion(String),
    /// No kind of a group of Istio's; the kinds that there are.
    Misspelt(String),
    /// Nothing that Istio reads.
    Foreign,
}

fn known(api_version: &str, kind: &str) -> Known {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let core = |kind| match version {
        "v1" => Known::Lowered(kind),
        _ => Known::WrongVersion("v1".to_owned()),
    };
    match (group, kind) {
        ("", "Namespace") => core(Kind::Namespace),
        ("", "Node") => core(Kind::Node),
        ("", "Pod") => core(Kind::Pod),
        ("", "Service") => core(Kind::Service),
        ("", "ServiceAccount") => core(Kind::ServiceAccount),
        ("", "ConfigMap") => core(Kind::MeshConfig),
        ("", "Secret") => core(Kind::Secret),
        ("discovery.k8s.io", "EndpointSlice") if version == "v1" => {
            Known::Lowered(Kind::EndpointSlice)
        }
        ("discovery.k8s.io", "EndpointSlice") => {
            Known::WrongVersion("discovery.k8s.io/v1".to_owned())
        }
        ("networking.k8s.io", "Ingress" | "IngressClass") if version != "v1" => {
            Known::WrongVersion("networking.k8s.io/v1".to_owned())
        }
        ("networking.k8s.io", "Ingress") => Known::Lowered(Kind::Ingress),
        ("networking.k8s.io", "IngressClass") => Known::Lowered(Kind::IngressClass),
        ("gateway.networking.k8s.io", _) => Known::NotYet,
        _ => istio(group, version, kind),
    }
}

fn istio(group: &str, version: &str, kind: &str) -> Known {
    let Some(found) = meltemi_api::kinds::KINDS
        .iter()
        .find(|k| k.group == group && k.kind == kind)
    else {
        return stranger(group);
    };
    if !found.versions.contains(&version) {
        return Known::WrongVersion(format!("{group}/{}", found.versions[0]));
    }
    match kind {
        "ServiceEntry" => Known::Lowered(Kind::ServiceEntry),
        "WorkloadEntry" => Known::Lowered(Kind::WorkloadEntry),
        "VirtualService" => Known::Lowered(Kind::VirtualService),
        "DestinationRule" => Known::Lowered(Kind::DestinationRule),
        "Gateway" => Known::Lowered(Kind::Gateway),
        "Sidecar" => Known::Lowered(Kind::Sidecar),
        "PeerAuthentication" => Known::Lowered(Kind::PeerAuthentication),
        "RequestAuthentication" => Known::Lowered(Kind::RequestAuthentication),
        "AuthorizationPolicy" => Known::Lowered(Kind::AuthorizationPolicy),
        "EnvoyFilter" => Known::Lowered(Kind::EnvoyFilter),
        "WorkloadGroup" => Known::Lowered(Kind::WorkloadGroup),
        "ProxyConfig" => Known::Lowered(Kind::ProxyConfig),
        _ => Known::NotYet,
    }
}

/// An unknown kind: a mistake where all kinds are Istio's.
fn stranger(group: &str) -> Known {
    let kinds: Vec<&str> = meltemi_api::kinds::KINDS
        .iter()
        .filter(|k| k.group == group)
        .map(|k| k.kind)
        .collect();
    match kinds.split_last() {
        None => Known::Foreign,
        Some((only, [])) => Known::Misspelt((*only).to_owned()),
        Some((last, others)) => Known::Misspelt(format!("{} or {last}", others.join(", "))),
    }
}

fn kind_of(raw: &Value) -> Result<(String, String), Diagnostic> {
    let field = |name: &str| match raw.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        None | Some(Value::Null | Value::String(_)) => {
            let message = format!("{name} is missing; an object begins with apiVersion and kind");
            Err(anonymous(Severity::Error, "", message))
        }
        Some(other) => {
            let message = format!("{other} is not a string");
            Err(anonymous(Severity::Error, name, message))
        }
    };
    Ok((field("kind")?, field("apiVersion")?))
}

fn not_yet(kind: &str, raw: &Value, settings: &LowerSettings) -> Diagnostic {
    let text = |path: &str| raw.pointer(path).and_then(Value::as_str);
    let namespace = text("/metadata/namespace").unwrap_or(&settings.default_namespace);
    let name = text("/metadata/name").unwrap_or("");
    let message = format!("{kind} {namespace}/{name} is not supported yet: it is read and ignored");
    anonymous(Severity::Warning, "", message)
}

/// A Diagnostic about an object that has no key.
pub(crate) fn anonymous(severity: Severity, path: &str, message: impl Into<String>) -> Diagnostic {
    Diagnostic {
        severity,
        object: None,
        path: path.to_owned(),
        place: None,
        message: message.into(),
    }
}
