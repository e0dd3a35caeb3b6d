//! The direct writer against the general encoder.

use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::config::endpoint::v3 as pb;
use meltemi_proto::google::protobuf::{Struct, Value, value::Kind};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::uint32;

/// What the writer writes, built the slow way.
fn message(input: &EndpointInput) -> pb::ClusterLoadAssignment {
    let choice = &input.choice;
    let groups = groups(choice, &input.endpoints, &input.balance);
    let group = |group: &super::super::balance::Group<'_>| pb::LocalityLbEndpoints {
        locality: Some(core::Locality {
            region: group.locality.region.to_string(),
            zone: group.locality.zone.to_string(),
            sub_zone: group.locality.subzone.to_string(),
        }),
        lb_endpoints: group
            .endpoints
            .iter()
            .map(|e| lb_endpoint(e, choice.tls))
            .collect(),
        load_balancing_weight: Some(uint32(group.weight)),
        priority: group.priority,
        ..Default::default()
    };
    pb::ClusterLoadAssignment {
        cluster_name: input.cluster.to_string(),
        endpoints: groups.iter().map(group).collect(),
        ..Default::default()
    }
}

fn socket(endpoint: &Endpoint, address: &str) -> core::Address {
    let address = if endpoint.port == 0 && address.starts_with(['/', '@']) {
        core::address::Address::Pipe(core::Pipe {
            path: address.to_owned(),
            ..Default::default()
        })
    } else {
        let port = core::socket_address::PortSpecifier::PortValue(endpoint.port.into());
        core::address::Address::SocketAddress(core::SocketAddress {
            address: address.to_owned(),
            port_specifier: Some(port),
            ..Default::default()
        })
    };
    core::Address {
        address: Some(address),
    }
}

fn lb_endpoint(endpoint: &Endpoint, rule: Option<TlsMode>) -> pb::LbEndpoint {
    let additional = |address: &Str| pb::endpoint::AdditionalAddress {
        address: Some(socket(endpoint, address)),
    };
    let host = pb::Endpoint {
        address: Some(socket(endpoint, &endpoint.address)),
        additional_addresses: endpoint.more_addresses.iter().map(additional).collect(),
        ..Default::default()
    };
    let health = match endpoint.health {
        Health::Unknown => core::HealthStatus::Unknown,
        Health::Healthy => core::HealthStatus::Healthy,
        Health::Unhealthy => core::HealthStatus::Unhealthy,
        Health::Draining | Health::Terminating => unreachable!("never taken"),
    };
    let mut filter_metadata = vec![("istio", "workload", workload(endpoint))];
    let told = match rule {
        Some(mode) => mode == TlsMode::IstioMutual,
        None => !endpoint.mtls_disabled,
    };
    if endpoint.mtls && told {
        let key = "envoy.transport_socket_match";
        filter_metadata.push((key, "tlsMode", "istio".to_owned()));
    }
    let field = |(key, name, text): (&str, &str, String)| {
        let value = Value {
            kind: Some(Kind::StringValue(text)),
        };
        let fields = [(name.to_owned(), value)].into_iter().collect();
        (key.to_owned(), Struct { fields })
    };
    pb::LbEndpoint {
        host_identifier: Some(pb::lb_endpoint::HostIdentifier::Endpoint(host)),
        health_status: health.into(),
        metadata: Some(core::Metadata {
            filter_metadata: filter_metadata.into_iter().map(field).collect(),
            ..Default::default()
        }),
        load_balancing_weight: Some(uint32(endpoint.weight)),
    }
}

fn workload(endpoint: &Endpoint) -> String {
    let label = |key| endpoint.labels.get(key).map(|v| v.to_string());
    let service = label("service.istio.io/canonical-name")
        .or_else(|| label("app.kubernetes.io/name"))
        .or_else(|| label("app"))
        .unwrap_or_else(|| endpoint.workload.to_string());
    let revision = label("service.istio.io/canonical-revision")
        .or_else(|| label("app.kubernetes.io/version"))
        .or_else(|| label("version"));
    let revision = match revision.as_deref() {
        None | Some("latest") => "",
        Some(revision) => revision,
    };
    [
        &endpoint.workload,
        &endpoint.namespace,
        &*service,
        revision,
        &endpoint.cluster,
    ]
    .map(str::to_owned)
    .join(";")
}

fn addresses() -> impl Strategy<Value = (&'static str, u16)> {
    prop_oneof![
        (
            select(vec!["10.0.0.1", "fd00::1", "::ffff:10.0.0.1"]),
            any::<u16>()
        ),
        (select(vec!["db.example.com", "*.odd"]), any::<u16>()),
        (
            select(vec!["/run/a.sock", "@abstract"]),
            prop_oneof![Just(0), any::<u16>()]
        ),
    ]
}

fn some_labels() -> impl Strategy<Value = Labels> {
    let keys = select(vec![
        "service.istio.io/canonical-name",
        "service.istio.io/canonical-revision",
        "app.kubernetes.io/name",
        "app.kubernetes.io/version",
        "app",
        "version",
        "topology.istio.io/network",
    ]);
    let values = select(vec!["", "a", "v1", "latest", "größer"]);
    proptest::collection::vec((keys, values), 0..5).prop_map(|pairs| pairs.into_iter().collect())
}

fn localities() -> impl Strategy<Value = Locality> {
    select(vec!["", "r1", "r1/z1", "r1/z1/s1", "r2//s2", "r2/z1/s1"]).prop_map(Locality::parse)
}

prop_compose! {
    fn endpoints()(
        (address, port) in addresses(),
        labels in some_labels(),
        locality in localities(),
        weight in prop_oneof![1..4_u32, 1..=u32::MAX],
        health in select(vec![
            Health::Unknown, Health::Healthy, Health::Unhealthy, Health::Draining, Health::Terminating,
        ]),
        mtls in any::<bool>(),
        mtls_disabled in any::<bool>(),
        // Longer than 127 bytes, so that lengths take two bytes on the wire.
        workload in prop_oneof![Just(String::new()), Just("w".to_owned()), Just("long".repeat(40))],
        namespace in select(vec!["", "default"]),
        more in select(vec![vec![], vec!["fd00::1"], vec!["fd00::1", "10.9.9.9"]]),
    ) -> Endpoint {
        Endpoint {
            more_addresses: more.into_iter().map(Str::from).collect(),
            labels, locality, weight, health, mtls, mtls_disabled,
            workload: workload.into(),
            namespace: namespace.into(),
            ..endpoint(address, port)
        }
    }
}

fn modes() -> impl Strategy<Value = Option<TlsMode>> {
    let modes = vec![
        TlsMode::Disable,
        TlsMode::Simple,
        TlsMode::Mutual,
        TlsMode::IstioMutual,
    ];
    proptest::option::of(select(modes))
}

fn balances() -> impl Strategy<Value = Balance> {
    let here = || Locality::parse("r1/z1/s1");
    let priority = vec![
        ("topology.istio.io/network".into(), "a".into()),
        ("version".into(), "v1".into()),
    ];
    select(vec![
        Balance::None,
        Balance::Weighted,
        Balance::Distribute(vec![("r1/*".into(), 30), ("r2".into(), 70)]),
        Balance::Failover(here(), vec![("r1".into(), "r2".into())], true),
        Balance::Priority(priority, None),
    ])
}

prop_compose! {
    fn inputs()(
        list in proptest::collection::vec(endpoints(), 0..12),
        tls in modes(),
        balance in balances(),
        unhealthy in any::<bool>(),
        names in any::<bool>(),
    ) -> EndpointInput {
        let choice = Choice { tls, unhealthy, names, ..choice() };
        EndpointInput { balance, ..input(choice, set(list)) }
    }
}

/// The same rows, none of which was ever written.
fn afresh(input: &EndpointInput) -> EndpointInput {
    let rows = input.endpoints.port("http").iter().map(|e| (**e).clone());
    EndpointInput {
        endpoints: Shared::new(set(rows)),
        ..input.clone()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn direct_bytes_are_those_of_the_general_encoder(input in inputs()) {
        prop_assert_eq!(input.build().body, meltemi_proto::encode(&message(&input)));
    }

    #[test]
    fn kept_encodings_do_not_change_the_bytes(
        input in inputs(),
        others in proptest::collection::vec((modes(), balances()), 1..4),
    ) {
        for (tls, balance) in others {
            let choice = Choice { tls, ..input.choice.clone() };
            let other = EndpointInput { choice, balance, ..input.clone() };
            prop_assert_eq!(other.build().body, afresh(&other).build().body);
        }
        prop_assert_eq!(input.build().body, afresh(&input).build().body);
    }
}
