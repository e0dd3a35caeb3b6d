//! Kubernetes' kinds.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ROOT, created, maybe, metadata, one_of, set};

/// Addresses of pods, by number; two pods may have the same for a while.
pub(super) fn pod_address(namespace: &str, number: u8) -> String {
    format!("10.1.{}.{number}", u8::from(namespace == "b"))
}

fn namespace_object(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// The label of the mesh's own namespace is the network of the cluster.
pub(super) fn namespace() -> impl Strategy<Value = Value> {
    let network = maybe([json!("near"), json!("far")]);
    (one_of(["a", "b", ROOT]), network).prop_map(|(name, network)| {
        let mut object = namespace_object(name);
        if let Some(network) = network {
            object["metadata"]["labels"] = json!({"topology.istio.io/network": network});
        }
        object
    })
}

pub(super) fn node() -> impl Strategy<Value = Value> {
    (one_of(["n1", "n2"]), one_of(["z1", "z2"])).prop_map(|(name, zone)| {
        let labels =
            json!({"topology.kubernetes.io/region": "r1", "topology.kubernetes.io/zone": zone});
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
    })
}

/// The account of a pod follows from its application, so that a service keeps its identities while pods come and go.
pub(super) fn pod() -> impl Strategy<Value = Value> {
    let names = (super::namespace(), 1..5_u8, 1..6_u8, created());
    let labels = (one_of(["x", "y"]), one_of(["v1", "v2"]), any::<bool>());
    let state = (
        one_of(["n1", "n2", ""]),
        prop::bool::weighted(0.8),
        one_of(["Running", "Running", "Succeeded", "Pending"]),
    );
    let leaving = prop::bool::weighted(0.1);
    let network = maybe([json!("near"), json!("far")]);
    let more = (leaving, network);
    (names, labels, state, more).prop_map(|(names, labels, (node, ready, phase), more)| {
        let (leaving, network) = more;
        let ((namespace, name, address, created), (app, version, mesh)) = (names, labels);
        let mut metadata = metadata(namespace, &format!("p{name}"), created);
        metadata["labels"] = json!({"app": app, "version": version});
        if mesh {
            metadata["labels"]["security.istio.io/tlsMode"] = json!("istio");
        }
        set(
            &mut metadata["labels"],
            "topology.istio.io/network",
            network,
        );
        set(
            &mut metadata,
            "deletionTimestamp",
            leaving.then(|| json!("2026-02-01T00:00:00Z")),
        );
        let ports =
            json!([{"name": "web", "containerPort": 8080}, {"name": "tcp", "containerPort": 9000}]);
        let mut status = json!({
            "phase": phase,
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
        });
        if phase != "Pending" {
            status["podIP"] = json!(pod_address(namespace, address));
        }
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {
                "serviceAccountName": format!("sa-{app}"),
                "nodeName": node,
                "containers": [{"name": "app", "ports": ports}],
            },
            "status": status,
        })
    })
}

fn service_ports() -> impl Strategy<Value = Value> {
    one_of([
        json!([{"name": "http", "port": 80, "targetPort": 8080}]),
        json!([{"name": "http", "port": 80, "targetPort": "web"}, {"name": "tcp", "port": 9000}]),
        json!([{"port": 80, "targetPort": 8080}]),
        json!([{"name": "auto", "port": 8080}, {"name": "grpc", "port": 7070, "targetPort": 8080}]),
        json!([{"name": "https", "port": 443, "targetPort": 9000}]),
        json!([{"name": "tcp-db", "port": 9000, "targetPort": "tcp"}]),
        json!([{"name": "any", "port": 9000, "appProtocol": "http2"}]),
        json!([{"name": "udp", "port": 53, "protocol": "UDP"}, {"name": "mongo", "port": 27017}]),
    ])
}

pub(super) fn service() -> impl Strategy<Value = Value> {
    let names = (super::namespace(), 1..5_u8, created());
    let addressed = one_of([0_u8, 0, 0, 0, 1, 1, 2, 3, 4]);
    let selector = maybe([
        json!({"app": "y"}),
        json!({}),
        json!({"app": "x", "version": "v1"}),
    ]);
    let more = maybe([
        json!({"internalTrafficPolicy": "Local"}),
        json!({"publishNotReadyAddresses": true}),
        json!({"trafficDistribution": "PreferClose"}),
    ]);
    let annotations = maybe([
        json!({"networking.istio.io/exportTo": "."}),
        json!({"networking.istio.io/exportTo": "a"}),
        json!({"networking.istio.io/exportTo": "~"}),
    ]);
    (
        names,
        addressed,
        selector,
        service_ports(),
        more,
        annotations,
    )
        .prop_map(
            |((namespace, number, created), addressed, selector, ports, more, annotations)| {
                let mut metadata = metadata(namespace, &format!("s{number}"), created);
                set(&mut metadata, "annotations", annotations);
                let mut spec =
                    json!({"ports": ports, "selector": selector.unwrap_or(json!({"app": "x"}))});
                let address = format!("10.2.{}.{number}", u8::from(namespace == "b"));
                let mut status = json!({});
                match addressed {
                    0 => spec["clusterIP"] = json!(address),
                    1 => spec["clusterIP"] = json!("None"),
                    2 => {
                        spec["type"] = json!("ExternalName");
                        spec["externalName"] = json!("ext.example.com");
                    }
                    3 => {
                        // A gateway of a network, if one of its ports is the one that the label says.
                        metadata["labels"] = json!({
                            "topology.istio.io/network": "far", "networking.istio.io/gatewayPort": "80",
                        });
                        status = json!({"loadBalancer": {"ingress": [{"ip": format!("203.0.113.{number}")}]}});
                        spec["type"] = json!("LoadBalancer");
                        spec["clusterIP"] = json!(address);
                    }
                    _ => {
                        spec["clusterIP"] = json!(address);
                        spec["clusterIPs"] = json!([address, format!("fd00::{number}")]);
                    }
                }
                if let Some(Value::Object(fields)) = more {
                    fields
                        .into_iter()
                        .for_each(|(key, value)| spec[key] = value);
                }
                json!({
                    "apiVersion": "v1", "kind": "Service",
                    "metadata": metadata, "spec": spec, "status": status,
                })
            },
        )
}

pub(super) fn endpoint_slice() -> impl Strategy<Value = Value> {
    let endpoint = (
        1..7_u8,
        one_of([0_u8, 0, 0, 1, 2]),
        prop::option::weighted(0.4, 1..5_u8),
    );
    let names = (super::namespace(), 1..4_u8, 1..5_u8);
    (names, proptest::collection::vec(endpoint, 0..4)).prop_map(|((namespace, name, service), endpoints)| {
        let mut metadata = metadata(namespace, &format!("e{name}"), 0);
        metadata["labels"] = json!({"kubernetes.io/service-name": format!("s{service}")});
        let list: Vec<Value> = endpoints
            .into_iter()
            .map(|(address, state, pod)| {
                let mut endpoint = json!({
                    "addresses": [pod_address(namespace, address)],
                    "conditions": {"ready": state == 0, "terminating": state == 2},
                });
                let reference = |number: u8| json!({"kind": "Pod", "name": format!("p{number}"), "namespace": namespace});
                set(&mut endpoint, "targetRef", pod.map(reference));
                endpoint
            })
            .collect();
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata,
            "addressType": "IPv4",
            "ports": [
                {"name": "http", "port": 8080, "protocol": "TCP"},
                {"name": "tcp-db", "port": 9000, "protocol": "TCP"},
                {"name": "", "port": 8080, "protocol": "TCP"},
            ],
            "endpoints": list,
        })
    })
}

pub(super) fn service_account() -> impl Strategy<Value = Value> {
    (super::namespace(), one_of(["sa-x", "sa-y"]))
        .prop_map(|(namespace, name)| json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(namespace, name, 0)}))
}

pub(super) fn mesh_config() -> impl Strategy<Value = Value> {
    let networks = maybe([
        json!(
            "networks: {near: {endpoints: [{fromCidr: 10.1.0.0/24}]}, far: {gateways: [{address: 198.51.100.1, port: 15443}]}}"
        ),
        json!(
            "networks: {near: {endpoints: [{fromRegistry: Kubernetes}]}, far: {gateways: [{address: far.test, port: 15443}]}}"
        ),
        json!(
            "networks: {far: {endpoints: [{fromCidr: 10.1.1.0/24}], gateways: [{address: 'fd00::1', port: 15443}]}}"
        ),
    ]);
    let mesh = one_of([
        "{}",
        "outboundTrafficPolicy: {mode: REGISTRY_ONLY}",
        "defaultServiceExportTo: ['.']",
        "defaultVirtualServiceExportTo: ['.']",
        "defaultDestinationRuleExportTo: ['.']",
        "accessLogFile: /dev/stdout",
        "enableAutoMtls: false",
        "extensionProviders: [{name: asked, envoyExtAuthzGrpc: {service: s1.a.svc.cluster.local, port: 80}}]",
        "trustDomain: other.test",
        "trustDomainAliases: [old.test]",
        "meshMTLS: {minProtocolVersion: TLSV1_3}",
        "rootNamespace: a",
        "protocolDetectionTimeout: 100ms",
        "connectTimeout: 3s",
        "localityLbSetting: {enabled: false}",
        "defaultConfig: {tracing: {sampling: 10}, holdApplicationUntilProxyStarts: true}",
        "defaultHttpRetryPolicy: {attempts: 5}",
        "ingressControllerMode: DEFAULT",
        "{ingressControllerMode: DEFAULT, ingressService: other}",
        "ingressControllerMode: 'OFF'",
    ]);
    (mesh, networks).prop_map(|(mesh, networks)| {
        let mut data = json!({"mesh": mesh});
        set(&mut data, "meshNetworks", networks);
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(ROOT, "istio", 0), "data": data})
    })
}

pub(super) fn ingress_class() -> impl Strategy<Value = Value> {
    one_of(["istio.io/ingress-controller", "k8s.io/ingress-nginx"]).prop_map(|controller| {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": metadata("", "istio", 0), "spec": {"controller": controller}})
    })
}

pub(super) fn ingress() -> impl Strategy<Value = Value> {
    let names = (super::namespace(), 1..3_u8, created());
    let class = maybe([json!("istio"), json!("none")]);
    let rule = (
        one_of(["a.example.com", "*.example.com", ""]),
        one_of([
            json!({"path": "/", "pathType": "Prefix"}),
            json!({"path": "/exact", "pathType": "Exact"}),
            json!({"path": "/old/*", "pathType": "ImplementationSpecific"}),
            json!({}),
        ]),
        1..4_u8,
        one_of([json!({"number": 80}), json!({"name": "http"})]),
    );
    let tls = maybe([
        json!([{"hosts": ["a.example.com"], "secretName": "cert"}]),
        json!([{"secretName": "all"}, {"hosts": ["*.example.com"]}]),
    ]);
    let rules = proptest::collection::vec(rule, 1..3);
    (names, class, rules, tls).prop_map(|((namespace, name, created), class, rules, tls)| {
        let rules: Vec<Value> = rules
            .into_iter()
            .map(|(host, mut path, service, port)| {
                path["backend"] = json!({"service": {"name": format!("s{service}"), "port": port}});
                json!({"host": host, "http": {"paths": [path]}})
            })
            .collect();
        let mut spec = json!({"rules": rules});
        set(&mut spec, "ingressClassName", class);
        set(&mut spec, "tls", tls);
        let metadata = metadata(namespace, &format!("i{name}"), created);
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec})
    })
}
