//! istiod's feature flags that Meltemi knows: they change what is served, so every verb that compiles takes them.

use clap::ArgAction;
use clap::builder::FalseyValueParser;
use ipnet::IpNet;
use meltemi_model::allocation::Prefixes;
use meltemi_model::security::JwksFetch;
use meltemi_sources::lower::Features;

/// Feature flags, also from the environment by istiod's names.
#[derive(Debug, clap::Args)]
pub(super) struct FeatureArgs {
    /// Workloads of any trust domain may connect, if their certificate is signed by a root of the mesh.
    #[arg(long, env = "PILOT_SKIP_VALIDATE_TRUST_DOMAIN", value_parser = FalseyValueParser::new())]
    skip_validate_trust_domain: bool,
    /// The field tls of a Sidecar's ingress listeners takes effect.
    #[arg(long, env = "ENABLE_TLS_ON_SIDECAR_INGRESS", value_parser = FalseyValueParser::new())]
    tls_on_sidecar_ingress: bool,
    /// Gateways get the clusters of their routes only, rather than those of all services that they see.
    #[arg(long, env = "PILOT_FILTER_GATEWAY_CLUSTER_CONFIG", value_parser = FalseyValueParser::new())]
    filter_gateway_clusters: bool,
    /// A Gateway selects workloads of its own namespace only.
    #[arg(long, env = "PILOT_SCOPE_GATEWAY_TO_NAMESPACE", value_parser = FalseyValueParser::new())]
    scope_gateway_to_namespace: bool,
    /// WorkloadEntries whose health is checked get traffic while they are healthy.
    #[arg(long, env = "PILOT_ENABLE_WORKLOAD_ENTRY_HEALTHCHECKS", default_value_t = true, action = clap::ArgAction::Set, value_parser = FalseyValueParser::new())]
    workload_entry_health: bool,
    /// Proxies with addresses of both families are served both.
    #[arg(long, env = "ISTIO_DUAL_STACK", value_parser = FalseyValueParser::new())]
    dual_stack: bool,
    /// Proxies with IPv6 addresses only take redirected outbound connections of IPv4 too.
    #[arg(
        long,
        env = "ISTIO_ENABLE_IPV4_OUTBOUND_LISTENER_FOR_IPV6_CLUSTERS",
        value_parser = FalseyValueParser::new()
    )]
    ipv4_outbound_for_ipv6: bool,
    /// Service ports that no ingress listener of a Sidecar names keep their listeners beside those.
    #[arg(
        long,
        env = "PILOT_ALLOW_SIDECAR_SERVICE_INBOUND_LISTENER_MERGE",
        value_parser = FalseyValueParser::new()
    )]
    merge_inbound: bool,
    /// Sidecars balance over the pods of headless Services.
    #[arg(long, env = "PILOT_ENABLE_EDS_FOR_HEADLESS_SERVICES", value_parser = FalseyValueParser::new())]
    headless_endpoints: bool,
    /// AuthorizationPolicies of one workload may ask several extension providers.
    #[arg(
        long,
        env = "PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS",
        value_parser = FalseyValueParser::new()
    )]
    multiple_authz_providers: bool,
    /// Whether ServiceEntries without addresses get those of their status; else those that their names hash to.
    #[arg(
        long,
        env = "PILOT_ENABLE_IP_AUTOALLOCATE",
        default_value = "true",
        action = clap::ArgAction::Set,
        num_args = 0..=1,
        default_missing_value = "true",
        value_parser = FalseyValueParser::new()
    )]
    ip_autoallocate: bool,
    /// The namespace of the gateway that serves Ingresses.
    #[arg(long, env = "K8S_INGRESS_NS", default_value = "istio-system")]
    ingress_namespace: String,
    /// Host names of networks' gateways are resolved by the control plane; else such gateways are not used.
    #[arg(
        long,
        env = "RESOLVE_HOSTNAME_GATEWAYS",
        default_value = "true",
        action = ArgAction::Set,
        value_parser = FalseyValueParser::new()
    )]
    resolve_hostname_gateways: bool,
    /// Who fetches the keys of tokens from a jwksUri: istiod (or false), this control plane; hybrid (or true), proxies
    /// where its host is a service of the mesh; envoy, proxies.
    #[arg(
        long,
        env = "PILOT_JWT_ENABLE_REMOTE_JWKS",
        default_value = "false",
        value_name = "MODE"
    )]
    remote_jwks: String,
    /// The range of the IPv4 addresses that ServiceEntries without addresses get.
    #[arg(
        long,
        env = "PILOT_IP_AUTOALLOCATE_IPV4_PREFIX",
        default_value = "240.240.0.0/16"
    )]
    ip_autoallocate_ipv4_prefix: IpNet,
    /// The range of the IPv6 addresses that ServiceEntries without addresses get.
    #[arg(
        long,
        env = "PILOT_IP_AUTOALLOCATE_IPV6_PREFIX",
        default_value = "2001:2::/48"
    )]
    ip_autoallocate_ipv6_prefix: IpNet,
}

impl FeatureArgs {
    /// What lowering is told.
    pub(super) fn lowered(&self) -> Features {
        Features {
            skip_validate_trust_domain: self.skip_validate_trust_domain,
            tls_on_sidecar_ingress: self.tls_on_sidecar_ingress,
            filter_gateway_clusters: self.filter_gateway_clusters,
            scope_gateway_to_namespace: self.scope_gateway_to_namespace,
            workload_entry_health: self.workload_entry_health,
            dual_stack: self.dual_stack,
            ipv4_outbound_for_ipv6: self.ipv4_outbound_for_ipv6,
            merge_inbound: self.merge_inbound,
            headless_endpoints: self.headless_endpoints,
            multiple_authz_providers: self.multiple_authz_providers,
            ip_autoallocate: self.ip_autoallocate,
            ingress_namespace: self.ingress_namespace.as_str().into(),
            resolve_hostname_gateways: self.resolve_hostname_gateways,
            jwks_fetch: JwksFetch::parse(&self.remote_jwks),
            ip_prefixes: Prefixes {
                v4: self.ip_autoallocate_ipv4_prefix,
                v6: self.ip_autoallocate_ipv6_prefix,
            },
        }
    }
}
