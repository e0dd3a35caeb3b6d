use serde_json::json;

use super::*;
use crate::pool::message_to_json;

const CLUSTER: &str = "envoy.config.cluster.v3.Cluster";
const FILTER: &str = "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter";

fn buffer(fields: &Value) -> Value {
    let mut config =
        json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer"});
    for (name, value) in fields.as_object().unwrap() {
        config[name] = value.clone();
    }
    json!({"name": "b", "typed_config": config})
}

#[test]
fn what_is_known_is_read_and_the_rest_is_named() {
    for (ty, json, want, unknown) in [
        (
            CLUSTER,
            json!({"name": "a", "connectTimeout": "1.5s", "lb_policy": "RANDOM"}),
            json!({"name": "a", "connect_timeout": "1.500s", "lb_policy": "RANDOM"}),
            vec![],
        ),
        (
            CLUSTER,
            json!({"name": "a", "nonsense": 1, "lb_policy": "ODD", "outlier_detection": {"x": {}}}),
            json!({"name": "a", "outlier_detection": {}}),
            vec!["nonsense", "lb_policy", "outlier_detection.x"],
        ),
        (
            CLUSTER,
            json!({"filters": [{"name": "a"}, {"y": 2}], "circuit_breakers": null}),
            json!({"filters": [{"name": "a"}, {}]}),
            vec!["filters[1].y"],
        ),
        (
            FILTER,
            buffer(&json!({"max_request_bytes": 5.0, "z": 1})),
            buffer(&json!({"max_request_bytes": 5})),
            vec!["typed_config.z"],
        ),
        (
            FILTER,
            json!({"typed_config": {
                "@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
                "type_url": "type.googleapis.com/only.the.proxy.Knows",
                "value": {"anything": [1, "x", null]},
            }}),
            json!({"typed_config": {
                "@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
                "type_url": "type.googleapis.com/only.the.proxy.Knows",
                "value": {"anything": [1.0, "x", null]},
            }}),
            vec![],
        ),
    ] {
        let found = partial_message(ty, &json).unwrap();
        assert_eq!(message_to_json(ty, &found.bytes).unwrap(), want);
        assert_eq!(found.unknown, unknown);
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    for (ty, json, path, reason) in [
        ("envoy.Nothing", json!({}), "", "unknown message type"),
        (CLUSTER, json!(7), "", "expected"),
        (
            CLUSTER,
            json!({"connect_timeout": "soon"}),
            "connect_timeout",
            "",
        ),
        (
            CLUSTER,
            json!({"filters": [{"name": "a"}, {"name": 7}]}),
            "filters[1].name",
            "",
        ),
        (
            CLUSTER,
            json!({"ring_hash_lb_config": {}, "maglev_lb_config": {}}),
            "",
            "",
        ),
        (
            FILTER,
            buffer(&json!({"max_request_bytes": "many"})),
            "typed_config.max_request_bytes",
            "",
        ),
        (
            FILTER,
            json!({"typed_config": {"@type": "type.googleapis.com/envoy.config.x.v2.Y"}}),
            "typed_config.@type",
            "write the v3 type",
        ),
        (
            FILTER,
            json!({"typed_config": {"@type": "type.googleapis.com/no.Such"}}),
            "typed_config.@type",
            "TypedStruct",
        ),
        (
            CLUSTER,
            json!({"metadata": {"filter_metadata": {"a": {}, "b": 3}}}),
            "metadata.filter_metadata.b",
            "",
        ),
    ] {
        let found = partial_message(ty, &json).unwrap_err();
        assert_eq!(found.path, path, "{json}: {found}");
        assert!(found.reason.contains(reason), "{json}: {found}");
        assert!(!found.reason.is_empty());
    }
}
