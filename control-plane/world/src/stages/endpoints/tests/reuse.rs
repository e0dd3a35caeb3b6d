//! One pod costs the services it belongs to, and no other.

use super::*;
use crate::Change;
use crate::fixtures::after;

const SERVICES: [&str; 3] = ["a.default", "c.default", "b.com"];

/// Services `a` (by slices), `c` (by pods) and `b.com` (by WorkloadEntries), one workload each, that of `a` on node n1.
fn before() -> World {
    let selecting = ServiceEntry {
        resolution: Resolution::ClientSideLb,
        workload_selector: Some(labels("app=b")),
        ..service_entry("default", "b.com", HTTP)
    };
    let endpoint = slice_endpoint("10.0.0.1", Some("a-1"));
    world([
        kube_service("default", "a", HTTP).into(),
        slice("default", "a", "x", vec![endpoint]).into(),
        a_1().into(),
        kube_service("default", "c", HTTP).into(),
        pod("default", "c-1", "10.0.0.3").into(),
        selecting.into(),
        workload_entry("default", "b-vm", "10.0.1.1").into(),
        node("n1", "r1").into(),
        node("n2", "r1").into(),
    ])
}

fn a_1() -> Pod {
    Pod {
        node: "n1".into(),
        ..pod("default", "a-1", "10.0.0.1")
    }
}

#[test]
fn only_the_services_of_what_changed_are_built_anew() {
    let before = before();
    for name in SERVICES {
        only(&before, name);
    }
    let c = kube_service("default", "c", &[(81, Protocol::Http)]);
    let rows: [(&str, Object, &[&str]); 9] = [
        (
            "a pod of a slice",
            labelled(a_1(), "version=v2").into(),
            &["a.default"],
        ),
        (
            "a selected pod",
            pod("default", "c-1", "10.0.0.9").into(),
            &["c.default"],
        ),
        (
            "a new selected pod",
            pod("default", "c-2", "10.0.0.4").into(),
            &["c.default"],
        ),
        (
            "a pod of no service",
            pod("default", "d-1", "10.0.0.5").into(),
            &[],
        ),
        ("the pod's node", node("n1", "r2").into(), &["a.default"]),
        ("another node", node("n2", "r2").into(), &[]),
        (
            "a slice",
            slice("default", "a", "x", vec![]).into(),
            &["a.default"],
        ),
        (
            "a WorkloadEntry",
            workload_entry("default", "b-vm", "10.0.1.2").into(),
            &["b.com"],
        ),
        ("the service itself", c.into(), &["c.default"]),
    ];
    for (name, object, want) in rows {
        let now = after(&before, [Change::Apply(object)]);
        let kept = |s: &&str| {
            now.endpoints[&key(s)]
                .set
                .same(&before.endpoints[&key(s)].set)
        };
        let built: Vec<_> = SERVICES.into_iter().filter(|s| !kept(s)).collect();
        assert_eq!(built, want, "{name}");
    }
}

#[test]
fn a_change_that_endpoints_do_not_show_gives_equal_rows() {
    let before = before();
    let unready = Pod {
        ready: false,
        ..a_1()
    };
    let now = after(&before, [Change::Apply(unready.into())]);
    let [old, new] = [&before, &now].map(|w| w.endpoints[&key("a.default")].set.clone());
    assert_eq!(old, new);
}

#[test]
fn the_mesh_shapes_every_row() {
    let mesh = Mesh {
        cluster_id: "c2".into(),
        ..Mesh::default()
    };
    let now = after(&before(), [Change::Apply(mesh.into())]);
    for name in SERVICES {
        assert_eq!(&*only(&now, name).cluster, "c2", "{name}");
    }
}

#[test]
fn rows_that_were_kept_equal_those_built_from_scratch() {
    let steps: [Object; 3] = [
        pod("default", "c-2", "10.0.0.4").into(),
        node("n1", "r2").into(),
        workload_entry("default", "b-vm", "10.0.1.2").into(),
    ];
    let stepwise = steps
        .into_iter()
        .fold(before(), |world, o| after(&world, [Change::Apply(o)]));
    let scratch = World::empty(Shared::default()).next(&stepwise.store, &Shared::default());
    for (key, row) in scratch.endpoints.iter() {
        let kept = &stepwise.endpoints[key];
        assert_eq!(
            (&kept.set, &kept.identities),
            (&row.set, &row.identities),
            "{key:?}"
        );
    }
    assert_eq!(stepwise.endpoints.len(), scratch.endpoints.len());
}
