use super::*;

fn everything() -> EndpointSet {
    let base = |address| endpoint(address, 8080);
    let health = |address, health| Endpoint {
        health,
        ..base(address)
    };
    set([
        Endpoint {
            labels: labels("app=a,version=v1"),
            node: "n1".into(),
            mtls: true,
            ..base("10.0.0.1")
        },
        Endpoint {
            labels: labels("app=a,version=v2"),
            node: "n2".into(),
            ..base("10.0.0.2")
        },
        Endpoint {
            mtls: true,
            mtls_disabled: true,
            health: Health::Unknown,
            ..base("10.0.0.3")
        },
        health("10.0.0.4", Health::Unhealthy),
        health("10.0.0.5", Health::Draining),
        health("10.0.0.6", Health::Terminating),
        base("db.example.com"),
        endpoint("/run/a.sock", 0),
        base(""),
    ])
}

#[test]
fn a_cluster_has_the_endpoints_that_its_choice_takes() {
    let always = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "/run/a.sock"];
    for (name, choice, want) in [
        ("all", choice(), always.to_vec()),
        (
            "another port",
            Choice {
                port: "grpc".into(),
                ..choice()
            },
            vec![],
        ),
        (
            "a subset",
            Choice {
                subset: labels("version=v2"),
                ..choice()
            },
            vec!["10.0.0.2"],
        ),
        (
            "one node",
            Choice {
                node: Some("n1".into()),
                ..choice()
            },
            vec!["10.0.0.1"],
        ),
        (
            "those that are not ready too",
            Choice {
                unhealthy: true,
                ..choice()
            },
            [&always[..3], &["10.0.0.4"], &always[3..]].concat(),
        ),
        (
            "host names too",
            Choice {
                names: true,
                ..choice()
            },
            [&always[..3], &["db.example.com"], &always[3..]].concat(),
        ),
        (
            "mutual TLS only",
            Choice {
                only_mtls: true,
                ..choice()
            },
            vec!["10.0.0.1"],
        ),
        (
            "mutual TLS only, where a rule asks for it",
            Choice {
                only_mtls: true,
                tls: Some(TlsMode::IstioMutual),
                ..choice()
            },
            vec!["10.0.0.1", "10.0.0.3"],
        ),
        (
            "mutual TLS only, where a rule turns it off",
            Choice {
                only_mtls: true,
                tls: Some(TlsMode::Disable),
                ..choice()
            },
            vec![],
        ),
    ] {
        let set = everything();
        let groups = groups(&choice, &set, &Balance::None);
        let taken: Vec<_> = groups
            .iter()
            .flat_map(|g| &g.endpoints)
            .map(|e| &*e.address)
            .collect();
        assert_eq!(taken, want, "{name}");
    }
}
