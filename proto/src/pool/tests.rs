use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;
use crate::envoy::config as envoy;

const TYPES: [(&str, &str); 4] = [
    ("cds", "envoy.config.cluster.v3.Cluster"),
    ("eds", "envoy.config.endpoint.v3.ClusterLoadAssignment"),
    ("lds", "envoy.config.listener.v3.Listener"),
    ("rds", "envoy.config.route.v3.RouteConfiguration"),
];

#[test]
fn forms_of_json() {
    let cases = [
        (
            "envoy.config.cluster.v3.Cluster",
            json!({ "name": "a", "type": "EDS", "connect_timeout": "10s" }),
        ),
        (
            "envoy.config.cluster.v3.Cluster",
            json!({ "connect_timeout": "0.250s", "per_connection_buffer_limit_bytes": 32768 }),
        ),
        (
            "envoy.config.core.v3.RuntimeUInt32",
            json!({ "default_value": 7, "runtime_key": "k" }),
        ),
        (
            "envoy.extensions.filters.http.buffer.v3.Buffer",
            json!({ "max_request_bytes": 5 }),
        ),
        (
            "envoy.config.core.v3.DataSource",
            json!({ "inline_bytes": "AQID" }),
        ),
        (
            "stats.PluginConfig",
            json!({ "reporter": "SERVER_GATEWAY", "tcp_reporting_duration": "15s" }),
        ),
        (
            "envoy.config.core.v3.Metadata",
            json!({ "filter_metadata": { "istio": { "a": [true, null, "x", { "b": 1.5 }] } } }),
        ),
        (
            "envoy.config.core.v3.TransportSocket",
            json!({ "name": "t", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer" } }),
        ),
        (
            "envoy.config.core.v3.TypedExtensionConfig",
            json!({ "typed_config": { "@type": "type.googleapis.com/google.protobuf.StringValue", "value": "s" } }),
        ),
        (
            "envoy.type.v3.Int64Range",
            json!({ "start": "-9007199254740993", "end": "1" }),
        ),
    ];
    for (name, json) in cases {
        let bytes = json_to_message(name, &json).unwrap();
        assert_eq!(message_to_json(name, &bytes).unwrap(), json, "{name}");
    }
}

#[test]
fn both_spellings_of_a_field_are_read() {
    let name = "envoy.config.cluster.v3.Cluster";
    let snake = json_to_message(name, &json!({ "connect_timeout": "1s" })).unwrap();
    assert_eq!(
        json_to_message(name, &json!({ "connectTimeout": "1s" })).unwrap(),
        snake
    );
}

#[test]
fn an_any_shows_its_type() {
    let bytes = json_to_message("envoy.config.core.v3.Locality", &json!({ "zone": "z" })).unwrap();
    let url = "type.googleapis.com/envoy.config.core.v3.Locality";
    assert_eq!(
        any_to_json(url, &bytes).unwrap(),
        json!({ "@type": url, "zone": "z" })
    );
    let url = "type.googleapis.com/google.protobuf.Duration";
    let bytes = json_to_message("google.protobuf.Duration", &json!("3s")).unwrap();
    assert_eq!(
        any_to_json(url, &bytes).unwrap(),
        json!({ "@type": url, "value": "3s" })
    );
}

#[test]
fn what_has_no_descriptor_is_shown_all_the_same() {
    let name = "envoy.config.core.v3.TypedExtensionConfig";
    let shown = |url: &str, value: &[u8]| {
        let any = crate::google::protobuf::Any {
            type_url: url.to_owned(),
            value: value.to_vec(),
        };
        let config = crate::envoy::config::core::v3::TypedExtensionConfig {
            name: String::new(),
            typed_config: Some(any),
        };
        message_to_json(name, &canonical::encode(&config)).unwrap()["typed_config"].clone()
    };
    assert_eq!(shown("", b""), json!({}));
    assert_eq!(
        shown("x/no.Such", b"abc"),
        json!({ "@type": "x/no.Such", "value": "YWJj" })
    );
    let url = "type.googleapis.com/google.protobuf.Struct";
    assert_eq!(
        shown(url, b"\xff"),
        json!({ "@type": url, "value": "/w==" })
    );
}

#[test]
fn errors_say_what_is_wrong() {
    let cluster = "envoy.config.cluster.v3.Cluster";
    assert!(
        matches!(message_to_json("no.Such", b""), Err(Error::UnknownType(name)) if name == "no.Such")
    );
    assert!(matches!(
        message_to_json(cluster, b"\xff"),
        Err(Error::Malformed { .. })
    ));
    for (json, word) in [
        (json!({ "nane": "a" }), "nane"),
        (json!({ "type": "NO_SUCH" }), "NO_SUCH"),
        (
            json!({ "transport_socket": { "typed_config": { "@type": "type.googleapis.com/no.Such" } } }),
            "no.Such",
        ),
        (json!(3), "integer"),
    ] {
        let Err(Error::Json { reason, .. }) = json_to_message(cluster, &json) else {
            panic!("{json} was accepted")
        };
        assert!(reason.contains(word), "{reason:?} does not name {word:?}");
    }
}

/// Every resource of the recorded corpus parses, its bytes are canonical, and it renders to what was recorded.
#[test]
fn recorded_resources_survive_the_round_trip() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/xds");
    if !corpus.is_dir() {
        eprintln!("skipped: no corpus");
        return;
    }
    let mut files = Vec::new();
    recorded(&corpus, &mut files);
    files.sort();
    let mut count = 0;
    for file in &files {
        let recording: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        for (key, name) in TYPES {
            for (resource, json) in recording[key].as_object().into_iter().flatten() {
                round_trip(name, json, &format!("{}: {key} {resource}", file.display()));
                count += 1;
            }
        }
    }
    assert!(
        count > 100,
        "only {count} resources were found in {} files",
        files.len()
    );
}

fn round_trip(name: &str, json: &Value, place: &str) {
    let bytes = json_to_message(name, json).unwrap_or_else(|e| panic!("{place}: {e}"));
    assert_eq!(
        canonical::canonicalize(name, &bytes).unwrap(),
        bytes,
        "{place}: not canonical"
    );
    assert_eq!(
        encoded_by_prost(name, &bytes),
        bytes,
        "{place}: the fast encoder differs from the slow one"
    );
    let printed = message_to_json(name, &bytes).unwrap_or_else(|e| panic!("{place}: {e}"));
    assert_eq!(
        json_to_message(name, &printed).unwrap(),
        bytes,
        "{place}: printed and parsed again"
    );
    if let Some(difference) = difference(json, &printed) {
        panic!("{place}: {difference}");
    }
}

fn encoded_by_prost(name: &str, bytes: &[u8]) -> Bytes {
    fn through<M: canonical::Canonical + Default>(bytes: &[u8]) -> Bytes {
        canonical::encode(&M::decode(bytes).unwrap())
    }
    match name {
        "envoy.config.cluster.v3.Cluster" => through::<envoy::cluster::v3::Cluster>(bytes),
        "envoy.config.endpoint.v3.ClusterLoadAssignment" => {
            through::<envoy::endpoint::v3::ClusterLoadAssignment>(bytes)
        }
        "envoy.config.listener.v3.Listener" => through::<envoy::listener::v3::Listener>(bytes),
        "envoy.config.route.v3.RouteConfiguration" => {
            through::<envoy::route::v3::RouteConfiguration>(bytes)
        }
        other => panic!("no type of Rust for {other}"),
    }
}

/// The first place where `printed` is not what was recorded. A default that only `printed` has is no difference: the recording left
/// it out. Numbers compare by value.
fn difference(recorded: &Value, printed: &Value) -> Option<String> {
    match (recorded, printed) {
        (Value::Object(recorded), Value::Object(printed)) => {
            if let Some(lost) = recorded.keys().find(|key| !printed.contains_key(*key)) {
                return Some(format!("{lost} was lost"));
            }
            printed
                .iter()
                .find_map(|(key, value)| match recorded.get(key) {
                    Some(expected) => difference(expected, value).map(|d| format!("{key}.{d}")),
                    None if is_default(value) => None,
                    None => Some(format!("{key} was added: {value}")),
                })
        }
        (Value::Array(recorded), Value::Array(printed)) if recorded.len() == printed.len() => {
            recorded
                .iter()
                .zip(printed)
                .enumerate()
                .find_map(|(i, (r, p))| difference(r, p).map(|d| format!("{i}.{d}")))
        }
        (Value::Number(recorded), Value::Number(printed))
            if recorded.as_f64() == printed.as_f64() =>
        {
            None
        }
        _ if recorded == printed => None,
        _ => Some(format!("recorded {recorded}, printed {printed}")),
    }
}

fn is_default(value: &Value) -> bool {
    matches!(value.as_f64(), Some(0.0))
        || matches!(value.as_str(), Some(""))
        || value == &Value::Bool(false)
}

fn recorded(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            recorded(&path, into);
        } else if path.extension().is_some_and(|e| e == "json")
            && path.parent().unwrap().ends_with("expected")
        {
            into.push(path);
        }
    }
}
