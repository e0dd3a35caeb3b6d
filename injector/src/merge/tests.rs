use serde_json::json;

use super::*;
use crate::types::KUBERNETES;

/// A pod spec, a patch, and the merged spec or the error's text.
type Row = (&'static str, Value, Value, Result<Value, &'static str>);

fn rows() -> Vec<Row> {
    vec![
        (
            "maps merge, lists without a strategy are replaced",
            json!({"nodeSelector": {"a": "1"}, "containers": [{"name": "app", "args": ["x", "y"]}]}),
            json!({"nodeSelector": {"b": "2"}, "containers": [{"name": "app", "args": ["z"]}]}),
            Ok(
                json!({"nodeSelector": {"a": "1", "b": "2"}, "containers": [{"name": "app", "args": ["z"]}]}),
            ),
        ),
        (
            "items of the patch come before those that only the original has",
            json!({"volumes": [{"name": "hello"}]}),
            json!({"volumes": [{"name": "injected"}]}),
            Ok(json!({"volumes": [{"name": "injected"}, {"name": "hello"}]})),
        ),
        (
            "an item that stood before a common one stays before it",
            json!({"volumes": [{"name": "a"}, {"name": "common"}, {"name": "b"}]}),
            json!({"volumes": [{"name": "common", "emptyDir": {}}, {"name": "new"}]}),
            Ok(
                json!({"volumes": [{"name": "a"}, {"name": "common", "emptyDir": {}}, {"name": "new"}, {"name": "b"}]}),
            ),
        ),
        (
            "ports merge by containerPort, env by name, mounts by path",
            json!({"containers": [{"name": "c", "ports": [{"containerPort": 80}], "env": [{"name": "A", "value": "1"}],
                "volumeMounts": [{"mountPath": "/x", "name": "x"}]}]}),
            json!({"containers": [{"name": "c", "ports": [{"containerPort": 80.0, "name": "http"}], "env": [{"name": "A", "value": "2"}],
                "volumeMounts": [{"mountPath": "/x", "name": "y"}]}]}),
            Ok(
                json!({"containers": [{"name": "c", "ports": [{"containerPort": 80.0, "name": "http"}],
                "env": [{"name": "A", "value": "2"}], "volumeMounts": [{"mountPath": "/x", "name": "y"}]}]}),
            ),
        ),
        (
            "null deletes, and is dropped where there is nothing to delete",
            json!({"hostname": "h", "securityContext": {"runAsUser": 1}}),
            json!({"hostname": null, "subdomain": null, "securityContext": {"runAsUser": null, "fsGroup": 2}, "dnsConfig": {"options": null}}),
            Ok(json!({"securityContext": {"fsGroup": 2}, "dnsConfig": {}})),
        ),
        (
            "$patch: replace of a map",
            json!({"securityContext": {"runAsUser": 1}}),
            json!({"securityContext": {"$patch": "replace", "fsGroup": 2}}),
            Ok(json!({"securityContext": {"fsGroup": 2}})),
        ),
        (
            "$patch: delete of a map",
            json!({"securityContext": {"runAsUser": 1}}),
            json!({"securityContext": {"$patch": "delete"}}),
            Ok(json!({"securityContext": {}})),
        ),
        (
            "$patch: replace of a list",
            json!({"volumes": [{"name": "a"}, {"name": "b"}]}),
            json!({"volumes": [{"$patch": "replace"}, {"name": "c"}]}),
            Ok(json!({"volumes": [{"name": "c"}]})),
        ),
        (
            "$patch: delete of an item",
            json!({"volumes": [{"name": "a"}, {"name": "b"}]}),
            json!({"volumes": [{"name": "a", "$patch": "delete"}]}),
            Ok(json!({"volumes": [{"name": "b"}]})),
        ),
        (
            "$retainKeys keeps the listed keys only",
            json!({"volumes": [{"name": "a", "emptyDir": {}}]}),
            json!({"volumes": [{"name": "a", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}]}),
            Ok(json!({"volumes": [{"name": "a", "secret": {"secretName": "s"}}]})),
        ),
        (
            "$setElementOrder gives the order",
            json!({"volumes": [{"name": "a"}, {"name": "b"}]}),
            json!({"$setElementOrder/volumes": [{"name": "b"}, {"name": "c"}, {"name": "a"}], "volumes": [{"name": "c"}]}),
            Ok(json!({"volumes": [{"name": "b"}, {"name": "c"}, {"name": "a"}]})),
        ),
        (
            "a type that changed is replaced",
            json!({"securityContext": []}),
            json!({"securityContext": {"runAsUser": 1}}),
            Ok(json!({"securityContext": {"runAsUser": 1}})),
        ),
        (
            "an item without its key is refused",
            json!({"volumes": [{"name": "a"}]}),
            json!({"volumes": [{"emptyDir": {}}]}),
            Err("map: {emptyDir} does not contain declared merge key: name"),
        ),
        (
            "an unknown directive is refused",
            json!({"securityContext": {"runAsUser": 1}}),
            json!({"securityContext": {"$patch": "eat"}}),
            Err("unknown patch type: \"eat\" found in: {}"),
        ),
        (
            "scalars among maps are refused",
            json!({"volumes": [{"name": "a"}]}),
            json!({"volumes": ["b"]}),
            Err("list element types are not identical"),
        ),
    ]
}

#[test]
fn specs_merge() {
    let kind = KUBERNETES.named("PodSpec");
    for (name, original, patch, expected) in rows() {
        let merged = merged(&KUBERNETES, &kind, &original, &patch).map_err(|e| e.to_string());
        assert_eq!(merged, expected.map_err(str::to_owned), "{name}");
    }
}

#[test]
fn primitive_lists_merge_and_lose_what_is_deleted() {
    let kind = KUBERNETES.named("ObjectMeta");
    let original = json!({"finalizers": ["a", "b"]});
    let merge = |patch: &Value| merged(&KUBERNETES, &kind, &original, patch);
    assert_eq!(
        merge(&json!({"finalizers": ["c", "a"]})),
        Ok(json!({"finalizers": ["c", "a", "b"]}))
    );
    assert_eq!(
        merge(&json!({"$deleteFromPrimitiveList/finalizers": ["a"]})),
        Ok(json!({"finalizers": ["b"]}))
    );
}
