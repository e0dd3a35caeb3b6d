use serde_json::{Value, json};

use super::*;
use crate::Duration;
use crate::destination_rule::{DestinationRule, SimpleLb};
use crate::mesh_config::{AccessLogEncoding, MeshConfig};
use crate::peer_authentication::{MutualTlsMode, PeerAuthentication};
use crate::virtual_service::{HttpBody, HttpFaultInjection, HttpRoute, VirtualService};

fn read<T: DeserializeOwned>(value: &Value) -> T {
    let read = parse::<T>(value).unwrap_or_else(|error| panic!("{value}: {error}"));
    assert_eq!(read.unknown, Vec::<String>::new(), "{value}");
    read.value
}

fn refused<T: DeserializeOwned + fmt::Debug>(value: &Value) -> (String, String) {
    let error = parse_spec::<T>(value).expect_err(&value.to_string());
    (error.path, error.message)
}

#[test]
fn wrong_values_are_reported_with_their_place_and_what_to_write() {
    for (spec, path, says) in [
        (json!("reviews"), "spec", "\"reviews\" is not an object"),
        (
            json!({"hosts": "reviews"}),
            "spec.hosts",
            "\"reviews\" is not a list; write [\"reviews\"]",
        ),
        (
            json!({"hosts": [80]}),
            "spec.hosts[0]",
            "80 is not a string; write it in quotes: \"80\"",
        ),
        (
            json!({"http": {"name": "a"}}),
            "spec.http",
            "an object is not a list; put \"- \" before",
        ),
        (
            json!({"http": [{"timeout": 5}]}),
            "spec.http[0].timeout",
            "5 is not a string; write it in quotes",
        ),
        (
            json!({"http": [{"timeout": "5"}]}),
            "spec.http[0].timeout",
            "write for instance \"5s\"",
        ),
        (
            json!({"http": [{"retries": {"attempts": "many"}}]}),
            "spec.http[0].retries.attempts",
            "not a whole number",
        ),
        (
            json!({"http": [{"retries": {"attempts": 1.5}}]}),
            "spec.http[0].retries.attempts",
            "not a whole number",
        ),
        (
            json!({"http": [{"match": [{"port": -1}]}]}),
            "spec.http[0].match[0].port",
            "from 0 to 4294967295",
        ),
        (
            json!({"http": [{"match": [{"uri": "/"}]}]}),
            "spec.http[0].match[0].uri",
            "is not an object",
        ),
        (
            json!({"http": [{"match": [{"ignoreUriCase": "true"}]}]}),
            "spec.http[0].match[0].ignoreUriCase",
            "without quotes",
        ),
        (
            json!({"http": [{"match": [{"ignoreUriCase": 1}]}]}),
            "spec.http[0].match[0].ignoreUriCase",
            "write true or false",
        ),
        (
            json!({"http": [{"mirrorPercentage": {"value": "half"}}]}),
            "spec.http[0].mirrorPercentage.value",
            "such as 0.5",
        ),
        (
            json!({"http": [{"match": [{"headers": {"x.y": {"exact": 1}}}]}]}),
            "spec.http[0].match[0].headers[\"x.y\"].exact",
            "write it in quotes: \"1\"",
        ),
        (
            json!({"http": [{"match": [{"uri": {"exact": "/a", "prefix": "/b"}}]}]}),
            "spec.http[0].match[0].uri",
            "exact and prefix exclude each other",
        ),
        (
            json!({"http": [{"corsPolicy": {"unmatchedPreflights": "DROP"}}]}),
            "spec.http[0].corsPolicy.unmatchedPreflights",
            "\"DROP\" is not a known value; write one of UNSPECIFIED, FORWARD, IGNORE",
        ),
        (
            json!({"http": [{"corsPolicy": {"unmatchedPreflights": 7}}]}),
            "spec.http[0].corsPolicy.unmatchedPreflights",
            "7 is not the number of a known value",
        ),
        (
            json!({"http": [{"corsPolicy": {"unmatchedPreflights": true}}]}),
            "spec.http[0].corsPolicy.unmatchedPreflights",
            "one of UNSPECIFIED, FORWARD, IGNORE",
        ),
        (
            json!({"http": [{"fault": []}]}),
            "spec.http[0].fault",
            "without a leading \"- \"",
        ),
    ] {
        let (at, message) = refused::<VirtualService>(&spec);
        assert_eq!(at, path, "{message}");
        assert!(message.contains(says), "{path}: {message}");
    }
}

#[test]
fn members_of_a_oneof_exclude_each_other() {
    for (spec, path, says) in [
        (
            json!({"simple": "RANDOM", "consistentHash": {"useSourceIp": true}}),
            "spec.trafficPolicy.loadBalancer",
            "simple and consistentHash exclude",
        ),
        (
            json!({"consistentHash": {"useSourceIp": false, "http_header_name": "x"}}),
            "spec.trafficPolicy.loadBalancer.consistentHash",
            "httpHeaderName and useSourceIp exclude",
        ),
        (
            json!({"consistentHash": {"maglev": {}, "ringHash": {}}}),
            "spec.trafficPolicy.loadBalancer.consistentHash",
            "ringHash and maglev exclude",
        ),
    ] {
        let spec = json!({"trafficPolicy": {"loadBalancer": spec}});
        let (at, message) = refused::<DestinationRule>(&spec);
        assert_eq!(at, path, "{message}");
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn unknown_fields_are_listed_and_ignored() {
    let spec = json!({
        "foo": null,
        "http": [{"foo": 1, "route": [{"destination": {"host": "a", "weights": [1]}}]}, {"match": [{"Uri": {}}]}],
        "export_to": ["*"],
        "exportTo": ["."],
    });
    let read = parse_spec::<VirtualService>(&spec).unwrap();
    let unknown = [
        "spec.export_to",
        "spec.foo",
        "spec.http[0].foo",
        "spec.http[0].route[0].destination.weights",
        "spec.http[1].match[0].Uri",
    ];
    assert_eq!(read.unknown, unknown);
    assert_eq!(read.value.export_to, ["."]);
    assert_eq!(
        read.value.http[0].route[0]
            .destination
            .as_ref()
            .unwrap()
            .host,
        "a"
    );
}

#[test]
fn old_and_lax_forms_read_as_in_istio() {
    let fault: HttpFaultInjection =
        read(&json!({"delay": {"percent": 100, "fixedDelay": "1m30s"}}));
    let delay = fault.delay.unwrap();
    assert_eq!(
        (delay.percent, delay.fixed_delay),
        (100, Some(Duration::from_secs(90)))
    );

    for name in ["mirrorPercent", "mirror_percent"] {
        for percent in [json!(0), json!("0"), json!(0.0)] {
            assert_eq!(
                read::<HttpRoute>(&json!({ name: percent })).mirror_percent,
                Some(0)
            );
        }
    }

    let rule: DestinationRule = read(&json!({"trafficPolicy": {
        "loadBalancer": {"simple": "LEAST_CONN", "consistentHash": null, "warmupDurationSecs": "10s"},
        "connectionPool": {"http": {"http2MaxRequests": 10, "http1_max_pending_requests": 1}},
        "outlierDetection": {"consecutiveErrors": 5, "consecutive_5xx_errors": 0, "consecutiveGatewayErrors": null},
    }}));
    let policy = rule.traffic_policy.unwrap();
    let outlier = policy.outlier_detection.unwrap();
    assert_eq!(
        policy.load_balancer.unwrap().simple,
        Some(SimpleLb::LeastConn)
    );
    assert_eq!(
        (outlier.consecutive_errors, outlier.consecutive_5xx_errors),
        (5, Some(0))
    );
    assert_eq!(outlier.consecutive_gateway_errors, None);
    let pool = policy.connection_pool.unwrap().http.unwrap();
    assert_eq!(
        (pool.http2_max_requests, pool.http1_max_pending_requests),
        (10, 1)
    );

    let ring = json!({"trafficPolicy": {"loadBalancer": {"consistentHash": {"minimumRingSize": "18446744073709551615"}}}});
    let hash = read::<DestinationRule>(&ring)
        .traffic_policy
        .unwrap()
        .load_balancer
        .unwrap()
        .consistent_hash
        .unwrap();
    assert_eq!(hash.minimum_ring_size, u64::MAX);
}

#[test]
fn null_is_absent_and_an_empty_element() {
    let service: VirtualService = read(&json!({
        "hosts": null,
        "gateways": [null, "mesh"],
        "http": [null, {"name": null, "match": [{"headers": {"x": null}}], "headers": {"request": {"set": {"a": null}}}}],
    }));
    assert!(service.hosts.is_empty());
    assert_eq!(service.gateways, ["", "mesh"]);
    assert_eq!(service.http[0], HttpRoute::default());
    assert_eq!(service.http[1].r#match[0].headers["x"].exact, None);
    assert_eq!(
        service.http[1]
            .headers
            .as_ref()
            .unwrap()
            .request
            .as_ref()
            .unwrap()
            .set["a"],
        ""
    );
    assert_eq!(
        read::<VirtualService>(&Value::Null),
        VirtualService::default()
    );
}

#[test]
fn enums_read_by_name_and_number() {
    for (given, encoding) in [
        (json!("TEXT"), AccessLogEncoding::Text),
        (json!("JSON"), AccessLogEncoding::Json),
        (json!(1), AccessLogEncoding::Json),
        (json!(null), AccessLogEncoding::Text),
    ] {
        assert_eq!(
            read::<MeshConfig>(&json!({"accessLogEncoding": given})).access_log_encoding,
            encoding
        );
    }
    assert_eq!(
        (
            AccessLogEncoding::Json.number(),
            AccessLogEncoding::Json.as_str()
        ),
        (1, "JSON")
    );
}

#[test]
fn doubles_may_stand_in_quotes() {
    for (given, value) in [
        (json!(1), 1.0),
        (json!("0.1"), 0.1),
        (json!("Infinity"), f64::INFINITY),
        (json!(1e-3), 0.001),
    ] {
        let route: HttpRoute = read(&json!({"mirrorPercentage": {"value": given}}));
        assert_eq!(route.mirror_percentage.unwrap().value, value);
    }
}

#[test]
fn bytes_are_base64() {
    assert_eq!(
        read::<HttpBody>(&json!({"bytes": "aGVsbG8="}))
            .bytes
            .unwrap()
            .0,
        b"hello"
    );
    let (path, message) = refused::<HttpBody>(&json!({"bytes": "hello!"}));
    assert_eq!(path, "spec.bytes");
    assert!(message.contains("is not base64"), "{message}");
}

#[test]
fn numeric_map_keys_are_checked() {
    let policy: PeerAuthentication = read(&json!({"portLevelMtls": {"8080": {"mode": "DISABLE"}}}));
    assert_eq!(policy.port_level_mtls[&8080].mode, MutualTlsMode::Disable);
    let (path, message) = refused::<PeerAuthentication>(&json!({"portLevelMtls": {"http": {}}}));
    assert_eq!(path, "spec.portLevelMtls.http");
    assert!(message.contains("\"http\" is not a number"), "{message}");
}

#[test]
fn free_form_objects_keep_their_nulls() {
    let body = json!({"a": null, "b": [1, -2, 0.5, null, {"c": true}]});
    let config = json!({"extensionProviders": [{"name": "log", "envoyFileAccessLog": {"logFormat": {"labels": body}}}]});
    let mesh: MeshConfig = read(&config);
    let format = mesh.extension_providers[0]
        .envoy_file_access_log
        .as_ref()
        .unwrap()
        .log_format
        .as_ref()
        .unwrap();
    assert_eq!(format.labels.clone().map(Value::Object), Some(body));
}

#[test]
fn paths_begin_where_the_caller_says() {
    let wrong = json!({"hosts": 1});
    assert_eq!(parse::<VirtualService>(&wrong).unwrap_err().path, "hosts");
    assert_eq!(
        parse_at::<VirtualService>("items[3].spec", &wrong)
            .unwrap_err()
            .path,
        "items[3].spec.hosts"
    );
    assert_eq!(
        parse::<VirtualService>(&json!(1)).unwrap_err().to_string(),
        "1 is not an object; write its fields below it, one per line"
    );
    assert_eq!(
        parse_spec::<VirtualService>(&wrong)
            .unwrap_err()
            .to_string(),
        "spec.hosts: 1 is not a list; write [1]"
    );
}

#[test]
fn absent_fields_have_defaults_and_defaults_are_not_written() {
    assert_eq!(read::<HttpRoute>(&json!({})), HttpRoute::default());
    assert_eq!(
        serde_json::to_value(HttpRoute::default()).unwrap(),
        json!({})
    );
    let explicit: HttpRoute = read(&json!({"mirrorPercent": 0, "timeout": "0s"}));
    assert_eq!(
        serde_json::to_value(explicit).unwrap(),
        json!({"mirrorPercent": 0, "timeout": "0s"})
    );
}
