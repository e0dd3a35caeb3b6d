use meltemi_model::object::Object;
use meltemi_model::testing::{export_to, virtual_service};

use super::*;
use crate::fixtures::{later, world};

/// `namespace/name` with its `exportTo`, bound to a gateway, this old.
fn bound(namespace: &str, name: &str, export: &str, gateway: &str, created: i64) -> VirtualService {
    let vs = virtual_service(namespace, name, "a.com");
    VirtualService {
        meta: later(created, vs.meta.clone()),
        gateways: vec![gateway.into()],
        export_to: export_to(export),
        ..vs
    }
}

fn names(list: &[Shared<VirtualService>]) -> Vec<&str> {
    list.iter().map(|vs| &*vs.meta.key.name).collect()
}

#[test]
fn own_private_ones_come_before_those_exported_by_name_and_public_ones() {
    let rows = [
        bound("ns", "public-old", "", "mesh", 1),
        bound("ns", "public-young", "*", "mesh", 9),
        bound("other", "public-other", "*", "mesh", 5),
        bound("ns", "private", "ns", "mesh", 8),
        bound("ns", "private-old", "ns,other", "mesh", 7),
        bound("other", "by-name", "ns", "mesh", 6),
        bound("other", "hidden", "other", "mesh", 0),
        bound("ns", "away", "other", "mesh", 0),
        bound("ns", "nobody", "~", "mesh", 0),
        bound("ns", "gateway", "", "ns/gw", 0),
    ];
    let world = world(rows.map(Object::from));
    let visible = |gateway, namespace| {
        let found = world
            .virtual_services
            .visible(gateway, namespace, &world.mesh);
        names(&found).join(" ")
    };
    for (gateway, namespace, want) in [
        (
            "mesh",
            "ns",
            "private-old private by-name public-old public-other public-young",
        ),
        (
            "mesh",
            "other",
            "hidden away private-old public-old public-other public-young",
        ),
        ("mesh", "third", "public-old public-other public-young"),
        ("ns/gw", "ns", "gateway"),
        ("ns/other", "ns", ""),
    ] {
        assert_eq!(visible(gateway, namespace), want, "{gateway} {namespace}");
    }
    let all = world.virtual_services.all_visible("third", &world.mesh);
    assert_eq!(
        names(&all),
        ["gateway", "public-old", "public-other", "public-young"]
    );
}

#[test]
fn the_mesh_says_who_sees_what_says_nothing() {
    let rows = || [bound("ns", "vs", "", "mesh", 0)].map(Object::from);
    for (default, own, other) in [("*", true, true), (".", true, false), ("~", false, false)] {
        let mesh = Mesh {
            virtual_service_export_to: export_to(default),
            ..Mesh::default()
        };
        let world = world(rows().into_iter().chain([mesh.into()]));
        let seen = |namespace| {
            !world
                .virtual_services
                .visible("mesh", namespace, &world.mesh)
                .is_empty()
        };
        assert_eq!((seen("ns"), seen("other")), (own, other), "{default}");
    }
}

#[test]
fn equally_old_ones_come_by_name() {
    let rows = ["b", "a"].map(|name| bound("ns", name, "", "mesh", 0));
    let world = world(rows.map(Object::from));
    let found = world.virtual_services.visible("mesh", "ns", &world.mesh);
    assert_eq!(names(&found), ["a", "b"]);
}
