use serde_json::json;

use super::*;

fn values(text: &str, syntax: Syntax) -> Vec<Value> {
    let contents = read(text, syntax);
    assert_eq!(contents.problems, vec![], "{text}");
    contents.documents.into_iter().map(|d| d.value).collect()
}

#[test]
fn documents_are_found() {
    for (text, want) in [
        ("", vec![]),
        ("# only\n# comments\n", vec![]),
        ("---\n---\n# x\n---\n", vec![]),
        ("a: 1", vec![json!({"a": 1})]),
        (
            "---\na: 1\n---\nb: 2\n",
            vec![json!({"a": 1}), json!({"b": 2})],
        ),
        (
            "a: 1\n--- # second\nb: 2\n...\n",
            vec![json!({"a": 1}), json!({"b": 2})],
        ),
        ("%YAML 1.2\n---\na: 1\n", vec![json!({"a": 1})]),
        ("a: |\n  ---\n  x\n", vec![json!({"a": "---\nx\n"})]),
        (
            "a: 1\r\n---\r\nb: 2\r\n",
            vec![json!({"a": 1}), json!({"b": 2})],
        ),
        ("80: x\ntrue: y\n", vec![json!({"80": "x", "true": "y"})]),
        (
            "a: &x {b: 1}\nc: *x\n",
            vec![json!({"a": {"b": 1}, "c": {"b": 1}})],
        ),
        (
            "d: &x {b: 1, c: 2}\ne:\n  <<: *x\n  c: 3\n",
            vec![json!({"d": {"b": 1, "c": 2}, "e": {"b": 1, "c": 3}})],
        ),
        (
            "{\"a\": [1, 2.5, null]}",
            vec![json!({"a": [1, 2.5, null]})],
        ),
        ("~", vec![]),
    ] {
        assert_eq!(values(text, Syntax::Yaml), want, "{text:?}");
    }
}

#[test]
fn json_values_are_found() {
    for (text, want) in [
        ("", vec![]),
        (" {\n\t\"a\": 1}\n", vec![json!({"a": 1})]),
        ("{\"a\":1}{\"b\":2}", vec![json!({"a": 1}), json!({"b": 2})]),
    ] {
        assert_eq!(values(text, Syntax::Json), want, "{text:?}");
    }
}

#[test]
fn lists_are_expanded() {
    let text = "apiVersion: v1\nkind: ServiceList\nitems:\n- {a: 1}\n- kind: Pod\n  b: 2\n";
    let contents = read(text, Syntax::Yaml);
    assert_eq!(
        contents.documents[0].value,
        json!({"apiVersion": "v1", "kind": "Service", "a": 1})
    );
    assert_eq!(
        contents.documents[1].value,
        json!({"apiVersion": "v1", "kind": "Pod", "b": 2})
    );
    assert_eq!(contents.documents[1].root, "items[1]");
    let mixed = values(
        "apiVersion: v1\nkind: List\nitems:\n- {kind: Pod}\n",
        Syntax::Yaml,
    );
    assert_eq!(mixed, [json!({"kind": "Pod"})]);
}

#[test]
fn problems_have_lines_and_hide_nothing() {
    let deep = format!("x:\n y: {}", "[".repeat(5_000));
    let dashes = format!("x:\n{}a", "- ".repeat(5_000));
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned()
        + &(1..9)
            .map(|i| {
                let (this, last) = (char::from(b'a' + i), char::from(b'a' + i - 1));
                format!(
                    "{this}: &{this} [{}]\n",
                    vec![format!("*{last}"); 10].join(",")
                )
            })
            .collect::<String>();
    for (broken, line, says) in [
        ("a: 1\na: 2\n", 5, "duplicate key \"a\""),
        ("a:\n  b: 1\n  b: 2\n", 6, "duplicate key \"b\""),
        ("a: {x: 1, x: 2}\n", 4, "duplicate key \"x\""),
        ("a: [1\n", 4, "did not find"),
        ("a: b: c\n", 4, "mapping values are not allowed"),
        ("a:\n\tb: 1\n", 5, "cannot start any token"),
        ("a: *nowhere\n", 4, "unknown anchor"),
        ("a: !custom x\n", 4, "tags"),
        ("a: \"open\n", 4, "quoted scalar"),
        ("a: .nan\n", 4, "NaN"),
        ("- a\n- b\n", 4, "a list, not an object"),
        ("just text\n", 4, "a value, not an object"),
        ("42\n", 4, "a value, not an object"),
        ("<<: 1\na: 1\n", 3, "merge key"),
        ("? {a: 1}\n: x\n", 4, "a key that is a string"),
        (deep.as_str(), 5, "nested more than"),
        (dashes.as_str(), 5, "nested more than"),
        (bomb.as_str(), 4, "expand to too many"),
    ] {
        let text = format!("one: 1\n\n---\n{broken}\n---\ntwo: 2\n");
        let contents = read(&text, Syntax::Yaml);
        let problem = contents
            .problems
            .first()
            .unwrap_or_else(|| panic!("no problem: {broken:.60}"));
        assert!(problem.message.contains(says), "{broken:.60}: {problem:?}");
        assert_eq!(problem.line, line, "{broken:.60}: {problem:?}");
        let good: Vec<Value> = contents.documents.into_iter().map(|d| d.value).collect();
        assert_eq!(good, [json!({"one": 1}), json!({"two": 2})], "{broken:.60}");
    }
}

#[test]
fn aliases_are_bounded_by_what_they_expand_to() {
    let items = vec!["x"; 2_000].join(",");
    let aliases = vec!["*a"; 1_000].join(",");
    let text = format!("a: &a [{items}]\nb: [{aliases}]\n");
    let problems = read(&text, Syntax::Yaml).problems;
    assert!(
        problems[0].message.contains("expand to too many"),
        "{problems:?}"
    );
}

#[test]
fn bytes_are_checked() {
    assert_eq!(decode(b"\xef\xbb\xbfa: 1"), Ok("a: 1"));
    let problem = decode(b"a: 1\nb: \xff\n").unwrap_err();
    assert_eq!((problem.line, problem.message.contains("0xff")), (2, true));
    let problem = decode(&vec![b' '; MAX_FILE_BYTES + 1]).unwrap_err();
    assert!(problem.message.contains("split it"), "{problem:?}");
}

#[test]
fn json_problems_have_lines() {
    for (text, line, says) in [
        ("{\n\"a\": 1,\n\"a\": 2}", 3, "duplicate key \"a\""),
        ("{\"a\": 1}\n{\n\"b\": }", 3, "expected value"),
        ("{\"a\": 1}\n[1]", 2, "a list, not an object"),
    ] {
        let problem = read(text, Syntax::Json).problems.remove(0);
        assert!(problem.message.contains(says), "{text}: {problem:?}");
        assert_eq!(problem.line, line, "{text}: {problem:?}");
    }
    let deep = "[".repeat(1_000_000);
    assert!(
        read(&deep, Syntax::Json).problems[0]
            .message
            .contains("nested")
    );
}

#[test]
fn fields_have_lines() {
    let text = "---\n# comment\nkind: X\nmetadata:\n  labels:\n    \"a.b/c\": d\nspec:\n  http:\n  - name: one\n  - name: two\n    \
                timeout: 1s\n  flow: {a: [1, {b: 2}]}\ndata:\n  mesh: |\n    a: 1\n    b:\n      c: 2\n";
    for (path, want) in [
        ("kind", 12),
        ("spec", 16),
        ("spec.http[1]", 19),
        ("spec.http[1].timeout", 20),
        ("spec.http[0].missing", 18),
        ("spec.http[7]", 17),
        ("spec.flow.a[1].b", 21),
        ("metadata.labels[\"a.b/c\"]", 15),
        ("data.mesh", 23),
        ("data.mesh.a", 24),
        ("data.mesh.b.c", 26),
        ("nothing", 12),
    ] {
        assert_eq!(line_of(text, 10, path), want, "{path}");
    }
    assert_eq!(line_of("{\"a\":\n{\"b\": 1}}", 1, "a.b"), 2);
}
