use super::*;

fn workload() -> Workload {
    Workload {
        id: "vm.ns".to_owned(),
        namespace: "ns".to_owned(),
        group: "group".to_owned(),
        address: Some("10.0.0.1".to_owned()),
        ..Workload::default()
    }
}

fn object(value: Value) -> DynamicObject {
    serde_json::from_value(value).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn names() {
    let long = "g".repeat(300);
    for (group, address, network, want) in [
        ("group", Some("10.0.0.1"), "", Some("group-10.0.0.1")),
        ("group", Some("10.0.0.1"), "n1", Some("group-10.0.0.1-n1")),
        ("group", Some("fd00::1"), "", Some("group-fd00--1")),
        ("group", None, "", None),
        ("", Some("10.0.0.1"), "", None),
    ] {
        let workload = Workload {
            group: group.to_owned(),
            address: address.map(str::to_owned),
            network: network.to_owned(),
            ..workload()
        };
        assert_eq!(name_of(&workload).as_deref(), want);
    }
    let name = name_of(&Workload {
        group: long,
        ..workload()
    });
    let name = name.unwrap();
    assert_eq!((name.len(), name.ends_with("g-10.0.0.1")), (253, true));
}

#[test]
fn an_entry_is_made_of_the_group_and_of_what_the_workload_says() {
    let group = object(json!({
        "metadata": {"name": "group", "namespace": "ns", "uid": "u1"},
        "spec": {
            "metadata": {"labels": {"a": "group", "b": "group"}, "annotations": {"note": "n"}},
            "template": {
                "ports": {"http": 8080}, "serviceAccount": "sa", "network": "of-template", "locality": "x/y",
                "labels": {"a": "template", "t": "template"},
            },
        },
    }));
    let plain = serde_json::to_value(made_from(&group, "e", &workload())).unwrap();
    assert_eq!(
        plain,
        json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "WorkloadEntry",
            "metadata": {
                "name": "e", "namespace": "ns",
                "labels": {"a": "group", "b": "group", "t": "template"},
                "annotations": {"istio.io/autoRegistrationGroup": "group", "note": "n"},
                "ownerReferences": [{
                    "apiVersion": "networking.istio.io/v1", "kind": "WorkloadGroup", "name": "group", "uid": "u1",
                    "controller": true,
                }],
            },
            "spec": {
                "address": "10.0.0.1", "ports": {"http": 8080}, "serviceAccount": "sa", "network": "of-template",
                "locality": "x/y", "labels": {"a": "group", "b": "group", "t": "template"},
            },
        })
    );
    let labels = [("b", "own"), ("istio-locality", "r.z")];
    let rich = Workload {
        network: "n1".to_owned(),
        locality: "r/z/s".to_owned(),
        labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        probed: true,
        ..workload()
    };
    let rich = serde_json::to_value(made_from(&group, "e", &rich)).unwrap();
    let labels = json!({"a": "group", "b": "own", "t": "template"});
    assert_eq!(rich["spec"]["labels"], labels);
    assert_eq!(rich["metadata"]["labels"], labels);
    assert_eq!(rich["spec"]["network"], "n1");
    assert_eq!(rich["spec"]["locality"], "r/z/s");
    assert_eq!(
        rich["metadata"]["annotations"]["proxy.istio.io/health-checks-enabled"],
        "true"
    );
    // A group that says nothing is no reason to fall over.
    let bare = object(json!({"metadata": {"name": "group"}}));
    let bare = serde_json::to_value(made_from(&bare, "e", &workload())).unwrap();
    assert_eq!(bare["spec"], json!({"address": "10.0.0.1"}));
}

#[test]
fn who_may_have_an_entry() {
    let entry = |account: &str| {
        object(
            json!({"metadata": {"name": "e", "namespace": "ns"}, "spec": {"serviceAccount": account}}),
        )
    };
    let who = |namespace: &str, account: &str| {
        Some(Identity {
            namespace: namespace.to_owned(),
            service_account: account.to_owned(),
        })
    };
    for (account, identity, says) in [
        ("", None, Some("requires a verified identity")),
        ("", who("ns", "any"), None),
        ("sa", who("ns", "sa"), None),
        (
            "sa",
            who("ns", "other"),
            Some("service account mismatch: \"other\" vs \"sa\""),
        ),
        (
            "sa",
            who("other", "sa"),
            Some("namespace mismatch: \"other\" vs \"ns\""),
        ),
    ] {
        let found = belongs_to(&entry(account), identity.as_ref());
        match says {
            None => assert_eq!(found, Ok(())),
            Some(says) => assert!(found.as_ref().is_err_and(|e| e.contains(says)), "{found:?}"),
        }
    }
}

#[test]
fn the_later_of_coming_and_going_counts() {
    let entry = |controller: &str, connected: Option<i64>, left: Option<i64>| {
        let mut annotations = json!({"istio.io/workloadController": controller});
        for (name, second) in [(CONNECTED_AT, connected), (DISCONNECTED_AT, left)] {
            if let Some(second) = second {
                annotations[name] = at(second).to_string().into();
            }
        }
        object(json!({"metadata": {"name": "e", "annotations": annotations}}))
    };
    for (what, mut object, when, want) in [
        ("never connected", entry("", None, None), 5, true),
        ("back after it left", entry("a", None, Some(4)), 5, true),
        ("left since", entry("a", None, Some(6)), 5, false),
        ("from another one", entry("b", Some(4), None), 5, true),
        ("to another one since", entry("b", Some(6), None), 5, false),
        ("said already", entry("a", Some(5), None), 5, false),
    ] {
        assert_eq!(connect(&mut object, "a", at(when)), want, "{what}");
        if want {
            assert_eq!(
                annotation(&object, CONNECTED_AT),
                Some("1970-01-01T00:00:05Z")
            );
            assert_eq!(annotation(&object, DISCONNECTED_AT), None);
            assert!(is_of(&object, "a"));
        }
    }
    for (what, mut object, since, want) in [
        (
            "the connection that was told",
            entry("a", Some(5), None),
            5,
            true,
        ),
        ("a later one came", entry("b", Some(6), None), 5, false),
        ("none was told", entry("a", None, None), 5, true),
    ] {
        assert_eq!(disconnect(&mut object, at(since), at(9)), want, "{what}");
        let left = annotation(&object, DISCONNECTED_AT);
        assert_eq!(left.is_some(), want, "{what}");
        assert_eq!(annotation(&object, CONNECTED_AT).is_none(), want, "{what}");
    }
}

#[test]
fn who_stays_away_is_cleaned_up() {
    let now = at(1000);
    let grace = Duration::from_secs(10);
    let healthy = json!({"conditions": [{"type": "Healthy", "status": "True"}]});
    let made = |extra: Value| {
        let mut annotations = json!({"istio.io/autoRegistrationGroup": "g"});
        annotations
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        annotations
    };
    let long_ago = at(0).to_string();
    let just_now = at(995).to_string();
    for (what, annotations, status, longest, want) in [
        (
            "nobody's",
            json!({"istio.io/disconnectedAt": long_ago}),
            &healthy,
            None,
            None,
        ),
        (
            "made, left",
            made(json!({"istio.io/disconnectedAt": long_ago})),
            &Value::Null,
            None,
            Some(Cleanup::Delete),
        ),
        (
            "made, left just now",
            made(json!({"istio.io/disconnectedAt": just_now})),
            &Value::Null,
            None,
            None,
        ),
        (
            "made, left, came back",
            made(json!({"istio.io/disconnectedAt": long_ago, "istio.io/connectedAt": long_ago})),
            &Value::Null,
            None,
            None,
        ),
        (
            "made, left at no time",
            made(json!({"istio.io/disconnectedAt": "once"})),
            &Value::Null,
            None,
            Some(Cleanup::Delete),
        ),
        (
            "made, said nothing",
            made(json!({})),
            &Value::Null,
            None,
            None,
        ),
        (
            "nobody could say that it left",
            made(json!({"istio.io/connectedAt": long_ago})),
            &Value::Null,
            Some(60),
            Some(Cleanup::Delete),
        ),
        (
            "connected not long ago",
            made(json!({"istio.io/connectedAt": just_now})),
            &Value::Null,
            Some(60),
            None,
        ),
        (
            "a user's with health",
            json!({"istio.io/workloadController": "a", "istio.io/disconnectedAt": long_ago}),
            &healthy,
            None,
            Some(Cleanup::ForgetHealth),
        ),
        (
            "a user's without",
            json!({"istio.io/workloadController": "a", "istio.io/disconnectedAt": long_ago}),
            &Value::Null,
            None,
            None,
        ),
    ] {
        let entry = object(
            json!({"metadata": {"name": "e", "annotations": annotations}, "status": status}),
        );
        let longest = longest.map(Duration::from_secs);
        assert_eq!(cleanup(&entry, now, grace, longest), want, "{what}");
    }
}

#[test]
fn health_is_one_condition_and_the_newest_counts() {
    let other = json!({"type": "Reconciled", "status": "True"});
    let mut entry = object(json!({"metadata": {"name": "e"}, "status": {"conditions": [other]}}));
    assert!(set_health(&mut entry, &Err("no answer".to_owned()), at(5)));
    assert!(!set_health(&mut entry, &Ok(()), at(4)));
    let seen = "1970-01-01T00:00:05Z";
    let bad = json!({"type": "Healthy", "status": "False", "message": "no answer",
        "lastProbeTime": seen, "lastTransitionTime": seen});
    assert_eq!(entry.data["status"]["conditions"], json!([other, bad]));
    assert!(set_health(&mut entry, &Ok(()), at(5)));
    let good = json!({"type": "Healthy", "status": "True", "lastProbeTime": seen, "lastTransitionTime": seen});
    assert_eq!(entry.data["status"]["conditions"], json!([other, good]));
    forget_health(&mut entry);
    assert_eq!(entry.data["status"]["conditions"], json!([other]));
    // A status of no form is replaced.
    for status in [json!(null), json!("text"), json!({"conditions": 5})] {
        let mut entry = object(json!({"metadata": {"name": "e"}, "status": status}));
        assert!(set_health(&mut entry, &Ok(()), at(1)));
        assert!(condition(&entry).is_some());
    }
}
