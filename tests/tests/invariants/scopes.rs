//! What a Sidecar does not show pushes nothing to its workloads: by comparison of results, not by lists of dependencies.

use std::collections::{BTreeMap, BTreeSet};

use meltemi_model::proxy::Proxy;
use meltemi_model::{Kind, Locality};
use meltemi_world::Change;
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::mesh::{engine, good};

/// What is there before: a client with a Sidecar that shows its own namespace, and a service in another one.
const BEFORE: &str = r#"
{apiVersion: v1, kind: Namespace, metadata: {name: far}}
---
{apiVersion: v1, kind: Node, metadata: {name: n-far, labels: {topology.kubernetes.io/region: r1}}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: far}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: near, namespace: near}
spec: {egress: [{hosts: ["./*"]}]}
---
apiVersion: v1
kind: Service
metadata: {name: near, namespace: near}
spec: {clusterIP: 10.96.0.1, selector: {app: near}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: far}
spec: {clusterIP: 10.96.0.2, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: far, labels: {app: web}}
spec: {nodeName: n-far, serviceAccountName: web, containers: [{name: app, image: app}]}
status: {phase: Running, podIP: 10.1.0.1, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: far, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.1.0.1], nodeName: n-far, targetRef: {kind: Pod, name: web-1, namespace: far}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: vm, namespace: far}
spec:
  hosts: [vm.example.com]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: vm}}
"#;

/// One change of each kind, in the namespace that the Sidecar does not show; and whether another client sees it.
const CHANGES: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: other, namespace: far}
spec: {clusterIP: 10.96.0.3, ports: [{name: http, port: 81}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: far, labels: {app: web, version: v2, security.istio.io/tlsMode: istio}}
spec: {nodeName: n-far, serviceAccountName: web, containers: [{name: app, image: app}]}
status: {phase: Running, podIP: 10.1.0.1, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-2, namespace: far, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.1.0.2]}]
---
{apiVersion: v1, kind: Node, metadata: {name: n-far, labels: {topology.kubernetes.io/region: r2}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: far, labels: {istio-injection: enabled}}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: another, namespace: far}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out, namespace: far}
spec: {hosts: [out.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm, namespace: far}
spec: {address: 192.0.2.1, labels: {app: vm}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: far}
spec: {hosts: [web], http: [{timeout: 5s, route: [{destination: {host: web}}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: east-west, namespace: far, labels: {topology.istio.io/network: other}}
spec: {type: LoadBalancer, clusterIP: 10.96.0.3, ports: [{name: tls, port: 15443}]}
status: {loadBalancer: {ingress: [{ip: 203.0.113.1}]}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: far}
spec: {host: web, trafficPolicy: {connectionPool: {tcp: {connectTimeout: 3s}}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: far}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: far, namespace: far}
spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: far}
spec: {mtls: {mode: DISABLE}}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: default, namespace: far}
spec: {jwtRules: [{issuer: a, jwks: '{"keys":[]}'}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: far, namespace: far}
spec: {action: DENY, rules: [{to: [{operation: {methods: [POST]}}]}]}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: web, namespace: far}
spec:
  configPatches:
  - applyTo: CLUSTER
    match: {context: SIDECAR_OUTBOUND}
    patch: {operation: MERGE, value: {connect_timeout: 7s}}
---
apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: far, namespace: far}
spec: {concurrency: 1}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: far, namespace: far}
spec: {template: {serviceAccount: far}}
---
{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: other}, spec: {controller: example.com/other}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: far, annotations: {kubernetes.io/ingress.class: istio}}
spec:
  defaultBackend: {service: {name: web, port: {number: 80}}}
"#;

/// Kinds of which an object elsewhere changes nothing for anybody: no push at all is right.
const WITHOUT_EFFECT: [Kind; 5] = [
    Kind::Namespace,
    Kind::ServiceAccount,
    Kind::IngressClass,
    // The injector's.
    Kind::ProxyConfig,
    // What is served is made of its entries.
    Kind::WorkloadGroup,
];

/// Kinds that no Sidecar scopes, since they hold for the whole mesh.
const WHOLE_MESH: [Kind; 2] = [Kind::MeshConfig, Kind::Network];

/// Kinds that are no objects, and matter only where an object asks for them.
const FETCHED: [Kind; 1] = [Kind::Jwks];

/// Kinds that are in nothing that a class gets: who asks for a certificate gets it on the own stream.
const BY_STREAM: [Kind; 2] = [Kind::Secret, Kind::CaConfigMap];

fn documents(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

fn proxy(id: &str, namespace: &str, labels: &Value) -> Proxy {
    let metadata = json!({"ISTIO_VERSION": "1.31.0", "NAMESPACE": namespace, "LABELS": labels});
    let id = format!("{id}.{namespace}~{namespace}.svc.cluster.local");
    Proxy::parse(&id, "c", Locality::default(), &metadata, []).unwrap()
}

#[test]
fn a_change_outside_a_sidecars_egress_pushes_nothing() {
    let mut tried = BTreeSet::new();
    let mut pushes: BTreeMap<Kind, usize> = BTreeMap::new();
    for change in good(&documents(CHANGES)) {
        let kind = change.key().kind;
        tried.insert(kind);
        let engine = engine(good(&documents(BEFORE)));
        let mut scoped = engine.subscribe(&proxy(
            "sidecar~10.1.9.1~near-0",
            "near",
            &json!({"app": "near"}),
        ));
        // Those that see it: a client of the namespace, and its gateway.
        let far = proxy("sidecar~10.1.9.2~far-0", "far", &json!({"app": "far"}));
        let labels = json!({"istio": "ingressgateway"});
        let edge = proxy("router~10.1.9.3~edge-0", "far", &labels);
        let _others = [engine.subscribe(&far), engine.subscribe(&edge)];
        scoped.mark_unchanged();
        let before = scoped.borrow().clone();
        let applied = engine.apply(vec![Change::Apply(change)], Vec::new());
        assert!(applied.changed, "{kind:?}: the change is none");
        assert!(
            !scoped.has_changed().unwrap(),
            "{kind:?}: pushed to a client that does not see it"
        );
        let after = scoped.borrow().clone();
        for ty in meltemi_model::ResourceType::ALL {
            assert_eq!(
                before.set(ty).version,
                after.set(ty).version,
                "{kind:?} {ty:?}"
            );
        }
        pushes.insert(kind, applied.woken);
    }
    for (kind, count) in &pushes {
        let seen = *count > 0;
        assert_eq!(seen, !WITHOUT_EFFECT.contains(kind), "{kind:?}: {pushes:?}");
    }
    let all = Kind::ALL.into_iter();
    let left: Vec<Kind> = all
        .filter(|kind| !tried.contains(kind))
        .filter(|kind| !WHOLE_MESH.contains(kind) && !BY_STREAM.contains(kind))
        .filter(|kind| !FETCHED.contains(kind))
        .collect();
    assert!(left.is_empty(), "kinds without a change: {left:?}");
}
