//! The table of analyzers. Names are Istio's (1.31: `analyzers.All`), since `--analyzer` takes them.

mod annotations;
mod application_uid;
mod authorization;
mod blocked_cidrs;
mod conditions;
mod crd_version;
mod deployment;
mod deprecation;
mod destination_rule_ca;
mod destination_rule_subsets;
mod envoy_filter;
mod external_control_plane;
mod gateway_certificate;
mod gateway_conflicts;
mod gateway_ports;
mod gateway_secrets;
mod image;
mod image_auto;
mod in_mesh;
mod injection;
mod jwt_claim_route;
mod mesh_networks;
mod port_name;
mod schema;
mod selector;
mod service_entry;
mod sidecar;
mod telemetry;
mod unreachable;
mod virtual_service;
mod virtual_service_gateways;
mod virtual_service_hosts;
mod webhook;

use crate::analyze::Found;
use crate::{Input, Kind};

/// Something that finds mistakes of one sort.
#[derive(Debug)]
pub struct Analyzer {
    /// Istio's name of it.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub description: &'static str,
    /// The kinds that it reads.
    pub reads: &'static [Kind],
    /// Those of them without whose objects it would blame what is only not handed over.
    pub needs: &'static [Kind],
    pub(crate) run: for<'a> fn(&'a Input<'a>, &mut Found<'a>),
}

macro_rules! analyzer {
    ($name:literal, $description:literal, [$($reads:ident),+], [$($needs:ident),*], $run:expr) => {
        Analyzer {
            name: $name,
            description: $description,
            reads: &[$(Kind::$reads),+],
            needs: &[$(Kind::$needs),*],
            run: $run,
        }
    };
}

macro_rules! validation {
    ($kind:ident) => {
        Analyzer {
            name: concat!("schema.ValidationAnalyzer.", stringify!($kind)),
            description: concat!("Validates each ", stringify!($kind), " by itself"),
            reads: &[Kind::$kind],
            needs: &[],
            run: |input, found| schema::run(Kind::$kind, input, found),
        }
    };
}

/// The analyzers that run unless some are named.
#[rustfmt::skip]
pub static ALL: &[Analyzer] = &[
    analyzer!("annotations.K8sAnalyzer", "Finds Istio annotations that are unknown, invalid, deprecated or at the wrong object",
        [Namespace, Service, Pod, Deployment], [], annotations::run),
    analyzer!("applicationUID.Analyzer", "Finds applications that run with the user ID of the proxy",
        [Pod, Deployment], [], application_uid::run),
    analyzer!("auth.AuthorizationPoliciesAnalyzer", "Finds AuthorizationPolicies that select nothing or name namespaces that are not there",
        [AuthorizationPolicy, Namespace, Pod], [Namespace, Pod], authorization::run),
    analyzer!("authn.BlockedCIDRsAnalyzer", "Finds control planes that may be sent to any address for the keys of a RequestAuthentication",
        [RequestAuthentication, Deployment], [], blocked_cidrs::run),
    analyzer!("conditions.ConditionAnalyzer", "Finds negative conditions in the status of objects",
        [Service, ServiceEntry, WorkloadEntry, AuthorizationPolicy, KubernetesGateway, HttpRoute, GrpcRoute], [], conditions::run),
    analyzer!("deployment.MultiServiceAnalyzer", "Finds Deployments whose Services disagree about a port",
        [Service, Deployment, Namespace], [], deployment::run),
    analyzer!("deprecation.DeprecationAnalyzer", "Finds deprecated kinds and fields",
        [VirtualService, Sidecar, CustomResourceDefinition], [], deprecation::run),
    analyzer!("destinationrule.CaCertificateAnalyzer", "Finds DestinationRules that encrypt without verifying the server",
        [DestinationRule], [], destination_rule_ca::run),
    analyzer!("destinationrule.SubsetSelectPodAnalyzer", "Finds subsets that select no pod, and DestinationRules of unknown hosts",
        [DestinationRule, Pod, Service, ServiceEntry, Node], [Pod, Service], destination_rule_subsets::run),
    analyzer!("envoyfilter.EnvoyPatchAnalyzer", "Finds patches that Envoy's configuration will not take",
        [EnvoyFilter], [], envoy_filter::run),
    analyzer!("externalcontrolplane.ExternalControlPlaneAnalyzer", "Checks how webhooks reach an external control plane",
        [ValidatingWebhookConfiguration, MutatingWebhookConfiguration], [], external_control_plane::run),
    analyzer!("gateway.CertificateAnalyzer", "Finds certificates that several Gateways present",
        [Gateway], [], gateway_certificate::run),
    analyzer!("gateway.ConflictingGatewayAnalyzer", "Finds Gateways that claim the same port and host of the same workload",
        [Gateway, Pod], [], gateway_conflicts::run),
    analyzer!("gateway.IngressGatewayPortAnalyzer", "Finds ports of Gateways that no Service of their workloads exposes",
        [Gateway, Pod, Service], [Pod, Service], gateway_ports::run),
    analyzer!("gateway.SecretAnalyzer", "Finds credentials of Gateways that are missing or invalid",
        [Gateway, Pod, Secret], [Pod, Secret], gateway_secrets::run),
    analyzer!("injection.Analyzer", "Finds namespaces and pods that are not in the mesh",
        [Namespace, Pod, ConfigMap], [Namespace], injection::run),
    analyzer!("injection.ImageAnalyzer", "Finds pods whose proxy is not the one that would be injected",
        [Namespace, Pod, ConfigMap, ProxyConfig], [], image::run),
    analyzer!("injection.ImageAutoAnalyzer", "Finds `image: auto` where nothing is injected",
        [Namespace, Pod, Deployment, MutatingWebhookConfiguration], [MutatingWebhookConfiguration], image_auto::run),
    analyzer!("k8sgateway.CRDVersionAnalyzer", "Finds definitions of the Gateway API that are too old",
        [CustomResourceDefinition], [], crd_version::run),
    analyzer!("k8sgateway.SelectorAnalyzer", "Finds selectors that do not hold for pods of a Kubernetes Gateway",
        [AuthorizationPolicy, RequestAuthentication, Telemetry, WasmPlugin, Pod], [], selector::run),
    analyzer!("meshnetworks.MeshNetworksAnalyzer", "Finds networks of unknown registries",
        [MeshNetworks, Secret], [Secret], mesh_networks::run),
    validation!(AuthorizationPolicy),
    validation!(DestinationRule),
    validation!(EnvoyFilter),
    validation!(Gateway),
    validation!(PeerAuthentication),
    validation!(ProxyConfig),
    validation!(RequestAuthentication),
    validation!(ServiceEntry),
    validation!(Sidecar),
    validation!(Telemetry),
    validation!(TrafficExtension),
    validation!(VirtualService),
    validation!(WasmPlugin),
    validation!(WorkloadEntry),
    validation!(WorkloadGroup),
    analyzer!("service.PortNameAnalyzer", "Finds ports whose name does not tell their protocol",
        [Service], [], port_name::run),
    analyzer!("serviceentry.Analyzer", "Finds TCP ports of ServiceEntries without addresses",
        [ServiceEntry], [], service_entry::addresses),
    analyzer!("serviceentry.ConflictingServiceEntryProtocolAnalyzer", "Finds ServiceEntries that disagree about the protocol of a host's port",
        [ServiceEntry], [], service_entry::protocols),
    analyzer!("sidecar.SelectorAnalyzer", "Finds Sidecars that select no pod, or one that another selects",
        [Sidecar, Pod, Namespace], [Pod], sidecar::run),
    analyzer!("telemetry.DefaultSelectorAnalyzer", "Finds several Telemetries for all of a namespace",
        [Telemetry], [], telemetry::defaults),
    analyzer!("telemetry.LightstepAnalyzer", "Finds uses of Lightstep",
        [Telemetry], [], telemetry::lightstep),
    analyzer!("telemetry.ProviderAnalyzer", "Finds access logs that go to nobody",
        [Telemetry], [], telemetry::providers),
    analyzer!("telemetry.SelectorAnalyzer", "Finds Telemetries that select no pod, or one that another selects",
        [Telemetry, Pod], [Pod], telemetry::selectors),
    analyzer!("virtualservice.ConflictingMeshGatewayHostsAnalyzer", "Finds VirtualServices that claim the same host inside the mesh",
        [VirtualService], [], virtual_service_hosts::run),
    analyzer!("virtualservice.DestinationHostAnalyzer", "Finds destinations that are not there",
        [ServiceEntry, VirtualService, Service], [Service], virtual_service::hosts),
    analyzer!("virtualservice.DestinationRuleAnalyzer", "Finds subsets that no DestinationRule defines",
        [VirtualService, DestinationRule], [], virtual_service::subsets),
    analyzer!("virtualservice.GatewayAnalyzer", "Finds Gateways that are not there or do not serve the host",
        [Gateway, VirtualService], [], virtual_service_gateways::run),
    analyzer!("virtualservice.JWTClaimRouteAnalyzer", "Finds routes by claims of tokens that nobody verifies",
        [VirtualService, RequestAuthentication, Gateway, Pod], [Pod], jwt_claim_route::run),
    analyzer!("webhook.Analyzer", "Finds injectors that overlap or whose Service is not there",
        [MutatingWebhookConfiguration, Service], [Service], webhook::run),
];

/// Those that only run when they are named. Istio 1.31: too many of these annotations are set by default.
#[rustfmt::skip]
pub static ON_REQUEST: &[Analyzer] = &[
    analyzer!("annotations.AlphaAnalyzer", "Finds annotations of unfinished features",
        [Namespace, Service, Pod, Deployment], [], annotations::alpha),
];
