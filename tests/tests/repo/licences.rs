//! Licences, sources and versions of what we depend on. deny.toml holds the rules; `cargo deny` understands it too.

use std::collections::{BTreeMap, BTreeSet};

use meltemi_tests::shared::repo_root;

use super::metadata::{packages, text};
use super::sources::read;

/// The quoted strings of `name = […]` in deny.toml.
fn list(name: &str) -> Vec<String> {
    let text = read(repo_root().join("deny.toml"));
    let start = text
        .find(&format!("\n{name} = ["))
        .unwrap_or_else(|| panic!("deny.toml has no {name}"));
    let body = text[start..].split_once('[').expect("just found").1;
    let body: String = body
        .lines()
        .take_while(|line| line.trim() != "]")
        .collect::<Vec<_>>()
        .join("\n");
    let body = if body.contains('\n') {
        body
    } else {
        body.split(']').next().unwrap_or_default().to_owned()
    };
    let uncommented = body
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    // In a table the first string is the name, the others say why.
    uncommented
        .filter_map(|line| line.split('"').nth(1))
        .map(str::to_owned)
        .collect()
}

/// Whether an SPDX expression can be met with the allowed licences.
fn allowed(expression: &str, licences: &[String]) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = either(&words, &mut at, licences);
    met && at == words.len()
}

fn either(words: &[&str], at: &mut usize, licences: &[String]) -> bool {
    let mut met = both(words, at, licences);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= both(words, at, licences);
    }
    met
}

fn both(words: &[&str], at: &mut usize, licences: &[String]) -> bool {
    let mut met = one(words, at, licences);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at, licences);
    }
    met
}

fn one(words: &[&str], at: &mut usize, licences: &[String]) -> bool {
    let word = words.get(*at).copied().unwrap_or_default();
    *at += 1;
    if word == "(" {
        let met = either(words, at, licences);
        *at += 1;
        return met;
    }
    if words.get(*at) == Some(&"WITH") {
        let exception = words.get(*at + 1).copied().unwrap_or_default();
        *at += 2;
        return licences.contains(&format!("{word} WITH {exception}"));
    }
    licences.iter().any(|licence| licence == word)
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    let licences = list("allow");
    for package in packages() {
        let licence = text(package, "license");
        assert!(
            allowed(licence, &licences),
            "{} has the licence {licence:?}",
            text(package, "id")
        );
    }
}

#[test]
fn licence_expressions_are_read() {
    let licences = ["MIT", "Apache-2.0", "Unicode-3.0"].map(str::to_owned);
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("MIT/Apache-2.0", true),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
        ("Apache-2.0 WITH LLVM-exception", false),
        ("Apache-2.0 WITH LLVM-exception OR MIT", true),
        ("", false),
    ] {
        assert_eq!(allowed(expression, &licences), expected, "{expression}");
    }
}

#[test]
fn dependencies_come_from_the_default_registry_or_from_here() {
    for package in packages() {
        let source = text(package, "source");
        let registry = source.starts_with("registry+") && source.contains("/rust-lang/");
        assert!(
            source.is_empty() || registry,
            "{} comes from {source}",
            text(package, "id")
        );
    }
}

#[test]
fn banned_crates_are_absent() {
    let banned = list("deny");
    assert!(!banned.is_empty());
    for package in packages() {
        assert!(
            !banned.iter().any(|name| name == text(package, "name")),
            "{}",
            text(package, "id")
        );
    }
}

#[test]
fn one_version_of_each_crate_but_for_the_listed() {
    let skipped = list("skip");
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages() {
        versions
            .entry(text(package, "name"))
            .or_default()
            .insert(text(package, "version"));
    }
    let several: Vec<_> = versions
        .iter()
        .filter(|(_, versions)| versions.len() > 1)
        .collect();
    for (name, versions) in &several {
        assert!(
            skipped.iter().any(|skip| skip == *name),
            "{name} comes in {versions:?}: deny.toml lists no reason"
        );
    }
    for skip in &skipped {
        assert!(
            several.iter().any(|(name, _)| *name == skip),
            "{skip} comes in one version: take it off deny.toml's skip"
        );
    }
}
