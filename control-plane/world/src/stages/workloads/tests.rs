use meltemi_model::object::Meta;
use meltemi_model::testing::{labels, node, pod};

use super::*;
use crate::fixtures::world;

fn with_labels(pod: Pod, text: &str) -> Pod {
    Pod {
        meta: Meta {
            labels: labels(text),
            ..pod.meta.clone()
        },
        ..pod
    }
}

#[test]
fn pods_that_may_answer_are_found_by_address() {
    let plain = || pod("ns", "a-1", "10.0.0.1");
    for (name, pod, found) in [
        ("running", plain(), true),
        (
            "not ready",
            Pod {
                ready: false,
                ..plain()
            },
            true,
        ),
        (
            "finished",
            Pod {
                finished: true,
                ..plain()
            },
            false,
        ),
        (
            "on the host's network",
            Pod {
                host_network: true,
                ..plain()
            },
            false,
        ),
    ] {
        let world = world([pod.into()]);
        let by_ip = world.workloads.at("10.0.0.1".parse().unwrap());
        assert_eq!(by_ip.is_some(), found, "{name}");
    }
}

#[test]
fn an_address_is_its_newest_pods() {
    let created = |name: &str, created| {
        let pod = pod("ns", name, "10.0.0.1");
        Pod {
            meta: Meta {
                created,
                ..pod.meta.clone()
            },
            ..pod
        }
    };
    let terminating = |pod: Pod| Pod {
        terminating: true,
        ..pod
    };
    let starting = |pod: Pod| Pod {
        ready: false,
        ..pod
    };
    for (name, pods, want) in [
        ("the newer", [created("a", 1), created("b", 2)], "b"),
        ("whatever its name", [created("a", 2), created("b", 1)], "a"),
        (
            "one that is going away has lost it",
            [created("a", 1), terminating(created("b", 2))],
            "a",
        ),
        (
            "one that is ready has it",
            [starting(created("a", 2)), created("b", 1)],
            "b",
        ),
        (
            "one that starts has it from one that goes",
            [starting(created("a", 2)), terminating(created("b", 1))],
            "a",
        ),
    ] {
        let world = world(pods.map(Into::into));
        let address = "10.0.0.1".parse().unwrap();
        assert_eq!(
            &*world.workloads.at(address).unwrap().meta.key.name,
            want,
            "{name}"
        );
        let guess = world.workloads.guess(&"ns".into(), address).unwrap();
        assert_eq!(&*guess.meta.key.name, want, "{name}");
        assert!(world.workloads.guess(&"other".into(), address).is_none());
    }
}

#[test]
fn where_a_pod_is() {
    let on_node = |text: &str| {
        with_labels(
            Pod {
                node: "n1".into(),
                ..pod("ns", "a-1", "10.0.0.1")
            },
            text,
        )
    };
    let lost = Pod {
        node: "n9".into(),
        ..on_node("")
    };
    let world = world([node("n1", "r1/z1/s1").into()]);
    for (pod, want) in [
        (on_node(""), "r1/z1/s1"),
        (lost, ""),
        (on_node("istio-locality=r2.z2.s2"), "r2/z2/s2"),
        (on_node("istio-locality=r2/z.2"), "r2/z.2"),
        (
            on_node("topology.istio.io/locality=r3,istio-locality=r2"),
            "r3",
        ),
    ] {
        let found = world.workloads.locality(&pod);
        assert_eq!(found, Locality::parse(want), "{:?}", pod.meta.labels);
    }
}

#[test]
fn labels_by_which_subsets_and_priorities_select() {
    let full = |network| {
        let own = labels("app=a,topology.istio.io/network=own");
        let own = if network == "own" {
            own
        } else {
            labels("app=a")
        };
        let [cluster, node, network] = ["c1", "n1", "given"].map(Str::from);
        augment(&own, &cluster, &Locality::parse("r/z/s"), &node, &network)
    };
    let want = |network| {
        labels(&format!(
            "app=a,topology.kubernetes.io/region=r,topology.kubernetes.io/zone=z,\
             topology.istio.io/subzone=s,topology.istio.io/cluster=c1,kubernetes.io/hostname=n1,\
             topology.istio.io/network={network}"
        ))
    };
    assert_eq!(full("given"), want("given"));
    assert_eq!(full("own"), want("own"));
    let bare = augment(
        &labels("app=a"),
        &"".into(),
        &Locality::default(),
        &"".into(),
        &"".into(),
    );
    assert_eq!(bare, labels("app=a"));
}
