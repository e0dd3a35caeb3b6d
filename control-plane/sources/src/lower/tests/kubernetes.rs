use std::net::IpAddr;

use meltemi_model::Locality;
use meltemi_model::port::Protocol;
use meltemi_model::service::{ExportTo, TargetPort, TrafficDistribution};

use super::{get, lowered, words};

fn core(kind: &str, rest: &str) -> String {
    format!("apiVersion: v1\nkind: {kind}\n{rest}")
}

fn pod(metadata: &str, spec: &str, status: &str) -> String {
    core(
        "Pod",
        &format!("metadata: {{namespace: ns, {metadata}}}\nspec: {spec}\nstatus: {status}"),
    )
}

fn service(metadata: &str, spec: &str) -> String {
    core(
        "Service",
        &format!("metadata: {{name: s, namespace: ns, {metadata}}}\nspec: {spec}"),
    )
}

#[test]
fn namespaces_have_the_label_of_their_name() {
    let namespace = get!(Namespace, core("Namespace", "metadata: {name: a}"));
    assert_eq!(namespace.meta.key.to_string(), "Namespace a");
    assert_eq!(
        namespace
            .meta
            .labels
            .get("kubernetes.io/metadata.name")
            .map(|v| &**v),
        Some("a")
    );
}

#[test]
fn nodes_have_a_locality() {
    for (labels, want) in [
        ("{}", ""),
        (
            "{topology.kubernetes.io/region: r, topology.kubernetes.io/zone: z, topology.istio.io/subzone: s}",
            "r/z/s",
        ),
        (
            "{failure-domain.beta.kubernetes.io/region: r, failure-domain.beta.kubernetes.io/zone: z}",
            "r/z/",
        ),
        (
            "{topology.kubernetes.io/region: new, failure-domain.beta.kubernetes.io/region: old}",
            "new//",
        ),
    ] {
        let status = "status: {addresses: [{type: Hostname, address: h}, {type: InternalIP, address: 1.1.1.1}, \
                      {type: ExternalIP, address: 2.2.2.2}, {type: ExternalIP, address: 2.2.2.2}]}";
        let text = core(
            "Node",
            &format!("metadata: {{name: n, labels: {labels}}}\n{status}"),
        );
        let node = get!(Node, text);
        assert_eq!(node.locality, Locality::parse(want), "{labels}");
        assert_eq!(node.addresses[0], "1.1.1.1".into());
        assert_eq!(node.external_addresses, ["2.2.2.2".into()]);
        assert_eq!(&*node.meta.key.namespace, "");
    }
}

#[test]
fn pods_are_reduced() {
    let text = pod(
        "name: reviews-v1-0, labels: {app: reviews}",
        "{nodeName: n, serviceAccountName: sa, hostname: h, subdomain: d, hostNetwork: true, containers: [{ports: \
         [{name: http, containerPort: 8080}, {name: dns, containerPort: 53, protocol: UDP}, {containerPort: 9}]}], \
         initContainers: [{restartPolicy: Always, ports: [{name: side, containerPort: 7}]}, {ports: [{name: no, \
         containerPort: 6}]}]}",
        "{phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}], conditions: [{type: Ready, status: \
         'True'}]}",
    );
    let pod = get!(Pod, text);
    assert_eq!(
        (
            &*pod.service_account,
            &*pod.node,
            &*pod.hostname,
            &*pod.subdomain
        ),
        ("sa", "n", "h", "d")
    );
    let ips: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
    assert_eq!(pod.ips, ips);
    assert_eq!(pod.ports, [("http".into(), 8080), ("side".into(), 7)]);
    assert!(pod.ready && pod.host_network && !pod.terminating && !pod.finished);
    assert_eq!(&*pod.workload, "reviews-v1-0");
}

#[test]
fn pods_have_a_life() {
    let time = "deletionTimestamp: '2026-01-01T00:00:00Z'";
    for (metadata, status, want) in [
        ("", "{}", (false, false, false)),
        (
            "",
            "{conditions: [{type: Ready, status: 'False'}]}",
            (false, false, false),
        ),
        ("", "{phase: Failed}", (false, false, true)),
        ("", "{phase: Succeeded}", (false, false, true)),
        (
            time,
            "{conditions: [{type: Ready, status: 'True'}]}",
            (true, true, false),
        ),
    ] {
        let pod = get!(Pod, pod(&format!("name: p, {metadata}"), "{}", status));
        assert_eq!(
            (pod.ready, pod.terminating, pod.finished),
            want,
            "{metadata} {status}"
        );
        assert_eq!((&*pod.service_account, pod.ips.len()), ("default", 0));
    }
}

#[test]
fn pods_belong_to_workloads() {
    let owner = |kind: &str, name: &str| {
        format!(
            "generateName: g-, ownerReferences: [{{kind: {kind}, name: {name}, controller: true}}]"
        )
    };
    for (metadata, want) in [
        (String::new(), "p"),
        (owner("ReplicaSet", "web-5d4"), "web-5d4"),
        (
            owner("ReplicaSet", "web-5d4") + ", labels: {pod-template-hash: 5d4}",
            "web",
        ),
        (
            owner("ReplicaSet", "web-5d4") + ", labels: {pod-template-hash: other}",
            "web-5d4",
        ),
        (
            owner("ReplicaSet", "roll-7f") + ", labels: {rollouts-pod-template-hash: 7f}",
            "roll",
        ),
        (owner("StatefulSet", "db"), "db"),
        (owner("DaemonSet", "agent"), "agent"),
        (owner("Job", "backup-12345678"), "backup"),
        (owner("Job", "backup-1"), "backup-1"),
        (
            owner("ReplicationController", "rc-1") + ", labels: {deploymentconfig: dc}",
            "dc",
        ),
        (
            owner("ReplicaSet", "web-5d4") + ", labels: {service.istio.io/workload-name: named}",
            "named",
        ),
        (
            "ownerReferences: [{kind: StatefulSet, name: db, controller: true}]".to_owned(),
            "p",
        ),
        (
            "generateName: g-, ownerReferences: [{kind: StatefulSet, name: db}]".to_owned(),
            "p",
        ),
    ] {
        let pod = get!(Pod, pod(&format!("name: p, {metadata}"), "{}", "{}"));
        assert_eq!(&*pod.workload, want, "{metadata}");
    }
}

#[test]
fn services_have_what_the_api_server_fills_in() {
    let text = service(
        "labels: {a: b}",
        "{clusterIP: 10.0.0.1, selector: {app: s}, ports: [{name: http, port: 80}, {name: t, port: 81, targetPort: 8081, \
         nodePort: 30081}, {name: n, port: 82, targetPort: web}, {name: q, port: 83, targetPort: '8083'}]}",
    );
    let service = get!(Service, text);
    assert_eq!(service.cluster_ips, ["10.0.0.1".into()]);
    let targets: Vec<&TargetPort> = service.ports.iter().map(|p| &p.target).collect();
    let name = TargetPort::Name("web".into());
    let [a, b, c] = [80, 8081, 8083].map(TargetPort::Number);
    assert_eq!(targets, [&a, &b, &name, &c]);
    assert_eq!(service.ports[1].node_port, 30081);
    assert_eq!(service.export_to, ExportTo::Default);
    assert!(!service.headless && service.external_name.is_none() && !service.publish_not_ready);
}

#[test]
fn services_of_every_type() {
    let port = "ports: [{port: 80}]";
    let headless = get!(
        Service,
        service("", &format!("{{clusterIP: None, {port}}}"))
    );
    assert_eq!((headless.headless, headless.cluster_ips.len()), (true, 0));
    let dual = get!(
        Service,
        service(
            "",
            &format!("{{clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1, 'fd00::1'], {port}}}")
        )
    );
    assert_eq!(dual.cluster_ips, ["10.0.0.1".into(), "fd00::1".into()]);
    let external = get!(
        Service,
        service("", "{type: ExternalName, externalName: Example.COM.}")
    );
    assert_eq!(
        external.external_name.as_ref().map(|h| h.as_str()),
        Some("example.com")
    );
    let balanced = get!(
        Service,
        service(
            "",
            &format!("{{type: LoadBalancer, externalIPs: [9.9.9.9], {port}}}")
        ) + "\nstatus: {loadBalancer: {ingress: [{ip: 1.2.3.4}, {hostname: lb.example.com}]}}"
    );
    let addresses: Vec<&str> = balanced.external_ips.iter().map(|a| &**a).collect();
    assert_eq!(addresses, ["1.2.3.4", "lb.example.com", "9.9.9.9"]);
    let local = get!(
        Service,
        service(
            "",
            &format!("{{internalTrafficPolicy: Local, publishNotReadyAddresses: true, {port}}}")
        )
    );
    assert!(local.internal_traffic_local && local.publish_not_ready);
}

#[test]
fn protocols_are_selected() {
    for (port, want) in [
        ("name: http, port: 1", Protocol::Http),
        ("name: HTTP-web, port: 1", Protocol::Http),
        ("name: http2-x, port: 1", Protocol::Http2),
        ("name: grpc, port: 1", Protocol::Grpc),
        ("name: grpc-web-x, port: 1", Protocol::GrpcWeb),
        ("name: https-x, port: 1", Protocol::Https),
        ("name: tls, port: 1", Protocol::Tls),
        ("name: tcp-x, port: 1", Protocol::Tcp),
        ("name: mongo, port: 1", Protocol::Mongo),
        ("name: web, port: 1", Protocol::Unsupported),
        ("name: hbone, port: 1", Protocol::Unsupported),
        ("port: 1", Protocol::Unsupported),
        ("name: db, port: 3306", Protocol::Tcp),
        ("name: http, port: 3306", Protocol::Http),
        ("port: 53", Protocol::Tcp),
        ("port: 53, protocol: UDP", Protocol::Udp),
        ("name: http, port: 1, protocol: UDP", Protocol::Udp),
        ("name: tcp, port: 1, appProtocol: http", Protocol::Http),
        ("name: http, port: 1, appProtocol: tcp", Protocol::Tcp),
        (
            "name: http, port: 1, appProtocol: custom",
            Protocol::Unsupported,
        ),
        (
            "name: x, port: 1, appProtocol: kubernetes.io/h2c",
            Protocol::Http2,
        ),
        (
            "name: x, port: 1, appProtocol: kubernetes.io/ws",
            Protocol::Http,
        ),
        (
            "name: x, port: 1, appProtocol: kubernetes.io/wss",
            Protocol::Https,
        ),
        ("name: x, port: 1, appProtocol: GRPC", Protocol::Grpc),
    ] {
        let service = get!(Service, service("", &format!("{{ports: [{{{port}}}]}}")));
        assert_eq!(service.ports[0].protocol, want, "{port}");
    }
}

#[test]
fn annotations_of_services() {
    let ports = "ports: [{port: 80}]";
    let with = |key: &str, value: &str| {
        let metadata = format!("annotations: {{{key}: '{value}'}}");
        get!(Service, service(&metadata, &format!("{{{ports}}}")))
    };
    let export = |value: &str| {
        with("networking.istio.io/exportTo", value)
            .export_to
            .clone()
    };
    assert_eq!(export("*"), ExportTo::Everybody);
    assert_eq!(export("~"), ExportTo::Nobody);
    assert_eq!(
        export("., b"),
        ExportTo::Namespaces(["b".into(), "ns".into()].into())
    );
    let accounts = with("alpha.istio.io/kubernetes-serviceaccounts", "a,b")
        .service_accounts
        .clone();
    assert_eq!(
        accounts,
        [
            "spiffe://cluster.local/ns/ns/sa/a".into(),
            "spiffe://cluster.local/ns/ns/sa/b".into()
        ]
    );
    let near = with("networking.istio.io/traffic-distribution", "PreferClose");
    assert_eq!(
        near.traffic_distribution,
        Some(TrafficDistribution::PreferSameZone)
    );
    for (value, want) in [
        ("PreferSameZone", TrafficDistribution::PreferSameZone),
        ("PreferClose", TrafficDistribution::PreferSameZone),
        ("PreferSameNode", TrafficDistribution::PreferSameNode),
    ] {
        let service = get!(
            Service,
            service("", &format!("{{trafficDistribution: {value}, {ports}}}"))
        );
        assert_eq!(service.traffic_distribution, Some(want), "{value}");
    }
}

#[test]
fn slices_are_read() {
    let text = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: s-x\n  labels: \
                {kubernetes.io/service-name: s}\naddressType: IPv4\nports:\n- {name: http, port: 8080, protocol: TCP}\n- \
                {name: dns, port: 53, protocol: UDP}\nendpoints:\n- addresses: [10.0.0.1]\n  nodeName: n\n  zone: z\n  \
                targetRef: {kind: Pod, name: p}\n- addresses: [10.0.0.2]\n  conditions: {ready: false}\n- addresses: \
                [10.0.0.3]\n  conditions: {ready: false, serving: false, terminating: false}\n";
    let slice = get!(EndpointSlice, text);
    assert_eq!((&*slice.service, slice.fqdn), ("s", false));
    let ports: Vec<_> = slice
        .ports
        .iter()
        .map(|p| (&*p.name, p.number, p.tcp))
        .collect();
    assert_eq!(ports, [("http", 8080, true), ("dns", 53, false)]);
    let conditions: Vec<_> = slice
        .endpoints
        .iter()
        .map(|e| (e.ready, e.serving, e.terminating))
        .collect();
    assert_eq!(
        conditions,
        [
            (true, true, false),
            (false, true, true),
            (false, false, false)
        ]
    );
    assert_eq!(slice.endpoints[0].pod.as_deref(), Some("p"));

    let imported = text.replace(
        "labels: {",
        "labels: {multicluster.kubernetes.io/service-name: s, ",
    );
    let imported = lowered(&imported);
    assert!(imported.object.is_none());
    assert_eq!(words(&imported.diagnostics), "");
}
