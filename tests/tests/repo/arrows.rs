//! Which crate may use which (ARCHITECTURE.md, "Arrows"). Dev-dependencies are free.

use std::collections::BTreeSet;

use super::metadata::{members, text};
use super::sources::read;

/// A package and all that it may use of ours.
const ARROWS: [(&str, &[&str]); 19] = [
    (
        "meltemi-analysis",
        &["meltemi-api", "meltemi-model", "meltemi-validation"],
    ),
    ("meltemi-api", &[]),
    ("meltemi-builders", &["meltemi-model", "meltemi-proto"]),
    ("meltemi-ca", &["meltemi-model", "meltemi-proto"]),
    ("meltemi-cluster", &[]),
    (
        "meltemi-compile",
        &["meltemi-builders", "meltemi-model", "meltemi-world"],
    ),
    ("meltemi-demo", &[]),
    ("meltemi-fake-api", &[]),
    ("meltemi-injector", &["meltemi-model", "meltemi-proto"]),
    ("meltemi-lab", &["meltemi-demo"]),
    ("meltemi-model", &[]),
    ("meltemi-proto", &[]),
    ("meltemi-simulator", &["meltemi-proto"]),
    (
        "meltemi-sources",
        &[
            "meltemi-api",
            "meltemi-model",
            "meltemi-proto",
            "meltemi-validation",
            "meltemi-world",
        ],
    ),
    (
        "meltemi-tests",
        &[
            "meltemi",
            "meltemi-model",
            "meltemi-sources",
            "meltemi-world",
        ],
    ),
    (
        "meltemi-validation",
        &["meltemi-api", "meltemi-model", "meltemi-proto"],
    ),
    ("meltemi-world", &["meltemi-model"]),
    ("meltemi-xds", &["meltemi-model", "meltemi-proto"]),
    ("xtask", &[]),
];

/// The binary may use all of these.
const BINARY: &str = "meltemi";
const NOT_FOR_THE_BINARY: [&str; 3] = ["meltemi-lab", "meltemi-tests", "xtask"];

/// Foreign crates that bring IO, a clock or randomness; the pure crates do without. Locks are none of these: behind them
/// stands what is kept beside a row (stencils, parts made of it), a function of its content.
const IMPURE: [&str; 16] = [
    "axum",
    "chrono",
    "getrandom",
    "hyper",
    "inotify",
    "notify",
    "rand",
    "reqwest",
    "serde_yaml",
    "serde_yaml_ng",
    "tempfile",
    "time",
    "tokio",
    "tonic",
    "tracing-subscriber",
    "walkdir",
];
const PURE: [&str; 4] = [
    "meltemi-builders",
    "meltemi-compile",
    "meltemi-model",
    "meltemi-world",
];

/// Kubernetes is read in `sources`, asked and written to in `cluster`; types of tonic begin in `xds` and `ca` (and in
/// `proto`, which holds the services).
const ONLY_IN: [(&str, &[&str]); 3] = [
    ("kube", &["meltemi-cluster", "meltemi-sources"]),
    ("k8s-openapi", &["meltemi-cluster", "meltemi-sources"]),
    (
        "tonic",
        &["meltemi-ca", "meltemi-xds", "meltemi-proto", BINARY],
    ),
];

/// What a package uses outside its tests, under the names of the packages.
fn used(package: &'static serde_json::Value) -> BTreeSet<&'static str> {
    let dependencies = package["dependencies"].as_array().expect("a list");
    dependencies
        .iter()
        .filter(|dependency| text(dependency, "kind") != "dev")
        .map(|d| text(d, "name"))
        .collect()
}

#[test]
fn i2_crates_use_only_what_the_arrows_allow() {
    let ours: BTreeSet<_> = members().map(|package| text(package, "name")).collect();
    for package in members() {
        let name = text(package, "name");
        let used: BTreeSet<_> = used(package).intersection(&ours).copied().collect();
        if name == BINARY {
            assert!(
                NOT_FOR_THE_BINARY.iter().all(|other| !used.contains(other)),
                "{name} uses {used:?}"
            );
            continue;
        }
        let allowed = ARROWS
            .iter()
            .find(|(from, _)| *from == name)
            .map(|(_, to)| *to);
        let allowed = allowed.unwrap_or_else(|| {
            panic!("{name} is new: give it its arrows here and in ARCHITECTURE.md")
        });
        let too_many: Vec<_> = used
            .iter()
            .filter(|other| !allowed.contains(other))
            .collect();
        assert!(
            too_many.is_empty(),
            "{name} may use {allowed:?}, but uses {too_many:?} too"
        );
    }
}

#[test]
fn every_arrow_names_a_package() {
    let ours: BTreeSet<_> = members().map(|package| text(package, "name")).collect();
    for (from, to) in ARROWS {
        for name in std::iter::once(&from).chain(to) {
            assert!(ours.contains(name), "{name} is no longer a package");
        }
    }
}

#[test]
fn pure_crates_use_nothing_impure() {
    for package in members().filter(|package| PURE.contains(&text(package, "name"))) {
        let impure: Vec<_> = used(package)
            .into_iter()
            .filter(|name| IMPURE.contains(name))
            .collect();
        assert!(
            impure.is_empty(),
            "{} uses {impure:?}",
            text(package, "name")
        );
    }
}

#[test]
fn foreign_types_stay_where_they_belong() {
    for package in members() {
        let used = used(package);
        for (foreign, places) in ONLY_IN {
            let name = text(package, "name");
            assert!(
                !used.contains(foreign) || places.contains(&name),
                "{name} uses {foreign}"
            );
        }
    }
}

#[test]
fn every_member_takes_the_lints_of_the_workspace() {
    for package in members() {
        let manifest = read(text(package, "manifest_path"));
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{}",
            text(package, "name")
        );
    }
}
