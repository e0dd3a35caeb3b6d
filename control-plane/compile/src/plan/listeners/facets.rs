//! What the filters of a class have in common, per direction.

use meltemi_builders::listener::{
    AccessLog, AnyDnsCache, Authentication, CertDetails, ClientCert, DnsFamily, ForwardClientCert,
    HttpFacet, NetworkFacet, TracedWorkload, Tracing,
};
use meltemi_model::mesh::{ClientCertDetails, Mesh};
use meltemi_model::proxy::{Capability, IpMode, ProxyClass};
use meltemi_model::sidecar::OutboundPolicy;
use meltemi_model::{ObjectKey, Shared, Str};
use meltemi_world::Scope;
use meltemi_world::stages::request_authentications::ResolvedPolicy;

use super::authorization::authorization;

/// The side of a proxy that a listener is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Connections of the workload.
    Outbound,
    /// Connections to the workload.
    Inbound,
    /// A gateway's.
    Gateway,
}

/// The facets of one side of a class.
#[derive(Debug, Clone)]
pub(super) struct Facets {
    /// For network filters.
    pub(super) network: Shared<NetworkFacet>,
    /// For HTTP.
    pub(super) http: Shared<HttpFacet>,
}

impl Facets {
    /// Those of a sidecar's outbound listeners.
    pub(super) fn sidecar(scope: &Scope, class: &ProxyClass) -> Self {
        Self::of(scope, class, Side::Outbound)
    }

    /// Those of one side.
    pub(super) fn of(scope: &Scope, class: &ProxyClass, side: Side) -> Self {
        let authorization = authorization(scope, class, side);
        Self {
            network: Shared::new(NetworkFacet {
                authorization: authorization.clone(),
                ..network(scope, class)
            }),
            http: Shared::new(HttpFacet {
                authorization,
                ..http(scope, class, side)
            }),
        }
    }
}

fn network(scope: &Scope, class: &ProxyClass) -> NetworkFacet {
    let mesh = &scope.mesh;
    let access_log = access_log(mesh);
    NetworkFacet {
        stats: mesh.prometheus_metrics && class.capabilities.has(Capability::StatsTcp),
        listener_log: access_log.is_some() && !mesh.disable_listener_log,
        access_log,
        idle_timeout: class.facet.idle_timeout,
        authorization: None,
    }
}

/// The facet for HTTP. What does not matter on a side is left at its default, so that it cannot tell listeners apart.
pub(super) fn http(scope: &Scope, class: &ProxyClass, side: Side) -> HttpFacet {
    let mesh = &scope.mesh;
    let config = &class.proxy_config;
    let headers = &config.headers;
    let server_name: Str = if headers.server_disabled {
        "".into()
    } else if !headers.server_value.is_empty() {
        headers.server_value.as_str().into()
    } else if side == Side::Outbound {
        // Envoy's own name, "envoy". Istio keeps the difference for compatibility.
        "".into()
    } else {
        "istio-envoy".into()
    };
    HttpFacet {
        metadata_exchange: class.capabilities.has(Capability::HttpMetadataExchange),
        skip_external_metadata: side != Side::Inbound && headers.metadata_exchange_in_mesh,
        alpn: side != Side::Inbound && class.capabilities.has(Capability::Alpn),
        stats: mesh.prometheus_metrics && class.capabilities.has(Capability::StatsHttp),
        server_name,
        pass_server_header: headers.server_disabled,
        no_request_id: headers.request_id_disabled,
        suppress_debug_headers: headers.debug_headers_disabled,
        preserve_case: headers.preserve_http1_case,
        http10: class.facet.http10,
        idle_timeout: class.facet.idle_timeout,
        path: mesh.path_normalization,
        client_cert: client_cert(class, side),
        forwarded_port: headers.forwarded_port,
        use_remote_address: side == Side::Gateway,
        trusted_hops: if side == Side::Gateway {
            config.num_trusted_proxies
        } else {
            0
        },
        tracing: mesh.enable_tracing.then(|| tracing(class)),
        access_log: access_log(mesh),
        authentication: authentication(scope, class, side),
        authorization: None,
        any_dns: (side == Side::Outbound
            && scope.outbound_policy == OutboundPolicy::AllowAnyDynamicDns)
            .then(|| any_dns_cache(class)),
    }
}

/// Which tokens those may carry who ask the class: what it asks for is the others' business.
fn authentication(scope: &Scope, class: &ProxyClass, side: Side) -> Option<Shared<Authentication>> {
    if side == Side::Outbound {
        return None;
    }
    let policies = accepted(scope, class);
    let mut providers: Vec<_> = policies.flat_map(|p| &p.providers).cloned().collect();
    // Istio 1.31: by issuer, whatever policy a rule is from.
    providers.sort_by(|a, b| a.rule.issuer.cmp(&b.rule.issuer));
    (!providers.is_empty()).then(|| {
        Shared::new(Authentication {
            providers,
            clear_route_cache: side == Side::Gateway,
        })
    })
}

/// The RequestAuthentications for the class.
fn accepted<'a>(
    scope: &'a Scope,
    class: &'a ProxyClass,
) -> impl Iterator<Item = &'a ResolvedPolicy> {
    let all = &scope.request_authentications;
    all.workload(&class.namespace, &class.labels, &scope.mesh)
}

/// Their keys.
pub(super) fn token_policies(scope: &Scope, class: &ProxyClass) -> Vec<ObjectKey> {
    let policies = accepted(scope, class);
    policies.map(|p| p.policy.meta.key.clone()).collect()
}

/// Which addresses names are resolved to. Istio 1.31: `SelectDNSLookupFamily`.
pub(in crate::plan) fn dns_family(class: &ProxyClass) -> DnsFamily {
    match class.ip_mode {
        IpMode::V4 => DnsFamily::V4,
        // There may be an interface of IPv4 that the proxy does not tell of.
        IpMode::V6 if class.ipv4_outbound => DnsFamily::All,
        IpMode::V6 => DnsFamily::V6,
        IpMode::Dual if class.dual_stack => DnsFamily::All,
        IpMode::Dual => DnsFamily::V4,
    }
}

/// The DNS cache for hosts that no service declares.
pub(in crate::plan) fn any_dns_cache(class: &ProxyClass) -> AnyDnsCache {
    AnyDnsCache {
        family: dns_family(class),
        agent: class.facet.dns_capture,
    }
}

fn access_log(mesh: &Mesh) -> Option<AccessLog> {
    (!mesh.access_log_file.is_empty()).then(|| AccessLog {
        path: mesh.access_log_file.clone(),
        json: mesh.access_log_json,
        format: mesh.access_log_format.clone(),
    })
}

/// Sidecars tell their application which client it was; gateways replace what a client from outside claims. Istio
/// 1.31: `buildSidecarInboundHTTPOpts`, `buildGatewayConnectionManager`.
fn client_cert(class: &ProxyClass, side: Side) -> Option<ClientCert> {
    let config = &class.proxy_config;
    match side {
        Side::Outbound => None,
        Side::Inbound => {
            let said = forward(&config.headers.forwarded_client_cert);
            Some(ClientCert {
                forward: said.unwrap_or(ForwardClientCert::AppendForward),
                details: Some(cert_details(&config.headers.client_cert_details)),
            })
        }
        Side::Gateway => {
            let forward = forward(&config.forward_client_cert_details)
                .unwrap_or(ForwardClientCert::SanitizeSet);
            let describes = matches!(
                forward,
                ForwardClientCert::AppendForward | ForwardClientCert::SanitizeSet
            );
            // Gateways do not look at `setCurrentClientCertDetails`.
            let whole = CertDetails {
                cert: true,
                ..CertDetails::NAMES
            };
            Some(ClientCert {
                forward,
                details: describes.then_some(whole),
            })
        }
    }
}

fn cert_details(said: &ClientCertDetails) -> CertDetails {
    let names = CertDetails::NAMES;
    CertDetails {
        subject: said.subject.unwrap_or(names.subject),
        cert: said.cert.unwrap_or(names.cert),
        chain: said.chain.unwrap_or(names.chain),
        dns: said.dns.unwrap_or(names.dns),
        uri: said.uri.unwrap_or(names.uri),
    }
}

fn forward(text: &str) -> Option<ForwardClientCert> {
    match text {
        "SANITIZE" => Some(ForwardClientCert::Sanitize),
        "FORWARD_ONLY" => Some(ForwardClientCert::ForwardOnly),
        "APPEND_FORWARD" => Some(ForwardClientCert::AppendForward),
        "SANITIZE_SET" => Some(ForwardClientCert::SanitizeSet),
        "ALWAYS_FORWARD_ONLY" => Some(ForwardClientCert::AlwaysForwardOnly),
        _ => None,
    }
}

/// One percent of requests is traced where nothing else is said, and where more than all was asked for. Istio 1.31:
/// `proxyConfigSamplingValue`.
fn tracing(class: &ProxyClass) -> Tracing {
    let or = |text: &str, fallback: &str| -> Str {
        if text.is_empty() { fallback } else { text }.into()
    };
    let (facet, config) = (&class.facet, &class.proxy_config);
    let said = config
        .tracing_sampling
        .filter(|share| (1..=1_000_000).contains(share));
    let own = || TracedWorkload {
        service: or(&facet.canonical_service, "unknown"),
        revision: or(&facet.canonical_revision, "latest"),
        cluster_id: or(&facet.cluster_id, "unknown"),
        mesh_id: or(&facet.mesh_id, "unknown"),
        namespace: or(&class.namespace, "default"),
    };
    Tracing {
        sampling: said.unwrap_or(10_000),
        max_path_tag_length: config
            .tracing_max_path_tag_length
            .filter(|length| *length != 0),
        own: (!config.no_istio_tags).then(own),
        tags: config.tracing_tags.clone(),
    }
}
