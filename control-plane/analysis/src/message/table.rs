//! The types of messages. Codes, levels, names and texts are Istio's (1.31: `messages.yaml`), since people and tools
//! look for them.

use super::Level::{Error, Info, Warning};
use super::MessageType;

/// Every type that an analyzer of ours reports, by code.
pub static TYPES: &[&MessageType] = &[
    &types::DEPRECATED,
    &types::REFERENCED_RESOURCE_NOT_FOUND,
    &types::NAMESPACE_NOT_INJECTED,
    &types::POD_MISSING_PROXY,
    &types::SCHEMA_VALIDATION_ERROR,
    &types::MISPLACED_ANNOTATION,
    &types::UNKNOWN_ANNOTATION,
    &types::CONFLICTING_MESH_GATEWAY_VIRTUAL_SERVICE_HOSTS,
    &types::CONFLICTING_SIDECAR_WORKLOAD_SELECTORS,
    &types::MULTIPLE_SIDECARS_WITHOUT_WORKLOAD_SELECTORS,
    &types::VIRTUAL_SERVICE_DESTINATION_PORT_SELECTOR_REQUIRED,
    &types::DEPLOYMENT_ASSOCIATED_TO_MULTIPLE_SERVICES,
    &types::PORT_NAME_IS_NOT_UNDER_NAMING_CONVENTION,
    &types::NAMESPACE_MULTIPLE_INJECTION_LABELS,
    &types::INVALID_ANNOTATION,
    &types::UNKNOWN_MESH_NETWORKS_SERVICE_REGISTRY,
    &types::NO_MATCHING_WORKLOADS_FOUND,
    &types::NO_SERVER_CERTIFICATE_VERIFICATION_DESTINATION_LEVEL,
    &types::NO_SERVER_CERTIFICATE_VERIFICATION_PORT_LEVEL,
    &types::VIRTUAL_SERVICE_UNREACHABLE_RULE,
    &types::VIRTUAL_SERVICE_INEFFECTIVE_MATCH,
    &types::VIRTUAL_SERVICE_HOST_NOT_FOUND_IN_GATEWAY,
    &types::SCHEMA_WARNING,
    &types::SERVICE_ENTRY_ADDRESSES_REQUIRED,
    &types::DEPRECATED_ANNOTATION,
    &types::ALPHA_ANNOTATION,
    &types::DEPLOYMENT_CONFLICTING_PORTS,
    &types::GATEWAY_DUPLICATE_CERTIFICATE,
    &types::INVALID_WEBHOOK,
    &types::INGRESS_ROUTE_RULES_NOT_AFFECTED,
    &types::INVALID_APPLICATION_UID,
    &types::CONFLICTING_GATEWAYS,
    &types::IMAGE_AUTO_WITHOUT_INJECTION_WARNING,
    &types::IMAGE_AUTO_WITHOUT_INJECTION_ERROR,
    &types::NAMESPACE_INJECTION_ENABLED_BY_DEFAULT,
    &types::JWT_CLAIM_BASED_ROUTING_WITHOUT_REQUEST_AUTH_N,
    &types::EXTERNAL_NAME_SERVICE_TYPE_INVALID_PORT_NAME,
    &types::ENVOY_FILTER_USES_RELATIVE_OPERATION,
    &types::ENVOY_FILTER_USES_REPLACE_OPERATION_INCORRECTLY,
    &types::ENVOY_FILTER_USES_ADD_OPERATION_INCORRECTLY,
    &types::ENVOY_FILTER_USES_REMOVE_OPERATION_INCORRECTLY,
    &types::ENVOY_FILTER_USES_RELATIVE_OPERATION_WITH_PROXY_VERSION,
    &types::INVALID_TELEMETRY_PROVIDER,
    &types::PODS_ISTIO_PROXY_IMAGE_MISMATCH_IN_NAMESPACE,
    &types::CONFLICTING_TELEMETRY_WORKLOAD_SELECTORS,
    &types::MULTIPLE_TELEMETRIES_WITHOUT_WORKLOAD_SELECTORS,
    &types::INVALID_GATEWAY_CREDENTIAL,
    &types::GATEWAY_PORT_NOT_DEFINED_ON_SERVICE,
    &types::INVALID_EXTERNAL_CONTROL_PLANE_CONFIG,
    &types::EXTERNAL_CONTROL_PLANE_ADDRESS_IS_NOT_A_HOSTNAME,
    &types::REFERENCED_INTERNAL_GATEWAY,
    &types::INEFFECTIVE_SELECTOR,
    &types::INEFFECTIVE_POLICY,
    &types::NEGATIVE_CONDITION_STATUS,
    &types::DESTINATION_RULE_SUBSET_NOT_SELECT_PODS,
    &types::UNKNOWN_DESTINATION_RULE_HOST,
    &types::JWKS_URI_FETCH_UNRESTRICTED,
    &types::GATEWAY_APICRD_VERSION_BELOW_MINIMUM,
    &types::CONFLICTING_SERVICE_ENTRY_PROTOCOL,
];

/// The same, by name.
#[allow(missing_docs)]
pub(crate) mod types {
    use super::{Error, Info, MessageType, Warning};

    pub(crate) static DEPRECATED: MessageType = MessageType {
        code: "IST0002",
        level: Warning,
        name: "Deprecated",
        template: "Deprecated: %s",
    };

    pub(crate) static REFERENCED_RESOURCE_NOT_FOUND: MessageType = MessageType {
        code: "IST0101",
        level: Error,
        name: "ReferencedResourceNotFound",
        template: "Referenced %s not found: %q",
    };

    pub(crate) static NAMESPACE_NOT_INJECTED: MessageType = MessageType {
        code: "IST0102",
        level: Info,
        name: "NamespaceNotInjected",
        template: "The namespace is not enabled for Istio injection. Run 'kubectl label namespace %s istio-injection=enabled' to enable it, or 'kubectl label namespace %s istio-injection=disabled' to explicitly mark it as not needing injection.",
    };

    pub(crate) static POD_MISSING_PROXY: MessageType = MessageType {
        code: "IST0103",
        level: Warning,
        name: "PodMissingProxy",
        template: "The pod %s is missing the Istio proxy. This can often be resolved by restarting or redeploying the workload.",
    };

    pub(crate) static SCHEMA_VALIDATION_ERROR: MessageType = MessageType {
        code: "IST0106",
        level: Error,
        name: "SchemaValidationError",
        template: "Schema validation error: %s",
    };

    pub(crate) static MISPLACED_ANNOTATION: MessageType = MessageType {
        code: "IST0107",
        level: Warning,
        name: "MisplacedAnnotation",
        template: "Misplaced annotation: %s can only be applied to %s",
    };

    pub(crate) static UNKNOWN_ANNOTATION: MessageType = MessageType {
        code: "IST0108",
        level: Warning,
        name: "UnknownAnnotation",
        template: "Unknown annotation: %s",
    };

    pub(crate) static CONFLICTING_MESH_GATEWAY_VIRTUAL_SERVICE_HOSTS: MessageType = MessageType {
        code: "IST0109",
        level: Error,
        name: "ConflictingMeshGatewayVirtualServiceHosts",
        template: "The VirtualServices %s associated with mesh gateway define the same host %s which can lead to undefined behavior. This can be fixed by merging the conflicting VirtualServices into a single resource.",
    };

    pub(crate) static CONFLICTING_SIDECAR_WORKLOAD_SELECTORS: MessageType = MessageType {
        code: "IST0110",
        level: Error,
        name: "ConflictingSidecarWorkloadSelectors",
        template: "The Sidecars %s in namespace %q select the same workload pod %q, which can lead to undefined behavior.",
    };

    pub(crate) static MULTIPLE_SIDECARS_WITHOUT_WORKLOAD_SELECTORS: MessageType = MessageType {
        code: "IST0111",
        level: Error,
        name: "MultipleSidecarsWithoutWorkloadSelectors",
        template: "The Sidecars %s in namespace %q have no workload selector, which can lead to undefined behavior.",
    };

    pub(crate) static VIRTUAL_SERVICE_DESTINATION_PORT_SELECTOR_REQUIRED: MessageType =
        MessageType {
            code: "IST0112",
            level: Error,
            name: "VirtualServiceDestinationPortSelectorRequired",
            template: "This VirtualService routes to a service %q that exposes multiple ports %s. Specifying a port in the destination is required to disambiguate.",
        };

    pub(crate) static DEPLOYMENT_ASSOCIATED_TO_MULTIPLE_SERVICES: MessageType = MessageType {
        code: "IST0116",
        level: Warning,
        name: "DeploymentAssociatedToMultipleServices",
        template: "This deployment %s is associated with multiple services using port %s but different protocols: %s",
    };

    pub(crate) static PORT_NAME_IS_NOT_UNDER_NAMING_CONVENTION: MessageType = MessageType {
        code: "IST0118",
        level: Info,
        name: "PortNameIsNotUnderNamingConvention",
        template: "Port name %s (port: %s, targetPort: %s) doesn't follow the naming convention of Istio port.",
    };

    pub(crate) static NAMESPACE_MULTIPLE_INJECTION_LABELS: MessageType = MessageType {
        code: "IST0123",
        level: Warning,
        name: "NamespaceMultipleInjectionLabels",
        template: "The namespace has more than one type of injection labels %s, which may lead to undefined behavior. Make sure only one injection label exists.",
    };

    pub(crate) static INVALID_ANNOTATION: MessageType = MessageType {
        code: "IST0125",
        level: Warning,
        name: "InvalidAnnotation",
        template: "Invalid annotation %s: %s",
    };

    pub(crate) static UNKNOWN_MESH_NETWORKS_SERVICE_REGISTRY: MessageType = MessageType {
        code: "IST0126",
        level: Error,
        name: "UnknownMeshNetworksServiceRegistry",
        template: "Unknown service registry %s in network %s",
    };

    pub(crate) static NO_MATCHING_WORKLOADS_FOUND: MessageType = MessageType {
        code: "IST0127",
        level: Warning,
        name: "NoMatchingWorkloadsFound",
        template: "No matching workloads for this resource with the following labels: %s",
    };

    pub(crate) static NO_SERVER_CERTIFICATE_VERIFICATION_DESTINATION_LEVEL: MessageType =
        MessageType {
            code: "IST0128",
            level: Warning,
            name: "NoServerCertificateVerificationDestinationLevel",
            template: "DestinationRule %s in namespace %s has TLS mode set to %s but no caCertificates are set to validate server identity for host: %s",
        };

    pub(crate) static NO_SERVER_CERTIFICATE_VERIFICATION_PORT_LEVEL: MessageType = MessageType {
        code: "IST0129",
        level: Warning,
        name: "NoServerCertificateVerificationPortLevel",
        template: "DestinationRule %s in namespace %s has TLS mode set to %s but no caCertificates are set to validate server identity for host: %s at port %s",
    };

    pub(crate) static VIRTUAL_SERVICE_UNREACHABLE_RULE: MessageType = MessageType {
        code: "IST0130",
        level: Warning,
        name: "VirtualServiceUnreachableRule",
        template: "VirtualService rule %s not used (%s).",
    };

    pub(crate) static VIRTUAL_SERVICE_INEFFECTIVE_MATCH: MessageType = MessageType {
        code: "IST0131",
        level: Info,
        name: "VirtualServiceIneffectiveMatch",
        template: "VirtualService rule %s match %s is not used (duplicate/overlapping match in rule %s).",
    };

    pub(crate) static VIRTUAL_SERVICE_HOST_NOT_FOUND_IN_GATEWAY: MessageType = MessageType {
        code: "IST0132",
        level: Warning,
        name: "VirtualServiceHostNotFoundInGateway",
        template: "one or more host %s defined in VirtualService %s not found in Gateway %s.",
    };

    pub(crate) static SCHEMA_WARNING: MessageType = MessageType {
        code: "IST0133",
        level: Warning,
        name: "SchemaWarning",
        template: "Schema validation warning: %s",
    };

    pub(crate) static SERVICE_ENTRY_ADDRESSES_REQUIRED: MessageType = MessageType {
        code: "IST0134",
        level: Warning,
        name: "ServiceEntryAddressesRequired",
        template: "ServiceEntry addresses are required for this protocol.",
    };

    pub(crate) static DEPRECATED_ANNOTATION: MessageType = MessageType {
        code: "IST0135",
        level: Info,
        name: "DeprecatedAnnotation",
        template: "Annotation %q has been deprecated%s and may not work in future Istio versions.",
    };

    pub(crate) static ALPHA_ANNOTATION: MessageType = MessageType {
        code: "IST0136",
        level: Info,
        name: "AlphaAnnotation",
        template: "Annotation %q is part of an alpha-phase feature and may be incompletely supported.",
    };

    pub(crate) static DEPLOYMENT_CONFLICTING_PORTS: MessageType = MessageType {
        code: "IST0137",
        level: Warning,
        name: "DeploymentConflictingPorts",
        template: "This deployment %s is associated with multiple services %s using targetPort %q but different ports: %s.",
    };

    pub(crate) static GATEWAY_DUPLICATE_CERTIFICATE: MessageType = MessageType {
        code: "IST0138",
        level: Warning,
        name: "GatewayDuplicateCertificate",
        template: "Duplicate certificate in multiple gateways %s may cause 404s if clients re-use HTTP2 connections.",
    };

    pub(crate) static INVALID_WEBHOOK: MessageType = MessageType {
        code: "IST0139",
        level: Error,
        name: "InvalidWebhook",
        template: "%s",
    };

    pub(crate) static INGRESS_ROUTE_RULES_NOT_AFFECTED: MessageType = MessageType {
        code: "IST0140",
        level: Warning,
        name: "IngressRouteRulesNotAffected",
        template: "Subset in virtual service %s has no effect on ingress gateway %s requests",
    };

    pub(crate) static INVALID_APPLICATION_UID: MessageType = MessageType {
        code: "IST0144",
        level: Warning,
        name: "InvalidApplicationUID",
        template: "User ID (UID) 1337 is reserved for the sidecar proxy.",
    };

    pub(crate) static CONFLICTING_GATEWAYS: MessageType = MessageType {
        code: "IST0145",
        level: Error,
        name: "ConflictingGateways",
        template: "Conflict with gateways %s (workload selector %s, port %s, hosts %s).",
    };

    pub(crate) static IMAGE_AUTO_WITHOUT_INJECTION_WARNING: MessageType = MessageType {
        code: "IST0146",
        level: Warning,
        name: "ImageAutoWithoutInjectionWarning",
        template: "%s %s contains `image: auto` but does not match any Istio injection webhook selectors.",
    };

    pub(crate) static IMAGE_AUTO_WITHOUT_INJECTION_ERROR: MessageType = MessageType {
        code: "IST0147",
        level: Error,
        name: "ImageAutoWithoutInjectionError",
        template: "%s %s contains `image: auto` but does not match any Istio injection webhook selectors.",
    };

    pub(crate) static NAMESPACE_INJECTION_ENABLED_BY_DEFAULT: MessageType = MessageType {
        code: "IST0148",
        level: Info,
        name: "NamespaceInjectionEnabledByDefault",
        template: "is enabled for Istio injection, as Istio is installed with enableNamespacesByDefault as true.",
    };

    pub(crate) static JWT_CLAIM_BASED_ROUTING_WITHOUT_REQUEST_AUTH_N: MessageType = MessageType {
        code: "IST0149",
        level: Error,
        name: "JwtClaimBasedRoutingWithoutRequestAuthN",
        template: "The virtual service uses the JWT claim based routing (key: %s) but found no request authentication for the gateway (%s) pod (%s). The request authentication must first be applied for the gateway pods to validate the JWT token and make the claims available for routing.",
    };

    pub(crate) static EXTERNAL_NAME_SERVICE_TYPE_INVALID_PORT_NAME: MessageType = MessageType {
        code: "IST0150",
        level: Warning,
        name: "ExternalNameServiceTypeInvalidPortName",
        template: "Port name for ExternalName service is invalid. Proxy may prevent tcp named ports and unmatched traffic for ports serving TCP protocol from being forwarded correctly",
    };

    pub(crate) static ENVOY_FILTER_USES_RELATIVE_OPERATION: MessageType = MessageType {
        code: "IST0151",
        level: Warning,
        name: "EnvoyFilterUsesRelativeOperation",
        template: "This EnvoyFilter does not have a priority and has a relative patch operation set which can cause the EnvoyFilter not to be applied. Using the INSERT_FIRST of ADD option or setting the priority may help in ensuring the EnvoyFilter is applied correctly.",
    };

    pub(crate) static ENVOY_FILTER_USES_REPLACE_OPERATION_INCORRECTLY: MessageType = MessageType {
        code: "IST0152",
        level: Error,
        name: "EnvoyFilterUsesReplaceOperationIncorrectly",
        template: "The REPLACE operation is only valid for HTTP_FILTER and NETWORK_FILTER.",
    };

    pub(crate) static ENVOY_FILTER_USES_ADD_OPERATION_INCORRECTLY: MessageType = MessageType {
        code: "IST0153",
        level: Error,
        name: "EnvoyFilterUsesAddOperationIncorrectly",
        template: "The ADD operation will be ignored when applyTo is set to ROUTE_CONFIGURATION, or HTTP_ROUTE.",
    };

    pub(crate) static ENVOY_FILTER_USES_REMOVE_OPERATION_INCORRECTLY: MessageType = MessageType {
        code: "IST0154",
        level: Error,
        name: "EnvoyFilterUsesRemoveOperationIncorrectly",
        template: "The REMOVE operation will be ignored when applyTo is set to ROUTE_CONFIGURATION, or HTTP_ROUTE.",
    };

    pub(crate) static ENVOY_FILTER_USES_RELATIVE_OPERATION_WITH_PROXY_VERSION: MessageType =
        MessageType {
            code: "IST0155",
            level: Warning,
            name: "EnvoyFilterUsesRelativeOperationWithProxyVersion",
            template: "This EnvoyFilter does not have a priority and has a relative patch operation (NSTERT_BEFORE/AFTER, REPLACE, MERGE, DELETE) and proxyVersion set which can cause the EnvoyFilter not to be applied during an upgrade. Using the INSERT_FIRST or ADD option or setting the priority may help in ensuring the EnvoyFilter is applied correctly.",
        };

    pub(crate) static INVALID_TELEMETRY_PROVIDER: MessageType = MessageType {
        code: "IST0157",
        level: Warning,
        name: "InvalidTelemetryProvider",
        template: "The Telemetry %s in namespace %q with empty providers will be ignored.",
    };

    pub(crate) static PODS_ISTIO_PROXY_IMAGE_MISMATCH_IN_NAMESPACE: MessageType = MessageType {
        code: "IST0158",
        level: Warning,
        name: "PodsIstioProxyImageMismatchInNamespace",
        template: "The Istio proxy images of the pods running in the namespace do not match the image defined in the injection configuration (pod names: %s). This often happens after upgrading the Istio control-plane and can be fixed by redeploying the pods.",
    };

    pub(crate) static CONFLICTING_TELEMETRY_WORKLOAD_SELECTORS: MessageType = MessageType {
        code: "IST0159",
        level: Error,
        name: "ConflictingTelemetryWorkloadSelectors",
        template: "The Telemetries %s in namespace %q select the same workload pod %q, which can lead to undefined behavior.",
    };

    pub(crate) static MULTIPLE_TELEMETRIES_WITHOUT_WORKLOAD_SELECTORS: MessageType = MessageType {
        code: "IST0160",
        level: Error,
        name: "MultipleTelemetriesWithoutWorkloadSelectors",
        template: "The Telemetries %s in namespace %q have no workload selector, which can lead to undefined behavior.",
    };

    pub(crate) static INVALID_GATEWAY_CREDENTIAL: MessageType = MessageType {
        code: "IST0161",
        level: Error,
        name: "InvalidGatewayCredential",
        template: "The credential referenced by the Gateway %s in namespace %s is invalid, which can cause the traffic not to work as expected.",
    };

    pub(crate) static GATEWAY_PORT_NOT_DEFINED_ON_SERVICE: MessageType = MessageType {
        code: "IST0162",
        level: Warning,
        name: "GatewayPortNotDefinedOnService",
        template: "The gateway is listening on a target port (port %s) that is not defined in the Service associated with its workload instances (Pod selector %s). If you need to access the gateway port through the gateway Service, it will not be available.",
    };

    pub(crate) static INVALID_EXTERNAL_CONTROL_PLANE_CONFIG: MessageType = MessageType {
        code: "IST0163",
        level: Warning,
        name: "InvalidExternalControlPlaneConfig",
        template: "The hostname (%s) that was provided for the webhook (%s) to reach the ingress gateway on the external control plane cluster %s. Traffic may not flow properly.",
    };

    pub(crate) static EXTERNAL_CONTROL_PLANE_ADDRESS_IS_NOT_A_HOSTNAME: MessageType = MessageType {
        code: "IST0164",
        level: Info,
        name: "ExternalControlPlaneAddressIsNotAHostname",
        template: "The address (%s) that was provided for the webhook (%s) to reach the ingress gateway on the external control plane cluster is an IP address. This is not recommended for a production environment.",
    };

    pub(crate) static REFERENCED_INTERNAL_GATEWAY: MessageType = MessageType {
        code: "IST0165",
        level: Warning,
        name: "ReferencedInternalGateway",
        template: "Gateway reference in VirtualService %s is to an implementation-generated internal Gateway: %s.",
    };

    pub(crate) static INEFFECTIVE_SELECTOR: MessageType = MessageType {
        code: "IST0166",
        level: Warning,
        name: "IneffectiveSelector",
        template: "Ineffective selector on Kubernetes Gateway %s. Use the TargetRef field instead.",
    };

    pub(crate) static INEFFECTIVE_POLICY: MessageType = MessageType {
        code: "IST0167",
        level: Warning,
        name: "IneffectivePolicy",
        template: "The policy has no impact: %s.",
    };

    pub(crate) static NEGATIVE_CONDITION_STATUS: MessageType = MessageType {
        code: "IST0171",
        level: Warning,
        name: "NegativeConditionStatus",
        template: "A condition with a negative status is present: type=%s, reason=%s, message=%s.",
    };

    pub(crate) static DESTINATION_RULE_SUBSET_NOT_SELECT_PODS: MessageType = MessageType {
        code: "IST0173",
        level: Error,
        name: "DestinationRuleSubsetNotSelectPods",
        template: "The Subset %s defined in the DestinationRule does not select any pods. Which may lead to 503 UH (NoHealthyUpstream).",
    };

    pub(crate) static UNKNOWN_DESTINATION_RULE_HOST: MessageType = MessageType {
        code: "IST0174",
        level: Warning,
        name: "UnknownDestinationRuleHost",
        template: "The host %s defined in the DestinationRule does not match any services in the mesh.",
    };

    pub(crate) static JWKS_URI_FETCH_UNRESTRICTED: MessageType = MessageType {
        code: "IST0175",
        level: Warning,
        name: "JwksUriFetchUnrestricted",
        template: "BLOCKED_CIDRS_IN_JWKS_URIS is not configured but %s RequestAuthentication resource(s) exist (%s). Consider configuring it to restrict JWKS URI fetches to trusted networks.",
    };

    pub(crate) static GATEWAY_APICRD_VERSION_BELOW_MINIMUM: MessageType = MessageType {
        code: "IST0176",
        level: Warning,
        name: "GatewayAPICRDVersionBelowMinimum",
        template: "Gateway API CRD %q is at version %q but Istio requires at least %q; resources of this kind will not be processed. Upgrade the Gateway API CRDs to satisfy the minimum version.",
    };

    pub(crate) static CONFLICTING_SERVICE_ENTRY_PROTOCOL: MessageType = MessageType {
        code: "IST0177",
        level: Warning,
        name: "ConflictingServiceEntryProtocol",
        template: "Multiple ServiceEntries (%s) define the same host %q and port %s with conflicting protocols (%s).",
    };
}
