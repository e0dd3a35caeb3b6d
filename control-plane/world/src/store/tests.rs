use meltemi_model::network::NetworkFact;
use meltemi_model::object::Object;
use meltemi_model::security::AuthorizationAction;
use meltemi_model::security::KeySource;
use meltemi_model::testing::{
    authorization_policy, destination_rule, ingress, ingress_class, kube_service, meta, node,
    peer_authentication, pod, service_entry, sidecar, slice, virtual_service, workload_entry,
};

use super::*;

/// One object of every kind.
fn every_kind() -> Vec<Object> {
    let account = ServiceAccount {
        meta: meta(Kind::ServiceAccount, "ns", "a"),
    };
    let namespace = Namespace {
        meta: meta(Kind::Namespace, "", "ns"),
    };
    let gateway = Gateway {
        meta: meta(Kind::Gateway, "ns", "a"),
        selector: Default::default(),
        servers: Vec::new(),
    };
    let filter = EnvoyFilter {
        meta: meta(Kind::EnvoyFilter, "ns", "a"),
        selector: Default::default(),
        gateways: None,
        priority: 0,
        references: Vec::new(),
        patches: Vec::new(),
    };
    let proxy_config = ProxyConfig {
        meta: meta(Kind::ProxyConfig, "ns", "a"),
        selector: None,
        concurrency: Some(1),
        environment: Default::default(),
        image_type: None,
    };
    let group = WorkloadGroup {
        meta: meta(Kind::WorkloadGroup, "ns", "a"),
    };
    let credential = |kind| {
        Shared::new(Credential {
            meta: meta(kind, "ns", "a"),
            pair: None,
            root: None,
        })
    };
    vec![
        namespace.into(),
        node("n1", "r1").into(),
        pod("ns", "a-1", "10.0.0.1").into(),
        kube_service("ns", "a", &[]).into(),
        slice("ns", "a", "x", Vec::new()).into(),
        Object::ServiceAccount(Shared::new(account)),
        Mesh::default().into(),
        service_entry("ns", "b.com", &[]).into(),
        workload_entry("ns", "a-2", "10.0.0.2").into(),
        virtual_service("ns", "a", "a.com").into(),
        destination_rule("ns", "a", "a.com").into(),
        gateway.into(),
        sidecar("ns", "a", &[]).into(),
        peer_authentication("ns", "a", "", None).into(),
        RequestAuthentication {
            meta: meta(Kind::RequestAuthentication, "ns", "a"),
            target: Default::default(),
            rules: Vec::new(),
        }
        .into(),
        authorization_policy("ns", "a", AuthorizationAction::Deny).into(),
        ingress("ns", "a").into(),
        ingress_class("a", "b").into(),
        filter.into(),
        Object::ProxyConfig(Shared::new(proxy_config)),
        Object::WorkloadGroup(Shared::new(group)),
        Object::Secret(credential(Kind::Secret)),
        Object::CaConfigMap(credential(Kind::CaConfigMap)),
        Object::Network(
            ObjectKey::new(Kind::Network, "dns", "a.com"),
            Shared::new(NetworkFact::Resolved(Vec::new())),
        ),
        Object::Jwks(
            KeySource::Uri("http://a.com/keys".into()).key(),
            Shared::default(),
        ),
    ]
}

#[test]
fn every_kind_has_a_table_of_its_own() {
    let objects = every_kind();
    let mut kinds: Vec<Kind> = objects.iter().map(|o| o.key().kind).collect();
    kinds.sort();
    assert_eq!(kinds, Kind::ALL);
    let mut store = Store::default();
    for object in &objects {
        assert!(
            store.apply([Change::Apply(object.clone())]),
            "{}",
            object.key()
        );
        assert!(
            !store.apply([Change::Apply(object.clone())]),
            "{} again",
            object.key()
        );
    }
    for object in &objects {
        let delete = || Change::Delete(object.key().clone());
        assert!(store.apply([delete()]), "{} goes", object.key());
        assert!(!store.apply([delete()]), "{} goes again", object.key());
    }
}

#[test]
fn an_equal_row_leaves_the_table_and_another_one_does_not_touch_its_copies() {
    let service = |selector: &str| Change::Apply(kube_service("ns", selector, &[]).into());
    let mut store = Store::default();
    store.apply([service("a")]);
    let before = store.clone();
    assert!(!store.apply([service("a")]));
    assert!(store.services.same(&before.services));
    assert!(store.apply([service("b")]));
    assert!(!store.services.same(&before.services));
    assert!(store.pods.same(&before.pods));
    assert_eq!((before.services.len(), store.services.len()), (1, 2));
}

#[test]
fn a_batch_is_applied_in_order() {
    let object = Object::from(pod("ns", "a-1", "10.0.0.1"));
    let apply = || Change::Apply(object.clone());
    let delete = || Change::Delete(object.key().clone());
    for (changes, changed, left) in [
        (vec![], false, 0),
        (vec![apply()], true, 1),
        (vec![apply(), delete()], true, 0),
        (vec![delete(), apply()], true, 1),
        (vec![apply(), apply()], true, 1),
        (vec![delete()], false, 0),
    ] {
        let mut store = Store::default();
        let name = format!("{changes:?}");
        assert_eq!(store.apply(changes), changed, "{name}");
        assert_eq!(store.pods.len(), left, "{name}");
        assert_eq!(store.pods.is_empty(), left == 0, "{name}");
        assert_eq!(store.pods.get(object.key()).is_some(), left == 1, "{name}");
    }
}
