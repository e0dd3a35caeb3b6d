use meltemi_model::envoy_filter::{
    ClusterCondition, Condition, EnvoyFilter, ListenerCondition, ProxyCondition, VersionPattern,
};
use meltemi_model::proxy::Proxy;
use meltemi_model::testing::{kube_service, labels, meta};
use meltemi_model::{Kind, Object, ObjectKey, ProxySnapshot};
use meltemi_proto::pool::json_to_message;
use serde_json::{Value, json};

use super::*;
use crate::fixtures::{HTTP, sidecar, world};
use crate::{Compiled, Compiler, classify};

fn patch(apply_to: ApplyTo, operation: Operation, condition: Condition, value: &Value) -> Patch {
    Patch {
        from: ObjectKey::new(Kind::EnvoyFilter, "default", "f"),
        index: 0,
        apply_to,
        operation,
        context: Context::Any,
        proxy: None,
        condition,
        value: (!value.is_null()).then(|| json_to_message(apply_to.type_name(), value).unwrap()),
        extension: "".into(),
    }
}

fn filter(patches: Vec<Patch>) -> Object {
    let number = |(index, patch)| Shared::new(Patch { index, ..patch });
    EnvoyFilter {
        meta: meta(Kind::EnvoyFilter, "default", "f"),
        selector: labels("app=a"),
        gateways: None,
        priority: 0,
        references: Vec::new(),
        patches: patches.into_iter().enumerate().map(number).collect(),
    }
    .into()
}

/// A service `web` at port 80, and what the pod's proxy with the label `app` gets.
fn served(compiler: &Compiler, app: &str, patches: Vec<Patch>) -> Compiled {
    let web = kube_service("default", "web", HTTP);
    let world = world([web.into(), filter(patches)]);
    let proxy = sidecar("a-1", "10.0.0.1", &json!({"LABELS": {"app": app}}));
    compile(compiler, &world, &proxy)
}

fn compile(compiler: &Compiler, world: &World, proxy: &Proxy) -> Compiled {
    compiler.compile(world, &classify(world, proxy, None), None)
}

fn names(snapshot: &ProxySnapshot, ty: ResourceType) -> Vec<&str> {
    snapshot.set(ty).by_name.keys().map(|n| &**n).collect()
}

const WEB: &str = "outbound|80||web.default.svc.cluster.local";

fn of_web() -> Condition {
    Condition::Cluster(ClusterCondition {
        name: WEB.into(),
        ..ClusterCondition::default()
    })
}

#[test]
fn endpoints_and_routes_follow_what_patches_leave() {
    let compiler = Compiler::default();
    let plain = served(&compiler, "b", Vec::new()).snapshot;
    assert_eq!(names(&plain, ResourceType::Endpoint), [WEB]);
    assert_eq!(names(&plain, ResourceType::Route), ["80"]);

    let no_cluster = patch(ApplyTo::Cluster, Operation::Remove, of_web(), &Value::Null);
    let condition = Condition::Listener(ListenerCondition {
        port: 80,
        ..ListenerCondition::default()
    });
    let no_listener = patch(
        ApplyTo::Listener,
        Operation::Remove,
        condition,
        &Value::Null,
    );
    let found = served(&compiler, "a", vec![no_cluster, no_listener]).snapshot;
    assert!(names(&found, ResourceType::Endpoint).is_empty());
    assert!(names(&found, ResourceType::Route).is_empty());
    assert!(!names(&found, ResourceType::Cluster).contains(&WEB));

    let eds = |name: &str| {
        let value =
            json!({"name": name, "type": "EDS", "eds_cluster_config": {"eds_config": {"ads": {}}}});
        patch(ApplyTo::Cluster, Operation::Add, Condition::None, &value)
    };
    let found = served(&compiler, "a", vec![eds("x")]).snapshot;
    assert_eq!(names(&found, ResourceType::Endpoint), [WEB, "x"]);
}

#[test]
fn who_is_not_selected_has_no_part_in_it() {
    let compiler = Compiler::default();
    let value = json!({"connect_timeout": "7s"});
    let merge = || patch(ApplyTo::Cluster, Operation::Merge, of_web(), &value);
    let other = served(&compiler, "b", vec![merge()]).snapshot;
    assert_eq!(compiler.patch_counts().lookups, 0);
    let mine = served(&compiler, "a", vec![merge()]).snapshot;
    let set = |snapshot: &ProxySnapshot| snapshot.set(ResourceType::Cluster).by_name.clone();
    let (mine, other) = (set(&mine), set(&other));
    let differ: Vec<&str> = mine
        .iter()
        .filter(|(name, r)| other[*name].version != r.version)
        .map(|(name, _)| &**name)
        .collect();
    assert_eq!(differ, [WEB]);
    // What no patch touches is the same allocation.
    let same = |name: &str| Arc::ptr_eq(&mine[name], &other[name]);
    assert!(same("BlackHoleCluster"));
    let counts = compiler.patch_counts();
    assert_eq!((counts.lookups, counts.misses), (1, 1));
    served(&compiler, "a", vec![merge()]);
    assert_eq!(compiler.patch_counts().misses, 1);
}

#[test]
fn a_resource_is_patched_again_only_for_what_may_touch_it() {
    let compiler = Compiler::default();
    let misses = |of_web_after: &str, of_other_after: &str| {
        let other = Condition::Cluster(ClusterCondition {
            name: "BlackHoleCluster".into(),
            ..ClusterCondition::default()
        });
        let merge = |condition, after| {
            let value = json!({"connect_timeout": after});
            patch(ApplyTo::Cluster, Operation::Merge, condition, &value)
        };
        let patches = vec![merge(of_web(), of_web_after), merge(other, of_other_after)];
        served(&compiler, "a", patches);
        compiler.patch_counts().misses
    };
    assert_eq!(misses("1s", "1s"), 2);
    assert_eq!(misses("1s", "2s"), 3);
    assert_eq!(misses("2s", "2s"), 4);
}

#[test]
fn versions_make_classes() {
    let condition = |pattern: &str| ProxyCondition {
        version: Some(VersionPattern::new(pattern).unwrap()),
        metadata: BTreeMap::new(),
    };
    let conditional = |pattern: &str, name: &str| Patch {
        proxy: Some(condition(pattern)),
        ..patch(
            ApplyTo::Cluster,
            Operation::Add,
            Condition::None,
            &json!({"name": name}),
        )
    };
    let patches = vec![conditional("^1\\.31", "new"), conditional("^1\\.30", "old")];
    let world = world([filter(patches)]);
    let compiler = Compiler::default();
    for (version, want) in [
        ("1.31.0", ["new"].as_slice()),
        ("1.30.2", &["old"]),
        ("", &[]),
    ] {
        let metadata = json!({"LABELS": {"app": "a"}, "ISTIO_VERSION": version});
        let proxy = sidecar("a-1", "10.0.0.1", &metadata);
        let found = compile(&compiler, &world, &proxy).snapshot;
        let added = |name: &&str| found.set(ResourceType::Cluster).by_name.contains_key(*name);
        let added: Vec<&str> = ["new", "old"].into_iter().filter(added).collect();
        assert_eq!(added, want, "{version}");
    }
}

#[test]
fn what_cannot_be_applied_is_said_and_the_rest_goes_on() {
    let taken = patch(
        ApplyTo::Cluster,
        Operation::Add,
        Condition::None,
        &json!({"name": "BlackHoleCluster"}),
    );
    let mut istios = patch(
        ApplyTo::HttpFilter,
        Operation::InsertFirst,
        Condition::None,
        &json!({"name": "x"}),
    );
    istios.extension = "stats.PluginConfig".into();
    let fine = patch(
        ApplyTo::Cluster,
        Operation::Add,
        Condition::None,
        &json!({"name": "fine"}),
    );
    let web = kube_service("default", "web", HTTP);
    let world = world([web.into(), filter(vec![taken, istios, fine])]);
    let mut proxy = sidecar("a-1", "10.0.0.1", &json!({"LABELS": {"app": "a"}}));
    proxy.capabilities = meltemi_model::proxy::Capabilities::core();
    let found = compile(&Compiler::default(), &world, &proxy);
    let said: Vec<&str> = found
        .diagnostics
        .iter()
        .filter(|d| d.object.is_some())
        .map(|d| d.path.as_str())
        .collect();
    assert_eq!(
        said,
        [
            "spec.configPatches[0].patch.value.name",
            "spec.configPatches[1].patch.value.typed_config",
        ]
    );
    assert!(names(&found.snapshot, ResourceType::Cluster).contains(&"fine"));
}

#[test]
fn extension_configurations_are_served_by_name() {
    let of = |name: &str| {
        let value = json!({"name": name});
        patch(
            ApplyTo::ExtensionConfig,
            Operation::Add,
            Condition::None,
            &value,
        )
    };
    let found = served(&Compiler::default(), "a", vec![of("x"), of("y"), of("x")]);
    assert_eq!(names(&found.snapshot, ResourceType::Extension), ["x", "y"]);
}

#[test]
fn whether_patches_change_anything_is_known() {
    let merge = |condition| {
        let value = json!({"connect_timeout": "7s"});
        patch(ApplyTo::Cluster, Operation::Merge, condition, &value)
    };
    let nowhere = || {
        Condition::Cluster(ClusterCondition {
            name: "nobody".into(),
            ..ClusterCondition::default()
        })
    };
    let condition = Condition::Listener(ListenerCondition {
        port: 80,
        ..ListenerCondition::default()
    });
    let no_listener = patch(
        ApplyTo::Listener,
        Operation::Remove,
        condition,
        &Value::Null,
    );
    let add = patch(
        ApplyTo::Cluster,
        Operation::Add,
        Condition::None,
        &json!({"name": "x"}),
    );
    for (what, patches, want) in [
        ("none", vec![], &[][..]),
        (
            "one that finds nothing",
            vec![merge(nowhere())],
            &[("cluster", false)],
        ),
        (
            "one of two",
            vec![merge(nowhere()), merge(of_web())],
            &[("cluster", true)],
        ),
        ("what is added", vec![add], &[("cluster", true)]),
        (
            "kinds apart",
            vec![merge(nowhere()), no_listener],
            &[("cluster", false), ("listener", true)],
        ),
    ] {
        let found = served(&Compiler::default(), "a", patches).patches;
        let found: Vec<(&str, bool)> = found
            .iter()
            .map(|((_, p), applied)| (*p, *applied))
            .collect();
        assert_eq!(found, want, "{what}");
    }
}
