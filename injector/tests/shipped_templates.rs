//! The templates that Istio ships parse, and so do those of customised clusters.

use std::path::{Path, PathBuf};

use meltemi_injector::template::{Functions, Template};

/// The functions of the injector that are no part of the engine, so that their names are known.
const INJECTOR: &[&str] = &[
    "formatDuration",
    "isset",
    "excludeInboundPort",
    "includeInboundPorts",
    "kubevirtInterfaces",
    "excludeInterfaces",
    "applicationPorts",
    "annotation",
    "valueOrDefault",
    "toJSON",
    "fromJSON",
    "structToJSON",
    "protoToJSON",
    "toYaml",
    "directory",
    "toLower",
    "appendMultusNetwork",
    "env",
    "strdict",
    "toJsonMap",
    "mergeMaps",
    "omitNil",
    "otelResourceAttributes",
    "indent",
    "contains",
    "omit",
];

fn functions() -> Functions {
    let mut functions = Functions::builtin().with_sprig();
    for name in INJECTOR {
        functions.add(name, |_| Err("no part of this test".to_owned()));
    }
    functions
}

fn fixtures() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/injection/fixtures");
    root.is_dir().then_some(root)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("the entry is readable").path())
        .collect();
    files.sort();
    files
}

fn check(name: &str, text: &str) {
    if let Err(error) = Template::parse(name, text, &functions()) {
        panic!("{error}");
    }
}

#[test]
fn shipped_templates_parse() {
    let Some(fixtures) = fixtures() else {
        eprintln!("skipped: no corpus");
        return;
    };
    let mut parsed = 0;
    for file in files(&fixtures.join("chart-files")) {
        // Beside the templates there are the charts' values, which are none.
        let name = file.file_name().unwrap().to_string_lossy();
        if name == "values.yaml" || name.starts_with("profile-") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        check(&file.display().to_string(), &text);
        parsed += 1;
    }
    assert!(parsed >= 8, "only {parsed} files");
}

#[test]
fn configured_templates_parse() {
    let Some(fixtures) = fixtures() else {
        eprintln!("skipped: no corpus");
        return;
    };
    let mut parsed = 0;
    for folder in ["settings", "templates"] {
        for file in files(&fixtures.join(folder)) {
            let text = std::fs::read_to_string(&file).unwrap();
            let yaml: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
            parsed += check_templates(&file, &yaml);
        }
    }
    assert!(parsed >= 20, "only {parsed} templates");
}

/// Parses each text under a key `templates`, wherever it is.
fn check_templates(file: &Path, yaml: &serde_yaml::Value) -> usize {
    let mut parsed = 0;
    let serde_yaml::Value::Mapping(entries) = yaml else {
        return 0;
    };
    for (key, value) in entries {
        if key.as_str() == Some("templates")
            && let serde_yaml::Value::Mapping(templates) = value
        {
            for (name, text) in templates {
                if let (Some(name), Some(text)) = (name.as_str(), text.as_str()) {
                    check(&format!("{} {name}", file.display()), text);
                    parsed += 1;
                }
            }
        } else if let Some(text) = value.as_str() {
            // A configuration may be the text of a YAML document.
            let inner = serde_yaml::from_str(text).unwrap_or(serde_yaml::Value::Null);
            parsed += check_templates(file, &inner);
        } else {
            parsed += check_templates(file, value);
        }
    }
    parsed
}
