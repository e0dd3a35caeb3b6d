use serde_json::{Value, json};

use super::*;
use crate::envoy::config::cluster::v3::Cluster;

const CLUSTER: &str = "envoy.config.cluster.v3.Cluster";

fn bytes(json: &Value) -> Vec<u8> {
    pool::json_to_message(CLUSTER, json).unwrap().to_vec()
}

fn merged(target: &Value, source: &Value, lists: Lists) -> Value {
    let mut cluster = Cluster::decode(bytes(target).as_slice()).unwrap();
    merge(&mut cluster, &bytes(source), lists).unwrap();
    pool::message_to_json(CLUSTER, &crate::encode(&cluster)).unwrap()
}

/// (what, target, source, appended, replaced)
#[test]
fn messages_merge_as_in_istio() {
    let same = |v: &Value| (v.clone(), v.clone());
    let cases = [
        (
            "scalars are overwritten, what is not said stays",
            json!({"name": "a", "lb_policy": "RANDOM"}),
            json!({"name": "b"}),
            same(&json!({"name": "b", "lb_policy": "RANDOM"})),
        ),
        (
            "a duration is replaced as a whole",
            json!({"connect_timeout": "1.500s"}),
            json!({"connect_timeout": "2s"}),
            same(&json!({"connect_timeout": "2s"})),
        ),
        (
            "messages are merged, durations in them too",
            json!({"outlier_detection": {"interval": "1.500s", "consecutive_5xx": 3}}),
            json!({"outlier_detection": {"interval": "3s"}}),
            same(&json!({"outlier_detection": {"interval": "3s", "consecutive_5xx": 3}})),
        ),
        (
            "a wrapper that holds the default changes nothing",
            json!({"outlier_detection": {"consecutive_5xx": 3}}),
            json!({"outlier_detection": {"consecutive_5xx": 0}}),
            same(&json!({"outlier_detection": {"consecutive_5xx": 3}})),
        ),
        (
            "lists",
            json!({"filters": [{"name": "a"}]}),
            json!({"filters": [{"name": "b"}]}),
            (
                json!({"filters": [{"name": "a"}, {"name": "b"}]}),
                json!({"filters": [{"name": "b"}]}),
            ),
        ),
        (
            "entries of maps are replaced one by one",
            json!({"metadata": {"filter_metadata": {"a": {"x": "1"}, "b": {}}}}),
            json!({"metadata": {"filter_metadata": {"a": {"y": "2"}}}}),
            same(&json!({"metadata": {"filter_metadata": {"a": {"y": "2"}, "b": {}}}})),
        ),
        (
            "another member of a oneof takes its place",
            json!({"ring_hash_lb_config": {"minimum_ring_size": "7"}}),
            json!({"maglev_lb_config": {"table_size": "11"}}),
            same(&json!({"maglev_lb_config": {"table_size": "11"}})),
        ),
        (
            "the same member of a oneof is merged",
            json!({"ring_hash_lb_config": {"minimum_ring_size": "7"}}),
            json!({"ring_hash_lb_config": {"maximum_ring_size": "9"}}),
            same(
                &json!({"ring_hash_lb_config": {"minimum_ring_size": "7", "maximum_ring_size": "9"}}),
            ),
        ),
    ];
    for (what, target, source, (appended, replaced)) in cases {
        assert_eq!(merged(&target, &source, Lists::Append), appended, "{what}");
        assert_eq!(merged(&target, &source, Lists::Replace), replaced, "{what}");
    }
}

#[test]
fn only_equal_types_merge_in_an_any() {
    let any = |name: &str, json: &Value| Any {
        type_url: format!("type.googleapis.com/{name}"),
        value: pool::json_to_message(name, json).unwrap().into(),
    };
    let buffer = "envoy.extensions.filters.http.buffer.v3.Buffer";
    let mut target = any(buffer, &json!({"max_request_bytes": 5}));
    merge_any(&mut target, &any(buffer, &json!({"max_request_bytes": 7}))).unwrap();
    assert_eq!(
        pool::message_to_json(buffer, &target.value).unwrap(),
        json!({"max_request_bytes": 7})
    );
    let before = target.clone();
    let router = "envoy.extensions.filters.http.router.v3.Router";
    let error = merge_any(&mut target, &any(router, &json!({}))).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{router} does not merge into {buffer}")
    );
    assert_eq!(target, before);
}
