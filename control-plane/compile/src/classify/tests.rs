use meltemi_model::mesh::Mesh;
use meltemi_model::object::{Meta, Object};
use meltemi_model::port::Protocol;
use meltemi_model::proxy::ProxyKind;
use meltemi_model::service::{Resolution, ServiceEntry, TargetPort, TrafficDistribution};
use meltemi_model::sidecar::{CaptureMode, IngressListener, Sidecar};
use meltemi_model::testing::{
    self, kube_service, labels, node, pod, service_entry, slice, slice_endpoint, workload,
};
use serde_json::{Value, json};

use super::*;
use crate::fixtures::{HTTP, class_of_a, router, sidecar, world};

mod instances;

/// The pod `a-1` on node n1, with these labels.
fn a_1(text: &str) -> Pod {
    let plain = pod("default", "a-1", "10.0.0.1");
    Pod {
        meta: Meta {
            labels: labels(text),
            ..plain.meta.clone()
        },
        node: "n1".into(),
        ..plain
    }
}

fn class(objects: impl IntoIterator<Item = Object>, metadata: &Value) -> ProxyClass {
    let world = world(objects);
    classify(&world, &sidecar("a-1", "10.0.0.1", metadata), None)
}

#[test]
fn labels_are_those_of_the_pod_and_of_its_place() {
    let metadata = json!({
        "LABELS": {"app": "meta"}, "CLUSTER_ID": "c2", "NETWORK": "net", "NODE_NAME": "n9",
    });
    let place = "topology.istio.io/cluster=c2,topology.istio.io/network=net,\
        topology.kubernetes.io/region=r1,topology.kubernetes.io/zone=z1";
    let given = place.replace("r1", "node").replace("z1", "given");
    let on_n1 = || Object::from(node("n1", "r1/z1"));
    for (name, objects, want) in [
        (
            "of the pod",
            vec![a_1("app=a").into(), on_n1()],
            format!("app=a,{place}"),
        ),
        (
            "of the metadata",
            vec![on_n1()],
            format!("app=meta,{given}"),
        ),
        (
            "of no pod elsewhere",
            vec![pod("other", "a-1", "10.0.0.1").into(), on_n1()],
            format!("app=meta,{given}"),
        ),
    ] {
        let found = class(objects, &metadata);
        assert_eq!(found.labels, labels(&want), "{name}");
        assert_eq!(&*found.cluster_id, "c2", "{name}");
    }
}

#[test]
fn a_pod_on_the_hosts_network_is_known_by_its_name() {
    let hosted = |name: &str, app: &str| {
        Object::from(Pod {
            host_network: true,
            ..Pod {
                meta: Meta {
                    labels: labels(&format!("app={app}")),
                    ..pod("default", name, "").meta
                },
                ..pod("default", name, "10.0.0.1")
            }
        })
    };
    let found = class([hosted("a-1", "mine"), hosted("b-1", "other")], &json!({}));
    assert_eq!(found.labels.get("app").map(|v| &**v), Some("mine"));
}

#[test]
fn locality() {
    let on_n1 = || Object::from(node("n1", "r1/z1/s1"));
    let lost = || Object::from(node("n2", "r2"));
    for (name, objects, metadata, want) in [
        (
            "of the pod's node",
            vec![a_1("").into(), on_n1()],
            json!({}),
            "r1/z1/s1",
        ),
        (
            "of the pod's label",
            vec![a_1("istio-locality=r9.z9").into(), on_n1()],
            json!({}),
            "r9/z9",
        ),
        (
            "as the proxy says",
            vec![a_1("").into(), lost()],
            json!({}),
            "node/given",
        ),
        (
            "by its metadata",
            vec![],
            json!({"LABELS": {"istio-locality": "m.z"}}),
            "m/z",
        ),
        (
            "by its metadata, newer",
            vec![],
            json!({"LABELS": {"istio-locality": "m.z", "topology.istio.io/locality": "n/z.1"}}),
            "n/z.1",
        ),
    ] {
        assert_eq!(
            class(objects, &metadata).locality,
            Locality::parse(want),
            "{name}"
        );
    }
}

#[test]
fn addresses_are_of_the_class_only_where_a_resource_depends_on_them() {
    let ingress = Sidecar {
        ingress: vec![IngressListener {
            port: 80,
            protocol: Protocol::Http,
            port_name: "http".into(),
            bind: "".into(),
            capture_mode: CaptureMode::Default,
            default_endpoint: "".into(),
            tls: None,
            connection_pool: None,
        }],
        ..testing::sidecar("default", "s", &["*/*"])
    };
    let headless = KubeService {
        headless: true,
        ..kube_service("default", "a", HTTP)
    };
    let none = Mesh {
        default_config: ProxyConfig {
            interception_mode: "NONE".into(),
            ..ProxyConfig::default()
        },
        ..Mesh::default()
    };
    let egress = testing::sidecar("default", "s", &["*/*"]);
    let plain = || Object::from(kube_service("default", "a", HTTP));
    for (name, object, metadata, want) in [
        ("a service", plain(), json!({}), false),
        ("a Sidecar without ingress", egress.into(), json!({}), false),
        ("a headless service", headless.into(), json!({}), true),
        (
            "no redirection",
            plain(),
            json!({"INTERCEPTION_MODE": "NONE"}),
            true,
        ),
        (
            "another redirection",
            plain(),
            json!({"INTERCEPTION_MODE": "TPROXY"}),
            false,
        ),
        ("no redirection in the mesh", none.into(), json!({}), true),
        ("ingress listeners", ingress.into(), json!({}), true),
    ] {
        let found = class([object, a_1("app=a").into()], &metadata);
        assert_eq!(!found.own_ips.is_empty(), want, "{name}");
    }
}

#[test]
fn the_node_is_of_the_class_only_where_endpoints_are_chosen_by_it() {
    let local = KubeService {
        internal_traffic_local: true,
        ..kube_service("default", "a", HTTP)
    };
    let near = |distribution| KubeService {
        traffic_distribution: Some(distribution),
        ..kube_service("default", "a", HTTP)
    };
    for (name, service, want) in [
        ("any", kube_service("default", "a", HTTP), ""),
        (
            "the same zone",
            near(TrafficDistribution::PreferSameZone),
            "",
        ),
        (
            "the same node",
            near(TrafficDistribution::PreferSameNode),
            "n1",
        ),
        ("this node only", local, "n1"),
    ] {
        let found = class([service.into(), a_1("app=a").into()], &json!({}));
        assert_eq!(&*found.node, want, "{name}");
    }
}

#[test]
fn pods_of_a_deployment_share_a_class() {
    let twin = |ip: &str, on: &str| Pod {
        node: on.into(),
        ..pod("default", if on == "n1" { "a-2" } else { "a-3" }, ip)
    };
    let objects = || {
        [
            kube_service("default", "a", HTTP).into(),
            a_1("app=a").into(),
            twin("10.0.0.2", "n1").into(),
            twin("10.0.0.3", "n2").into(),
            node("n1", "r1/z1").into(),
            node("n2", "r1/z1").into(),
        ]
    };
    let classes = |world: &World| {
        [
            ("a-1", "10.0.0.1"),
            ("a-2", "10.0.0.2"),
            ("a-3", "10.0.0.3"),
        ]
        .map(|(name, ip)| {
            let metadata = json!({"NODE_NAME": "n1", "INSTANCE_IPS": ip, "NAME": name});
            classify(world, &sidecar(name, ip, &metadata), None)
        })
    };
    let [first, same_node, same_zone] = classes(&world(objects()));
    assert_eq!(first, same_node);
    assert_eq!(first, same_zone);

    let local = KubeService {
        internal_traffic_local: true,
        ..kube_service("default", "b", HTTP)
    };
    let [first, same_node, same_zone] =
        classes(&world(objects().into_iter().chain([local.into()])));
    assert_eq!(first, same_node);
    assert_ne!(first, same_zone, "some service is chosen by node");
}

#[test]
fn what_a_proxy_says_of_itself() {
    // (labels of the pod, canonical service and revision).
    for (text, want) in [
        ("", ("", "")),
        ("app=a,version=v1", ("", "")),
        (
            "app=a,service.istio.io/canonical-name=c,service.istio.io/canonical-revision=r,version=v1",
            ("c", "r"),
        ),
    ] {
        let facet = class([a_1(text).into()], &json!({})).facet;
        assert_eq!(
            (&*facet.canonical_service, &*facet.canonical_revision),
            want,
            "{text}"
        );
    }
    let metadata = json!({
        "MESH_ID": "m", "HTTP10": "1", "IDLE_TIMEOUT": "5s", "HTTP_PROXY_PORT": "8888",
        "ENVOY_STATUS_PORT": 15021, "ENVOY_PROMETHEUS_PORT": "15090", "UNPRIVILEGED_POD": "true",
        "DNS_CAPTURE": "true", "credential": "true", "INBOUND_LISTENER_EXACT_BALANCE": "true",
        "CLUSTER_ID": "east",
        "TLS_CLIENT_CERT_CHAIN": "/c.pem", "TLS_CLIENT_KEY": "/k.pem", "TLS_CLIENT_ROOT_CERT": "/r.pem",
    });
    let want = MetaFacet {
        mesh_id: "m".into(),
        http10: true,
        idle_timeout: Some(std::time::Duration::from_secs(5)),
        http_proxy_port: 8888,
        reserved_ports: vec![15021, 15090],
        unprivileged: true,
        dns_capture: true,
        allocated_addresses: true,
        inbound_exact_balance: true,
        outbound_exact_balance: false,
        credential_socket: true,
        file_credential_socket: false,
        client_files: Some(ClientFiles {
            certificate: "/c.pem".into(),
            key: "/k.pem".into(),
            root: "/r.pem".into(),
        }),
        cluster_id: "east".into(),
        canonical_service: String::new(),
        canonical_revision: String::new(),
    };
    assert_eq!(class([], &metadata).facet, want);
}

#[test]
fn address_families() {
    for (ips, want) in [
        ("10.0.0.1", IpMode::V4),
        ("fd00::1", IpMode::V6),
        ("10.0.0.1,fd00::1", IpMode::Dual),
    ] {
        assert_eq!(
            class([], &json!({"INSTANCE_IPS": ips})).ip_mode,
            want,
            "{ips}"
        );
    }
}

#[test]
fn flags_for_address_families() {
    // (addresses, both are served, IPv4 is taken in besides), with both flags on.
    let mesh = || Mesh {
        dual_stack: true,
        ipv4_outbound_for_ipv6: true,
        ..Mesh::default()
    };
    for (ips, want) in [
        ("10.0.0.1", (false, false)),
        ("fd00::1", (false, true)),
        ("10.0.0.1,fd00::1", (true, false)),
    ] {
        let metadata = json!({"INSTANCE_IPS": ips});
        let on = class([mesh().into()], &metadata);
        assert_eq!((on.dual_stack, on.ipv4_outbound), want, "{ips}");
        let off = class([], &metadata);
        assert!(!off.dual_stack && !off.ipv4_outbound, "{ips}");
    }
}

#[test]
fn who_uses_allocated_addresses() {
    for (ip_autoallocate, capture, asks, want) in [
        (true, true, false, true),
        (true, false, true, false),
        (false, true, false, false),
        (false, true, true, true),
        (false, false, true, false),
    ] {
        let mesh = Mesh {
            ip_autoallocate,
            ..Mesh::default()
        };
        let metadata = json!({
            "DNS_CAPTURE": capture.to_string(), "DNS_AUTO_ALLOCATE": asks.to_string(),
        });
        let facet = class([mesh.into()], &metadata).facet;
        let name = format!("{ip_autoallocate} {capture} {asks}");
        assert_eq!(facet.allocated_addresses, want, "{name}");
    }
}

#[test]
fn a_proxys_own_configuration_replaces_the_meshs() {
    let config = |mode: &str| ProxyConfig {
        interception_mode: mode.into(),
        ..ProxyConfig::default()
    };
    use InterceptionMode::{None as Off, Redirect, Tproxy};
    // (the mesh's, the proxy's PROXY_CONFIG, its metadata).
    for (mesh, own, metadata, want) in [
        ("", None, "", Redirect),
        ("TPROXY", None, "", Tproxy),
        ("TPROXY", Some(""), "", Redirect),
        ("TPROXY", Some("NONE"), "", Off),
        ("TPROXY", Some("NONE"), "REDIRECT", Redirect),
        ("", None, "NONE", Off),
    ] {
        let mesh = Mesh {
            default_config: config(mesh),
            ..Mesh::default()
        };
        let world = world([mesh.into()]);
        let proxy = sidecar("a-1", "10.0.0.1", &json!({"INTERCEPTION_MODE": metadata}));
        let own = own.map(config);
        let found = classify(&world, &proxy, own.as_ref());
        assert_eq!(found.interception, want, "{own:?} {metadata}");
        assert_eq!(
            &*found.proxy_config,
            own.as_ref().unwrap_or(&world.mesh.default_config)
        );
    }
}

#[test]
fn the_network_matters_only_where_there_are_gateways_or_names_are_answered() {
    let gateway = || {
        let mut service = kube_service("default", "edge", HTTP);
        service.meta.labels =
            labels("topology.istio.io/network=n,networking.istio.io/gatewayPort=80");
        service.external_ips = vec!["203.0.113.1".into()];
        Object::from(service)
    };
    let metadata = |more: &Value| {
        let mut metadata = json!({"NETWORK": "own", "REQUESTED_NETWORK_VIEW": "b, a,,a"});
        metadata["DNS_CAPTURE"] = more.clone();
        metadata
    };
    for (objects, capture, want) in [
        (vec![], json!(null), ""),
        (vec![], json!("true"), "own"),
        (vec![gateway()], json!(null), "own"),
    ] {
        let class = class(objects, &metadata(&capture));
        assert_eq!(&*class.network, want, "{capture}");
        assert_eq!(class.network_view, ["a".into(), "b".into()]);
    }
}
