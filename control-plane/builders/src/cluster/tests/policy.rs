use std::time::Duration;

use meltemi_model::traffic::{
    Algorithm, ClientTls, LoadBalancer, OutlierDetection, RetryBudget, TlsMode,
};

use super::*;

/// A policy that is told from others by `max_connections`, and by which blocks it has.
fn pool(max_connections: i32) -> PortPolicy {
    PortPolicy {
        connection_pool: Some(ConnectionPool {
            max_connections,
            ..ConnectionPool::default()
        }),
        ..PortPolicy::default()
    }
}

fn with_tls(mode: TlsMode) -> PortPolicy {
    PortPolicy {
        tls: Some(ClientTls {
            mode,
            ..ClientTls::default()
        }),
        ..PortPolicy::default()
    }
}

fn everything(max_connections: i32) -> PortPolicy {
    PortPolicy {
        load_balancer: Some(LoadBalancer {
            algorithm: Some(Algorithm::Random),
            ..LoadBalancer::default()
        }),
        outlier_detection: Some(OutlierDetection::default()),
        ..PortPolicy {
            tls: with_tls(TlsMode::Simple).tls,
            ..pool(max_connections)
        }
    }
}

/// What is there, in one line.
fn shown(effective: &Effective) -> String {
    let port = &effective.port;
    let blocks = [
        port.load_balancer.as_ref().map(|_| "lb".to_owned()),
        port.connection_pool
            .as_ref()
            .map(|p| format!("pool {}", p.max_connections)),
        port.outlier_detection
            .as_ref()
            .map(|_| "outlier".to_owned()),
        port.tls.as_ref().map(|t| format!("tls {:?}", t.mode)),
        effective.proxy_protocol.map(|v| format!("proxy {v}")),
        effective
            .retry_budget
            .as_ref()
            .map(|b| format!("budget {}", b.min_concurrency)),
    ];
    blocks.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[test]
fn port_subset_and_mesh_lie_over_one_another() {
    let per_port = |all: PortPolicy, own: PortPolicy| TrafficPolicy {
        all,
        ports: vec![(80, own)],
        ..TrafficPolicy::default()
    };
    let extras = |all: PortPolicy, proxy: u8, budget: u32| TrafficPolicy {
        all,
        proxy_protocol: Some(proxy),
        retry_budget: Some(RetryBudget {
            percent: None,
            min_concurrency: budget,
            interval: None,
        }),
        ..TrafficPolicy::default()
    };
    let plain = Mesh::default();
    let defaults = Mesh {
        default_connection_pool: pool(9).connection_pool,
        default_outlier_detection: Some(OutlierDetection::default()),
        ..Mesh::default()
    };
    let all = |policy| Some(for_all_ports(policy));
    // (name, policy of the host, policy of the subset, mesh, what holds at port 80 of the subset).
    for (name, host, subset_policy, mesh, want) in [
        ("nothing", None, None, &plain, ""),
        (
            "the host's",
            all(everything(1)),
            None,
            &plain,
            "lb, pool 1, outlier, tls Simple",
        ),
        ("the mesh's", None, None, &defaults, "pool 9, outlier"),
        (
            "a block of the host replaces the mesh's",
            all(pool(1)),
            None,
            &defaults,
            "pool 1, outlier",
        ),
        (
            "a port inherits nothing from its host",
            Some(per_port(everything(1), pool(2))),
            None,
            &plain,
            "pool 2",
        ),
        (
            "but the mesh's",
            Some(per_port(everything(1), with_tls(TlsMode::Mutual))),
            None,
            &defaults,
            "pool 9, outlier, tls Mutual",
        ),
        (
            "a subset replaces block by block",
            all(everything(1)),
            all(pool(3)),
            &plain,
            "lb, pool 3, outlier, tls Simple",
        ),
        (
            "a subset over the mesh's",
            None,
            all(pool(3)),
            &defaults,
            "pool 3, outlier",
        ),
        (
            "a subset's port replaces all blocks, even with nothing",
            all(everything(1)),
            Some(per_port(everything(3), pool(4))),
            &defaults,
            "pool 4",
        ),
        (
            "what cannot be set per port goes with the host's",
            Some(extras(pool(1), 1, 5)),
            None,
            &plain,
            "pool 1, proxy 1, budget 5",
        ),
        (
            "a subset's replaces it",
            Some(extras(pool(1), 1, 5)),
            Some(extras(PortPolicy::default(), 2, 6)),
            &plain,
            "pool 1, proxy 2, budget 6",
        ),
        (
            "a subset's port leaves it",
            Some(extras(pool(1), 1, 5)),
            Some(per_port(PortPolicy::default(), pool(4))),
            &plain,
            "pool 4, proxy 1, budget 5",
        ),
    ] {
        let rule = rule(host, vec![subset("v1", "version=v1", subset_policy)]);
        let found = effective(Some(&rule), "v1", 80, mesh);
        assert_eq!(shown(&found), want, "{name}");
    }
}

#[test]
fn a_subset_and_a_port_count_only_for_their_own_cluster() {
    let host = TrafficPolicy {
        ports: vec![(81, pool(2))],
        ..for_all_ports(pool(1))
    };
    let rule = rule(
        Some(host),
        vec![
            subset("v1", "", Some(for_all_ports(pool(3)))),
            subset("", "", None),
        ],
    );
    for (name, port, want) in [
        ("", 80, "pool 1"),
        ("", 81, "pool 2"),
        ("v1", 80, "pool 3"),
        ("v2", 80, "pool 1"),
    ] {
        let found = effective(Some(&rule), name, port, &Mesh::default());
        assert_eq!(shown(&found), want, "{name:?} {port}");
    }
    assert_eq!(
        effective(None, "v1", 80, &Mesh::default()),
        Effective::default()
    );
}

#[test]
fn a_retry_budget_has_istios_defaults() {
    let budget = |percent, min_concurrency, interval| {
        let policy = TrafficPolicy {
            retry_budget: Some(RetryBudget {
                percent,
                min_concurrency,
                interval,
            }),
            ..TrafficPolicy::default()
        };
        json_of_outbound(outbound(Protocol::Http, Some(policy)))
    };
    let place = "/circuit_breakers/thresholds/0/retry_budget";
    let share = meltemi_model::routing::PerMillion(125_000);
    for (cluster, want) in [
        (
            budget(None, 0, None),
            json!({"budget_percent": {"value": 20.0}, "min_retry_concurrency": 3}),
        ),
        (
            budget(Some(share), 7, Some(Duration::from_millis(1500))),
            json!({"budget_percent": {"value": 12.5}, "min_retry_concurrency": 7, "budget_interval": "1.500s"}),
        ),
    ] {
        check("retry budget", &cluster, &json!({place: want}));
    }
}
