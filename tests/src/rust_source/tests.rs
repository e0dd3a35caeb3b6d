use super::*;

fn spelled(tokens: &[Placed]) -> String {
    let spell = |placed: &Placed| match &placed.token {
        Token::Word(word) => word.clone(),
        Token::Text(text) => format!("<{text}>"),
        Token::Sign(sign) => sign.to_string(),
    };
    tokens.iter().map(spell).collect::<Vec<_>>().join(" ")
}

#[test]
fn reads_tokens() {
    for (source, expected) in [
        ("a.unwrap() // b", "a . unwrap ( )"),
        ("/* a /* b */ c */ d", "d"),
        (r#""a \" b" c"#, r#"<a \" b> c"#),
        (r##"r#"a " b"# c"##, r#"<a " b> c"#),
        ("b\"x\" 'y' '\\'' '\\n'", "<x> <y> <\\'> <\\n>"),
        ("fn a<'b>(c: &'b str)", "fn a < ' b > ( c : & ' b str )"),
        ("'é' ü_1", "<é> ü_1"),
        ("rest r", "rest r"),
    ] {
        assert_eq!(spelled(&tokens(source)), expected, "{source}");
    }
}

#[test]
fn counts_lines() {
    let lines: Vec<_> = tokens("a\n/* \n */ b\n\"x\ny\" c")
        .iter()
        .map(|placed| placed.line)
        .collect();
    assert_eq!(lines, [1, 3, 4, 5]);
}

#[test]
fn leaves_tests_out() {
    for (source, expected) in [
        (
            "#[cfg(test)] mod tests { fn a() {} } fn b() {}",
            "fn b ( ) { }",
        ),
        ("#[cfg(test)] mod tests; fn b() {}", "fn b ( ) { }"),
        ("#[test] #[ignore] fn a(x: [u8; 3]) { b() } c", "c"),
        (
            "#[cfg(not(test))] fn a() {}",
            "# [ cfg ( not ( test ) ) ] fn a ( ) { }",
        ),
        (
            "#[derive(Debug)] struct A;",
            "# [ derive ( Debug ) ] struct A ;",
        ),
    ] {
        assert_eq!(
            spelled(&without_tests(&tokens(source))),
            expected,
            "{source}"
        );
    }
}

#[test]
fn finds_modules() {
    let source = "mod a; pub(crate) mod b { mod c; fn d() {} } #[cfg(test)] mod tests; #[path = \"e/f.rs\"] mod e; // mod g;";
    let found: Vec<_> = declared_modules(&tokens(source))
        .into_iter()
        .map(|d| (d.path.join("/"), d.file, d.test))
        .collect();
    assert_eq!(
        found,
        [
            ("a".to_owned(), None, false),
            ("b/c".to_owned(), None, false),
            ("tests".to_owned(), None, true),
            ("e".to_owned(), Some("e/f.rs".to_owned()), false),
        ]
    );
}
