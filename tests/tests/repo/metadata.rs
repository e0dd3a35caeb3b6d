//! What `cargo metadata` says about the workspace.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use meltemi_tests::shared::repo_root;
use serde_json::Value;

/// The whole answer, asked once.
pub(crate) fn metadata() -> &'static Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        // What we ship; crates for other systems never reach a user.
        command.args([
            "metadata",
            "--format-version",
            "1",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ]);
        command.current_dir(repo_root());
        let output = command
            .output()
            .expect("cargo runs the tests, so it is there");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
    })
}

/// All packages, also those of others.
pub(crate) fn packages() -> &'static [Value] {
    metadata()["packages"]
        .as_array()
        .expect("a list")
        .as_slice()
}

/// Our own packages.
pub(crate) fn members() -> impl Iterator<Item = &'static Value> {
    packages()
        .iter()
        .filter(|package| package["source"].is_null())
}

pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// The folder of a package of ours.
pub(crate) fn folder(package: &Value) -> PathBuf {
    let manifest = PathBuf::from(text(package, "manifest_path"));
    manifest
        .parent()
        .expect("a manifest lies in a folder")
        .to_path_buf()
}
