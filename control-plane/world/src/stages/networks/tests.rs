use meltemi_model::Object;
use meltemi_model::network::Network;
use meltemi_model::port::Protocol;
use meltemi_model::testing::{kube_service, labels, meta, node};
use meltemi_model::workload::{Namespace, Node};

use super::*;
use crate::fixtures::world;

const PORTS: &[(u16, Protocol)] = &[(80, Protocol::Http), (15443, Protocol::Tls)];

/// The Service `edge` of `istio-system` with these labels, at the addresses of its load balancer.
fn edge(text: &str, addresses: &[&str]) -> KubeService {
    let mut service = kube_service("istio-system", "edge", PORTS);
    service.meta.labels = labels(text);
    service.external_ips = addresses.iter().map(|a| Str::from(*a)).collect();
    service
}

fn network(name: &str, cidrs: &[&str], registries: &[&str], gateways: &[&str]) -> Network {
    let gateway = |text: &&str| match text.strip_prefix("service:") {
        Some(name) => (GatewayAt::Service(meltemi_model::Hostname::new(name)), 80),
        None => (GatewayAt::Address((*text).into()), 15443),
    };
    Network {
        name: name.into(),
        cidrs: cidrs.iter().map(|c| c.parse().unwrap()).collect(),
        registries: registries.iter().map(|r| Str::from(*r)).collect(),
        gateways: gateways.iter().map(gateway).collect(),
    }
}

fn in_mesh(networks: Vec<Network>) -> Object {
    let mesh = Mesh {
        networks: Some(MeshNetworks { networks }),
        ..Mesh::default()
    };
    mesh.into()
}

fn fact(key: ObjectKey, fact: NetworkFact) -> Object {
    Object::Network(key, Shared::new(fact))
}

/// `network cluster address:port`, with `+hbone`.
fn shown(gateways: &NetworkGateways) -> Vec<String> {
    let show = |g: &NetworkGateway| {
        let hbone = if g.hbone_port == 0 { "" } else { "+hbone" };
        format!(
            "{} {} {}:{}{hbone}",
            g.network, g.cluster, g.address, g.port
        )
    };
    gateways.all().iter().map(show).collect()
}

#[test]
fn labelled_services_are_gateways_of_their_network() {
    let label = "topology.istio.io/network=n";
    let at_80 = "topology.istio.io/network=n,networking.istio.io/gatewayPort=80";
    let nowhere = "topology.istio.io/network=n,networking.istio.io/gatewayPort=81";
    let wrong = "topology.istio.io/network=n,networking.istio.io/gatewayPort=x";
    let mut hbone = edge(label, &["203.0.113.1"]);
    hbone.ports.retain(|p| p.number != 15443);
    hbone.ports[0].number = 15008;
    for (service, want, says) in [
        (
            edge(label, &["203.0.113.1"]),
            "n Kubernetes 203.0.113.1:15443",
            "",
        ),
        (
            edge(at_80, &["203.0.113.1"]),
            "n Kubernetes 203.0.113.1:80",
            "",
        ),
        (
            edge(wrong, &["203.0.113.1"]),
            "n Kubernetes 203.0.113.1:15443",
            "\"x\" is not a port",
        ),
        (
            edge(nowhere, &["203.0.113.1"]),
            "",
            "neither port 81 nor port 15008",
        ),
        (hbone, "n Kubernetes 203.0.113.1:0+hbone", ""),
        (edge(label, &[]), "", ""),
        (edge("", &["203.0.113.1"]), "", ""),
    ] {
        let world = world([service.into()]);
        assert_eq!(shown(&world.networks.gateways).join(" "), want);
        let found = world.networks.diagnostics.iter();
        let found: Vec<String> = found.map(ToString::to_string).collect();
        assert_eq!(found.is_empty(), says.is_empty(), "{found:?}");
        assert!(found.join(" ").contains(says), "{found:?}");
    }
}

#[test]
fn node_ports_are_reached_at_the_addresses_of_selected_nodes() {
    let at = |name: &str, pool: &str, ip: Option<&str>| {
        let mut node = node(name, "r1");
        node.meta.labels = labels(&format!("pool={pool}"));
        Object::from(Node {
            external_addresses: ip.into_iter().map(Str::from).collect(),
            ..node
        })
    };
    let mut service = edge("topology.istio.io/network=n", &[]);
    service.ports[1].node_port = 31443;
    let select = |selector: Option<&str>| {
        let mut service = service.clone();
        service.node_selector = selector.map(labels);
        let nodes = [
            at("n1", "edge", Some("198.51.100.1")),
            at("n2", "work", Some("198.51.100.2")),
            at("n3", "edge", None),
        ];
        let objects = nodes.into_iter().chain([service.into()]);
        shown(&world(objects).networks.gateways)
    };
    assert_eq!(
        select(Some("pool=edge")),
        ["n Kubernetes 198.51.100.1:31443"]
    );
    assert_eq!(select(Some("")).len(), 2);
    assert_eq!(select(None), Vec::<String>::new());
}

#[test]
fn configured_gateways_have_addresses_or_are_services_of_the_own_cluster() {
    let host = "service:edge.istio-system.svc.cluster.local";
    for (networks, want) in [
        (
            vec![network("n", &[], &[], &["203.0.113.9"])],
            &["n  203.0.113.9:15443"][..],
        ),
        (
            vec![network("n", &[], &["Kubernetes"], &[host])],
            &["n Kubernetes 203.0.113.1:80"],
        ),
        // Whose cluster it is, is not known.
        (vec![network("n", &[], &["other"], &[host])], &[]),
    ] {
        let world = world([in_mesh(networks), edge("", &["203.0.113.1"]).into()]);
        assert_eq!(shown(&world.networks.gateways), want);
    }
}

#[test]
fn host_names_count_once_they_are_resolved() {
    let named = || edge("topology.istio.io/network=n", &["lb.example.com"]);
    let resolved = |ips: &[&str]| {
        let ips = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        fact(resolved_key("lb.example.com"), NetworkFact::Resolved(ips))
    };
    let unresolved = world([named().into()]);
    assert_eq!(&*unresolved.networks.names()[0], "lb.example.com");
    assert!(unresolved.networks.gateways.is_empty());
    assert_eq!(
        shown(&unresolved.networks.unresolved),
        ["n Kubernetes lb.example.com:15443"]
    );
    assert!(
        unresolved.networks.diagnostics[0]
            .message
            .contains("not used")
    );

    let known = world([named().into(), resolved(&["203.0.113.2", "203.0.113.1"])]);
    assert_eq!(
        shown(&known.networks.gateways),
        [
            "n Kubernetes 203.0.113.1:15443",
            "n Kubernetes 203.0.113.2:15443"
        ]
    );
    assert!(known.networks.diagnostics.is_empty());

    let off = Mesh {
        resolve_gateways: false,
        ..Mesh::default()
    };
    let off = world([off.into(), named().into(), resolved(&["203.0.113.1"])]);
    assert!(off.networks.gateways.is_empty());
    assert!(
        off.networks.diagnostics[0]
            .message
            .contains("RESOLVE_HOSTNAME_GATEWAYS")
    );
}

#[test]
fn the_places_of_endpoints() {
    let mut system = meta(Kind::Namespace, "", "istio-system");
    system.labels = labels("topology.istio.io/network=label");
    let system = || {
        Object::Namespace(Shared::new(Namespace {
            meta: system.clone(),
        }))
    };
    let wide = || network("wide", &["10.0.0.0/8"], &["Kubernetes"], &[]);
    let narrow = || {
        network(
            "narrow",
            &["10.1.0.0/16", "10.0.0.0/8"],
            &["Kubernetes"],
            &[],
        )
    };
    let world = world([system(), in_mesh(vec![narrow(), wide()])]);
    let networks = &world.networks;
    assert_eq!(networks.places.cluster.as_deref(), Some("label"));
    assert_eq!(networks.places.registry.as_deref(), Some("narrow"));
    let cidrs: Vec<String> = networks
        .places
        .cidrs
        .iter()
        .map(|(block, network)| format!("{block} {network}"))
        .collect();
    assert_eq!(cidrs, ["10.0.0.0/8 narrow", "10.1.0.0/16 narrow"]);
    assert_eq!(networks.diagnostics.len(), 2, "{:?}", networks.diagnostics);
}

#[test]
fn the_file_counts_where_the_mesh_configuration_names_no_networks() {
    let file = || {
        let networks = vec![network("file", &[], &[], &["203.0.113.1"])];
        let key = ObjectKey::new(Kind::Network, "", "meshNetworks");
        fact(key, NetworkFact::Configured(MeshNetworks { networks }))
    };
    let only_file = world([file()]);
    assert_eq!(
        shown(&only_file.networks.gateways),
        ["file  203.0.113.1:15443"]
    );
    let both = world([file(), in_mesh(Vec::new())]);
    assert!(both.networks.gateways.is_empty());
}
