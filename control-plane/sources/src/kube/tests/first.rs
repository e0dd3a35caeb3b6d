//! What is read, and when it is complete.

use meltemi_fake_api::{FakeApi, Fault, On, Verb};
use meltemi_model::{Kind, ObjectKey};
use serde_json::json;

use super::fixtures::*;

#[tokio::test]
async fn everything_is_read_and_followed() {
    let api = api().await;
    api.apply(namespace("shop"));
    api.apply(service("cart", 80));
    api.apply(virtual_service("cart", "cart"));
    let mut source = Source::synced(&api).await;
    assert_eq!(
        source.names(),
        [
            "Namespace shop",
            "Service shop/cart",
            "VirtualService shop/cart"
        ]
    );
    source.converges(&api).await;
    api.apply(service("cart", 81));
    source.converges(&api).await;
    api.delete("virtualservices", "shop", "cart");
    source.converges(&api).await;
    assert_eq!(source.names(), ["Namespace shop", "Service shop/cart"]);
    assert_eq!(source.said(), Vec::<String>::new());
}

#[tokio::test]
async fn i10_synced_waits_for_every_kind_that_is_served() {
    let api = api().await;
    api.apply(namespace("shop"));
    api.fault(On::verb(Verb::Watch).of("pods"), Fault::Stall, 1);
    let mut source = Source::of(&api);
    source.until(|s| s.objects.len() == 1).await;
    assert!(!source.synced);
    api.release();
    source.until(|s| s.synced).await;
}

#[tokio::test]
async fn missing_definitions_do_not_delay() {
    let api = FakeApi::start().await.unwrap();
    api.apply(namespace("shop"));
    let mut source = Source::synced(&api).await;
    assert_eq!(source.names(), ["Namespace shop"]);

    api.install(&istio_type("virtualservices"));
    api.apply(virtual_service("cart", "cart"));
    source.converges(&api).await;
    assert_eq!(source.objects.len(), 2);

    api.uninstall("virtualservices");
    source.converges(&api).await;
    assert_eq!(source.objects.len(), 1);

    api.install(&istio_type("virtualservices"));
    api.apply(virtual_service("cart", "other"));
    source.converges(&api).await;
    assert_eq!(source.objects.len(), 2);
}

#[tokio::test]
async fn an_older_version_is_read_where_the_newest_is_not_served() {
    let api = FakeApi::start().await.unwrap();
    let mut old = istio_type("virtualservices");
    old.versions.retain(|v| v != "v1");
    api.install(&old);
    let mut object = virtual_service("cart", "cart");
    object["apiVersion"] = "networking.istio.io/v1beta1".into();
    api.apply(object);
    let source = Source::synced(&api).await;
    assert_eq!(source.names(), ["VirtualService shop/cart"]);
}

#[tokio::test]
async fn only_the_mesh_config_of_our_revision_is_read() {
    let api = FakeApi::start().await.unwrap();
    for name in ["istio", "istio-canary", "other"] {
        api.apply(json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"namespace": "istio-system", "name": name}, "data": {"mesh": "trustDomain: td"}}));
    }
    for (revision, expected) in [
        ("default", "istio"),
        ("", "istio"),
        ("canary", "istio-canary"),
    ] {
        let mut settings = settings();
        settings.lower.revision = revision.into();
        let mut source = Source::with(&api, settings);
        source.until(|s| s.synced).await;
        assert_eq!(
            source.names(),
            [format!("ConfigMap istio-system/{expected}")]
        );
    }
}

#[tokio::test]
async fn objects_of_other_revisions_are_not_ours() {
    let api = api().await;
    let with = |name: &str, revision: Option<&str>| {
        let mut object = virtual_service(name, "cart");
        if let Some(revision) = revision {
            object["metadata"]["labels"] = json!({"istio.io/rev": revision});
        }
        object
    };
    api.apply(with("all", None));
    api.apply(with("ours", Some("default")));
    api.apply(with("theirs", Some("canary")));
    let mut source = Source::synced(&api).await;
    assert_eq!(
        source.names(),
        ["VirtualService shop/all", "VirtualService shop/ours"]
    );
    api.apply(with("ours", Some("canary")));
    api.apply(with("theirs", None));
    source
        .until(|s| s.names() == ["VirtualService shop/all", "VirtualService shop/theirs"])
        .await;
}

#[tokio::test]
async fn a_kind_that_is_not_supported_yet_is_said_once() {
    let api = api().await;
    for name in ["a", "b", "c"] {
        api.apply(
            json!({"apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin",
            "metadata": {"namespace": "shop", "name": name}, "spec": {}}),
        );
    }
    let mut source = Source::synced(&api).await;
    assert_eq!(
        source.said(),
        [
            "warning: WasmPlugin is not supported yet: the cluster's objects of this kind are ignored"
        ]
    );
    for name in ["a", "b", "c"] {
        api.delete("wasmplugins", "shop", name);
    }
    source.until(|s| s.diagnostics.is_empty()).await;
}

#[tokio::test]
async fn a_broken_edit_keeps_the_last_good_version() {
    let api = api().await;
    let broken = |name: &str| {
        let mut object = virtual_service(name, "cart");
        object["spec"]["http"][0]["timeout"] = "soon".into();
        object
    };
    api.apply(virtual_service("a", "cart"));
    api.apply(broken("never-good"));
    let mut source = Source::synced(&api).await;
    let key = ObjectKey::new(Kind::VirtualService, "shop", "a");
    let good = source.objects[&key].clone();
    assert_eq!(source.objects.len(), 1);
    assert_eq!(source.diagnostics.len(), 1, "{:?}", source.said());

    api.apply(broken("a"));
    source.until(|s| s.diagnostics.len() == 3).await;
    assert_eq!(source.objects[&key], good);
    let said = source.said();
    assert!(
        said[0].starts_with("error: VirtualService shop/a: spec.http[0].timeout: "),
        "{said:?}"
    );
    assert_eq!(
        said[1],
        "info: VirtualService shop/a: until this is mended, the last good version of the object stays"
    );

    // A list of the same broken object keeps it, too.
    api.compact();
    api.end_watches(None);
    api.apply(service("mark", 1));
    source.until(|s| s.objects.len() == 2).await;
    assert_eq!(source.objects[&key], good);

    // One of the same name is another object.
    api.delete("virtualservices", "shop", "a");
    source.until(|s| !s.objects.contains_key(&key)).await;
    api.apply(broken("a"));
    source.until(|s| s.diagnostics.len() == 2).await;
    assert!(!source.objects.contains_key(&key));
    api.apply(virtual_service("a", "mended"));
    source.converges(&api).await;
}

#[tokio::test]
async fn events_are_counted() {
    let api = api().await;
    api.apply(namespace("shop"));
    let mut source = Source::synced(&api).await;
    api.apply(service("cart", 80));
    api.apply(service("cart", 81));
    source.converges(&api).await;
    api.delete("services", "shop", "cart");
    source.converges(&api).await;
    api.apply(virtual_service("cart", "cart"));
    source.converges(&api).await;
    let all: Vec<String> = source
        .counts
        .all()
        .into_iter()
        .map(|c| format!("{} {} {} {}", c.metric, c.kind, c.event.as_str(), c.number))
        .collect();
    assert_eq!(
        all,
        [
            "pilot_k8s_reg_events Namespaces add 1",
            "pilot_k8s_reg_events Services add 1",
            "pilot_k8s_reg_events Services update 1",
            "pilot_k8s_reg_events Services delete 1",
            "pilot_k8s_cfg_events VirtualService add 1",
        ]
    );
}

#[tokio::test]
async fn failed_pods_are_gone() {
    let api = api().await;
    let pod = |phase: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": "a"},
            "spec": {"containers": []}, "status": {"phase": phase, "podIP": "10.1.0.1"}})
    };
    api.apply(pod("Running"));
    let mut source = Source::synced(&api).await;
    assert_eq!(source.names(), ["Pod shop/a"]);
    api.apply(pod("Failed"));
    source.until(|s| s.objects.is_empty()).await;
}

#[tokio::test]
async fn the_table_tells_every_request() {
    let api = api().await;
    let _source = Source::synced(&api).await;
    let kinds = crate::kube::watched();
    for request in api.requests() {
        let known = kinds.iter().any(|k| k.resource() == request.resource);
        assert!(known, "{} is not in the table", request.resource);
        assert!(
            matches!(request.verb, Verb::List | Verb::Watch),
            "{request:?}"
        );
    }
    for kind in &kinds {
        let watches = api.count(Verb::Watch, &kind.resource());
        assert!(watches > 0, "{} is not watched", kind.resource());
    }
    assert!(kinds.is_sorted_by_key(|k| (k.group, k.plural)));
}

#[tokio::test]
async fn requests_tell_who_asks() {
    let api = api().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, api.kubeconfig().to_string()).unwrap();
    let client = crate::kube::connect(Some(&path), Some("fake"))
        .await
        .unwrap();
    client.apiserver_version().await.unwrap();
    let namespaces = kube::Api::<k8s_openapi::api::core::v1::Namespace>::all(client);
    namespaces
        .list(&kube::api::ListParams::default())
        .await
        .unwrap();
    let agent = &api.requests()[0].user_agent;
    assert_eq!(agent, concat!("meltemi/", env!("CARGO_PKG_VERSION")));

    let problem = |error: crate::kube::ConnectError| error.to_string();
    let missing = folder.path().join("none");
    let error = crate::kube::connect(Some(&missing), None)
        .await
        .err()
        .map(problem)
        .unwrap();
    assert!(
        error.starts_with(&format!("kubeconfig {}: ", missing.display())),
        "{error}"
    );
    let error = crate::kube::connect(Some(&path), Some("other"))
        .await
        .err()
        .map(problem)
        .unwrap();
    assert!(error.contains("other"), "{error}");
}
