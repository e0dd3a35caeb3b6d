use super::*;
use crate::manifest::{documents, read};

fn manifests(text: &str) -> Manifests {
    read(
        &BTreeMap::from([("test.yaml".into(), documents(text))]),
        &mut BTreeMap::new(),
    )
}

fn deployment(replicas: u32, template: &str) -> String {
    format!(
        "kind: Deployment\nmetadata: {{name: reviews-v1}}\nspec:\n  replicas: {replicas}\n  template:\n    \
         metadata: {{labels: {{app: reviews, version: v1}}}}\n    spec: {template}\n"
    )
}

const REVIEWS: &str = "{serviceAccountName: bookinfo-reviews, containers: [{name: reviews, image: reviews-v1, ports: [{containerPort: 9080}]}]}";

#[test]
fn scaling_keeps_the_pods_that_are_there() {
    let one = pods(&manifests(&deployment(1, REVIEWS)));
    let three = pods(&manifests(&deployment(3, REVIEWS)));
    assert_eq!((one.len(), three.len()), (1, 3));
    let (key, plan) = one.iter().next().unwrap();
    assert_eq!(three[key], *plan);
    assert!(key.1.starts_with("reviews-v1-"));
    assert_eq!(plan.labels["service.istio.io/canonical-revision"], "v1");
}

#[test]
fn another_template_gives_other_pods() {
    let before = pods(&manifests(&deployment(2, REVIEWS)));
    let after = pods(&manifests(&deployment(
        2,
        &REVIEWS.replace("image: reviews-v1", "image: reviews-v2"),
    )));
    assert!(before.keys().all(|key| !after.contains_key(key)));
}

#[test]
fn roles_follow_image_annotation_and_network() {
    let cases = [
        ("{containers: [{image: any}]}", "", Role::Sidecar),
        ("{containers: [{image: auto}]}", "", Role::Gateway),
        (
            "{containers: [{image: any}], hostNetwork: true}",
            "",
            Role::Plain,
        ),
        (
            "{containers: [{image: any}]}",
            ", annotations: {sidecar.istio.io/inject: \"false\"}",
            Role::Plain,
        ),
        (
            "{containers: [{image: any}]}",
            ", labels: {sidecar.istio.io/inject: \"true\"}",
            Role::Sidecar,
        ),
    ];
    for (spec, meta, expected) in cases {
        let text = format!("kind: Pod\nmetadata: {{name: one{meta}}}\nspec: {spec}\n");
        let pods = pods(&manifests(&text));
        assert_eq!(
            pods[&("default".to_owned(), "one".to_owned())].role,
            expected,
            "{text}"
        );
    }
    let namespace =
        "---\nkind: Namespace\nmetadata: {name: default, labels: {istio-injection: disabled}}\n";
    let text = format!(
        "kind: Pod\nmetadata: {{name: one}}\nspec: {{containers: [{{image: any}}]}}\n{namespace}"
    );
    assert_eq!(
        pods(&manifests(&text)).values().next().unwrap().role,
        Role::Plain
    );
}

#[test]
fn the_proxy_says_who_it_is() {
    let plans = pods(&manifests(&deployment(1, REVIEWS)));
    let plan = plans.values().next().unwrap();
    let address = Ipv4Addr::new(10, 244, 1, 1);
    let id = node_id(plan, address);
    assert_eq!(
        id,
        format!(
            "sidecar~10.244.1.1~{}.default~default.svc.cluster.local",
            plan.key.1
        )
    );
    let metadata = node_metadata(plan, address);
    assert_eq!(metadata["WORKLOAD_NAME"], "reviews-v1");
    assert_eq!(
        metadata["OWNER"],
        "kubernetes://apis/apps/v1/namespaces/default/deployments/reviews-v1"
    );
    assert_eq!(
        metadata["POD_PORTS"],
        r#"[{"containerPort":9080,"protocol":"TCP"}]"#
    );
}
