use meltemi_model::mesh::Mesh;
use meltemi_model::service::{Service, TrafficDistribution};
use meltemi_model::testing::service;
use meltemi_model::traffic::{LoadBalancer, LocalityLb, OutlierDetection, PortPolicy};

use super::*;

const NETWORK: &str = "topology.istio.io/network";

/// One line for each group: `priority locality *weight: addresses`.
fn shown(balance: &Balance, endpoints: &[Endpoint]) -> Vec<String> {
    let set = set(endpoints.iter().cloned());
    groups(&choice(), &set, balance)
        .iter()
        .map(|g| {
            let addresses: Vec<_> = g.endpoints.iter().map(|e| &*e.address).collect();
            let locality = g.locality.to_string();
            format!(
                "{} {locality} *{}: {}",
                g.priority,
                g.weight,
                addresses.join(" ")
            )
        })
        .collect()
}

fn weighing(weight: u32, locality: &str, address: &str) -> Endpoint {
    Endpoint {
        weight,
        ..at(locality, address)
    }
}

fn labelled(text: &str, locality: &str, address: &str) -> Endpoint {
    Endpoint {
        labels: labels(text),
        ..at(locality, address)
    }
}

fn pairs<T: Copy + Into<Str>>(list: &[(T, T)]) -> Vec<(Str, Str)> {
    list.iter()
        .map(|(a, b)| ((*a).into(), (*b).into()))
        .collect()
}

fn shares(list: &[(&str, u32)]) -> Balance {
    Balance::Distribute(
        list.iter()
            .map(|(to, share)| ((*to).into(), *share))
            .collect(),
    )
}

fn failover(here: &str, regions: &[(&str, &str)]) -> Balance {
    Balance::Failover(Locality::parse(here), pairs(regions), !regions.is_empty())
}

#[test]
fn endpoints_are_grouped_by_locality_with_the_sum_of_their_weights() {
    let endpoints = [
        weighing(2, "r2/z1", "10.0.0.1"),
        weighing(3, "r1/z1", "10.0.0.2"),
        weighing(4, "r2/z1", "10.0.0.3"),
    ];
    for balance in [Balance::None, Balance::Weighted] {
        let want = ["0 r1/z1 *3: 10.0.0.2", "0 r2/z1 *6: 10.0.0.1 10.0.0.3"];
        assert_eq!(shown(&balance, &endpoints), want, "{balance:?}");
    }
    let heavy = [u32::MAX, 1].map(|weight| weighing(weight, "r1", "10.0.0.1"));
    let want = [format!("0 r1 *{}: 10.0.0.1 10.0.0.1", u32::MAX)];
    assert_eq!(shown(&Balance::None, &heavy), want);
}

#[test]
fn shares_are_divided_among_the_localities_that_they_name() {
    let endpoints = [
        weighing(1, "r1/z1/s1", "10.0.0.1"),
        weighing(2, "r1/z2/s1", "10.0.0.2"),
        weighing(1, "r2/z1/s1", "10.0.0.3"),
    ];
    for (name, to, want) in [
        (
            "one share each",
            shares(&[("r1/z1/s1", 60), ("r1/z2/s1", 30), ("r2/z1/s1", 10)]),
            [
                "0 r1/z1/s1 *60: 10.0.0.1",
                "0 r1/z2/s1 *30: 10.0.0.2",
                "0 r2/z1/s1 *10: 10.0.0.3",
            ],
        ),
        (
            "a wildcard's share is divided by weight, rounding up",
            shares(&[("r1/*", 80), ("r2/*", 20)]),
            [
                "0 r1/z1/s1 *27: 10.0.0.1",
                "0 r1/z2/s1 *54: 10.0.0.2",
                "0 r2/z1/s1 *20: 10.0.0.3",
            ],
        ),
        (
            "a region stands for all of it, and for what no share names there is nothing",
            shares(&[("r1", 100)]),
            [
                "0 r1/z1/s1 *34: 10.0.0.1",
                "0 r1/z2/s1 *67: 10.0.0.2",
                "0 r2/z1/s1 *1: ",
            ],
        ),
        (
            "the first share that names a locality has it",
            shares(&[("*/z1/*", 40), ("*", 60)]),
            [
                "0 r1/z1/s1 *20: 10.0.0.1",
                "0 r1/z2/s1 *60: 10.0.0.2",
                "0 r2/z1/s1 *20: 10.0.0.3",
            ],
        ),
        (
            "a share of nothing leaves the weight",
            shares(&[("r1/z1/*", 0), ("*", 100)]),
            [
                "0 r1/z1/s1 *1: 10.0.0.1",
                "0 r1/z2/s1 *67: 10.0.0.2",
                "0 r2/z1/s1 *34: 10.0.0.3",
            ],
        ),
    ] {
        assert_eq!(shown(&to, &endpoints), want, "{name}");
    }
}

#[test]
fn near_localities_come_first() {
    let endpoints = [
        at("r1/z1/s1", "10.0.0.1"),
        at("r1/z1/s2", "10.0.0.2"),
        at("r1/z2/s1", "10.0.0.3"),
        at("r2/z1/s1", "10.0.0.4"),
        at("r3/z1/s1", "10.0.0.5"),
    ];
    for (here, regions, want) in [
        ("r1/z1/s1", &[][..], [0, 1, 2, 3, 3]),
        ("r1/z1/s1", &[("r1", "r3")], [0, 1, 2, 4, 3]),
        ("r1/z1/s1", &[("r2", "r3")], [0, 1, 2, 3, 3]),
        ("r1/z2/s1", &[], [1, 1, 0, 2, 2]),
        ("r1/z3/s1", &[], [0, 0, 0, 1, 1]),
        ("r4/z1/s1", &[("r4", "r2")], [1, 1, 1, 0, 1]),
        ("r4/z1/s1", &[], [0, 0, 0, 0, 0]),
        ("", &[], [0, 0, 0, 0, 0]),
    ] {
        let lines = shown(&failover(here, regions), &endpoints);
        let priorities: Vec<u32> = lines.iter().map(|l| l[..1].parse().unwrap()).collect();
        assert_eq!(priorities, want, "{here} {regions:?}");
    }
}

#[test]
fn labels_in_common_come_first() {
    let plain = [
        labelled("a=1,b=1", "r1", "10.0.0.1"),
        labelled("a=1,b=2", "r1", "10.0.0.2"),
        labelled("a=2,b=1", "r2", "10.0.0.3"),
        labelled("b=1", "r2", "10.0.0.4"),
        labelled("a=1,b=1", "r2", "10.0.0.5"),
    ];
    let networks = [
        labelled("topology.istio.io/network=n1,b=1", "r1", "10.0.0.1"),
        labelled("topology.istio.io/network=n1,b=2", "r1", "10.0.0.2"),
        labelled("topology.istio.io/network=n2,b=1", "r1", "10.0.0.3"),
        labelled("topology.istio.io/network=n2,b=2", "r1", "10.0.0.4"),
    ];
    for (name, endpoints, wanted, then, want) in [
        (
            "the first label that differs decides",
            &plain[..],
            &[("a", "1"), ("b", "1")][..],
            None,
            vec![
                "0 r1 *1: 10.0.0.1",
                "1 r1 *1: 10.0.0.2",
                "0 r2 *1: 10.0.0.5",
                "2 r2 *2: 10.0.0.3 10.0.0.4",
            ],
        ),
        (
            "priorities without endpoints leave no gap",
            &plain[..2],
            &[("c", "1"), ("a", "1"), ("b", "1")],
            None,
            vec!["0 r1 *2: 10.0.0.1 10.0.0.2"],
        ),
        (
            "a label that both lack is in common",
            &plain[3..4],
            &[("a", "")],
            None,
            vec!["0 r2 *1: 10.0.0.4"],
        ),
        (
            "all of another network come after all of this one",
            &networks,
            &[(NETWORK, "n1"), ("b", "1")],
            None,
            vec![
                "0 r1 *1: 10.0.0.1",
                "1 r1 *1: 10.0.0.2",
                "2 r1 *1: 10.0.0.3",
                "3 r1 *1: 10.0.0.4",
            ],
        ),
        (
            "the network is a label like others where it is not the first",
            &networks,
            &[("b", "1"), (NETWORK, "n1")],
            None,
            vec![
                "0 r1 *1: 10.0.0.1",
                "1 r1 *1: 10.0.0.3",
                "2 r1 *2: 10.0.0.2 10.0.0.4",
            ],
        ),
        (
            "then by region",
            &plain,
            &[("a", "1")],
            Some(("r2", "r1")),
            vec![
                "1 r1 *2: 10.0.0.1 10.0.0.2",
                "0 r2 *1: 10.0.0.5",
                "2 r2 *2: 10.0.0.3 10.0.0.4",
            ],
        ),
    ] {
        let then = then.map(|(here, to)| (Locality::parse(here), pairs(&[(here, to)])));
        let balance = Balance::Priority(pairs(wanted), then);
        assert_eq!(shown(&balance, endpoints), want, "{name}");
    }
}

fn settings() -> LocalityLb {
    LocalityLb::default()
}

fn by_rule(locality: Option<LocalityLb>, outlier: bool) -> Effective {
    Effective {
        port: PortPolicy {
            load_balancer: locality.map(|locality| LoadBalancer {
                locality: Some(locality),
                ..LoadBalancer::default()
            }),
            outlier_detection: outlier.then(OutlierDetection::default),
            ..PortPolicy::default()
        },
        ..Effective::default()
    }
}

#[test]
fn the_settings_that_hold() {
    let here = Locality::parse("r1/z1");
    let distribute = LocalityLb {
        distribute: vec![
            ("r2/*".into(), vec![("r2/*".into(), 100)]),
            (
                "r1/*".into(),
                vec![("r1/*".into(), 90), ("r2/*".into(), 10)],
            ),
        ],
        ..settings()
    };
    let regions = LocalityLb {
        failover: pairs(&[("r1", "r2")]),
        ..settings()
    };
    let priority = LocalityLb {
        failover_priority: vec!["app".into(), "missing".into(), "tier=gold".into()],
        ..settings()
    };
    let off = LocalityLb {
        enabled: Some(false),
        ..distribute.clone()
    };
    let elsewhere = LocalityLb {
        distribute: distribute.distribute[..1].to_vec(),
        ..settings()
    };
    let near = || Balance::Failover(here.clone(), Vec::new(), false);
    let to_r2 = || Balance::Failover(here.clone(), pairs(&[("r1", "r2")]), true);
    let by_labels = Balance::Priority(
        pairs(&[("app", "a"), ("missing", ""), ("tier", "gold")]),
        None,
    );
    for (name, rule, outlier, mesh, want) in [
        ("nothing", None, false, settings(), Balance::None),
        (
            "outlier detection brings failover",
            None,
            true,
            settings(),
            near(),
        ),
        (
            "failover needs it",
            Some(regions.clone()),
            false,
            settings(),
            Balance::None,
        ),
        (
            "by the rule",
            Some(regions.clone()),
            true,
            settings(),
            to_r2(),
        ),
        ("by the mesh", None, true, regions.clone(), to_r2()),
        (
            "the rule's replace the mesh's",
            Some(settings()),
            true,
            regions.clone(),
            near(),
        ),
        (
            "turned off",
            Some(off.clone()),
            true,
            regions.clone(),
            Balance::None,
        ),
        ("turned off for the mesh", None, true, off, Balance::None),
        (
            "shares need no outlier detection",
            Some(distribute.clone()),
            false,
            settings(),
            shares(&[("r1/*", 90), ("r2/*", 10)]),
        ),
        (
            "shares from elsewhere",
            Some(elsewhere),
            true,
            settings(),
            Balance::Weighted,
        ),
        ("labels", Some(priority), true, settings(), by_labels),
    ] {
        let mesh = Mesh {
            locality_lb: mesh,
            ..Mesh::default()
        };
        let place = (&here, &labels("app=a"));
        let found = Balance::of(
            &by_rule(rule, outlier),
            &service("a", &[]),
            &mesh,
            Some(place),
        );
        assert_eq!(found, want, "{name}");
    }
}

#[test]
fn without_a_place_only_the_clusters_own_fields_are_decided() {
    let regions = LocalityLb {
        failover: pairs(&[("r1", "r2")]),
        ..settings()
    };
    let distribute = LocalityLb {
        distribute: vec![("*".into(), vec![("*".into(), 100)])],
        ..settings()
    };
    for (name, rule, outlier, want) in [
        ("near first", None, true, Balance::None),
        ("regions", Some(regions.clone()), true, Balance::Weighted),
        (
            "regions without outlier detection",
            Some(regions),
            false,
            Balance::None,
        ),
        ("shares", Some(distribute), false, Balance::Weighted),
    ] {
        let policy = by_rule(rule, outlier);
        let found = Balance::of(&policy, &service("a", &[]), &Mesh::default(), None);
        assert_eq!(found, want, "{name}");
    }
}

#[test]
fn a_service_may_prefer_near_endpoints() {
    let here = Locality::parse("r1/z1");
    let place = labels("topology.kubernetes.io/region=r1,kubernetes.io/hostname=node1");
    for (distribution, last) in [
        (TrafficDistribution::Any, None),
        (
            TrafficDistribution::PreferSameZone,
            Some(("topology.kubernetes.io/zone", "")),
        ),
        (
            TrafficDistribution::PreferSameNode,
            Some(("kubernetes.io/hostname", "node1")),
        ),
    ] {
        let service = Service {
            traffic_distribution: distribution,
            ..service("a", &[])
        };
        let policy = Effective::default();
        let found = Balance::of(&policy, &service, &Mesh::default(), Some((&here, &place)));
        let Some((label, value)) = last else {
            assert_eq!(found, Balance::None);
            continue;
        };
        let Balance::Priority(labels, None) = found else {
            panic!("{distribution:?}: {found:?}");
        };
        assert_eq!(*labels[0].0, *NETWORK);
        assert_eq!(labels.last(), Some(&(label.into(), value.into())));
    }
}

#[test]
fn the_cluster_weighs_localities_where_the_settings_do() {
    let labels = || pairs(&[("app", "a")]);
    for (balance, want) in [
        (Balance::None, false),
        (Balance::Weighted, true),
        (shares(&[("*", 100)]), true),
        (failover("r1", &[]), false),
        (failover("r1", &[("r1", "r2")]), true),
        (Balance::Priority(labels(), None), true),
    ] {
        assert_eq!(balance.weighs_localities(), want, "{balance:?}");
    }
}
