//! The template engine against what real Go prints and complains about, and against hostile templates.

use std::path::Path;
use std::sync::LazyLock;

use meltemi_injector::template::{Functions, Limits, Map, Object, Template, Value};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    template: String,
    output: Option<String>,
    error: Option<String>,
}

fn functions() -> Functions {
    let mut functions = Functions::builtin().with_sprig();
    functions.add("strdict", |args| {
        let texts: Vec<String> = args.iter().map(Value::to_string).collect();
        let pairs = texts.chunks_exact(2).map(|pair| (&*pair[0], &*pair[1]));
        Ok(Value::Map(Map::strings(pairs)))
    });
    functions
}

fn read<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/template")
        .join(name);
    let text = std::fs::read_to_string(path).expect("the table is there");
    serde_yaml::from_str(&text).expect("the table is YAML")
}

fn data() -> Value {
    let data: serde_json::Value = read("data.yaml");
    Value::from(data)
}

fn executed(text: &str, functions: &Functions, data: &Value) -> Result<String, String> {
    let template = Template::parse("t", text, functions).map_err(|error| error.to_string())?;
    template.execute(data).map_err(|error| error.to_string())
}

/// Where the words of errors come from another library than Go's, only the beginning counts.
fn same_error(found: &str, expected: &str) -> bool {
    const OTHER_WORDS: &str = "error parsing regexp: ";
    match expected.split_once(OTHER_WORDS) {
        Some((head, _)) => found.starts_with(head) && found.contains(OTHER_WORDS),
        None => found == expected,
    }
}

fn check(file: &str, at_least: usize) {
    let cases: Vec<Case> = read(file);
    assert!(cases.len() >= at_least, "{file} has {} cases", cases.len());
    let functions = functions();
    let mut wrong = Vec::new();
    for case in &cases {
        // Templates may change their data.
        let found = executed(&case.template, &functions, &data());
        let right = match (&found, &case.output, &case.error) {
            (Ok(found), Some(output), _) => found == output,
            (Err(found), _, Some(error)) => same_error(found, error),
            _ => false,
        };
        if !right {
            let Case {
                template,
                output,
                error,
            } = case;
            wrong.push(format!(
                "{template}\n  found {found:?}\n  not   {output:?} {error:?}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} wrong:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[test]
fn syntax() {
    check("syntax.yaml", 80);
}

#[test]
fn values() {
    check("values.yaml", 50);
}

#[test]
fn control() {
    check("control.yaml", 45);
}

#[test]
fn calls() {
    check("calls.yaml", 70);
}

#[test]
fn printf() {
    check("printf.yaml", 40);
}

#[test]
fn sprig_strings() {
    check("sprig-strings.yaml", 20);
}

#[test]
fn sprig_numbers() {
    check("sprig-numbers.yaml", 10);
}

#[test]
fn sprig_lists() {
    check("sprig-lists.yaml", 10);
}

#[test]
fn sprig_dicts() {
    check("sprig-dicts.yaml", 10);
}

/// Templates that would not end, or would take all memory, in Go.
#[test]
fn hostile_templates_end_in_errors() {
    let deep_parens = format!("{{{{{}1{}}}}}", "(".repeat(50_000), ")".repeat(50_000));
    let deep_ifs = "{{if 1}}".repeat(50_000);
    let nested = "{{if 1}}".repeat(95) + "{{template \"a\" .}}" + &"{{end}}".repeat(95);
    let hostile = [
        (
            "{{define `a`}}{{template `a` .}}{{end}}{{template `a` .}}".to_owned(),
            "maximum",
        ),
        (
            format!("{{{{define `a`}}}}{nested}{{{{end}}}}{{{{template `a` .}}}}"),
            "maximum",
        ),
        (deep_parens, "max expression depth"),
        (deep_ifs, "max expression depth"),
        ("{{range 1000000000000}}{{end}}".to_owned(), "steps"),
        (
            "{{range 1000000}}{{range 1000000}}x{{end}}{{end}}".to_owned(),
            "steps",
        ),
        (
            "{{range 1000000}}0123456789012345678901234567890123456789{{end}}".to_owned(),
            "output exceeds",
        ),
        ("{{repeat 1000000000 `x`}}".to_owned(), "exceeds"),
        ("{{until 1000000000}}".to_owned(), "exceeds"),
        ("{{indent 100000000 `x`}}".to_owned(), "exceeds"),
        (
            "{{$x := repeat 10000000 `x`}}{{range 100}}{{$x = print $x `y`}}{{end}}".to_owned(),
            "bytes",
        ),
        (
            "{{$x := `xxxx`}}{{range 100}}{{$x = print $x $x}}{{end}}".to_owned(),
            "too long",
        ),
        (
            "{{$l := list 1}}{{range 60}}{{$l = list $l $l}}{{end}}{{$l}}".to_owned(),
            "output exceeds",
        ),
        (
            "{{$l := list 1}}{{range 60}}{{$l = list $l $l}}{{end}}{{toJson $l}}".to_owned(),
            "too large",
        ),
        (
            "{{$l := list 1}}{{range 60}}{{$l = list $l $l}}{{end}}{{deepCopy $l}}".to_owned(),
            "too large",
        ),
        (
            "{{$l := list 1}}{{range 60}}{{$l = list $l $l}}{{end}}{{deepEqual $l $l}}".to_owned(),
            "too large",
        ),
        (
            "{{$l := list 1}}{{range 100000}}{{$l = list $l}}{{end}}{{print $l}}".to_owned(),
            "nested too deeply",
        ),
        (
            "{{$d := dict}}{{$_ := set $d `d` $d}}{{$d}}".to_owned(),
            "cannot become its own entry",
        ),
        (
            "{{$d := dict}}{{$_ := merge $d (dict `a` $d)}}{{$d}}".to_owned(),
            "cannot become its own entry",
        ),
        (
            "{{$d := dict}}{{range 1000000}}{{$d = dict `d` $d}}{{end}}{{$d | toJson}}".to_owned(),
            "",
        ),
        (
            "{{regexMatch `(((a{100}){100}){100}){100}` `x`}}{{fail `x`}}".to_owned(),
            "x",
        ),
        (
            "{{printf `%999999999d` 1 | len}}{{fail `x`}}".to_owned(),
            "x",
        ),
    ];
    let functions = functions();
    for (text, expected) in hostile {
        let shown: String = text.chars().take(100).collect();
        match executed(&text, &functions, &data()) {
            Ok(output) => panic!("{shown} made {} bytes", output.len()),
            Err(error) => assert!(error.contains(expected), "{shown}: {error}"),
        }
    }
}

/// What sprig takes from outside is refused by name.
#[test]
fn what_is_not_repeatable_is_refused() {
    for name in meltemi_injector::template::UNAVAILABLE {
        let error = executed(&format!("{{{{{name}}}}}"), &functions(), &data()).unwrap_err();
        assert!(
            error.ends_with(&format!("{name} is not available in an injection template")),
            "{error}"
        );
    }
}

#[test]
fn errors_name_template_and_line() {
    let functions = functions();
    let error = Template::parse("sidecar", "a\n{{nosuch}}", &functions).unwrap_err();
    assert_eq!((&*error.template, error.line), ("sidecar", 2));
    let template = Template::parse(
        "sidecar",
        "a\n\n{{define \"x\"}}{{.s.y}}{{end}}",
        &functions,
    )
    .unwrap();
    let error = template.execute_named("x", &data()).unwrap_err();
    assert_eq!((&*error.template, error.line), ("sidecar", 3));
    let error = template.execute_named("none", &data()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "template: no template \"none\" associated with template \"sidecar\""
    );
}

/// A message as a proto: getters answer for every field, and those of a message that is not set give zero values.
#[derive(Debug)]
struct Config {
    set: bool,
    name: &'static str,
}

impl Object for Config {
    fn type_name(&self) -> &str {
        "*v1.Config"
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Name" => Some(Value::from(self.name)),
            "Mode" => Some(Value::object(Mode(2))),
            _ => None,
        }
    }

    fn call(&self, method: &str, args: &[Value]) -> Option<Result<Value, String>> {
        match (method, args) {
            ("GetName", []) => Some(Ok(Value::from(self.name))),
            ("GetInner", []) => Some(Ok(Value::object(Config {
                set: false,
                name: "",
            }))),
            ("Greet", [who]) => Some(Ok(Value::from(format!("hello {who}")))),
            ("Broken", _) => Some(Err("no reason".to_owned())),
            _ => None,
        }
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({ "name": self.name, "count": 1_000_000 })
    }

    fn print(&self) -> String {
        if self.set {
            format!("name:{:?}", self.name)
        } else {
            "<nil>".to_owned()
        }
    }

    fn is_nil(&self) -> bool {
        !self.set
    }
}

/// An enumeration.
#[derive(Debug)]
struct Mode(i64);

impl Object for Mode {
    fn type_name(&self) -> &str {
        "v1.Mode"
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn call(&self, method: &str, _: &[Value]) -> Option<Result<Value, String>> {
        (method == "String").then(|| Ok(Value::from("TPROXY")))
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!("TPROXY")
    }

    fn print(&self) -> String {
        "TPROXY".to_owned()
    }

    fn scalar(&self) -> Option<Value> {
        Some(Value::Int64(self.0))
    }
}

#[test]
fn objects_are_as_go_structs_and_protos() {
    let table: &[(&str, Result<&str, &str>)] = &[
        (
            "{{.Name}} {{.GetName}} {{.}} {{.Mode}} {{.Mode.String}}",
            Ok("a a name:\"a\" TPROXY TPROXY"),
        ),
        (
            "[{{.GetInner.GetInner.GetName}}] {{.GetInner}}",
            Ok("[] <nil>"),
        ),
        (
            "{{if .GetInner}}set{{else}}unset{{end}} {{with .GetInner}}set{{else}}unset{{end}}",
            Ok("unset unset"),
        ),
        (
            "{{.Greet \"you\"}} {{\"me\" | .Greet}}",
            Ok("hello you hello me"),
        ),
        (
            "{{eq .Mode 2}} {{printf \"%d %s\" .Mode .Mode}} {{eq .GetInner nil}}",
            Ok("true 2 TPROXY true"),
        ),
        (
            "{{toJson .}} {{kindOf .}} {{kindOf .Mode}}",
            Ok("{\"count\":1000000,\"name\":\"a\"} ptr int64"),
        ),
        ("{{default \"d\" .GetInner}}", Ok("d")),
        (
            "{{.GetInner.Name}}",
            Err("at <.GetInner.Name>: nil pointer evaluating *v1.Config.Name"),
        ),
        (
            "{{.Nosuch}}",
            Err("at <.Nosuch>: can't evaluate field Nosuch in type *v1.Config"),
        ),
        (
            "{{.Broken}}",
            Err("at <.Broken>: error calling Broken: no reason"),
        ),
        (
            "{{.Name 1}}",
            Err("at <.Name>: Name has arguments but cannot be invoked as function"),
        ),
        (
            "{{upper .Mode}}",
            Err("at <.Mode>: wrong type for value; expected string; got v1.Mode"),
        ),
    ];
    let data = Value::object(Config {
        set: true,
        name: "a",
    });
    for (text, expected) in table {
        match (executed(text, &FUNCTIONS, &data), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, *expected, "{text}"),
            (Err(found), Err(expected)) => assert!(found.ends_with(expected), "{text}: {found}"),
            (found, expected) => panic!("{text}: {found:?}, not {expected:?}"),
        }
    }
}

fn is_shareable<T: Send + Sync + 'static>() {}

#[test]
fn templates_and_values_are_shareable() {
    is_shareable::<Template>();
    is_shareable::<Value>();
    is_shareable::<Functions>();
}

/// Pieces from which random templates are made: most do not parse, and many do.
const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{{-",
    "-}}",
    " ",
    "\n",
    "\"",
    "`",
    "'",
    "(",
    ")",
    "|",
    ".",
    "$",
    "$x",
    ":=",
    "=",
    ",",
    ".s",
    ".m.k.d",
    ".l",
    ".nil",
    ".missing.x",
    "if ",
    "else ",
    "end",
    "range ",
    "with ",
    "define ",
    "template ",
    "block ",
    "break",
    "continue",
    "nil",
    "true",
    "1",
    "-2",
    "1.5",
    "0x",
    "'a'",
    "\"a\"",
    "printf ",
    "index ",
    "len ",
    "eq ",
    "lt ",
    "and ",
    "or ",
    "slice ",
    "dict ",
    "set ",
    "merge ",
    "list ",
    "join ",
    "trunc ",
    "substr ",
    "nindent ",
    "regexReplaceAll ",
    "regexSplit ",
    "until ",
    "seq ",
    "toJson ",
    "semverCompare ",
    "wrap ",
    "abbrev ",
    "chunk ",
    "dig ",
    "/*",
    "*/",
    "é",
    "\u{0}",
    "%d",
    "%[2]*.*f",
    "{{if .t}}",
    "{{end}}",
    "{{range $i, $e := .l}}",
    "{{$x}}",
    "{{.}}",
    "{{else}}",
    "{{$x := .m}}",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_templates_do_not_panic(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..25)) {
        run_bounded(&pieces.concat());
    }

    #[test]
    fn random_calls_do_not_panic(
        name in prop::sample::select(functions().names().map(str::to_owned).collect::<Vec<_>>()),
        args in prop::collection::vec(prop::sample::select(ARGUMENTS), 0..5),
    ) {
        run_bounded(&format!("{{{{{name} {}}}}}", args.join(" ")));
    }

    #[test]
    fn changed_templates_do_not_panic(
        case in 0_usize..40,
        at in 0.0..1.0,
        length in 0_usize..8,
        piece in prop::sample::select(PIECES),
    ) {
        let mut chars: Vec<char> = CASES[case].template.chars().collect();
        let start = ((chars.len() as f64) * at) as usize;
        let end = (start + length).min(chars.len());
        let _ = chars.splice(start..end, piece.chars());
        run_bounded(&chars.into_iter().collect::<String>());
    }
}

const ARGUMENTS: &[&str] = &[
    "\"\"",
    "\"a b\"",
    "\"é1.2\"",
    "0",
    "1",
    "-1",
    "7",
    "9223372036854775807",
    "-9223372036854775808",
    "1.5",
    "1e300",
    "true",
    "nil",
    ".",
    ".l",
    ".el",
    ".m",
    ".nil",
    ".missing",
    "(dict)",
    "(list 1 \"a\")",
    "(until 3)",
    "(int64 5)",
    "\"%s%d%*.*f%[9]d\"",
    "\"(\"",
    "\"[a-z]*\"",
    "\"1.2.x\"",
    "\"http://u@h:1/p?q#f\"",
    "(semver \"1.2.3\")",
    "`0x_1p-5`",
];

static FUNCTIONS: LazyLock<Functions> = LazyLock::new(functions);
static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| read("control.yaml"));
static DATA: LazyLock<serde_json::Value> = LazyLock::new(|| read("data.yaml"));

fn run_bounded(text: &str) {
    let functions = &*FUNCTIONS;
    let limits = Limits {
        output: 1 << 20,
        steps: 20_000,
        memory: 4 << 20,
        depth: 10,
    };
    if let Ok(template) = Template::parse("t", text, functions) {
        let data = Value::from(DATA.clone());
        let _ = template.execute_within("t", &data, limits);
    }
}
