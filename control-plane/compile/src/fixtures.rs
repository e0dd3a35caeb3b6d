//! Small worlds and the proxies in them.

use std::collections::BTreeMap;

use meltemi_model::mesh::Mesh;
use meltemi_model::object::Object;
use meltemi_model::port::Protocol;
use meltemi_model::proxy::{
    Capabilities, InterceptionMode, IpMode, MetaFacet, Proxy, ProxyClass, ProxyKind,
};
use meltemi_model::routing::VirtualService;
use meltemi_model::service::Service;
use meltemi_model::sidecar::OutboundPolicy;
use meltemi_model::{Hostname, Locality, Shared, testing};
use meltemi_world::scope::{List, scope, scope_key};
use meltemi_world::{Change, EgressScope, Scope, ScopedService, World};
use serde_json::{Value, json};

use crate::classify;

pub(crate) const HTTP: &[(u16, Protocol)] = &[(80, Protocol::Http)];

/// The world of these objects, in the default mesh.
pub(crate) fn world(objects: impl IntoIterator<Item = Object>) -> World {
    after(&World::empty(Shared::default()), objects)
}

/// The world once these objects are applied to it.
pub(crate) fn after(world: &World, objects: impl IntoIterator<Item = Object>) -> World {
    let mut store = world.store.clone();
    store.apply(objects.into_iter().map(Change::Apply));
    world.next(&store, &Shared::default())
}

/// Istio's proxy beside the pod `name` of `default`, as its agent describes it; `metadata` is laid over that.
pub(crate) fn sidecar(name: &str, ip: &str, metadata: &Value) -> Proxy {
    proxy("sidecar", name, ip, metadata)
}

/// The same as a gateway.
pub(crate) fn router(name: &str, ip: &str, metadata: &Value) -> Proxy {
    proxy("router", name, ip, metadata)
}

fn proxy(kind: &str, name: &str, ip: &str, over: &Value) -> Proxy {
    let mut metadata = json!({"ISTIO_VERSION": "1.31.0", "NAMESPACE": "default"});
    let fields = metadata.as_object_mut().unwrap();
    fields.extend(over.as_object().unwrap().clone());
    let id = format!("{kind}~{ip}~{name}.default~default.svc.cluster.local");
    Proxy::parse(&id, "", Locality::parse("node/given"), &metadata, []).unwrap()
}

/// The class of the pod `a-1`, at 10.0.0.1.
pub(crate) fn class_of_a(world: &World) -> ProxyClass {
    classify(world, &sidecar("a-1", "10.0.0.1", &json!({})), None)
}

pub(crate) fn scope_of(world: &World, class: &ProxyClass) -> Scope {
    let gateway = class.kind == ProxyKind::Router;
    let key = scope_key(world, gateway, &class.namespace, &class.labels);
    scope(world, &key)
}

/// Istio's proxy in `default` with the label `app: client`, and no workload behind it.
pub(crate) fn class_of_client(kind: ProxyKind) -> ProxyClass {
    ProxyClass {
        kind,
        namespace: "default".into(),
        dns_domain: "default.svc.cluster.local".into(),
        labels: testing::labels("app=client"),
        locality: Locality::default(),
        network: "".into(),
        network_view: Vec::new(),
        cluster_id: "Kubernetes".into(),
        ip_mode: IpMode::V4,
        dual_stack: false,
        ipv4_outbound: false,
        capabilities: Capabilities::istio_proxy(),
        has_identity: true,
        version: (1, 31, 0),
        interception: InterceptionMode::Redirect,
        facet: MetaFacet::default(),
        proxy_config: Shared::default(),
        instances: Vec::new(),
        gateway_ports: BTreeMap::new(),
        gateway_services: BTreeMap::new(),
        own_ips: Vec::new(),
        node: "".into(),
        unmet: Default::default(),
    }
}

/// `name` in `default` with the address 10.0.0.<length of the name>; a name with dots is a ServiceEntry's, without
/// an address.
pub(crate) fn service(name: &str, ports: &[(u16, Protocol)]) -> Service {
    let mut service = testing::service(name, ports);
    if service.kubernetes {
        service.addresses = vec![format!("10.0.0.{}", name.len()).into()];
    }
    service
}

/// The host of a service of `default`; a name with dots or wildcards is one already.
pub(crate) fn fqdn(name: &str) -> Hostname {
    if name.contains(['.', '*']) {
        Hostname::new(name)
    } else {
        Hostname::new(&format!("{name}.default.svc.cluster.local"))
    }
}

/// What a proxy in `default` sees of these services and VirtualServices without a Sidecar.
pub(crate) fn seen(services: Vec<Service>, virtual_services: Vec<VirtualService>) -> Scope {
    let row = |service: Service| ScopedService {
        service: Shared::new(service),
        rule: None,
        rule_selects_workload: false,
        endpoints: Shared::default(),
        identities: Shared::default(),
    };
    let services: List<_> = services.into_iter().map(row).collect();
    Scope {
        mesh: Shared::new(Mesh::default()),
        namespace: "default".into(),
        sidecar: None,
        peer_authentications: Default::default(),
        request_authentications: Default::default(),
        authorizations: Default::default(),
        registry: Default::default(),
        outbound_policy: OutboundPolicy::AllowAny,
        by_host: services
            .iter()
            .enumerate()
            .map(|(i, row)| (row.service.key.host.clone(), i))
            .collect(),
        egress: vec![EgressScope {
            listener: None,
            services: services.clone(),
            virtual_services: virtual_services.into_iter().map(Shared::new).collect(),
        }],
        services,
    }
}
