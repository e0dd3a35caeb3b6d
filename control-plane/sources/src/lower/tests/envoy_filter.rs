use meltemi_model::envoy_filter::{
    ApplyTo, ChainCondition, Condition, Context, HttpRouteCondition, ListenerCondition, Operation,
    RouteAction, RouteCondition, VirtualHostCondition,
};
use meltemi_model::testing::labels;
use meltemi_model::{Object, Severity};
use meltemi_proto::pool::message_to_json;
use serde_json::json;

use super::{get, lowered};

fn filter(spec: &str) -> String {
    let spec = spec.replace('\n', "\n  ");
    format!(
        "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {{name: x, namespace: ns}}\nspec:\n  {spec}"
    )
}

fn patches(list: &[&str]) -> String {
    let items: Vec<String> = list.iter().map(|item| format!("- {item}")).collect();
    filter(&format!("configPatches:\n{}", items.join("\n")))
}

#[test]
fn envoy_filters() {
    let found = get!(
        EnvoyFilter,
        filter(
            "workloadSelector: {labels: {app: a}}\npriority: -5\nconfigPatches:\n- applyTo: CLUSTER\n  match:\n    context: GATEWAY\n    cluster: {service: a.b, portNumber: 80, subset: v1}\n    proxy: {proxyVersion: ^1\\.31, metadata: {A: b}}\n  patch:\n    operation: MERGE\n    value: {connect_timeout: 1.5s, lbPolicy: RANDOM}"
        )
    );
    assert_eq!((found.priority, &found.selector), (-5, &labels("app=a")));
    assert_eq!(found.gateways, None);
    let patch = &found.patches[0];
    assert_eq!(
        (patch.apply_to, patch.operation, patch.context),
        (ApplyTo::Cluster, Operation::Merge, Context::Gateway)
    );
    let cluster = patch.condition.cluster().unwrap();
    assert_eq!(
        (cluster.port, &*cluster.service, &*cluster.subset),
        (80, "a.b", "v1")
    );
    let proxy = patch.proxy.as_ref().unwrap();
    assert!(proxy.holds(|key| Some(if key == "A" { "b" } else { "1.31.2" })));
    let value = message_to_json(patch.apply_to.type_name(), patch.value.as_ref().unwrap());
    assert_eq!(
        value.unwrap(),
        json!({"connect_timeout": "1.500s", "lb_policy": "RANDOM"})
    );
}

#[test]
fn conditions_and_the_type_of_the_filter_are_read() {
    let found = get!(
        EnvoyFilter,
        patches(&[
            "{applyTo: HTTP_FILTER, match: {listener: {portNumber: 80, filterChain: {sni: s, applicationProtocols: 'a,b', filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: f}}}}}, patch: {operation: INSERT_BEFORE, value: {name: n, typed_config: {'@type': type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/stats.PluginConfig}}}}",
            "{applyTo: HTTP_ROUTE, match: {routeConfiguration: {name: r, gateway: a/b, portName: p, vhost: {name: v, domainName: d, route: {name: q, action: REDIRECT}}}}, patch: {operation: REMOVE}}",
            "{applyTo: LISTENER, patch: {operation: INSERT_FIRST, value: {name: l}}}",
        ])
    );
    let chain = ChainCondition {
        sni: "s".into(),
        application_protocols: vec!["a".into(), "b".into()],
        filter: Some("envoy.filters.network.http_connection_manager".into()),
        sub_filter: Some("f".into()),
        ..ChainCondition::default()
    };
    let listener = ListenerCondition {
        port: 80,
        chain: Some(chain),
        ..ListenerCondition::default()
    };
    assert_eq!(found.patches[0].condition, Condition::Listener(listener));
    assert_eq!(&*found.patches[0].extension, "stats.PluginConfig");
    let route = RouteCondition {
        port: 0,
        port_name: "p".into(),
        gateway: "a/b".into(),
        name: "r".into(),
        virtual_host: Some(VirtualHostCondition {
            name: "v".into(),
            domain: "d".into(),
            route: Some(HttpRouteCondition {
                name: "q".into(),
                action: Some(RouteAction::Redirect),
            }),
        }),
    };
    assert_eq!(found.patches[1].condition, Condition::Route(route));
    // Listeners have no order, so inserting one is adding it.
    assert_eq!(found.patches[2].operation, Operation::Add);
}

/// What is wrong with one patch leaves that patch out, and the one behind it stays.
#[test]
fn mistakes_leave_their_patch_out() {
    let (error, warning) = (Severity::Error, Severity::Warning);
    let long = "1".repeat(1025);
    let too_long = format!(
        "{{applyTo: CLUSTER, match: {{proxy: {{proxyVersion: '{long}'}}}}, patch: {{operation: REMOVE}}}}"
    );
    for (patch, severity, path, says, kept) in [
        (
            "{patch: {operation: REMOVE}}",
            error,
            "applyTo",
            "missing applyTo",
            false,
        ),
        (
            "{applyTo: CLUSTR, patch: {operation: REMOVE}}",
            error,
            "applyTo",
            "",
            false,
        ),
        ("{applyTo: CLUSTER}", error, "patch", "missing patch", false),
        (
            "{applyTo: CLUSTER, patch: {}}",
            error,
            "patch.operation",
            "missing patch operation",
            false,
        ),
        (
            "{applyTo: CLUSTER, patch: {operation: MERGE}}",
            error,
            "patch.value",
            "missing patch value",
            false,
        ),
        (
            "{applyTo: CLUSTER, patch: {operation: ADD, value: {type: STATIC}}}",
            error,
            "patch.value.name",
            "needs a name",
            false,
        ),
        (
            "{applyTo: CLUSTER, match: {listener: {name: l}}, patch: {operation: REMOVE}}",
            error,
            "match",
            "cluster class objects cannot have non cluster match",
            false,
        ),
        (
            "{applyTo: HTTP_ROUTE, match: {cluster: {name: l}}, patch: {operation: REMOVE}}",
            error,
            "match",
            "http route class objects",
            false,
        ),
        (
            "{applyTo: NETWORK_FILTER, match: {listener: {filterChain: {filter: {}}}}, patch: {operation: REMOVE}}",
            error,
            "match.listener.filterChain.filter.name",
            "no name to match on",
            false,
        ),
        (
            "{applyTo: CLUSTER, match: {proxy: {proxyVersion: '('}}, patch: {operation: REMOVE}}",
            error,
            "match.proxy.proxyVersion",
            "invalid regex",
            false,
        ),
        (
            &too_long,
            warning,
            "match.proxy.proxyVersion",
            "exceeds 1024 characters",
            true,
        ),
        (
            "{applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: soon}}}",
            error,
            "patch.value.connect_timeout",
            "",
            false,
        ),
        (
            "{applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: 1s, nonsense: 1}}}",
            warning,
            "patch.value.nonsense",
            "unknown field",
            true,
        ),
        (
            "{applyTo: HTTP_FILTER, patch: {operation: ADD, value: {name: a, typed_config: {'@type': type.googleapis.com/envoy.config.filter.http.lua.v2.Lua}}}}",
            error,
            "patch.value.typed_config.@type",
            "write the v3 type",
            false,
        ),
        (
            "{applyTo: ROUTE_CONFIGURATION, patch: {operation: ADD, value: {}}}",
            warning,
            "patch.operation",
            "has no effect",
            false,
        ),
        (
            "{applyTo: BOOTSTRAP, patch: {operation: MERGE, value: {node: {id: x}}}}",
            warning,
            "applyTo",
            "BOOTSTRAP",
            false,
        ),
        (
            "{applyTo: BOOTSTRAP, patch: {operation: MERGE, value: {node: 7}}}",
            error,
            "patch.value.node",
            "",
            false,
        ),
        (
            "{applyTo: CLUSTER, match: {context: WAYPOINT}, patch: {operation: REMOVE}}",
            warning,
            "match.context",
            "not supported yet",
            false,
        ),
    ] {
        let good = "{applyTo: CLUSTER, patch: {operation: REMOVE}}";
        let text = patches(&[patch, good]);
        let found = lowered(&text);
        let first = found
            .diagnostics
            .first()
            .unwrap_or_else(|| panic!("{patch}"));
        let path = format!("spec.configPatches[0].{path}");
        assert_eq!(
            (first.severity, &first.path),
            (severity, &path),
            "{patch}: {first}"
        );
        assert!(first.message.contains(says), "{patch}: {first}");
        let Some(Object::EnvoyFilter(filter)) = found.object else {
            panic!("{patch}");
        };
        assert_eq!(filter.patches.len(), 1 + usize::from(kept), "{patch}");
    }
}

#[test]
fn an_annotation_refers_to_services() {
    let text = filter("priority: 1").replace(
        "namespace: ns",
        "namespace: ns, annotations: {envoyfilter.istio.io/referenced-services: ' a.ns.svc,,other/B.example.com , '}",
    );
    let found = get!(EnvoyFilter, text);
    let host = meltemi_model::Hostname::new;
    let want = vec![
        (None, host("a.ns.svc")),
        (Some("other".into()), host("b.example.com")),
    ];
    assert_eq!(found.references, want);
    let found = get!(EnvoyFilter, filter("priority: 1"));
    assert_eq!(found.references, vec![]);
}

#[test]
fn target_refs_name_gateways() {
    let gateway = "{group: gateway.networking.k8s.io, kind: Gateway, name: gw}";
    let found = get!(EnvoyFilter, filter(&format!("targetRefs: [{gateway}]")));
    assert_eq!(found.gateways, Some(vec!["gw".into()]));
    let service = "{group: '', kind: Service, name: s}";
    let found = get!(EnvoyFilter, filter(&format!("targetRefs: [{service}]")));
    assert_eq!(found.gateways, Some(vec![]));
    for (spec, says) in [
        (
            format!("targetRefs: [{gateway}]\nworkloadSelector: {{labels: {{a: b}}}}"),
            "only one of targetRefs or workloadSelector can be set",
        ),
        (
            "targetRefs: [{group: a, kind: b}]".to_owned(),
            "targetRef name must be set",
        ),
        ("configPatches: {}".to_owned(), "is not a list"),
    ] {
        let found = lowered(&filter(&spec));
        assert!(found.object.is_none(), "{spec}");
        assert!(found.diagnostics[0].message.contains(says), "{spec}");
    }
}
