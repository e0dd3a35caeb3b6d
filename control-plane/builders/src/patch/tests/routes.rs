use super::*;
use meltemi_model::envoy_filter::{HttpRouteCondition, RouteAction, VirtualHostCondition};

fn to(name: &str) -> Value {
    json!({"name": name, "match": {"prefix": "/"}, "route": {"cluster": name}})
}

fn direct(name: &str) -> Value {
    json!({"name": name, "match": {"prefix": "/"}, "direct_response": {"status": 200}})
}

fn host(name: &str, routes: &[Value]) -> Value {
    json!({"name": name, "domains": [format!("{name}.com")], "routes": routes})
}

fn config(hosts: &[Value]) -> Value {
    json!({"name": "80", "virtual_hosts": hosts})
}

fn of_host(name: &str, domain: &str) -> RouteCondition {
    RouteCondition {
        virtual_host: Some(VirtualHostCondition {
            name: name.into(),
            domain: domain.into(),
            route: None,
        }),
        ..RouteCondition::default()
    }
}

fn of_route(name: &str, action: Option<RouteAction>) -> RouteCondition {
    RouteCondition {
        virtual_host: Some(VirtualHostCondition {
            route: Some(HttpRouteCondition {
                name: name.into(),
                action,
            }),
            ..VirtualHostCondition::default()
        }),
        ..RouteCondition::default()
    }
}

fn patched(base: &Value, patches: Vec<Patch>) -> Value {
    json_of(&input(ResourceType::Route, Context::SidecarOutbound, base, patches).build())
}

#[test]
fn route_configurations_are_chosen_by_what_their_names_say() {
    let of = |port, port_name: &str, gateway: &str, name: &str| RouteCondition {
        port,
        port_name: port_name.into(),
        gateway: gateway.into(),
        name: name.into(),
        virtual_host: None,
    };
    let (sidecar, gateway) = (Context::SidecarOutbound, Context::Gateway);
    let https = "https.443.tls.gw.ns";
    for (condition, context, name, ports, want) in [
        (of(0, "", "", ""), sidecar, "80", &[][..], true),
        (of(80, "", "", ""), sidecar, "80", &[], true),
        (of(81, "", "", ""), sidecar, "80", &[], false),
        (of(0, "", "", "80"), sidecar, "80", &[], true),
        (of(0, "", "", "81"), sidecar, "80", &[], false),
        (of(0, "", "x/y", ""), sidecar, "80", &[], true),
        (of(80, "", "", ""), sidecar, "a.b:80", &[], false),
        (
            of(8080, "", "", ""),
            Context::SidecarInbound,
            "inbound|8080||",
            &[],
            true,
        ),
        (of(8080, "", "", ""), gateway, "http.8080", &[], true),
        (of(80, "", "", ""), gateway, "http.8080", &[80, 81], true),
        (of(8080, "", "", ""), gateway, "http.8080", &[80], false),
        (of(443, "tls", "ns/gw", ""), gateway, https, &[], true),
        (of(0, "other", "", ""), gateway, https, &[], false),
        (of(0, "", "ns/other", ""), gateway, https, &[], false),
        (of(0, "", "ns/gw", ""), gateway, "http.80", &[], false),
    ] {
        let wanted = patch(
            ApplyTo::RouteConfiguration,
            Operation::Merge,
            on_route(condition),
            &json!({}),
        );
        let found = may_touch_route(&wanted, context, name, ports);
        assert_eq!(found, want, "{:?} {name} {ports:?}", wanted.condition);
    }
}

#[test]
fn route_configurations_are_merged() {
    let base = json!({"name": "80", "request_headers_to_remove": ["a"]});
    let value =
        json!({"most_specific_header_mutations_wins": true, "request_headers_to_remove": ["b"]});
    for (operation, left) in [
        (Operation::Merge, json!(["a", "b"])),
        (Operation::MergeAndReplaceList, json!(["b"])),
    ] {
        let found = patched(
            &base,
            vec![patch(
                ApplyTo::RouteConfiguration,
                operation,
                Condition::None,
                &value,
            )],
        );
        assert_eq!(
            found,
            json!({"name": "80", "most_specific_header_mutations_wins": true, "request_headers_to_remove": left})
        );
    }
}

#[test]
fn virtual_hosts() {
    let (a, b) = (host("a", &[to("x")]), host("b", &[to("y")]));
    let base = config(&[a.clone(), b.clone()]);
    let retry = json!({"include_request_attempt_count": true, "domains": ["z.com"]});
    let with = |host: &Value, domains: Value| {
        let mut host = host.clone();
        host["include_request_attempt_count"] = json!(true);
        host["domains"] = domains;
        host
    };
    let new = host("new", &[]);
    let mut plain = new.clone();
    plain.as_object_mut().unwrap().shift_remove("routes");
    use Operation::*;
    for (what, operation, condition, value, want) in [
        (
            "merge into all",
            Merge,
            Condition::None,
            &retry,
            vec![
                with(&a, json!(["a.com", "z.com"])),
                with(&b, json!(["b.com", "z.com"])),
            ],
        ),
        (
            "merge by name",
            Merge,
            on_route(of_host("b", "")),
            &retry,
            vec![a.clone(), with(&b, json!(["b.com", "z.com"]))],
        ),
        (
            "merge by domain, lists replaced",
            MergeAndReplaceList,
            on_route(of_host("", "a.com")),
            &retry,
            vec![with(&a, json!(["z.com"])), b.clone()],
        ),
        (
            "replace",
            Replace,
            on_route(of_host("a", "")),
            &new,
            vec![plain.clone(), b.clone()],
        ),
        (
            "add",
            Add,
            on_route(RouteCondition {
                name: "80".into(),
                ..RouteCondition::default()
            }),
            &new,
            vec![a.clone(), b.clone(), plain.clone()],
        ),
        (
            "remove",
            Remove,
            on_route(of_host("a", "a.com")),
            &Value::Null,
            vec![b.clone()],
        ),
        (
            "neither name nor domain",
            Remove,
            on_route(of_host("a", "b.com")),
            &Value::Null,
            vec![a.clone(), b.clone()],
        ),
    ] {
        let found = patched(
            &base,
            vec![patch(ApplyTo::VirtualHost, operation, condition, value)],
        );
        assert_eq!(found, config(&want), "{what}");
    }
}

#[test]
fn http_routes() {
    let base = config(&[host("a", &[to("x"), direct("y"), to("z")])]);
    let new = to("new");
    let merged = |name: &str| {
        let mut route = to(name);
        route["route"]["timeout"] = json!("3s");
        route
    };
    let timeout = json!({"route": {"timeout": "3s"}});
    let null = Value::Null;
    let all = || Condition::None;
    let named = |name: &str| on_route(of_route(name, None));
    let does = |action| on_route(of_route("", Some(action)));
    let (x, y, z) = (to("x"), direct("y"), to("z"));
    let of = |routes: &[&Value]| -> Vec<Value> { routes.iter().map(|r| (*r).clone()).collect() };
    use Operation::*;
    for (what, operation, condition, value, want) in [
        ("add", Add, all(), &new, of(&[&x, &y, &z, &new])),
        (
            "insert first",
            InsertFirst,
            all(),
            &new,
            of(&[&new, &x, &y, &z]),
        ),
        (
            "insert first, named",
            InsertFirst,
            named("y"),
            &new,
            of(&[&new, &x, &y, &z]),
        ),
        (
            "insert first, absent",
            InsertFirst,
            named("q"),
            &new,
            of(&[&x, &y, &z]),
        ),
        (
            "insert before",
            InsertBefore,
            named("y"),
            &new,
            of(&[&x, &new, &y, &z]),
        ),
        (
            "insert before all",
            InsertBefore,
            all(),
            &new,
            of(&[&new, &x, &y, &z]),
        ),
        (
            "insert after",
            InsertAfter,
            named("y"),
            &new,
            of(&[&x, &y, &new, &z]),
        ),
        (
            "insert after all",
            InsertAfter,
            all(),
            &new,
            of(&[&x, &y, &z, &new]),
        ),
        (
            "insert after, absent",
            InsertAfter,
            named("q"),
            &new,
            of(&[&x, &y, &z]),
        ),
        ("remove", Remove, named("y"), &null, of(&[&x, &z])),
        (
            "remove what responds",
            Remove,
            does(RouteAction::DirectResponse),
            &null,
            of(&[&x, &z]),
        ),
        (
            "remove what redirects",
            Remove,
            does(RouteAction::Redirect),
            &null,
            of(&[&x, &y, &z]),
        ),
        (
            "merge into what routes",
            Merge,
            does(RouteAction::Route),
            &timeout,
            vec![merged("x"), y.clone(), merged("z")],
        ),
        (
            "merge by name",
            Merge,
            named("z"),
            &timeout,
            vec![x.clone(), y.clone(), merged("z")],
        ),
    ] {
        let found = patched(
            &base,
            vec![patch(ApplyTo::HttpRoute, operation, condition, value)],
        );
        assert_eq!(found, config(&[host("a", &want)]), "{what}");
    }
}
