//! Endpoints of Kubernetes Services.

use super::*;

fn a() -> Object {
    kube_service("ns", "a", HTTP).into()
}

fn a_slice(endpoint: SliceEndpoint) -> Object {
    slice("ns", "a", "x", vec![endpoint]).into()
}

fn a_1() -> Pod {
    pod("ns", "a-1", "10.0.0.1")
}

fn of_a_1() -> SliceEndpoint {
    slice_endpoint("10.0.0.1", Some("a-1"))
}

#[test]
fn slices_tell_addresses_and_ports() {
    let udp = SlicePort {
        name: "dns".into(),
        number: 53,
        tcp: false,
    };
    let plain = || slice("ns", "a", "x", vec![of_a_1()]);
    let mut with_udp = plain();
    with_udp.ports.push(udp);
    let dual = SliceEndpoint {
        addresses: vec!["10.0.0.1".into(), "10.0.0.9".into()],
        ..of_a_1()
    };
    let elsewhere = EndpointSlice {
        meta: slice("other", "a", "x", Vec::new()).meta,
        ..plain()
    };
    let names = EndpointSlice {
        fqdn: true,
        ..plain()
    };
    let moving = slice("ns", "a", "y", vec![of_a_1()]);
    let stranger = a_slice(slice_endpoint("10.9.9.9", None));
    let one = vec!["p80 10.0.0.1:8080 Healthy"];
    let by_pod = vec!["p80 10.0.0.1:80 Healthy"];
    let both = vec!["p80 10.0.0.1:8080 Healthy", "p80 10.0.0.9:8080 Healthy"];
    let pod = || Object::from(a_1());
    for (name, objects, want) in [
        ("a pod", vec![pod(), plain().into()], one.clone()),
        ("UDP is left out", vec![pod(), with_udp.into()], one.clone()),
        ("the pod was not read yet", vec![plain().into()], vec![]),
        (
            "no pod at all",
            vec![stranger],
            vec!["p80 10.9.9.9:8080 Healthy"],
        ),
        ("several addresses", vec![pod(), a_slice(dual)], both),
        (
            "an address stands in two slices while it moves",
            vec![pod(), plain().into(), moving.into()],
            one,
        ),
        (
            "an empty slice hides pods",
            vec![pod(), slice("ns", "a", "x", vec![]).into()],
            vec![],
        ),
        (
            "a slice of another namespace does not",
            vec![pod(), elsewhere.into()],
            by_pod.clone(),
        ),
        ("nor one of names", vec![pod(), names.into()], by_pod),
    ] {
        let world = world(objects.into_iter().chain([a()]));
        assert_eq!(shown(&world, "a.ns"), want, "{name}");
    }
}

#[test]
fn health() {
    use Health::{Healthy, Terminating, Unhealthy};
    // (ready, terminating, health, the Service publishes what is not ready).
    for (ready, terminating, want, publish_not_ready) in [
        (true, false, Healthy, false),
        (false, false, Unhealthy, false),
        (false, true, Terminating, false),
        (true, false, Healthy, true),
        (false, false, Healthy, true),
        (false, true, Healthy, true),
    ] {
        let service = KubeService {
            publish_not_ready,
            ..kube_service("ns", "a", HTTP)
        };
        let endpoint = SliceEndpoint {
            ready,
            terminating,
            ..of_a_1()
        };
        let pod = Pod {
            ready,
            terminating,
            ..a_1()
        };
        let by_slice = world([service.clone().into(), a_1().into(), a_slice(endpoint)]);
        let by_pod = world([service.into(), pod.into()]);
        for world in [by_slice, by_pod] {
            let name = format!("{ready} {terminating} {publish_not_ready}");
            assert_eq!(only(&world, "a.ns").health, want, "{name}");
        }
    }
}

#[test]
fn without_slices_the_selector_finds_pods() {
    let named = |target: &str| {
        let mut service = kube_service("ns", "a", HTTP);
        service.ports[0].target = TargetPort::Name(target.into());
        service
    };
    let with_ports = || Pod {
        ports: vec![("web".into(), 8080)],
        ..a_1()
    };
    let finished = Pod {
        finished: true,
        ..a_1()
    };
    let no_selector = KubeService {
        selector: Labels::default(),
        ..kube_service("ns", "a", HTTP)
    };
    let plain = || kube_service("ns", "a", HTTP);
    let udp = kube_service("ns", "a", &[(53, Protocol::Udp), (80, Protocol::Http)]);
    let at_80 = vec!["p80 10.0.0.1:80 Healthy"];
    let at_8080 = vec!["p80 10.0.0.1:8080 Healthy"];
    for (name, service, pod, want) in [
        ("a number", plain(), a_1(), at_80.clone()),
        ("a name", named("web"), with_ports(), at_8080),
        (
            "a name that the pod does not have",
            named("other"),
            with_ports(),
            vec![],
        ),
        ("UDP is left out", udp, a_1(), at_80),
        ("other labels", plain(), labelled(a_1(), "app=b"), vec![]),
        (
            "another namespace",
            plain(),
            pod("other", "a-1", "10.0.0.1"),
            vec![],
        ),
        ("no address yet", plain(), pod("ns", "a-1", ""), vec![]),
        ("finished", plain(), finished, vec![]),
        ("no selector selects nothing", no_selector, a_1(), vec![]),
    ] {
        let world = world([service.into(), pod.into()]);
        assert_eq!(shown(&world, "a.ns"), want, "{name}");
    }
}

#[test]
fn what_a_pod_tells_of_an_endpoint() {
    let own = "app=a,security.istio.io/tlsMode=istio,topology.istio.io/network=net";
    let full = Pod {
        node: "n1".into(),
        service_account: "robot".into(),
        subdomain: "sub".into(),
        workload: "deploy".into(),
        ..labelled(a_1(), own)
    };
    let named = Pod {
        hostname: "host".into(),
        ..full.clone()
    };
    let by_address = slice_endpoint("10.0.0.1", None);
    for (pod, endpoint, hostname) in [(full, of_a_1(), "a-1.sub"), (named, by_address, "host.sub")]
    {
        let world = world([
            a(),
            node("n1", "r1/z1").into(),
            pod.into(),
            a_slice(endpoint),
        ]);
        let topology = "topology.kubernetes.io/region=r1,topology.kubernetes.io/zone=z1,\
             topology.istio.io/cluster=Kubernetes,kubernetes.io/hostname=n1";
        let want = Endpoint {
            address: "10.0.0.1".into(),
            more_addresses: Vec::new(),
            port: 8080,
            labels: labels(&format!("{own},{topology}")),
            identity: "spiffe://cluster.local/ns/ns/sa/robot".into(),
            network: "net".into(),
            cluster: "Kubernetes".into(),
            locality: Locality::parse("r1/z1"),
            weight: 1,
            mtls: true,
            mtls_disabled: false,
            workload: "deploy".into(),
            namespace: "ns".into(),
            health: Health::Healthy,
            hostname: hostname.into(),
            node: "n1".into(),
        };
        assert_eq!(*only(&world, "a.ns"), want);
    }
}

#[test]
fn a_pod_of_both_families_is_one_endpoint_where_both_are_served() {
    let both = ["10.0.0.1", "fd00::1"];
    let pod = |ips: &[&str]| Pod {
        ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
        ..a_1()
    };
    let service = |ips: &[&str]| KubeService {
        cluster_ips: ips.iter().map(|ip| Str::from(*ip)).collect(),
        ..kube_service("ns", "a", HTTP)
    };
    let pair = &["10.96.0.1", "fd00:96::1"][..];
    let apart = vec!["10.0.0.1", "fd00::1"];
    // (flag, addresses of the Service and of the pod, whether the slices refer to it, endpoints).
    type Row<'a> = (bool, &'a [&'a str], &'a [&'a str], bool, Vec<&'a str>);
    let table: [Row<'_>; 5] = [
        (true, pair, &both, true, vec!["10.0.0.1+fd00::1"]),
        (false, pair, &both, true, apart.clone()),
        (true, &pair[..1], &both, true, apart.clone()),
        (true, pair, &both[..1], true, apart.clone()),
        (true, pair, &both, false, apart),
    ];
    for (dual_stack, cluster_ips, ips, refers, want) in table {
        let mesh = Mesh {
            dual_stack,
            ..Mesh::default()
        };
        let endpoint = |address| slice_endpoint(address, refers.then_some("a-1"));
        let world = world([
            mesh.into(),
            service(cluster_ips).into(),
            pod(ips).into(),
            slice("ns", "a", "x", vec![endpoint("10.0.0.1")]).into(),
            slice("ns", "a", "y", vec![endpoint("fd00::1")]).into(),
        ]);
        let key = world.endpoints.iter().next().unwrap().0.clone();
        let found = world.endpoints[&key].set.port("p80").iter();
        let found = found.map(|e| e.addresses().map(|a| &**a).collect::<Vec<_>>().join("+"));
        let found: Vec<String> = found.collect();
        assert_eq!(found, want, "{dual_stack} {cluster_ips:?} {ips:?} {refers}");
    }
}

#[test]
fn an_endpoint_without_a_pod_is_an_address_and_no_more() {
    let world = world([a(), a_slice(slice_endpoint("10.9.9.9", None))]);
    let found = only(&world, "a.ns");
    assert_eq!(
        (&*found.identity, &*found.workload, found.mtls),
        ("", "", false)
    );
    assert_eq!(found.labels, labels("topology.istio.io/cluster=Kubernetes"));
}

#[test]
fn a_slice_without_references_has_the_pods_of_its_namespace() {
    let written = || a_slice(slice_endpoint("10.0.0.1", None));
    let of_host = Pod {
        host_network: true,
        ..a_1()
    };
    for (name, pod, want) in [
        ("a pod", a_1(), true),
        ("one of the host network", of_host, true),
        (
            "another namespace's",
            pod("other", "b-1", "10.0.0.1"),
            false,
        ),
    ] {
        let world = world([a(), pod.into(), written()]);
        let identity = &*only(&world, "a.ns").identity;
        assert_eq!(!identity.is_empty(), want, "{name} {identity}");
    }
}

#[test]
fn an_address_has_one_port_of_a_name() {
    // The target port of a Service changed, and one slice is not written anew yet.
    let mut newer = slice("ns", "a", "y", vec![of_a_1()]);
    newer.ports[0].number = 9090;
    let world = world([a(), a_1().into(), a_slice(of_a_1()), newer.into()]);
    assert_eq!(shown(&world, "a.ns"), ["p80 10.0.0.1:8080 Healthy"]);
}

#[test]
fn a_pod_that_comes_after_its_slice_completes_it() {
    let before = world([a(), a_slice(of_a_1())]);
    assert_eq!(shown(&before, "a.ns"), Vec::<String>::new());
    let after = after(&before, [Change::Apply(a_1().into())]);
    assert_eq!(shown(&after, "a.ns"), ["p80 10.0.0.1:8080 Healthy"]);
}

#[test]
fn a_pod_may_serve_several_services_and_its_address_be_the_hosts() {
    let of_host = Pod {
        host_network: true,
        ..a_1()
    };
    let second = slice("ns", "b", "z", vec![of_a_1()]);
    let world = world([
        a(),
        kube_service("ns", "b", HTTP).into(),
        of_host.into(),
        a_slice(of_a_1()),
        second.into(),
    ]);
    for service in ["a.ns", "b.ns"] {
        let found = only(&world, service);
        assert_eq!(
            (&*found.address, found.port),
            ("10.0.0.1", 8080),
            "{service}"
        );
        assert!(!found.identity.is_empty(), "{service}");
    }
}

#[test]
fn workload_entries_join_the_pods_that_a_service_selects() {
    let with_port = |name: &str, address: &str, ports: &[(&str, u16)]| {
        let mut entry = workload_entry("ns", name, address);
        entry.spec.ports = ports.iter().map(|(n, p)| (Str::from(*n), *p)).collect();
        entry
    };
    let target = |target| {
        let mut service = kube_service("ns", "a", HTTP);
        service.ports[0].target = target;
        service
    };
    let number = || target(TargetPort::Number(8080));
    let name = || target(TargetPort::Name("web".into()));
    let ip = "10.0.1.1";
    for (what, service, entry, want) in [
        (
            "the target port",
            number(),
            with_port("a-vm", ip, &[]),
            Some(8080),
        ),
        (
            "its own of the service port's name",
            number(),
            with_port("a-vm", ip, &[("p80", 9090)]),
            Some(9090),
        ),
        (
            "its own of the target's name",
            name(),
            with_port("a-vm", ip, &[("web", 9091)]),
            Some(9091),
        ),
        (
            "the service port, where it has no such",
            name(),
            with_port("a-vm", ip, &[]),
            Some(80),
        ),
        ("other labels", number(), with_port("b-vm", ip, &[]), None),
        (
            "a name is no address",
            number(),
            with_port("a-vm", "vm.example.com", &[]),
            None,
        ),
    ] {
        let world = world([service.into(), entry.into()]);
        let want = want.map(|port: u16| format!("p80 {ip}:{port} Unknown"));
        assert_eq!(shown(&world, "a.ns"), Vec::from_iter(want), "{what}");
    }
}

#[test]
fn identities_of_all_endpoints_and_of_the_service_count_at_every_port() {
    let service = KubeService {
        service_accounts: vec!["spiffe://z".into()],
        ..kube_service("ns", "a", &[(80, Protocol::Http), (81, Protocol::Http)])
    };
    let by = |name, ip, account: &str| {
        Object::from(Pod {
            service_account: account.into(),
            ..pod("ns", name, ip)
        })
    };
    let mesh = Mesh {
        trust_domain: "td@x".into(),
        ..Mesh::default()
    };
    let world = world([
        service.into(),
        by("a-1", "10.0.0.1", "two"),
        by("a-2", "10.0.0.2", ""),
        by("a-3", "10.0.0.3", "two"),
        mesh.into(),
    ]);
    let all: Vec<Str> = [
        "spiffe://td.x/ns/ns/sa/default",
        "spiffe://td.x/ns/ns/sa/two",
        "spiffe://z",
    ]
    .map(Str::from)
    .into();
    let want = vec![("p80".into(), all.clone()), ("p81".into(), all)];
    assert_eq!(*world.endpoints[&key("a.ns")].identities, want);
}

#[test]
fn an_external_name_has_no_endpoints_of_its_own() {
    let alias = KubeService {
        external_name: Some(Hostname::new("b.com")),
        ..kube_service("ns", "a", HTTP)
    };
    let world = world([alias.into(), a_1().into()]);
    assert!(world.endpoints.is_empty());
}

#[test]
fn the_network_of_an_endpoint() {
    use meltemi_model::Shared;
    use meltemi_model::network::{MeshNetworks, Network};
    use meltemi_model::testing::meta;
    use meltemi_model::workload::Namespace;

    let in_mesh = |cidrs: &[&str], registries: &[&str]| {
        let network = Network {
            name: "configured".into(),
            cidrs: cidrs.iter().map(|c| c.parse().unwrap()).collect(),
            registries: registries.iter().map(|r| Str::from(*r)).collect(),
            gateways: Vec::new(),
        };
        let mesh = Mesh {
            networks: Some(MeshNetworks {
                networks: vec![network],
            }),
            ..Mesh::default()
        };
        Object::from(mesh)
    };
    let mut system = meta(Kind::Namespace, "", "istio-system");
    system.labels = labels("topology.istio.io/network=cluster");
    let system = Object::Namespace(Shared::new(Namespace { meta: system }));
    let own = labelled(a_1(), "app=a,topology.istio.io/network=own");
    for (name, pod, more, want) in [
        ("nobody says", a_1(), vec![], ""),
        (
            "by address",
            a_1(),
            vec![in_mesh(&["10.0.0.0/24"], &[])],
            "configured",
        ),
        (
            "another block",
            a_1(),
            vec![in_mesh(&["10.9.0.0/24"], &[])],
            "",
        ),
        (
            "by cluster",
            a_1(),
            vec![in_mesh(&[], &["Kubernetes"])],
            "configured",
        ),
        (
            "the namespace of the control plane",
            a_1(),
            vec![system.clone(), in_mesh(&[], &["Kubernetes"])],
            "cluster",
        ),
        ("the pod's own", own, vec![system], "own"),
    ] {
        let objects = [a(), a_slice(of_a_1()), pod.into()];
        let world = world(objects.into_iter().chain(more));
        let endpoint = only(&world, "a.ns");
        assert_eq!(&*endpoint.network, want, "{name}");
        let label = endpoint.labels.get("topology.istio.io/network");
        assert_eq!(label.map_or("", |l| l), want, "{name}");
    }
}
