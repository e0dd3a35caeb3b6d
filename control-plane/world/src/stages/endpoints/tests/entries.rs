//! Endpoints of ServiceEntries.

use super::*;

fn resolved(resolution: Resolution, endpoints: Vec<WorkloadEntrySpec>) -> ServiceEntry {
    ServiceEntry {
        resolution,
        endpoints,
        ..service_entry("default", "b.com", HTTP)
    }
}

fn with_target(mut entry: ServiceEntry, target: u16) -> ServiceEntry {
    entry.ports[0].target = target;
    entry
}

fn with_port(spec: WorkloadEntrySpec, name: &str, port: u16) -> WorkloadEntrySpec {
    WorkloadEntrySpec {
        ports: vec![(name.into(), port)],
        ..spec
    }
}

#[test]
fn inline_endpoints() {
    use Resolution::{ClientSideLb, Dns, DnsRoundRobin};
    let ip = || workload("10.0.1.1");
    let eds = |spec| resolved(ClientSideLb, vec![spec]);
    for (name, entry, want) in [
        (
            "the host itself is resolved",
            resolved(Dns, vec![]),
            vec!["b.com:80"],
        ),
        (
            "at the target port",
            with_target(resolved(DnsRoundRobin, vec![]), 8080),
            vec!["b.com:8080"],
        ),
        ("but not for EDS", resolved(ClientSideLb, vec![]), vec![]),
        (
            "a name",
            resolved(Dns, vec![workload("c.com")]),
            vec!["c.com:80"],
        ),
        (
            "an address at its own port",
            with_target(eds(with_port(ip(), "p80", 9090)), 8080),
            vec!["10.0.1.1:9090"],
        ),
        (
            "an address at the target port",
            with_target(eds(with_port(ip(), "other", 9090)), 8080),
            vec!["10.0.1.1:8080"],
        ),
        (
            "a port 0 is none",
            eds(with_port(ip(), "p80", 0)),
            vec!["10.0.1.1:80"],
        ),
        (
            "a socket",
            eds(workload("unix:///run/b.sock")),
            vec!["/run/b.sock:0"],
        ),
        (
            "an address twice is two endpoints",
            resolved(ClientSideLb, vec![ip(), ip()]),
            vec!["10.0.1.1:80", "10.0.1.1:80"],
        ),
    ] {
        let world = world([entry.into()]);
        let want: Vec<_> = want.iter().map(|at| format!("p80 {at} Unknown")).collect();
        assert_eq!(shown(&world, "b.com"), want, "{name}");
    }
}

#[test]
fn a_selector_finds_pods_and_workload_entries() {
    use Resolution::{ClientSideLb, Dns};
    let selecting = |resolution, target| {
        let entry = ServiceEntry {
            workload_selector: Some(labels("app=b")),
            ..resolved(resolution, Vec::new())
        };
        Object::from(with_target(entry, target))
    };
    let b_1 = || pod("default", "b-1", "10.0.0.1");
    let unready = Pod {
        ready: false,
        ..b_1()
    };
    let elsewhere = pod("other", "b-1", "10.0.0.1");
    let vm = |address| Object::from(workload_entry("default", "b-vm", address));
    let unhealthy = |address| {
        Object::from(WorkloadEntry {
            unhealthy: true,
            ..workload_entry("default", "b-vm", address)
        })
    };
    for (name, entry, object, want) in [
        (
            "a pod",
            selecting(ClientSideLb, 0),
            b_1().into(),
            Some("10.0.0.1:80 Healthy"),
        ),
        (
            "at the target port",
            selecting(ClientSideLb, 8080),
            b_1().into(),
            Some("10.0.0.1:8080 Healthy"),
        ),
        (
            "a pod that is not ready",
            selecting(ClientSideLb, 0),
            unready.into(),
            None,
        ),
        (
            "a pod elsewhere",
            selecting(ClientSideLb, 0),
            elsewhere.into(),
            None,
        ),
        (
            "a WorkloadEntry",
            selecting(ClientSideLb, 8080),
            vm("10.0.1.1"),
            Some("10.0.1.1:8080 Unknown"),
        ),
        (
            "one that is not healthy",
            selecting(ClientSideLb, 8080),
            unhealthy("10.0.1.1"),
            None,
        ),
        (
            "one that is not healthy, for DNS",
            selecting(Dns, 0),
            unhealthy("vm.com"),
            None,
        ),
        (
            "with a name, not for EDS",
            selecting(ClientSideLb, 0),
            vm("vm.com"),
            None,
        ),
        (
            "with a name, for DNS",
            selecting(Dns, 0),
            vm("vm.com"),
            Some("vm.com:80 Unknown"),
        ),
        (
            "nothing, not even the host",
            selecting(Dns, 0),
            node("n1", "").into(),
            None,
        ),
    ] {
        let world = world([entry, object]);
        let want = want.map(|at| format!("p80 {at}"));
        assert_eq!(shown(&world, "b.com"), Vec::from_iter(want), "{name}");
    }
}

#[test]
fn what_a_workload_entry_tells_of_an_endpoint() {
    let with_labels = |text: &str| WorkloadEntrySpec {
        labels: labels(text),
        ..workload("10.0.1.1")
    };
    let account = |spec: WorkloadEntrySpec| WorkloadEntrySpec {
        service_account: "robot".into(),
        ..spec
    };
    let own = WorkloadEntrySpec {
        network: "own".into(),
        locality: Locality::parse("own/z"),
        weight: 7,
        ..with_labels("topology.istio.io/network=label,istio-locality=label")
    };
    let by_label = with_labels("topology.istio.io/network=label,istio-locality=r.z");
    let with_slash = with_labels("topology.istio.io/locality=r/z.1");
    let robot = "spiffe://cluster.local/ns/default/sa/robot";
    let tls = |mode: &str| with_labels(&format!("security.istio.io/tlsMode={mode}"));
    // (spec, weight, mutual TLS, identity, network, locality).
    for (spec, weight, mtls, identity, network, locality) in [
        (with_labels(""), 1, false, "", "", ""),
        (own, 7, false, "", "own", "own/z"),
        // Istio 1.31: only the field says the network; the label stays a label.
        (by_label, 1, false, "", "", "r/z"),
        (with_slash, 1, false, "", "", "r/z.1"),
        (account(with_labels("")), 1, true, robot, "", ""),
        (account(tls("disabled")), 1, false, robot, "", ""),
        (tls("istio"), 1, true, "", "", ""),
    ] {
        let name = format!("{spec:?}");
        let world = world([resolved(Resolution::ClientSideLb, vec![spec]).into()]);
        let e = only(&world, "b.com");
        assert_eq!((e.weight, e.mtls), (weight, mtls), "{name}");
        assert_eq!((&*e.identity, &*e.network), (identity, network), "{name}");
        assert_eq!(e.locality, Locality::parse(locality), "{name}");
        assert_eq!((&*e.workload, &*e.namespace), ("b-0", "default"), "{name}");
    }
}

#[test]
fn a_host_that_both_registries_declare_has_the_endpoints_of_both() {
    let entry = ServiceEntry {
        hosts: vec![Hostname::new("a.default.svc.cluster.local")],
        ..resolved(Resolution::ClientSideLb, vec![workload("10.0.1.1")])
    };
    let world = world([
        kube_service("default", "a", HTTP).into(),
        pod("default", "a-1", "10.0.0.1").into(),
        entry.into(),
    ]);
    let mut found = shown(&world, "a.default");
    found.sort();
    assert_eq!(
        found,
        ["p80 10.0.0.1:80 Healthy", "p80 10.0.1.1:80 Unknown"]
    );
}
