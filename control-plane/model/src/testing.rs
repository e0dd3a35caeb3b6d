//! The simplest row of each kind, for tests: `Pod { ready: false, ..pod("default", "a", "10.0.0.1") }`.
//!
//! Compiled only for tests, of this crate and of those that ask for the feature `testing`.

use std::net::IpAddr;

use crate::envoy_filter::EnvoyFilter;
use crate::gateway::{Gateway, Server, ServerTls, ServerTlsMode};
use crate::ingress::{Ingress, IngressClass};
use crate::mesh::Mesh;
use crate::object::{Meta, Object};
use crate::port::Protocol;
use crate::routing::{
    Destination, HeaderOperations, HttpAction, HttpRoute, MESH_GATEWAY, SingleMirror,
    VirtualService,
};
use crate::security::RequestAuthentication;
use crate::security::{
    AuthorizationAction, AuthorizationPolicy, AuthorizationRule, MtlsMode, PeerAuthentication,
    PolicyTarget,
};
use crate::service::{
    ExportTo, KubeService, KubeServicePort, Resolution, Service, ServiceEntry, ServiceEntryPort,
    ServiceKey, ServicePort, TargetPort, TrafficDistribution,
};
use crate::sidecar::{CaptureMode, EgressHost, EgressListener, Sidecar};
use crate::traffic::{DestinationRule, Subset, TrafficPolicy};
use crate::workload::{
    Endpoint, EndpointSlice, Health, Namespace, Node, Pod, SliceEndpoint, SlicePort, WorkloadEntry,
    WorkloadEntrySpec,
};
use crate::{Hostname, Kind, Labels, Locality, ObjectKey, Shared};

macro_rules! objects {
    ($($ty:ident => $variant:ident),* $(,)?) => {
        $(impl From<$ty> for Object {
            fn from(row: $ty) -> Self {
                Object::$variant(Shared::new(row))
            }
        })*
    };
}

objects! {
    Namespace => Namespace,
    Node => Node,
    Pod => Pod,
    KubeService => Service,
    EndpointSlice => EndpointSlice,
    ServiceEntry => ServiceEntry,
    WorkloadEntry => WorkloadEntry,
    VirtualService => VirtualService,
    DestinationRule => DestinationRule,
    Gateway => Gateway,
    Sidecar => Sidecar,
    PeerAuthentication => PeerAuthentication,
    RequestAuthentication => RequestAuthentication,
    AuthorizationPolicy => AuthorizationPolicy,
    Ingress => Ingress,
    IngressClass => IngressClass,
    EnvoyFilter => EnvoyFilter,
}

impl From<Mesh> for Object {
    fn from(mesh: Mesh) -> Self {
        let key = ObjectKey::new(Kind::MeshConfig, &*mesh.root_namespace, "istio");
        Object::Mesh(key, Shared::new(mesh))
    }
}

/// Without labels, as old as can be.
pub fn meta(kind: Kind, namespace: &str, name: &str) -> Meta {
    Meta {
        key: ObjectKey::new(kind, namespace, name),
        labels: Labels::default(),
        annotations: Labels::default(),
        created: 0,
    }
}

/// `app=a,version=v1`.
pub fn labels(text: &str) -> Labels {
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .collect()
}

/// These namespaces; `*` and `~` as users write them.
pub fn export_to(text: &str) -> ExportTo {
    match text {
        "" => ExportTo::Default,
        "*" => ExportTo::Everybody,
        "~" => ExportTo::Nobody,
        list => ExportTo::Namespaces(list.split(',').map(Into::into).collect()),
    }
}

/// Ready, on no node, with label `app` equal to the part of the name before the first `-`.
pub fn pod(namespace: &str, name: &str, ip: &str) -> Pod {
    let app = name.split('-').next().unwrap_or_default();
    Pod {
        meta: Meta {
            labels: [("app", app)].into_iter().collect(),
            ..meta(Kind::Pod, namespace, name)
        },
        service_account: app.into(),
        node: "".into(),
        ips: ip.parse::<IpAddr>().into_iter().collect(),
        host_network: false,
        hostname: "".into(),
        subdomain: "".into(),
        ports: Vec::new(),
        ready: true,
        terminating: false,
        finished: false,
        workload: app.into(),
    }
}

/// At `region/zone/subzone`.
pub fn node(name: &str, locality: &str) -> Node {
    Node {
        meta: meta(Kind::Node, "", name),
        locality: Locality::parse(locality),
        external_addresses: Vec::new(),
        addresses: Vec::new(),
    }
}

/// Selects `app: <name>`, at 10.96.0.1, with ports `p80` and so on that go to the same port.
pub fn kube_service(namespace: &str, name: &str, ports: &[(u16, Protocol)]) -> KubeService {
    let port = |(number, protocol): &(u16, Protocol)| KubeServicePort {
        name: format!("p{number}").into(),
        number: *number,
        target: TargetPort::Number(*number),
        node_port: 0,
        protocol: *protocol,
    };
    KubeService {
        meta: meta(Kind::Service, namespace, name),
        selector: [("app", name)].into_iter().collect(),
        cluster_ips: vec!["10.96.0.1".into()],
        headless: false,
        external_name: None,
        external_ips: Vec::new(),
        node_selector: None,
        ports: ports.iter().map(port).collect(),
        publish_not_ready: false,
        internal_traffic_local: false,
        traffic_distribution: None,
        export_to: ExportTo::Default,
        service_accounts: Vec::new(),
    }
}

/// The slice `<service>-<suffix>` with port `p80` at 8080.
pub fn slice(
    namespace: &str,
    service: &str,
    suffix: &str,
    endpoints: Vec<SliceEndpoint>,
) -> EndpointSlice {
    EndpointSlice {
        meta: meta(
            Kind::EndpointSlice,
            namespace,
            &format!("{service}-{suffix}"),
        ),
        service: service.into(),
        fqdn: false,
        ports: vec![SlicePort {
            name: "p80".into(),
            number: 8080,
            tcp: true,
        }],
        endpoints,
    }
}

/// Ready, of this pod.
pub fn slice_endpoint(address: &str, pod: Option<&str>) -> SliceEndpoint {
    SliceEndpoint {
        addresses: vec![address.into()],
        ready: true,
        serving: true,
        terminating: false,
        hostname: "".into(),
        node: "".into(),
        zone: "".into(),
        pod: pod.map(Into::into),
    }
}

/// External, resolved by DNS, with ports `p80` and so on; its name is the host's first label.
pub fn service_entry(namespace: &str, host: &str, ports: &[(u16, Protocol)]) -> ServiceEntry {
    let port = |(number, protocol): &(u16, Protocol)| ServiceEntryPort {
        name: format!("p{number}").into(),
        number: *number,
        target: 0,
        protocol: *protocol,
    };
    let name = host.split('.').next().unwrap_or_default();
    ServiceEntry {
        meta: meta(Kind::ServiceEntry, namespace, name),
        hosts: vec![Hostname::new(host)],
        addresses: Vec::new(),
        allocated: Vec::new(),
        ports: ports.iter().map(port).collect(),
        mesh_internal: false,
        resolution: Resolution::Dns,
        endpoints: Vec::new(),
        workload_selector: None,
        export_to: ExportTo::Default,
        subject_alt_names: Vec::new(),
    }
}

/// An address and nothing else.
pub fn workload(address: &str) -> WorkloadEntrySpec {
    WorkloadEntrySpec {
        address: address.into(),
        ports: Vec::new(),
        labels: Labels::default(),
        network: "".into(),
        locality: Locality::default(),
        weight: 0,
        service_account: "".into(),
    }
}

/// With label `app` equal to the part of the name before the first `-`.
pub fn workload_entry(namespace: &str, name: &str, address: &str) -> WorkloadEntry {
    let app = name.split('-').next().unwrap_or_default();
    WorkloadEntry {
        meta: meta(Kind::WorkloadEntry, namespace, name),
        spec: WorkloadEntrySpec {
            labels: [("app", app)].into_iter().collect(),
            ..workload(address)
        },
        unhealthy: false,
    }
}

/// A Kubernetes Service of `default` in the joined form, or a ServiceEntry's where the name has dots.
pub fn service(name: &str, ports: &[(u16, Protocol)]) -> Service {
    let kubernetes = !name.contains('.');
    let (kind, host) = if kubernetes {
        let host = format!("{name}.default.svc.cluster.local");
        (Kind::Service, Hostname::new(&host))
    } else {
        (Kind::ServiceEntry, Hostname::new(name))
    };
    let port = |(number, protocol): &(u16, Protocol)| ServicePort {
        name: format!("p{number}").into(),
        number: *number,
        protocol: *protocol,
    };
    Service {
        key: ServiceKey {
            host,
            namespace: "default".into(),
        },
        name: name.into(),
        object: ObjectKey::new(kind, "default", name),
        kubernetes,
        created: 0,
        labels: Labels::default(),
        resolution: Resolution::ClientSideLb,
        addresses: Vec::new(),
        allocated: Vec::new(),
        external_addresses: Vec::new(),
        ports: ports.iter().map(port).collect(),
        mesh_external: !kubernetes,
        export_to: ExportTo::Default,
        headless: false,
        subject_alt_names: Vec::new(),
        publish_not_ready: false,
        node_local: false,
        traffic_distribution: TrafficDistribution::Any,
        selector: Labels::default(),
        external_name: None,
        aliases: Vec::new(),
        passthrough_targets: Vec::new(),
    }
}

/// Healthy, weight 1, without labels and place.
pub fn endpoint(address: &str, port: u16) -> Endpoint {
    Endpoint {
        cluster: "Kubernetes".into(),
        workload: "w".into(),
        namespace: "default".into(),
        health: Health::Healthy,
        ..Endpoint::at(address.into(), port)
    }
}

/// A rule without a policy.
pub fn destination_rule(namespace: &str, name: &str, host: &str) -> DestinationRule {
    DestinationRule {
        meta: meta(Kind::DestinationRule, namespace, name),
        host: Hostname::new(host),
        export_to: ExportTo::Default,
        workload_selector: None,
        policy: None,
        subsets: Vec::new(),
    }
}

/// A subset by labels.
pub fn subset(name: &str, by: &str, policy: Option<TrafficPolicy>) -> Subset {
    Subset {
        name: name.into(),
        labels: labels(by),
        policy,
    }
}

/// For sidecars, without routes.
pub fn virtual_service(namespace: &str, name: &str, host: &str) -> VirtualService {
    VirtualService {
        meta: meta(Kind::VirtualService, namespace, name),
        hosts: vec![Hostname::new(host)],
        gateways: vec![MESH_GATEWAY.into()],
        export_to: ExportTo::Default,
        http: Vec::new(),
        tls: Vec::new(),
        tcp: Vec::new(),
    }
}

/// A route for every request.
pub fn http_route(action: HttpAction) -> HttpRoute {
    HttpRoute {
        name: "".into(),
        matches: Vec::new(),
        action,
        timeout: None,
        retries: None,
        fault: None,
        mirror: SingleMirror::default(),
        mirrors: Vec::new(),
        cors: None,
        headers: HeaderOperations::default(),
        rewrite: None,
        delegate: None,
    }
}

/// To every endpoint of a host.
pub fn destination(host: &str, port: Option<u16>) -> Destination {
    Destination {
        host: Hostname::new(host),
        subset: "".into(),
        port,
    }
}

/// For all workloads of a namespace, with one outbound listener for these `namespace/host`; without one for none.
pub fn sidecar(namespace: &str, name: &str, hosts: &[&str]) -> Sidecar {
    Sidecar {
        meta: meta(Kind::Sidecar, namespace, name),
        workload_selector: None,
        ingress: Vec::new(),
        egress: if hosts.is_empty() {
            Vec::new()
        } else {
            vec![egress(hosts)]
        },
        outbound_policy: None,
        egress_proxy: None,
        inbound_connection_pool: None,
    }
}

/// An outbound listener without a port.
pub fn egress(hosts: &[&str]) -> EgressListener {
    let host = |text: &&str| {
        let (namespace, host) = text.split_once('/').unwrap_or(("*", text));
        EgressHost {
            namespace: namespace.into(),
            host: Hostname::new(host),
        }
    };
    EgressListener {
        port: None,
        bind: "".into(),
        capture_mode: CaptureMode::Default,
        hosts: hosts.iter().map(host).collect(),
    }
}

/// TLS of a Gateway's server without certificates.
pub fn server_tls(mode: ServerTlsMode) -> ServerTls {
    ServerTls {
        https_redirect: false,
        mode,
        credential_names: Vec::new(),
        ca_cert_credential_name: "".into(),
        certificates: Vec::new(),
        ca_certificates: "".into(),
        ca_crl: "".into(),
        verify_spki: Vec::new(),
        verify_hash: Vec::new(),
        skip_verify: false,
        subject_alt_names: Vec::new(),
        min_version: 0,
        max_version: 0,
        cipher_suites: Vec::new(),
        ecdh_curves: Vec::new(),
    }
}

/// An AuthorizationPolicy for all workloads of its namespace, with one rule that everything meets.
pub fn authorization_policy(
    namespace: &str,
    name: &str,
    action: AuthorizationAction,
) -> AuthorizationPolicy {
    AuthorizationPolicy {
        meta: meta(Kind::AuthorizationPolicy, namespace, name),
        target: PolicyTarget::default(),
        action,
        dry_run: false,
        rules: vec![AuthorizationRule::default()],
    }
}

/// For the workloads that `selector` (`app=a,version=v1`) selects, without modes of ports.
pub fn peer_authentication(
    namespace: &str,
    name: &str,
    selector: &str,
    mode: Option<MtlsMode>,
) -> PeerAuthentication {
    PeerAuthentication {
        meta: meta(Kind::PeerAuthentication, namespace, name),
        selector: labels(selector),
        mode,
        ports: std::collections::BTreeMap::new(),
    }
}

/// Of any workload.
pub fn gateway(namespace: &str, name: &str, servers: Vec<Server>) -> Gateway {
    Gateway {
        meta: meta(Kind::Gateway, namespace, name),
        selector: Labels::default(),
        servers,
    }
}

/// Without rules and certificates, of no class.
pub fn ingress(namespace: &str, name: &str) -> Ingress {
    Ingress {
        meta: meta(Kind::Ingress, namespace, name),
        class_name: None,
        rules: Vec::new(),
        tls: Vec::new(),
    }
}

/// A class of a controller.
pub fn ingress_class(name: &str, controller: &str) -> IngressClass {
    IngressClass {
        meta: meta(Kind::IngressClass, "", name),
        controller: controller.into(),
    }
}
