//! helm, and what it renders.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use meltemi_tests::shared::{repo_root, skipped};
use serde::Deserialize;
use serde_yaml::Value;

pub(crate) const CHARTS: [&str; 3] = ["base", "gateway", "meltemi"];

/// The program; `None`, and a word about it, when there is none.
pub(crate) fn helm() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    let lab = cache.map(|cache| cache.join("meltemi/lab"));
    // The lab keeps each release in a folder of its own.
    let releases = lab
        .iter()
        .flat_map(|lab| fs::read_dir(lab).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("helm-"))
        });
    let mut folders: Vec<PathBuf> =
        env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    folders.extend(lab.iter().map(|lab| lab.join("bin")));
    let mut files: Vec<PathBuf> = folders.iter().map(|folder| folder.join("helm")).collect();
    for release in releases {
        files.extend([release.join("helm"), release.join("bin/helm"), release]);
    }
    let found = files.into_iter().find(|file| file.is_file());
    if found.is_none() {
        skipped("no helm");
    }
    found
}

/// A release to render.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Release {
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// Whether the release is there already.
    pub(crate) upgrade: bool,
}

/// A rendered object.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    /// Such as `Deployment/istiod`.
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) value: Value,
}

/// The program's own settings stay out: a user's repositories and plugins do not belong to the test.
fn command(helm: &PathBuf) -> Command {
    let mut command = Command::new(helm);
    command
        .env("HELM_CONFIG_HOME", env::temp_dir().join("meltemi-helm"))
        .env("HELM_CACHE_HOME", env::temp_dir().join("meltemi-helm"))
        .env("HELM_DATA_HOME", env::temp_dir().join("meltemi-helm"))
        .env("KUBECONFIG", "/dev/null")
        .stdin(Stdio::null());
    command
}

/// What a chart comes to with these values, or what helm says against it.
pub(crate) fn render(
    helm: &PathBuf,
    chart: &str,
    release: &Release,
    values: &Value,
) -> Result<Vec<Object>, String> {
    let folder = tempfile::tempdir().expect("a folder");
    // As JSON, since helm takes a bare `yes` for a truth.
    let file = folder.path().join("values.json");
    let text = serde_json::to_string(values).expect("values are JSON");
    fs::write(&file, text).expect("the values can be written");
    let mut command = command(helm);
    command
        .args(["template", &release.name])
        .arg(repo_root().join("charts").join(chart))
        .args(["--namespace", &release.namespace, "--values"])
        .arg(&file);
    if release.upgrade {
        command.arg("--is-upgrade");
    }
    let output = command.output().expect("helm starts");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).expect("helm writes UTF-8");
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).map_err(|error| error.to_string()))
        .filter(|document| !matches!(document, Ok(Value::Null)))
        .map(|document| document.map(object))
        .collect()
}

fn object(value: Value) -> Object {
    let kind = value["kind"].as_str().unwrap_or_default().to_owned();
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    Object {
        id: format!("{kind}/{name}"),
        kind,
        value,
    }
}

#[test]
fn the_charts_pass_lint() {
    let Some(helm) = helm() else { return };
    for chart in CHARTS {
        let output = command(&helm)
            .args(["lint", "--strict"])
            .arg(repo_root().join("charts").join(chart))
            .output()
            .expect("helm starts");
        assert!(
            output.status.success(),
            "{chart}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}
