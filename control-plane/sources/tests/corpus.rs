//! Every manifest that is known to work elsewhere lowers without an error, but for listed exceptions.

#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]

use std::path::{Path, PathBuf};

use meltemi_model::{Diagnostic, Severity};
use meltemi_sources::files::load;
use meltemi_sources::lower::LowerSettings;

fn shared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared")
}

fn files(root: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            out.extend(files(&path, wanted));
        } else if wanted(&path) {
            out.push(path);
        }
    }
    out.sort();
    out
}

fn errors(path: &Path) -> Vec<Diagnostic> {
    let loaded = load(path, &LowerSettings::default());
    let is_error = |d: &Diagnostic| d.severity == Severity::Error;
    loaded.diagnostics.into_iter().filter(is_error).collect()
}

/// Loads each file and compares the errors with the exceptions: (end of the path, words of the error).
fn check(files: &[PathBuf], exceptions: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for file in files {
        for error in errors(file) {
            let excepted = exceptions.iter().any(|(end, words)| {
                file.to_string_lossy().ends_with(end) && error.message.contains(words)
            });
            if !excepted {
                wrong.push(error.to_string());
            }
        }
    }
    for (end, words) in exceptions {
        let file = files
            .iter()
            .find(|file| file.to_string_lossy().ends_with(end));
        let file = file.unwrap_or_else(|| panic!("{end} is an exception that is not there"));
        let found = errors(file)
            .iter()
            .any(|error| error.message.contains(words));
        assert!(
            found,
            "{end} is an exception, but has no error with {words:?}"
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn worlds_lower_without_an_error() {
    let root = shared().join("corpus/xds");
    if !root.is_dir() {
        println!("skipped: no corpus");
        return;
    }
    let worlds = files(&root, &|path| {
        path.ends_with("world.yaml") || path.ends_with("base.yaml")
    });
    assert!(worlds.len() > 200, "only {} worlds", worlds.len());
    // Istio sends a weighted cluster without clusters, for which Envoy refuses the whole route configuration.
    let exceptions = [
        (
            "virtualservice/cross-namespace/world.yaml",
            "total destination weight = 0",
        ),
        // A type that Envoy does not have.
        (
            "envoyfilter/network-filter-operations/world.yaml",
            "referenced type unknown",
        ),
        // The recorded Secrets hold placeholders.
        ("ingress/tls/world.yaml", "in PEM"),
    ];
    check(&worlds, &exceptions);
}

#[test]
fn labs_lower_without_an_error() {
    let root = shared().join("labs");
    if !root.is_dir() {
        println!("skipped: no corpus");
        return;
    }
    let manifests = files(&root, &|path| path.extension().is_some_and(|e| e == "yaml"));
    assert!(manifests.len() > 20, "only {} manifests", manifests.len());
    // Placeholders, and manifests that a lab shows to be refused.
    let exceptions = [
        ("L03-routing/workloadentry.yaml", "<VM_IP>"),
        ("L10-istioctl/negative/duration.yaml", "1 is not a string"),
        (
            "L10-istioctl/negative/jwt-no-issuer.yaml",
            "URI scheme \"\" is not supported",
        ),
        (
            "L10-istioctl/negative/https-without-tls.yaml",
            "server must have TLS settings for HTTPS/TLS protocols",
        ),
        (
            "L10-istioctl/negative/mirror-101.yaml",
            "must have a max value of 100",
        ),
        (
            "L10-istioctl/negative/mtls-mode.yaml",
            "\"STRICTT\" is not a known value",
        ),
        (
            "L10-istioctl/negative/tls-under-port.yaml",
            "server must have TLS settings for HTTPS/TLS protocols",
        ),
    ];
    check(&manifests, &exceptions);
}
