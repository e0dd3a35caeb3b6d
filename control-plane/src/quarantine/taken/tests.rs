use std::sync::Arc;

use meltemi_model::{Kind, ResourceSet};
use meltemi_proto::encode;
use meltemi_proto::envoy::config::core::v3::SocketAddress;

use super::*;

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(Kind::Gateway, "ns", name)
}

fn listener(name: &str, ip: &str, port: u32, from: &str) -> Arc<Resource> {
    let socket = SocketAddress {
        address: ip.into(),
        port_specifier: Some(PortSpecifier::PortValue(port)),
        ..Default::default()
    };
    let body = encode(&Listener {
        name: name.into(),
        address: Some(Address {
            address: Some(address::Address::SocketAddress(socket)),
        }),
        ..Default::default()
    });
    let from = Arc::from([key(from)]);
    Arc::new(Resource::new(
        ResourceType::Listener,
        name.into(),
        body,
        from,
    ))
}

#[test]
fn only_addresses_count_as_taken() {
    for (ty, message, want) in [
        (
            ResourceType::Listener,
            "Error adding/updating listener(s) a: cannot bind '0.0.0.0:80': Address already in use",
            true,
        ),
        (
            ResourceType::Listener,
            "error adding listener: 'a' has duplicate address '0.0.0.0:80' as existing listener",
            true,
        ),
        (
            ResourceType::Listener,
            "Error adding/updating listener(s) a: no filter",
            false,
        ),
        (ResourceType::Cluster, "cannot bind '0.0.0.0:80'", false),
    ] {
        assert_eq!(is_taken(ty, message), want, "{message}");
    }
}

#[test]
fn neighbours_share_a_port() {
    let refused = listener("a", "0.0.0.0", 80, "mine");
    let all = [
        refused.clone(),
        listener("b", "10.0.0.1", 80, "neighbour"),
        listener("c", "0.0.0.0", 81, "stranger"),
    ];
    let snapshot = ProxySnapshot::new(
        1,
        ResourceType::ALL.map(|ty| {
            let of_type = all.iter().filter(|r| r.ty == ty).cloned();
            Arc::new(ResourceSet::new(ty, of_type))
        }),
    );
    assert_eq!(neighbours(&snapshot, &refused), [key("neighbour")]);
    assert!(has_address_of(
        &listener("x", "0.0.0.0", 80, "other"),
        &refused
    ));
    assert!(!has_address_of(&all[1], &refused));
}

#[test]
fn tries_become_rarer_and_end_when_all_is_well() {
    let mut retries = Retries::default();
    let mut now = Instant::now();
    assert_eq!(retries.next(), None);
    let keys = BTreeSet::from([key("a")]);
    for seconds in [5, 10, 20, 40, 80, 160, 300, 300] {
        retries.note(&keys, now);
        let due = now + Duration::from_secs(seconds);
        assert_eq!(retries.next(), Some(due));
        assert!(retries.take_due(now, |_| true).is_empty());
        now = due;
        assert_eq!(retries.take_due(now, |_| true), keys);
    }
    // Nobody refuses it any more.
    let last = retries.next().expect("a look back");
    assert!(retries.take_due(last, |_| false).is_empty());
    assert_eq!(retries.next(), None);
}
