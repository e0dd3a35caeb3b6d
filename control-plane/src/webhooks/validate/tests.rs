use super::*;

fn review(operation: &str, object: &Value) -> Verdict {
    let request = json!({"operation": operation, "object": object});
    verdict(&request)
}

fn virtual_service(spec: &Value) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "reviews", "namespace": "default"},
        "spec": spec,
    })
}

fn route(weight: i64) -> Value {
    json!({"hosts": ["reviews"], "http": [{"route": [
        {"destination": {"host": "reviews"}, "weight": weight},
    ]}]})
}

#[test]
fn good_objects_pass_and_bad_ones_are_refused_with_field_and_reason() {
    assert_eq!(
        review("CREATE", &virtual_service(&route(1))),
        Verdict::default()
    );
    let verdict = review("UPDATE", &virtual_service(&route(-1)));
    let (reason, message) = verdict.refusal.unwrap();
    assert_eq!(reason, "invalid_resource");
    for part in [
        "configuration is invalid: spec.http[0].route[0].weight",
        "weight -1 < 0",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

/// What is served where it is there already is still refused at the door.
#[test]
fn every_host_for_sidecars_is_refused() {
    let mut spec = route(1);
    spec["hosts"] = json!(["*"]);
    let (_, message) = review("CREATE", &virtual_service(&spec)).refusal.unwrap();
    let words = "wildcard host * is not allowed for virtual services bound to the mesh gateway";
    assert!(message.contains(words), "{message}");
    spec["gateways"] = json!(["ingress"]);
    assert_eq!(
        review("CREATE", &virtual_service(&spec)),
        Verdict::default()
    );
}

#[test]
fn what_is_not_an_objects_new_state_passes() {
    assert_eq!(review("DELETE", &Value::Null), Verdict::default());
    assert_eq!(review("CONNECT", &json!({"kind": "?"})), Verdict::default());
}

#[test]
fn other_refusals_have_istios_words() {
    let reject = |field: &str, value: Value| {
        let mut object = virtual_service(&route(1));
        object[field] = value;
        review("CREATE", &object).refusal.unwrap().1
    };
    assert_eq!(
        reject("extra", json!(1)),
        "configuration is invalid: extra: unknown field \"extra\" on VirtualService resource default/reviews"
    );
    let metadata = json!({"name": "a", "annotations": {meltemi_validation::ALWAYS_REJECT: "true"}});
    assert_eq!(
        reject("metadata", metadata),
        "configuration is invalid: metadata.annotations[\"internal.istio.io/webhook-always-reject\"]: \"internal.istio.io/webhook-always-reject\" annotation found, rejecting"
    );
    let unknown = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}});
    assert_eq!(
        review("CREATE", &unknown).refusal.unwrap(),
        (
            "unknown_type",
            "unrecognized type apps/v1, Kind=Deployment".to_owned()
        )
    );
    let (reason, _) = review("CREATE", &json!("text")).refusal.unwrap();
    assert_eq!(reason, "yaml_decode_error");
}

#[test]
fn replies_echo_the_review_and_carry_warnings() {
    let asked = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "7"}});
    let verdict = Verdict {
        refusal: None,
        warnings: vec!["mind the gap".to_owned()],
    };
    assert_eq!(
        reply(&asked, &verdict),
        json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "response": {"uid": "7", "allowed": true, "warnings": ["mind the gap"]},
        })
    );
    let refused = reply(&asked, &Verdict::refuse("unknown_type", "no"));
    assert_eq!(refused["response"]["allowed"], json!(false));
    assert_eq!(refused["response"]["status"]["message"], json!("no"));
}
