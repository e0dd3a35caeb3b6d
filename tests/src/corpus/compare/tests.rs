use serde_json::{Value, json};

use super::*;

/// The differences as `path: ours ≠ theirs`, `-` for an absent value.
fn differences(ours: &Value, theirs: &Value) -> Vec<String> {
    let show = |value: &Option<Value>| {
        value
            .as_ref()
            .map_or_else(|| "-".to_owned(), Value::to_string)
    };
    compare(ours, theirs)
        .iter()
        .map(|d| format!("{}: {} ≠ {}", d.path, show(&d.ours), show(&d.theirs)))
        .collect()
}

#[test]
fn what_does_not_count() {
    for (why, ours, theirs) in [
        (
            "field order",
            json!({"a": 1, "b": 2}),
            json!({"b": 2, "a": 1}),
        ),
        (
            "duration spelling",
            json!({"timeout": "300.000s"}),
            json!({"timeout": "300s"}),
        ),
        (
            "fraction spelling",
            json!({"timeout": "0.500s"}),
            json!({"timeout": "0.5s"}),
        ),
        (
            "number spelling",
            json!({"value": 100}),
            json!({"value": 100.0}),
        ),
        (
            "64-bit integers",
            json!({"max_bytes": "12"}),
            json!({"max_bytes": 12}),
        ),
        (
            "32-bit floats",
            json!({"value": 0.1}),
            json!({"value": f64::from(0.1_f32)}),
        ),
        ("an empty list", json!({"domains": []}), json!({})),
        (
            "virtual hosts and domains",
            json!({"virtual_hosts": [{"name": "a", "domains": ["x", "y"]}, {"name": "b"}]}),
            json!({"virtual_hosts": [{"name": "b"}, {"name": "a", "domains": ["y", "x"]}]}),
        ),
        (
            "filter chains",
            json!({"filter_chains": [{"filter_chain_match": {"destination_port": 1}}, {"name": "x"}]}),
            json!({"filter_chains": [{"name": "x"}, {"filter_chain_match": {"destination_port": 1}}]}),
        ),
        (
            "weighted clusters",
            json!({"weighted_clusters": {"clusters": [{"name": "a", "weight": 1}, {"name": "b"}]}}),
            json!({"weighted_clusters": {"clusters": [{"name": "b"}, {"name": "a", "weight": 1}]}}),
        ),
        (
            "endpoints and localities",
            json!({"endpoints": [{"locality": {"region": "r"}}, {"lb_endpoints": [endpoint("1"), endpoint("2")]}]}),
            json!({"endpoints": [{"lb_endpoints": [endpoint("2"), endpoint("1")]}, {"locality": {"region": "r"}}]}),
        ),
        (
            "SAN lists",
            json!({"match_subject_alt_names": [{"exact": "a"}, {"exact": "b"}]}),
            json!({"match_subject_alt_names": [{"exact": "b"}, {"exact": "a"}]}),
        ),
    ] {
        assert_eq!(differences(&ours, &theirs), Vec::<String>::new(), "{why}");
    }
}

fn endpoint(address: &str) -> Value {
    json!({"endpoint": {"address": {"socket_address": {"address": address, "port_value": 80}}}})
}

#[test]
fn what_counts() {
    for (ours, theirs, expected) in [
        (json!({"a": 1}), json!({"a": 2}), vec!["a: 1 ≠ 2"]),
        (
            json!({}),
            json!({"a": {"b": false}}),
            vec![r#"a: - ≠ {"b":false}"#],
        ),
        (json!({"a": {}}), json!({}), vec!["a: {} ≠ -"]),
        (
            json!({"timeout": "1s"}),
            json!({"timeout": "1.5s"}),
            vec![r#"timeout: "1s" ≠ "1.5s""#],
        ),
        (
            json!({"config": {"@type": "x", "f": 1}}),
            json!({"config": {"@type": "y", "g": 2}}),
            vec![r#"config/@type: "x" ≠ "y""#],
        ),
        (
            json!({"routes": [{"name": "a", "n": 1}, {"name": "b"}]}),
            json!({"routes": [{"name": "b"}, {"name": "a", "n": 1}]}),
            vec![
                r#"routes[0]: {"name":"a","n":1} ≠ -"#,
                r#"routes[1]: - ≠ {"name":"a","n":1}"#,
            ],
        ),
        (
            json!({"virtual_hosts": [{"name": "a", "routes": [{"match": {"prefix": "/"}}]}]}),
            json!({"virtual_hosts": [{"name": "a", "routes": [{"match": {"prefix": "/x"}}]}]}),
            vec![r#"virtual_hosts[a]/routes[0]/match/prefix: "/" ≠ "/x""#],
        ),
        (
            json!({"filters": [{"name": "tcp", "v": 1}]}),
            json!({"filters": [{"name": "rbac"}, {"name": "tcp", "v": 2}]}),
            vec![
                r#"filters[rbac]: - ≠ {"name":"rbac"}"#,
                "filters[tcp]/v: 1 ≠ 2",
            ],
        ),
        (
            json!({"clusters": ["a", "b"]}),
            json!({"clusters": ["b"]}),
            vec![r#"clusters[0]: "a" ≠ -"#],
        ),
    ] {
        assert_eq!(differences(&ours, &theirs), expected, "{ours} / {theirs}");
    }
}

#[test]
fn a_class_leaves_out_what_is_particular() {
    let ours = json!({"virtual_hosts": [{"name": "a"}], "filters": [{"name": "tcp", "v": 1}]});
    let theirs =
        json!({"virtual_hosts": [{"name": "a", "x": 1}], "filters": [{"name": "tcp", "v": 2}]});
    let classes: Vec<_> = compare(&ours, &theirs)
        .into_iter()
        .map(|d| d.class)
        .collect();
    assert_eq!(classes, ["filters[tcp]/v", "virtual_hosts[]/x"]);
}

#[test]
fn an_assignment_without_endpoints_counts_as_absent() {
    assert!(!has_endpoints(&json!({"cluster_name": "a"})));
    assert!(!has_endpoints(
        &json!({"cluster_name": "a", "endpoints": [{"locality": {"region": "r"}}]})
    ));
    assert!(has_endpoints(
        &json!({"endpoints": [{"lb_endpoints": [endpoint("1")]}]})
    ));
}
