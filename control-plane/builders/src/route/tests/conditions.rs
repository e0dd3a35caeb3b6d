use super::*;

#[test]
fn conditions() {
    let text = |s: &str| Some(StringMatch::Exact(s.into()));
    let regex = |s: &str| Some(StringMatch::Regex(s.into()));
    let with = |change: &dyn Fn(&mut HttpMatch)| {
        let mut out = HttpMatch::default();
        change(&mut out);
        out
    };
    let claim = |path: Value, extra: Value| {
        let value = json!({"or_match": {"value_matchers": [
            {"list_match": {"one_of": {"string_match": {"exact": "v"}}}}, {"string_match": {"exact": "v"}},
        ]}});
        let mut out =
            json!({"filter": "envoy.filters.http.jwt_authn", "path": path, "value": value});
        out.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        json!({"prefix": "/", "dynamic_metadata": [out]})
    };
    for (condition, want) in [
        (with(&|_| ()), json!({"prefix": "/"})),
        (
            with(&|m| m.uri = Some(StringMatch::Prefix("/a".into()))),
            json!({"prefix": "/a"}),
        ),
        (
            with(&|m| m.uri = regex("/a.*")),
            json!({"safe_regex": {"regex": "/a.*"}}),
        ),
        (
            with(&|m| {
                m.headers = vec![
                    ("a".into(), None),
                    ("b".into(), regex("*")),
                    ("c".into(), text("v")),
                ]
            }),
            json!({"prefix": "/", "headers": [
                {"name": "a", "present_match": true}, {"name": "b", "present_match": true},
                {"name": "c", "string_match": {"exact": "v"}},
            ]}),
        ),
        (
            // Pseudo headers come after the sorted ones.
            with(&|m| {
                m.headers = vec![("z".into(), None)];
                m.without_headers = vec![("a".into(), None), ("b".into(), text("v"))];
                (m.method, m.authority, m.scheme) = (text("GET"), text("h"), text("https"));
            }),
            json!({"prefix": "/", "headers": [
                {"name": "a", "present_match": true, "invert_match": true},
                {"name": "b", "string_match": {"exact": "v"}, "invert_match": true,
                 "treat_missing_header_as_empty": true},
                {"name": "z", "present_match": true},
                {"name": ":method", "string_match": {"exact": "GET"}},
                {"name": ":authority", "string_match": {"exact": "h"}},
                {"name": ":scheme", "string_match": {"exact": "https"}},
            ]}),
        ),
        (
            with(&|m| m.query_params = vec![("p".into(), None), ("q".into(), text("v"))]),
            json!({"prefix": "/", "query_parameters": [
                {"name": "p", "present_match": true}, {"name": "q", "string_match": {"exact": "v"}},
            ]}),
        ),
        (
            with(&|m| m.headers = vec![("@request.auth.claims.a.b".into(), text("v"))]),
            claim(
                json!([{"key": "payload"}, {"key": "a"}, {"key": "b"}]),
                json!({}),
            ),
        ),
        (
            with(&|m| m.without_headers = vec![("@request.auth.claims[a.b][c]".into(), text("v"))]),
            claim(
                json!([{"key": "payload"}, {"key": "a.b"}, {"key": "c"}]),
                json!({"invert": true}),
            ),
        ),
    ] {
        let mut got = part(forward(|r| r.matches = vec![condition.clone()]), "match");
        assert_eq!(
            got.as_object_mut().unwrap().remove("case_sensitive"),
            Some(json!(true)),
            "{condition:?}"
        );
        assert_eq!(got, want, "{condition:?}");
    }
    let ignore = with(&|m| m.ignore_uri_case = true);
    assert_eq!(
        part(forward(|r| r.matches = vec![ignore]), "match")["case_sensitive"],
        json!(false)
    );
}
