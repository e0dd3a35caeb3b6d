use super::*;

fn patched(base: &Value, patches: Vec<Patch>) -> (Value, Vec<String>) {
    let found = input(
        ResourceType::Cluster,
        Context::SidecarOutbound,
        base,
        patches,
    )
    .build();
    let problems = found.problems.iter().map(|p| p.message.clone());
    (json_of(&found), problems.collect())
}

fn merge(value: &Value) -> Patch {
    patch(ApplyTo::Cluster, Operation::Merge, Condition::None, value)
}

#[test]
fn clusters_are_chosen_by_what_their_names_say() {
    let of = |port, service: &str, subset: &str, name: &str| ClusterCondition {
        port,
        service: service.into(),
        subset: subset.into(),
        name: name.into(),
    };
    let outbound = "outbound|80|v1|a.b";
    for (condition, name, hosts, want) in [
        (of(0, "", "", ""), outbound, &[][..], true),
        (of(80, "a.b", "v1", ""), outbound, &[], true),
        (of(81, "", "", ""), outbound, &[], false),
        (of(0, "c.d", "", ""), outbound, &[], false),
        (of(0, "", "v2", ""), outbound, &[], false),
        (of(81, "c.d", "", outbound), outbound, &[], true),
        (of(0, "", "", "x"), outbound, &[], false),
        (of(80, "a.b", "", ""), "outbound_.80_._.a.b", &[], true),
        (of(8080, "", "", ""), "inbound|8080||", &[], true),
        (of(8080, "a.b", "", ""), "inbound|8080||", &["a.b"], true),
        (of(8080, "c.d", "", ""), "inbound|8080||", &["a.b"], false),
        (of(8080, "a.b", "", ""), "inbound|8080||", &[], false),
        (of(80, "", "", ""), "BlackHoleCluster", &[], false),
    ] {
        let wanted = patch(
            ApplyTo::Cluster,
            Operation::Merge,
            on_cluster(condition),
            &json!({}),
        );
        let hosts: Vec<Str> = hosts.iter().map(|h| (*h).into()).collect();
        let found = may_touch_cluster(&wanted, name, &hosts);
        assert_eq!(found, want, "{:?} {name} {hosts:?}", wanted.condition);
    }
}

#[test]
fn clusters_are_merged_in_order_until_one_is_removed() {
    let base = json!({"name": "a", "connect_timeout": "1.500s", "filters": [{"name": "x"}]});
    let value = json!({"connect_timeout": "2s", "filters": [{"name": "y"}]});
    assert_eq!(
        patched(&base, vec![merge(&value)]).0,
        json!({"name": "a", "connect_timeout": "2s", "filters": [{"name": "x"}, {"name": "y"}]})
    );
    let replace = Patch {
        operation: Operation::MergeAndReplaceList,
        ..merge(&value)
    };
    assert_eq!(
        patched(&base, vec![replace]).0,
        json!({"name": "a", "connect_timeout": "2s", "filters": [{"name": "y"}]})
    );
    let remove = patch(
        ApplyTo::Cluster,
        Operation::Remove,
        Condition::None,
        &Value::Null,
    );
    assert_eq!(patched(&base, vec![merge(&value), remove]).0, Value::Null);
    // What it is called by then counts.
    let renamed = merge(&json!({"name": "b"}));
    let by_name = patch(
        ApplyTo::Cluster,
        Operation::Merge,
        on_cluster(ClusterCondition {
            name: "b".into(),
            ..ClusterCondition::default()
        }),
        &json!({"lb_policy": "RANDOM"}),
    );
    assert_eq!(
        patched(&json!({"name": "a"}), vec![renamed, by_name]).0,
        json!({"name": "b", "lb_policy": "RANDOM"})
    );
}

fn tls(sni: &str) -> Value {
    json!({"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": sni,
    }})
}

#[test]
fn transport_sockets_are_merged_by_name_and_alone() {
    let raw = json!({"name": "envoy.transport_sockets.raw_buffer", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
    }});
    let mut both = tls("b");
    both["typed_config"]["allow_renegotiation"] = json!(true);
    let mut start = tls("a");
    start["typed_config"]["allow_renegotiation"] = json!(true);
    let value = json!({"transport_socket": tls("b"), "lb_policy": "RANDOM"});
    let matches = |socket: &Value| {
        json!({"name": "a", "transport_socket_matches": [
            {"name": "tls", "match": {}, "transport_socket": socket},
            {"name": "raw", "match": {}, "transport_socket": raw.clone()},
        ]})
    };
    let quic = json!({"name": "quic"});
    for (what, base, value, want) in [
        (
            "of its name: merged, nothing else of the patch counts",
            json!({"name": "a", "transport_socket": start.clone()}),
            value.clone(),
            json!({"name": "a", "transport_socket": both.clone()}),
        ),
        (
            "of another name: replaced",
            json!({"name": "a", "transport_socket": raw.clone()}),
            value.clone(),
            json!({"name": "a", "transport_socket": tls("b")}),
        ),
        (
            "none: set",
            json!({"name": "a"}),
            value.clone(),
            json!({"name": "a", "transport_socket": tls("b")}),
        ),
        (
            "among matches: merged there",
            matches(&start),
            value,
            matches(&both),
        ),
        (
            "not among matches: left out",
            matches(&start),
            json!({"transport_socket": quic}),
            matches(&start),
        ),
    ] {
        let (found, problems) = patched(&base, vec![merge(&value)]);
        assert_eq!(found, want, "{what}");
        assert!(problems.is_empty(), "{what}");
    }
    let mut odd = tls("b");
    odd["typed_config"] = raw["typed_config"].clone();
    let base = json!({"name": "a", "transport_socket": start});
    let (found, problems) = patched(&base, vec![merge(&json!({"transport_socket": odd}))]);
    assert_eq!(found, base);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("RawBuffer does not merge into"));
}

#[test]
fn the_endpoints_that_a_cluster_fetches_are_known() {
    for (base, want) in [
        (json!({"name": "a", "type": "EDS"}), Some("a")),
        (
            json!({"name": "a", "type": "EDS", "eds_cluster_config": {"service_name": "b"}}),
            Some("b"),
        ),
        (json!({"name": "a", "type": "STATIC"}), None),
    ] {
        let found = input(ResourceType::Cluster, Context::Gateway, &base, Vec::new()).build();
        let want: BTreeSet<Str> = want.map(Str::from).into_iter().collect();
        assert_eq!(found.references, want, "{base}");
    }
}
