//! Every `applyTo` with every operation that it has, with and without a match. The wanted results are those of Istio 1.31.

mod clusters;
mod listeners;
mod routes;

use meltemi_model::Kind;
use meltemi_model::envoy_filter::{
    ChainCondition, ClusterCondition, Condition, ListenerCondition, RouteCondition,
};
use meltemi_proto::any::type_name;
use meltemi_proto::pool::{json_to_message, message_to_json};
use serde_json::{Value, json};

use super::*;

/// A patch for any side.
fn patch(apply_to: ApplyTo, operation: Operation, condition: Condition, value: &Value) -> Patch {
    Patch {
        from: ObjectKey::new(Kind::EnvoyFilter, "ns", "f"),
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

fn input(ty: ResourceType, context: Context, json: &Value, patches: Vec<Patch>) -> PatchInput {
    let body = json_to_message(type_name(ty.type_url()), json).unwrap();
    let name = json["name"].as_str().unwrap();
    let mut patches = patches;
    for (index, patch) in patches.iter_mut().enumerate() {
        patch.index = index;
    }
    PatchInput {
        resource: Arc::new(Resource::new(ty, name.into(), body, Arc::from([]))),
        context,
        hosts: Vec::new(),
        service_ports: Vec::new(),
        patches: Shared::new(patches.into_iter().map(Shared::new).collect()),
    }
}

/// What becomes of a resource; null: it is removed.
fn json_of(patched: &Patched) -> Value {
    match &patched.resource {
        None => Value::Null,
        Some(r) => message_to_json(type_name(r.ty.type_url()), &r.body).unwrap(),
    }
}

fn on_cluster(condition: ClusterCondition) -> Condition {
    Condition::Cluster(condition)
}

fn on_listener(condition: ListenerCondition) -> Condition {
    Condition::Listener(condition)
}

fn on_chain(condition: ChainCondition) -> Condition {
    Condition::Listener(ListenerCondition {
        chain: Some(condition),
        ..ListenerCondition::default()
    })
}

fn on_route(condition: RouteCondition) -> Condition {
    Condition::Route(condition)
}

fn buffer(name: &str, size: u32) -> Value {
    json!({"name": name, "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer",
        "max_request_bytes": size,
    }})
}

fn tcp(name: &str, cluster: &str) -> Value {
    json!({"name": name, "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": name, "cluster": cluster,
    }})
}

#[test]
fn who_patched_it_is_said_and_an_untouched_resource_stays_the_same() {
    let base = json!({"name": "a"});
    let value = json!({"lb_policy": "RANDOM"});
    let merge = |name: &str| {
        let condition = on_cluster(ClusterCondition {
            name: name.into(),
            ..ClusterCondition::default()
        });
        patch(ApplyTo::Cluster, Operation::Merge, condition, &value)
    };
    let outbound = Context::SidecarOutbound;
    let input_of = |name| input(ResourceType::Cluster, outbound, &base, vec![merge(name)]);
    let touched = input_of("a").build();
    let key = ObjectKey::new(Kind::EnvoyFilter, "ns", "f");
    assert_eq!(*touched.resource.unwrap().from, [key]);
    assert_eq!(touched.applied, BTreeSet::from([0]));
    let other = input_of("b");
    let untouched = other.build();
    assert!(Arc::ptr_eq(&untouched.resource.unwrap(), &other.resource));
    assert!(untouched.applied.is_empty());
}

#[test]
fn a_patch_of_another_side_does_nothing() {
    let base = json!({"name": "a"});
    let mut patch = patch(
        ApplyTo::Cluster,
        Operation::Remove,
        Condition::None,
        &Value::Null,
    );
    patch.context = Context::Gateway;
    for (context, gone) in [(Context::Gateway, true), (Context::SidecarInbound, false)] {
        let patched = input(ResourceType::Cluster, context, &base, vec![patch.clone()]).build();
        assert_eq!(patched.resource.is_none(), gone, "{context:?}");
    }
}

#[test]
fn equal_inputs_are_one_key_and_others_are_not() {
    let of = |json: &Value, context| input(ResourceType::Cluster, context, json, Vec::new());
    let base = json!({"name": "a"});
    let one = of(&base, Context::Gateway);
    assert_eq!(one, of(&base, Context::Gateway));
    assert_ne!(one, of(&base, Context::SidecarInbound));
    assert_ne!(
        one,
        of(
            &json!({"name": "a", "lb_policy": "RANDOM"}),
            Context::Gateway
        )
    );
    let other = PatchInput {
        hosts: vec!["h".into()],
        ..one.clone()
    };
    assert_ne!(one, other);
}
