use super::*;

fn hcm(filters: &[Value]) -> Value {
    json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "h", "http_filters": filters,
    }})
}

fn listener(name: &str, port: u32, chains: &[Value]) -> Value {
    json!({
        "name": name,
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": port}},
        "filter_chains": chains,
    })
}

fn chain(name: &str, filters: &[Value]) -> Value {
    json!({"name": name, "filters": filters})
}

fn patched_in(context: Context, base: &Value, patches: Vec<Patch>) -> (Value, Vec<String>) {
    let found = input(ResourceType::Listener, context, base, patches).build();
    let problems = found.problems.iter().map(|p| p.message.clone()).collect();
    (json_of(&found), problems)
}

fn patched(base: &Value, one: Patch) -> Value {
    patched_in(Context::SidecarOutbound, base, vec![one]).0
}

fn of_port(port: u32) -> Condition {
    on_listener(ListenerCondition {
        port,
        ..ListenerCondition::default()
    })
}

fn of_name(name: &str) -> Condition {
    on_listener(ListenerCondition {
        name: name.into(),
        ..ListenerCondition::default()
    })
}

fn of_filter(name: &str) -> Condition {
    on_chain(ChainCondition {
        filter: Some(name.into()),
        ..ChainCondition::default()
    })
}

fn of_sub_filter(name: &str) -> Condition {
    on_chain(ChainCondition {
        filter: Some("envoy.filters.network.http_connection_manager".into()),
        sub_filter: Some(name.into()),
        ..ChainCondition::default()
    })
}

#[test]
fn listeners() {
    let base = listener("l", 80, &[chain("c", &[tcp("t", "x")])]);
    let value = json!({"transparent": true});
    let mut merged = base.clone();
    merged["transparent"] = json!(true);
    for (what, operation, condition, want) in [
        ("merge", Operation::Merge, Condition::None, &merged),
        ("by name", Operation::Merge, of_name("l"), &merged),
        ("of another name", Operation::Merge, of_name("m"), &base),
        (
            "by port",
            Operation::MergeAndReplaceList,
            of_port(80),
            &merged,
        ),
        ("of another port", Operation::Merge, of_port(81), &base),
        ("remove", Operation::Remove, of_port(80), &Value::Null),
    ] {
        let found = patched(
            &base,
            patch(ApplyTo::Listener, operation, condition, &value),
        );
        assert_eq!(&found, want, "{what}");
    }
}

/// (operation, names behind it) for a list of a, b and c, with and without a match on b.
fn list_cases() -> Vec<(Operation, bool, Vec<&'static str>)> {
    use Operation::*;
    vec![
        (Add, false, vec!["a", "b", "c", "new"]),
        (InsertFirst, true, vec!["new", "a", "b", "c"]),
        (InsertBefore, true, vec!["a", "new", "b", "c"]),
        (InsertBefore, false, vec!["new", "a", "b", "c"]),
        (InsertAfter, true, vec!["a", "b", "new", "c"]),
        (InsertAfter, false, vec!["a", "b", "c", "new"]),
        (Replace, true, vec!["a", "new", "c"]),
        (Replace, false, vec!["a", "b", "c"]),
        (Remove, true, vec!["a", "c"]),
        (Remove, false, vec!["a", "b", "c"]),
    ]
}

fn names(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap().iter();
    list.map(|filter| filter["name"].as_str().unwrap())
        .collect()
}

#[test]
fn listener_filters_network_filters_and_http_filters_are_lists() {
    let plain = |name: &str| json!({"name": name});
    for (operation, matched, want) in list_cases() {
        let value = |v: Value| {
            if operation == Operation::Remove {
                Value::Null
            } else {
                v
            }
        };
        let condition = |c: Condition| if matched { c } else { Condition::None };

        let mut base = listener("l", 80, &[]);
        base["listener_filters"] = json!([plain("a"), plain("b"), plain("c")]);
        let by_name = on_listener(ListenerCondition {
            listener_filter: "b".into(),
            ..ListenerCondition::default()
        });
        let one = patch(
            ApplyTo::ListenerFilter,
            operation,
            condition(by_name),
            &value(plain("new")),
        );
        let found = patched(&base, one);
        assert_eq!(
            names(&found["listener_filters"]),
            want,
            "{operation:?} {matched}"
        );

        let filters = ["a", "b", "c"].map(|n| tcp(n, "x"));
        let base = listener("l", 80, &[chain("c", &filters)]);
        let one = patch(
            ApplyTo::NetworkFilter,
            operation,
            condition(of_filter("b")),
            &value(tcp("new", "x")),
        );
        let found = patched(&base, one);
        let found = &found["filter_chains"][0]["filters"];
        assert_eq!(names(found), want, "{operation:?} {matched}");

        let filters = ["a", "b", "c"].map(|n| buffer(n, 1));
        let base = listener("l", 80, &[chain("c", &[tcp("t", "x"), hcm(&filters)])]);
        let one = patch(
            ApplyTo::HttpFilter,
            operation,
            condition(of_sub_filter("b")),
            &value(buffer("new", 2)),
        );
        let found = patched(&base, one);
        let found = &found["filter_chains"][0]["filters"][1]["typed_config"]["http_filters"];
        assert_eq!(names(found), want, "{operation:?} {matched}");
    }
}

#[test]
fn filters_are_merged_inside_their_configuration() {
    let inspector = |close: bool| {
        let mut config = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
            "initial_read_buffer_size": 512,
        });
        if close {
            config["close_connection_on_client_hello_parsing_errors"] = json!(true);
        }
        json!({"name": "tls", "typed_config": config})
    };
    let mut wanted = inspector(true);
    wanted["typed_config"]
        .as_object_mut()
        .unwrap()
        .shift_remove("initial_read_buffer_size");
    let mut base = listener("l", 80, &[]);
    base["listener_filters"] = json!([{"name": "other"}, inspector(false)]);
    let by_name = on_listener(ListenerCondition {
        listener_filter: "tls".into(),
        ..ListenerCondition::default()
    });
    let one = patch(ApplyTo::ListenerFilter, Operation::Merge, by_name, &wanted);
    let found = patched(&base, one);
    assert_eq!(found["listener_filters"][1], inspector(true));

    let base = listener("l", 80, &[chain("c", &[tcp("t", "x"), tcp("u", "y")])]);
    let mut wanted = tcp("", "z");
    wanted["name"] = json!("renamed");
    let one = patch(
        ApplyTo::NetworkFilter,
        Operation::Merge,
        of_filter("u"),
        &wanted,
    );
    let found = patched(&base, one);
    let mut want = tcp("u", "z");
    want["name"] = json!("renamed");
    assert_eq!(
        found["filter_chains"][0]["filters"],
        json!([tcp("t", "x"), want])
    );

    let base = listener(
        "l",
        80,
        &[chain("c", &[hcm(&[buffer("a", 1), buffer("b", 2)])])],
    );
    let one = patch(
        ApplyTo::HttpFilter,
        Operation::Merge,
        of_sub_filter("b"),
        &buffer("b", 7),
    );
    let want = listener(
        "l",
        80,
        &[chain("c", &[hcm(&[buffer("a", 1), buffer("b", 7)])])],
    );
    assert_eq!(patched(&base, one), want);
    // The configuration of another filter does not merge, and nothing breaks.
    let one = patch(
        ApplyTo::HttpFilter,
        Operation::Merge,
        of_sub_filter("b"),
        &json!({"typed_config": tcp("t", "x")["typed_config"]}),
    );
    let (found, problems) = patched_in(Context::SidecarOutbound, &base, vec![one]);
    assert_eq!((found, problems.len()), (base, 1));
}

#[test]
fn filter_chains() {
    let sni = |name: &str, sni: &str| {
        json!({"name": name, "filters": [tcp("t", "x")], "filter_chain_match": {
            "server_names": [sni], "transport_protocol": "tls",
            "application_protocols": ["a", "b"], "destination_port": 8080,
        }})
    };
    let base = listener("l", 80, &[sni("one", "x.com"), sni("two", "y.com")]);
    let of = |name: &str, sni: &str, transport: &str, protocols: &[&str], port| {
        on_chain(ChainCondition {
            name: name.into(),
            sni: sni.into(),
            transport_protocol: transport.into(),
            application_protocols: protocols.iter().map(|p| (*p).into()).collect(),
            destination_port: port,
            ..ChainCondition::default()
        })
    };
    for (condition, left) in [
        (of("one", "", "", &[], 0), vec!["two"]),
        (of("", "y.com", "", &[], 0), vec!["one"]),
        (of("", "", "raw_buffer", &[], 0), vec!["one", "two"]),
        (of("", "", "tls", &[], 0), vec![]),
        (of("", "", "", &["b", "a"], 0), vec![]),
        (of("", "", "", &["a", "q"], 0), vec!["one", "two"]),
        (of("two", "", "", &[], 8080), vec!["one"]),
        (of("", "", "", &[], 80), vec!["one", "two"]),
    ] {
        let one = patch(
            ApplyTo::FilterChain,
            Operation::Remove,
            condition.clone(),
            &Value::Null,
        );
        let found = patched(&base, one);
        let none = json!([]);
        let chains = found.get("filter_chains").unwrap_or(&none);
        assert_eq!(names(chains), left, "{condition:?}");
    }
    let added = sni("new", "z.com");
    let one = patch(ApplyTo::FilterChain, Operation::Add, of_name("l"), &added);
    assert_eq!(
        patched(&base, one)["filter_chains"],
        json!([sni("one", "x.com"), sni("two", "y.com"), added])
    );
    let one = patch(
        ApplyTo::FilterChain,
        Operation::MergeAndReplaceList,
        of("two", "", "", &[], 0),
        &json!({"filter_chain_match": {"server_names": ["q.com"]}}),
    );
    let found = patched(&base, one);
    let matched = &found["filter_chains"][1]["filter_chain_match"];
    assert_eq!(matched["server_names"], json!(["q.com"]));
    assert_eq!(matched["application_protocols"], json!(["a", "b"]));
}

#[test]
fn the_default_filter_chain_is_one_of_them() {
    let mut base = listener("l", 80, &[]);
    base["default_filter_chain"] = chain("d", &[tcp("t", "x")]);
    let one = patch(
        ApplyTo::NetworkFilter,
        Operation::InsertBefore,
        of_filter("t"),
        &tcp("new", "x"),
    );
    let found = patched(&base, one);
    assert_eq!(
        names(&found["default_filter_chain"]["filters"]),
        ["new", "t"]
    );
    let by_name = on_chain(ChainCondition {
        name: "d".into(),
        ..ChainCondition::default()
    });
    let one = patch(
        ApplyTo::FilterChain,
        Operation::Remove,
        by_name,
        &Value::Null,
    );
    assert!(patched(&base, one).get("default_filter_chain").is_none());
}

#[test]
fn a_port_means_a_chain_of_the_listener_that_takes_everything() {
    let of = |port: u32| {
        json!({"name": format!("c{port}"), "filters": [tcp("t", "x")],
            "filter_chain_match": {"destination_port": port}})
    };
    let base = listener("virtualInbound", 15006, &[of(80), of(90)]);
    let one = |apply_to, port| patch(apply_to, Operation::Remove, of_port(port), &Value::Null);
    let found = patched(&base, one(ApplyTo::FilterChain, 90));
    assert_eq!(names(&found["filter_chains"]), ["c80"]);
    assert_eq!(patched(&base, one(ApplyTo::Listener, 90)), base);
    assert_eq!(patched(&base, one(ApplyTo::Listener, 15006)), Value::Null);
    for (apply_to, port, want) in [
        (ApplyTo::HttpFilter, 80, true),
        (ApplyTo::Listener, 80, false),
    ] {
        let one = one(apply_to, port);
        assert_eq!(may_touch_listener(&one, "virtualInbound", 15006), want);
        assert!(!may_touch_listener(&one, "0.0.0.0_90", 90));
    }
}

#[test]
fn routes_inside_inbound_listeners_are_patched_there_only() {
    let mut manager = hcm(&[]);
    manager["typed_config"]["route_config"] = json!({"name": "inbound|8080||", "virtual_hosts": [
        {"name": "inbound|http|80", "domains": ["*"], "routes": [{"name": "default", "match": {"prefix": "/"}, "route": {"cluster": "inbound|8080||"}}]},
    ]});
    let base = listener("virtualInbound", 15006, &[chain("c", &[manager])]);
    let merge = || {
        let condition = on_route(RouteCondition {
            port: 8080,
            ..RouteCondition::default()
        });
        let value = json!({"route": {"timeout": "3s"}});
        patch(ApplyTo::HttpRoute, Operation::Merge, condition, &value)
    };
    let (found, _) = patched_in(Context::SidecarInbound, &base, vec![merge()]);
    let path =
        "/filter_chains/0/filters/0/typed_config/route_config/virtual_hosts/0/routes/0/route";
    assert_eq!(found.pointer(path).unwrap()["timeout"], json!("3s"));
    let (found, _) = patched_in(Context::SidecarOutbound, &base, vec![merge()]);
    assert!(found.pointer(path).unwrap().get("timeout").is_none());
}

#[test]
fn the_routes_that_a_listener_fetches_are_known() {
    let mut manager = hcm(&[]);
    manager["typed_config"]["rds"] =
        json!({"route_config_name": "80", "config_source": {"ads": {}}});
    let base = listener("l", 80, &[chain("c", &[tcp("t", "x"), manager])]);
    let found = input(ResourceType::Listener, Context::Gateway, &base, Vec::new()).build();
    assert_eq!(found.references, BTreeSet::from(["80".into()]));
}
