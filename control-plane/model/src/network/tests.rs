use super::*;
use crate::testing::labels;

fn gateway(network: &str, cluster: &str, address: &str, port: u16) -> NetworkGateway {
    NetworkGateway {
        network: network.into(),
        cluster: cluster.into(),
        address: address.into(),
        port,
        hbone_port: 0,
    }
}

#[test]
fn weights_can_be_divided_among_the_gateways_of_every_network_and_cluster() {
    let many = |network: &str, cluster: &str, count: u8| -> Vec<NetworkGateway> {
        let one = |i| gateway(network, cluster, &format!("{network}{cluster}{i}"), 15443);
        (0..count).map(one).collect()
    };
    for (gateways, want) in [
        (vec![], 1),
        (many("a", "", 1), 1),
        (many("a", "", 3), 3),
        ([many("a", "", 2), many("b", "", 3)].concat(), 6),
        ([many("a", "x", 2), many("a", "y", 1)].concat(), 6),
        ([many("a", "", 4), many("b", "", 6)].concat(), 12),
        // The same one twice is one.
        ([many("a", "", 1), many("a", "", 1)].concat(), 1),
    ] {
        assert_eq!(
            NetworkGateways::new(gateways.clone()).factor(),
            want,
            "{gateways:?}"
        );
    }
}

#[test]
fn gateways_of_the_endpoints_cluster_come_first_and_hbone_is_left_out() {
    let all = NetworkGateways::new(vec![
        gateway("a", "x", "10.0.0.2", 15443),
        gateway("a", "y", "10.0.0.1", 15443),
        gateway("b", "x", "10.0.0.3", 0),
    ]);
    for (network, cluster, want) in [
        ("a", "x", &["10.0.0.2"][..]),
        ("a", "z", &["10.0.0.1", "10.0.0.2"]),
        ("b", "x", &[]),
        ("", "x", &[]),
    ] {
        let found: Vec<&str> = all
            .of(network, cluster)
            .iter()
            .map(|g| &*g.address)
            .collect();
        assert_eq!(found, want, "{network} {cluster}");
    }
}

#[test]
fn the_nearest_word_on_a_network_counts() {
    let cidrs = vec![
        ("10.0.0.0/8".parse().unwrap(), "wide".into()),
        ("10.1.0.0/16".parse().unwrap(), "narrow".into()),
        ("fd00::/8".parse().unwrap(), "six".into()),
    ];
    let by_address = Places {
        cidrs,
        ..Places::default()
    };
    let by_registry = Places {
        registry: Some("registry".into()),
        ..by_address.clone()
    };
    let by_namespace = Places {
        cluster: Some("namespace".into()),
        ..by_registry.clone()
    };
    for (places, address, own, want) in [
        (&by_address, "10.1.0.1", "", "wide"),
        (&by_address, "fd00::1", "", "six"),
        (&by_address, "192.0.2.1", "", ""),
        (&by_address, "a.example.com", "", ""),
        (&by_registry, "10.1.0.1", "", "registry"),
        (&by_namespace, "10.1.0.1", "", "namespace"),
        (
            &by_namespace,
            "10.1.0.1",
            "topology.istio.io/network=label",
            "label",
        ),
    ] {
        assert_eq!(
            &*places.of(address, &labels(own)),
            want,
            "{address} {own:?}"
        );
    }
}
