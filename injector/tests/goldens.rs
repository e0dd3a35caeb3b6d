//! Istio's own injection goldens (`../shared/corpus/injection` beside the clone): the webhook and kube-inject, with Istio's templates and
//! with ours in their place, and every pod injected twice.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use meltemi_injector::{
    Config, Environment, Injector, MeshConfig, NativeSidecars, Node, Settings, Surroundings,
    Values, builtin, into_resource, required,
};
use serde_json::{Value, json};

fn corpus() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/injection");
    if path.join("goldens").is_dir() {
        return Some(path);
    }
    use std::io::Write as _;
    // Straight to the stream: libtest swallows what is printed.
    let _ = writeln!(std::io::stderr(), "skipped: no corpus");
    None
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(path: &Path) -> Value {
    serde_yaml::from_str(&text(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Templates {
    Istio,
    Ours,
}

/// A case: its folder and what `case.yaml` says.
struct Case {
    name: String,
    folder: PathBuf,
    case: Value,
}

fn cases(corpus: &Path) -> Vec<Case> {
    let mut out = Vec::new();
    for part in ["goldens", "older-nodes"] {
        for entry in std::fs::read_dir(corpus.join(part)).expect("a folder") {
            let folder = entry.expect("an entry").path();
            if !folder.is_dir() {
                continue;
            }
            let case = yaml(&folder.join("case.yaml"));
            let name = format!(
                "{part}/{}",
                folder.file_name().expect("a name").to_string_lossy()
            );
            out.push(Case { name, folder, case });
        }
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

fn deep_merged(mut onto: Value, over: &Value) -> Value {
    if let (Value::Object(onto), Value::Object(over)) = (&mut onto, over) {
        for (key, value) in over {
            let merged = deep_merged(onto.get(key).cloned().unwrap_or(Value::Null), value);
            onto.insert(key.clone(), merged);
        }
        return Value::Object(onto.clone());
    }
    over.clone()
}

fn settings(corpus: &Path, case: &Value, templates: Templates, revision: &str) -> Settings {
    let fixtures = corpus.join("fixtures");
    let name = case["settings"].as_str().expect("settings");
    let fixture = yaml(&fixtures.join("settings").join(format!("{name}.yaml")));
    let config = text(&fixtures.join(fixture["injector_config"].as_str().expect("a file")));
    let environment = Environment::new();
    let mut config = Config::parse(&config, &environment).expect("the configuration");
    if templates == Templates::Ours {
        let own = builtin::config(&environment).expect("our templates");
        config.templates.extend(own.templates);
    }
    let mesh: Value = match &case["meshConfig"] {
        Value::Null => {
            serde_yaml::from_str(fixture["mesh"].as_str().expect("a mesh config")).expect("YAML")
        }
        mesh => mesh.clone(),
    };
    let mesh = match &case["meshConfigOverride"] {
        Value::Null => mesh,
        over => deep_merged(mesh, over),
    };
    Settings {
        config,
        values: Values::parse(fixture["values"].as_str().expect("values")).expect("the values"),
        mesh: MeshConfig::default().with(&mesh).expect("the mesh config"),
        revision: revision.to_owned(),
        compliance_policy: case["compliancePolicy"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    }
}

fn surroundings(case: &Value) -> Surroundings {
    let nodes = case["nodes"].as_array().into_iter().flatten().enumerate();
    let openshift = json!({"openshift.io/sa.scc.uid-range": "1000620000/10000",
        "openshift.io/sa.scc.supplemental-groups": "1000620000/10000"});
    Surroundings {
        native_sidecars: match case["nativeSidecars"].as_str().unwrap_or("auto") {
            "true" => NativeSidecars::Enabled,
            "false" => NativeSidecars::Disabled,
            _ => NativeSidecars::Auto,
        },
        nodes: nodes
            .map(|(i, node)| Node {
                name: format!("node-{i}"),
                kubelet_version: node["kubeletVersion"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            })
            .collect(),
        openshift: case["platform"] == "openshift",
        namespaces: [("test-ns".to_owned(), openshift)].into(),
        proxy_configs: Vec::new(),
    }
}

/// What is compared: without the status annotation and the API versions of field references; JSON in variables as JSON.
fn comparable(mut value: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.remove("sidecar.istio.io/status");
                if let Some(Value::Object(field)) = map.get_mut("fieldRef") {
                    field.remove("apiVersion");
                }
                let json_text = matches!(
                    map.get("name").and_then(Value::as_str),
                    Some("PROXY_CONFIG" | "ISTIO_METAJSON_ANNOTATIONS")
                );
                if json_text && let Some(text) = map.get("value").and_then(Value::as_str) {
                    let parsed = serde_json::from_str(text).expect("JSON in a variable");
                    map.insert("value".to_owned(), parsed);
                }
                map.values_mut().for_each(walk);
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut value);
    value
}

/// The places at which two values differ.
fn differences(path: &str, a: &Value, b: &Value, out: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let null = Value::Null;
                let (a, b) = (a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null));
                differences(&format!("{path}/{key}"), a, b, out);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}/{i}"), a, b, out);
            }
        }
        (a, b) if a == b || a.is_number() && a.as_f64() == b.as_f64() && b.is_number() => {}
        (a, b) => out.push(format!("{path}: {a} instead of {b}")),
    }
}

fn compared(what: &str, found: Value, wanted: Value) -> Vec<String> {
    let mut out = Vec::new();
    differences("", &comparable(found), &comparable(wanted), &mut out);
    out.into_iter()
        .map(|difference| format!("{what}: {difference}"))
        .collect()
}

fn review(injector: &Injector, pod: &Value, ns: &str) -> Result<Option<Value>, String> {
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {"uid": "u", "namespace": ns, "object": pod}});
    let answer = injector.review(review.to_string().as_bytes(), "/inject");
    let response = &answer["response"];
    assert_eq!(response["uid"], "u");
    if response["allowed"] != true {
        return Err(response["status"]["message"].to_string());
    }
    let Some(patch) = response["patch"].as_str() else {
        return Ok(None);
    };
    let patch = base64::engine::general_purpose::STANDARD
        .decode(patch)
        .expect("base64");
    let patch: json_patch::Patch = serde_json::from_slice(&patch).expect("a patch");
    let mut pod = pod.clone();
    json_patch::patch(&mut pod, &patch).map_err(|error| error.to_string())?;
    Ok(Some(pod))
}

/// Pods that change once more when they are injected again.
///
/// - merge-probers: the input was injected as a plain sidecar by an old version. Its status does not list the proxy among the init
///   containers, so that the first injection as a native one takes the old proxy for the user's (and the golden wants that), while the
///   second does not.
/// - sidecar-spire: the template spire changes the proxy among the containers while the native one is an init container. The golden's pod
///   has two containers of one name, which Kubernetes refuses, so that it is never injected again.
const NOT_IDEMPOTENT: [&str; 2] = ["goldens/merge-probers", "goldens/sidecar-spire"];

fn webhook(corpus: &Path, case: &Case, templates: Templates) -> (usize, Vec<String>) {
    let injector = Injector::default();
    injector.set(Arc::new(settings(corpus, &case.case, templates, "default")));
    injector.surround(Arc::new(surroundings(&case.case)));
    let mut mistakes = Vec::new();
    let pods = case.case["webhook"].as_array().cloned().unwrap_or_default();
    for row in &pods {
        let file = |key: &str| case.folder.join(row[key].as_str().expect("a file"));
        let ns = row["namespace"].as_str().unwrap_or_default();
        let what = format!("{} {}", case.name, row["in"].as_str().unwrap_or_default());
        let first = review(&injector, &yaml(&file("in")), ns);
        match (first, row["injected"] != false) {
            (Err(error), _) => mistakes.push(format!("{what}: refused: {error}")),
            (Ok(None), false) => {}
            (Ok(None), true) => mistakes.push(format!("{what}: not injected")),
            (Ok(Some(_)), false) => mistakes.push(format!("{what}: injected")),
            (Ok(Some(pod)), true) => {
                mistakes.extend(compared(&what, pod.clone(), yaml(&file("out"))));
                if NOT_IDEMPOTENT.contains(&case.name.as_str()) {
                    continue;
                }
                let what = format!("{what}, injected twice");
                match review(&injector, &pod, ns) {
                    Ok(Some(again)) => mistakes.extend(compared(&what, again, pod)),
                    other => mistakes.push(format!("{what}: {other:?}")),
                }
            }
        }
    }
    (pods.len(), mistakes)
}

fn documents(text: &str) -> Vec<Value> {
    use serde::Deserialize as _;
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).expect("YAML"))
        .filter(|document| !document.is_null())
        .collect()
}

fn kube_inject(corpus: &Path, case: &Case, templates: Templates) -> (usize, Vec<String>) {
    if case.case["kubeInject"] != true {
        return (0, Vec::new());
    }
    let settings = settings(corpus, &case.case, templates, "");
    let input = text(
        &case
            .folder
            .join(case.case["input"].as_str().unwrap_or("in.yaml")),
    );
    let result = into_resource(&settings, &surroundings(&case.case), &input);
    let name = &case.name;
    if let Some(part) = case.case["expectedErrorContains"].as_str() {
        return (
            1,
            match result {
                Err(error) if error.to_string().to_lowercase().contains(part) => Vec::new(),
                other => vec![format!(
                    "{name}: {other:?} instead of an error with {part:?}"
                )],
            },
        );
    }
    let injected = match result {
        Ok(injected) => injected,
        Err(error) => return (1, vec![format!("{name}: {error}")]),
    };
    let mut mistakes = Vec::new();
    if let Some(log) = case.case["expectedLogContains"].as_str()
        && !injected
            .warnings
            .iter()
            .any(|warning| warning.contains(log))
    {
        mistakes.push(format!(
            "{name}: no warning {log:?} in {:?}",
            injected.warnings
        ));
    }
    if let Some(file) = case.case["injected"].as_str() {
        let found = documents(&injected.text);
        let wanted = documents(&text(&case.folder.join(file)));
        if found.len() == wanted.len() {
            for (found, wanted) in found.into_iter().zip(wanted) {
                mistakes.extend(compared(name, found, wanted));
            }
        } else {
            mistakes.push(format!(
                "{name}: {} documents instead of {}",
                found.len(),
                wanted.len()
            ));
        }
    }
    (1, mistakes)
}

fn all(templates: Templates, run: impl Fn(&Path, &Case, Templates) -> (usize, Vec<String>)) {
    let Some(corpus) = corpus() else { return };
    let (mut count, mut failed, mut mistakes) = (0, 0, Vec::new());
    for case in cases(&corpus) {
        let (n, found) = run(&corpus, &case, templates);
        count += n;
        failed += usize::from(!found.is_empty());
        mistakes.extend(found);
    }
    assert!(count > 80, "only {count} cases were found");
    assert!(
        mistakes.is_empty(),
        "{failed} of {count} differ:\n{}",
        mistakes.join("\n")
    );
}

#[test]
fn the_webhook_makes_istios_pods() {
    all(Templates::Istio, webhook);
}

#[test]
fn kube_inject_makes_istios_resources() {
    all(Templates::Istio, kube_inject);
}

#[test]
fn our_templates_make_the_same_pods() {
    all(Templates::Ours, webhook);
}

#[test]
fn our_templates_make_the_same_resources() {
    all(Templates::Ours, kube_inject);
}

#[test]
fn the_decision_is_istios() {
    let Some(corpus) = corpus() else { return };
    let table = yaml(&corpus.join("required.yaml"));
    let rows = table["cases"].as_array().expect("cases");
    assert!(rows.len() > 20);
    for row in rows {
        let config = row["config"].to_string();
        let config = Config::parse(&config, &Environment::new()).expect("a configuration");
        let pod = json!({"metadata": row["metadata"], "spec": {"hostNetwork": row["hostNetwork"]}});
        assert_eq!(
            required(&config, &pod),
            row["want"] == true,
            "{}",
            row["name"]
        );
    }
}
