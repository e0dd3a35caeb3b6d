use meltemi_model::testing::endpoint;
use meltemi_model::traffic::TlsMode;
use meltemi_model::workload::EndpointSet;

use super::*;
use crate::endpoint::balance::Balance;
use crate::endpoint::with_groups;

fn gateway(network: &str, address: &str) -> NetworkGateway {
    NetworkGateway {
        network: network.into(),
        cluster: "".into(),
        address: address.into(),
        port: 15443,
        hbone_port: 0,
    }
}

/// Network `b` has two gateways, `c` has one; nobody knows how `d` is entered.
fn gateways() -> Shared<NetworkGateways> {
    Shared::new(NetworkGateways::new(vec![
        gateway("b", "203.0.113.2"),
        gateway("b", "203.0.113.1"),
        gateway("c", "fd00::1"),
    ]))
}

fn horizon(network: &str) -> Horizon {
    Horizon {
        network: network.into(),
        view: Vec::new(),
        cluster: None,
        ip_mode: IpMode::Dual,
        gateways: gateways(),
    }
}

/// With mutual TLS, in a network, at `r1`.
fn at(network: &str, address: &str) -> Endpoint {
    Endpoint {
        network: network.into(),
        mtls: true,
        locality: Locality::parse("r1"),
        ..endpoint(address, 8080)
    }
}

fn choice() -> Choice {
    Choice {
        port: "http".into(),
        subset: Labels::default(),
        node: None,
        unhealthy: false,
        tls: None,
        names: false,
        only_mtls: false,
    }
}

/// Each locality with its weight and its endpoints: `address:port*weight`.
fn seen(horizon: Option<&Horizon>, choice: &Choice, endpoints: Vec<Endpoint>) -> Vec<String> {
    let list = endpoints.into_iter().map(Shared::new).collect();
    let set = EndpointSet {
        ports: vec![("http".into(), list)],
    };
    with_groups(choice, &set, horizon, &Balance::None, |groups| {
        let shown = groups.iter().map(|group| {
            let list = group.endpoints.iter();
            let list = list.map(|e| format!("{}:{}*{}", e.address, e.port, e.weight));
            let list: Vec<String> = list.collect();
            format!("{} {} {}", group.locality, group.weight, list.join(" "))
        });
        shown.collect()
    })
}

#[test]
fn endpoints_of_other_networks_are_behind_their_gateways() {
    for (name, network, endpoints, want) in [
        (
            "one's own network and those that are not known",
            "a",
            vec![at("a", "10.0.0.1"), at("", "10.0.0.2")],
            "r1 4 10.0.0.1:8080*2 10.0.0.2:8080*2",
        ),
        (
            "two gateways share the weight of what is behind them",
            "a",
            vec![
                at("b", "10.0.0.1"),
                at("b", "10.0.0.2"),
                at("a", "10.0.0.3"),
            ],
            "r1 6 10.0.0.3:8080*2 203.0.113.1:15443*2 203.0.113.2:15443*2",
        ),
        (
            "a proxy that does not say where it is takes gateways wherever there are some",
            "",
            vec![at("c", "10.0.0.1"), at("", "10.0.0.2")],
            "r1 4 10.0.0.2:8080*2 fd00::1:15443*2",
        ),
        (
            "a network without gateways is taken to be near",
            "a",
            vec![at("d", "10.0.0.1")],
            "r1 2 10.0.0.1:8080*2",
        ),
        (
            "an address is not needed behind a gateway, but elsewhere it is",
            "a",
            vec![at("c", ""), at("a", ""), at("d", "")],
            "r1 2 fd00::1:15443*2",
        ),
        (
            "without mutual TLS no gateway finds the way",
            "a",
            vec![
                Endpoint {
                    mtls: false,
                    ..at("c", "10.0.0.1")
                },
                Endpoint {
                    mtls_disabled: true,
                    ..at("c", "10.0.0.2")
                },
            ],
            "r1 0 ",
        ),
    ] {
        let found = seen(Some(&horizon(network)), &choice(), endpoints);
        assert_eq!(found, [want], "{name}");
    }
}

#[test]
fn rules_decide_about_mutual_tls_first() {
    let of = |tls| Choice { tls, ..choice() };
    for (tls, want) in [
        (None, "r1 2 fd00::1:15443*2"),
        (Some(TlsMode::IstioMutual), "r1 2 fd00::1:15443*2"),
        (Some(TlsMode::Disable), "r1 0 "),
        (Some(TlsMode::Simple), "r1 0 "),
    ] {
        let found = seen(Some(&horizon("a")), &of(tls), vec![at("c", "10.0.0.1")]);
        assert_eq!(found, [want], "{tls:?}");
    }
}

#[test]
fn gateways_of_the_proxys_families_are_reached() {
    let all = || vec![at("b", "10.0.0.1"), at("c", "10.0.0.2")];
    for (ip_mode, want) in [
        (IpMode::V4, "r1 2 203.0.113.1:15443*1 203.0.113.2:15443*1"),
        (IpMode::V6, "r1 2 fd00::1:15443*2"),
        (
            IpMode::Dual,
            "r1 4 203.0.113.1:15443*1 203.0.113.2:15443*1 fd00::1:15443*2",
        ),
    ] {
        let horizon = Horizon {
            ip_mode,
            ..horizon("a")
        };
        assert_eq!(
            seen(Some(&horizon), &choice(), all()),
            [want],
            "{ip_mode:?}"
        );
    }
}

#[test]
fn a_view_and_a_cluster_limit_what_is_seen_without_gateways_too() {
    let none = Horizon {
        gateways: Shared::default(),
        ..horizon("a")
    };
    let view = Horizon {
        view: vec!["a".into()],
        ..none.clone()
    };
    let cluster = Horizon {
        cluster: Some("other".into()),
        ..none.clone()
    };
    let all = || vec![at("a", "10.0.0.1"), at("b", "10.0.0.2"), at("", "10.0.0.3")];
    for (horizon, want) in [
        (
            Some(&none),
            &["r1 3 10.0.0.1:8080*1 10.0.0.2:8080*1 10.0.0.3:8080*1"][..],
        ),
        (
            None,
            &["r1 3 10.0.0.1:8080*1 10.0.0.2:8080*1 10.0.0.3:8080*1"],
        ),
        (Some(&view), &["r1 2 10.0.0.1:8080*1 10.0.0.3:8080*1"]),
        (Some(&cluster), &[]),
    ] {
        assert_eq!(seen(horizon, &choice(), all()), want, "{horizon:?}");
    }
}

#[test]
fn a_gateway_stands_in_every_locality_whose_endpoints_it_leads_to() {
    let elsewhere = Endpoint {
        locality: Locality::parse("r2"),
        ..at("c", "10.0.0.2")
    };
    let found = seen(
        Some(&horizon("a")),
        &choice(),
        vec![at("c", "10.0.0.1"), elsewhere],
    );
    assert_eq!(found, ["r1 2 fd00::1:15443*2", "r2 2 fd00::1:15443*2"]);
}

#[test]
fn weights_do_not_overflow() {
    let heavy = || Endpoint {
        weight: u32::MAX,
        ..at("c", "10.0.0.1")
    };
    let found = seen(Some(&horizon("a")), &choice(), vec![heavy(), heavy()]);
    assert_eq!(found, [format!("r1 {0} fd00::1:15443*{0}", u32::MAX)]);
}

#[test]
fn a_gateway_is_written_as_istiod_writes_it() {
    let list = vec![Shared::new(at("c", "10.0.0.1"))];
    let input = crate::endpoint::EndpointInput {
        endpoints: Shared::new(EndpointSet {
            ports: vec![("http".into(), list)],
        }),
        choice: choice(),
        horizon: Some(Shared::new(horizon("a"))),
        ..crate::endpoint::EndpointInput::none(&"c".into())
    };
    let built = crate::Input::build(&input);
    let found = meltemi_proto::pool::message_to_json(
        "envoy.config.endpoint.v3.ClusterLoadAssignment",
        &built.body,
    );
    let want = serde_json::json!({
        "cluster_name": "c",
        "endpoints": [{
            "lb_endpoints": [{
                "endpoint": {"address": {"socket_address": {
                    "address": "fd00::1", "port_value": 15443,
                }}},
                "load_balancing_weight": 2,
                "metadata": {"filter_metadata": {
                    "envoy.transport_socket_match": {"tlsMode": "istio"},
                    "istio": {"workload": ";;;;"},
                }},
            }],
            "load_balancing_weight": 2,
            "locality": {"region": "r1"},
        }],
    });
    assert_eq!(found.unwrap(), want);
}
