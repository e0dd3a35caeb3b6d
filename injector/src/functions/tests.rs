use serde_json::json;

use super::*;
use crate::object;
use crate::template::Template;

fn rendered(template: &str) -> Result<String, String> {
    let environment = Environment::from([("SET".to_owned(), "value".to_owned())]);
    let meta = json!({"annotations": {"a": "b", "empty": ""}, "labels": {"app.kubernetes.io/version": "v7"}});
    let spec = json!({"containers": [
        {"name": "app", "image": "r:5000/app:1.2@sha256:ab", "resources": {},
            "ports": [{"name": "http", "containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}]},
        {"name": "istio-proxy", "resources": {}, "ports": [{"containerPort": 15090}]}]});
    let one = json!({"containers": [{"name": "app", "image": "r:5000/app:1.2@sha256:ab", "resources": {}}]});
    let mesh = json!({"extensionProviders": [{"name": "o", "opentelemetry": {"serviceAttributeEnrichment": "OTEL_SEMANTIC_CONVENTIONS"}}]});
    let data = Value::object(object::Record {
        name: "Data",
        fields: vec![
            ("ObjectMeta", object::kubernetes("ObjectMeta", Some(meta))),
            ("Spec", object::kubernetes("PodSpec", Some(spec))),
            ("One", object::kubernetes("PodSpec", Some(one))),
            ("MeshConfig", object::message("MeshConfig", Some(mesh))),
            ("PlainMesh", object::message("MeshConfig", Some(json!({})))),
            (
                "ProxyConfig",
                object::message(
                    "ProxyConfig",
                    Some(Json::Object(mesh::default_proxy_config())),
                ),
            ),
            (
                "Values",
                Value::from(
                    json!({"port": 15020, "r": {"limits": {"cpu": null, "memory": "1Gi"}, "requests": {"cpu": null}}, "l": [1, null]}),
                ),
            ),
        ],
    });
    Template::parse("t", template, &all(&environment))
        .and_then(|template| template.execute(&data))
        .map_err(|error| error.to_string())
}

#[test]
fn istios_functions() {
    for (template, expected) in [
        (r#"{{ env "SET" "d" }} {{ env "UNSET" "d" }}"#, "value d"),
        ("{{ formatDuration .ProxyConfig.DrainDuration }}", "45s"),
        (
            "{{ isset .ObjectMeta.Annotations `empty` }} {{ isset .ObjectMeta.Annotations `none` }}",
            "true false",
        ),
        (
            "{{ annotation .ObjectMeta `a` 1 }} {{ annotation .ObjectMeta `x` .Values.port }} {{ annotation .ObjectMeta `x` .ProxyConfig.InterceptionMode }}",
            "b 15020 REDIRECT",
        ),
        ("{{ annotation .ObjectMeta `x` .Values.none }}", "<nil>"),
        (
            r#"{{ excludeInboundPort .Values.port "" }} {{ excludeInboundPort 80 "1, 2" }} {{ excludeInboundPort "80" "80,1" }} {{ excludeInboundPort 0 "7" }}"#,
            "15020 1,2,80 80,1 7",
        ),
        (
            "{{ includeInboundPorts .Spec.Containers }} {{ applicationPorts .Spec.Containers }}",
            "80,15090 80",
        ),
        (
            r#"{{ valueOrDefault "" "d" }} {{ valueOrDefault .Values.none "d" }} {{ valueOrDefault "v" "d" }}"#,
            "d d v",
        ),
        (
            r#"{{ toJSON .ObjectMeta.Annotations }}"#,
            r#"{"a":"b","empty":""}"#,
        ),
        (
            r#"{{ (fromJSON `{"x": [1, "<"]}`).x }} {{ fromJSON "no" }}"#,
            "[1 <] {}",
        ),
        (
            "{{ range (index .Spec.Containers 0).Ports }}{{ structToJSON . }}{{ end }}",
            r#"{"name":"http","containerPort":80}{"containerPort":53,"protocol":"UDP"}"#,
        ),
        ("{{ protoToJSON .ProxyConfig }}", "{}"),
        (
            "{{ toYaml (omitNil .Values.r) }}{{ toYaml (omitNil .Values.l) }}",
            "limits:\n  memory: 1Gi\n- 1\n",
        ),
        (r#"{{ indent 2 "a\nb" }}"#, "a\n  b"),
        (r#"{{ directory "/a/b" }} {{ directory "x" }}"#, "/a/ "),
        (
            r#"{{ contains "/" "a/b" }} {{ contains "a/b" "/" }}"#,
            "true false",
        ),
        (r#"{{ toLower "ReplicaSet" }}"#, "replicaset"),
        (
            r#"{{ toJsonMap (omit .ObjectMeta.Annotations "a") (strdict "k" "v" "odd") }}"#,
            r#"{"empty":"","k":"v","odd":""}"#,
        ),
        (
            r#"{{ (mergeMaps (strdict "a" "1") (strdict "a" "2")).a }}"#,
            "2",
        ),
        (
            "{{ otelResourceAttributes .MeshConfig .ObjectMeta.Annotations .ObjectMeta.Labels `ns` .Spec.Containers }}",
            "service.namespace=ns,service.version=v7,service.instance.id=ns.$(POD_NAME).app",
        ),
        (
            "{{ otelResourceAttributes .MeshConfig .ObjectMeta.Annotations .ObjectMeta.Annotations `` .One.Containers }}",
            "service.version=1.2@sha256:ab,service.instance.id=.$(POD_NAME).app",
        ),
        (
            "{{ otelResourceAttributes .PlainMesh .ObjectMeta.Annotations .ObjectMeta.Labels `ns` .Spec.Containers }}",
            "",
        ),
    ] {
        assert_eq!(rendered(template).as_deref(), Ok(expected), "{template}");
    }
}
