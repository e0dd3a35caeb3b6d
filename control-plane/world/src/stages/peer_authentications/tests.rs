use meltemi_model::Object;
use meltemi_model::security::MtlsMode::{Disable, Permissive, Strict};
use meltemi_model::testing::{kube_service, labels, peer_authentication, pod};
use meltemi_model::workload::Pod;

use super::*;
use crate::World;
use crate::fixtures::{after, endpoints, later, world};
use crate::store::Change;

const ROOT: &str = "istio-system";

/// `namespace/name app=a MODE [port=MODE…]`, each younger than the one before; `-` stands for nothing.
fn policies(lines: &[&str]) -> World {
    let policy = |(age, line): (usize, &&str)| {
        let mut words = line.split(' ');
        let mut next = || words.next().expect("namespace/name, selector, mode");
        let (namespace, name) = next().split_once('/').expect("namespace/name");
        let (selector, own) = (next(), mode(next()));
        let base = peer_authentication(namespace, name, selector, own);
        let ports = words.map(|word| {
            let (port, own) = word.split_once('=').expect("port=mode");
            (port.parse().expect("a port"), mode(own))
        });
        Object::from(PeerAuthentication {
            ports: ports.collect(),
            meta: later(i64::try_from(age).expect("few"), base.meta.clone()),
            ..base
        })
    };
    world(lines.iter().enumerate().map(policy))
}

fn mode(word: &str) -> Option<MtlsMode> {
    match word {
        "-" => None,
        "DISABLE" => Some(Disable),
        "PERMISSIVE" => Some(Permissive),
        "STRICT" => Some(Strict),
        other => panic!("{other}"),
    }
}

#[test]
fn the_narrowest_and_oldest_policy_that_says_something_wins() {
    let mesh = "istio-system/mesh - STRICT";
    // (policies, oldest first; mode of the namespace, of app=a at any port, of app=a at 8080)
    let cases: [(&[&str], MtlsMode, MtlsMode, MtlsMode); 14] = [
        (&[], Permissive, Permissive, Permissive),
        (&[mesh], Strict, Strict, Strict),
        (
            &["istio-system/mesh - -"],
            Permissive,
            Permissive,
            Permissive,
        ),
        (
            &[mesh, "istio-system/younger - DISABLE"],
            Strict,
            Strict,
            Strict,
        ),
        (&[mesh, "ns/all - DISABLE"], Disable, Disable, Disable),
        (&[mesh, "ns/all - -"], Strict, Strict, Strict),
        (&[mesh, "other/all - DISABLE"], Strict, Strict, Strict),
        (
            &["ns/z - DISABLE", "ns/a - STRICT"],
            Disable,
            Disable,
            Disable,
        ),
        (&[mesh, "ns/a app=a DISABLE"], Strict, Disable, Disable),
        (&[mesh, "ns/b app=b DISABLE"], Strict, Strict, Strict),
        (
            &["ns/all - STRICT", "ns/a app=a PERMISSIVE 8080=DISABLE"],
            Strict,
            Permissive,
            Disable,
        ),
        (
            &["ns/all - DISABLE", "ns/a app=a - 8080=STRICT"],
            Disable,
            Disable,
            Strict,
        ),
        // A port without a mode has that of the workload; a younger policy is not looked at, nor are its ports.
        (
            &["ns/z app=a STRICT 8080=-", "ns/a app=a - 8080=DISABLE"],
            Permissive,
            Strict,
            Strict,
        ),
        // In the root namespace a selector selects nothing.
        (
            &["istio-system/a app=a STRICT 8080=STRICT"],
            Permissive,
            Permissive,
            Permissive,
        ),
    ];
    for (lines, namespace, workload, port) in cases {
        let world = policies(lines);
        let peers = &world.peer_authentications;
        let modes = peers.workload("ns", &labels("app=a,version=v1"));
        assert_eq!(
            (peers.namespace("ns"), modes.mode, modes.at(8080)),
            (namespace, workload, port),
            "{lines:?}"
        );
        let single = peers.port("ns", &labels("app=a,version=v1"), 8080);
        assert_eq!(single, port, "{lines:?}");
    }
}

#[test]
fn the_root_namespace_is_the_meshs() {
    let world = policies(&["roots/mesh - STRICT", "istio-system/mesh - DISABLE"]);
    let mesh = Mesh {
        root_namespace: "roots".into(),
        ..Mesh::default()
    };
    let peers = peer_authentications(&world.store.peer_authentications, &mesh);
    assert_eq!(
        (peers.namespace("ns"), peers.namespace(ROOT)),
        (Strict, Disable)
    );
}

#[test]
fn what_applies_is_named_widest_first() {
    let world = policies(&[
        "ns/a app=a STRICT",
        "ns/all - -",
        "ns/again - -",
        "istio-system/mesh - STRICT",
    ]);
    let modes = world.peer_authentications.workload("ns", &labels("app=a"));
    let names: Vec<&str> = modes.from.iter().map(|key| &*key.name).collect();
    assert_eq!(names, ["mesh", "all", "a"]);
}

fn meshed(name: &str, ip: &str) -> Pod {
    let mut pod = pod("ns", name, ip);
    let (key, value) = ("security.istio.io/tlsMode", "istio");
    pod.meta.labels.0.insert(key.into(), value.into());
    pod
}

/// Which endpoints of service `a` in `ns` clients speak mutual TLS to.
fn encrypted(world: &World) -> Vec<&str> {
    let found = endpoints(world, "a.ns").into_iter();
    found
        .filter(|(_, endpoint)| endpoint.takes_mtls())
        .map(|(_, endpoint)| &*endpoint.address)
        .collect()
}

#[test]
fn clients_use_plain_text_where_it_is_disabled() {
    let both = ["10.0.0.1", "10.0.0.2"];
    let mut second = meshed("a-2", "10.0.0.2");
    second.meta.labels.0.insert("version".into(), "v2".into());
    let service = kube_service("ns", "a", &[(80, meltemi_model::port::Protocol::Http)]);
    let target = 80;
    let served = [
        service.into(),
        meshed("a-1", "10.0.0.1").into(),
        second.into(),
    ];
    let disabled_port = format!("ns/a app=a STRICT {target}=DISABLE");
    let strict_port = format!("ns/a app=a DISABLE {target}=STRICT");
    for (lines, want) in [
        (vec![], &both[..]),
        (vec!["ns/all - STRICT"], &both),
        (vec!["ns/all - DISABLE"], &[]),
        (vec!["other/all - DISABLE"], &both),
        (vec!["istio-system/mesh - DISABLE"], &[]),
        (vec!["ns/v2 version=v2 DISABLE"], &both[..1]),
        (vec![disabled_port.as_str()], &[]),
        (vec![strict_port.as_str()], &both),
        (vec!["ns/a app=a PERMISSIVE 1=DISABLE"], &both),
    ] {
        let objects = policies(&lines).store.peer_authentications;
        let all = served.iter().cloned().chain(
            objects
                .iter()
                .map(|(_, p)| Object::PeerAuthentication(p.clone())),
        );
        let world = world(all);
        assert_eq!(encrypted(&world), want, "{lines:?}");
        // The same when the policies come later.
        let policies = objects
            .iter()
            .map(|(_, p)| Change::Apply(Object::PeerAuthentication(p.clone())));
        let world = after(&crate::fixtures::world(served.clone()), policies);
        assert_eq!(encrypted(&world), want, "{lines:?}, later");
    }
}

#[test]
fn endpoints_do_not_notice_the_switch_to_strict() {
    let service = kube_service("ns", "a", &[(80, meltemi_model::port::Protocol::Http)]);
    let before = world([service.into(), meshed("a-1", "10.0.0.1").into()]);
    let policy = |mode| Change::Apply(peer_authentication(ROOT, "mesh", "", Some(mode)).into());
    let strict = after(&before, [policy(Strict)]);
    assert!(std::sync::Arc::ptr_eq(&before.endpoints, &strict.endpoints));
    let disabled = after(&strict, [policy(Disable)]);
    assert!(encrypted(&disabled).is_empty());
    let again = after(&disabled, [policy(Permissive)]);
    assert_eq!(encrypted(&again), ["10.0.0.1"]);
}
