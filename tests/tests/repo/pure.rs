//! The pure crates: compiling is a function of the world, so these crates know no files, no clock, no environment and
//! no order that changes from run to run.

use std::collections::BTreeSet;

use meltemi_tests::rust_source::{Placed, Token, tokens, without_tests};
use meltemi_tests::shared::repo_root;

use super::modules::modules;
use super::sources::read;

const PURE: [&str; 5] = ["analysis", "builders", "compile", "model", "world"];

/// Paths that a pure crate does not write, also as the end of a `use`.
const FORBIDDEN: [&[&str]; 12] = [
    &["std", "env"],
    &["std", "fs"],
    &["std", "io"],
    &["std", "process"],
    &["std", "thread"],
    &["net", "TcpListener"],
    &["net", "TcpStream"],
    &["net", "UdpSocket"],
    &["SystemTime", "now"],
    &["Instant", "now"],
    &["time", "SystemTime"],
    &["time", "Instant"],
];

/// Words that these crates do not use at all: the order of these collections is random.
const FORBIDDEN_WORDS: [&str; 3] = ["DashSet", "HashMap", "HashSet"];

/// Envoy's map fields are HashMaps: a builder makes them, and never reads them.
const MAKES_HASH_MAPS: &str = "builders";

/// The paths in a piece of source, `use a::{b, c::d}` taken apart, and the line of each.
fn paths(tokens: &[Placed]) -> Vec<(Vec<String>, usize)> {
    let mut found = Vec::new();
    let mut prefixes: Vec<Vec<String>> = Vec::new();
    let mut current: Vec<String> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let separator =
            tokens[at].is_sign(':') && tokens.get(at + 1).is_some_and(|next| next.is_sign(':'));
        match &tokens[at].token {
            Token::Word(word) => {
                let continues =
                    at >= 2 && tokens[at - 1].is_sign(':') && tokens[at - 2].is_sign(':');
                if !continues {
                    current = prefixes.last().cloned().unwrap_or_default();
                }
                current.push(word.clone());
                found.push((current.clone(), tokens[at].line));
            }
            Token::Sign('{') => {
                let continues =
                    at >= 2 && tokens[at - 1].is_sign(':') && tokens[at - 2].is_sign(':');
                prefixes.push(if continues {
                    current.clone()
                } else {
                    Vec::new()
                });
            }
            Token::Sign('}') => {
                prefixes.pop();
            }
            _ => {}
        }
        at += if separator { 2 } else { 1 };
    }
    found
}

fn violations(crate_name: &str, source: &str) -> Vec<String> {
    let kept = without_tests(&tokens(source));
    let mut found = BTreeSet::new();
    for (path, line) in paths(&kept) {
        for forbidden in FORBIDDEN {
            if path.ends_with(
                &forbidden
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>(),
            ) {
                found.insert(format!("{line}: {}", path.join("::")));
            }
        }
        let last = path.last().map_or("", String::as_str);
        if FORBIDDEN_WORDS.contains(&last) && crate_name != MAKES_HASH_MAPS {
            found.insert(format!("{line}: {last}"));
        }
    }
    for four in kept.windows(2) {
        if (four[0].is_word("env") || four[0].is_word("option_env")) && four[1].is_sign('!') {
            found.insert(format!("{}: env!", four[0].line));
        }
    }
    found.into_iter().collect()
}

#[test]
fn i1_pure_crates_have_no_io_clock_environment_or_random_order() {
    let mut found = Vec::new();
    for name in PURE {
        let package = format!("meltemi-{name}");
        let own: Vec<_> = modules()
            .into_iter()
            .filter(|module| module.package == package && !module.test)
            .collect();
        assert!(!own.is_empty(), "{package} has no files");
        for module in own {
            let source = read(&module.path);
            let here = violations(name, &source);
            found.extend(
                here.into_iter()
                    .map(|what| format!("{}:{what}", module.path.display())),
            );
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_scan_finds_what_is_forbidden() {
    for (crate_name, source, expected) in [
        ("model", "use std::{fmt, fs};", "1: std::fs"),
        ("model", "fn a() { std::env::var(\"x\") }", "1: std::env"),
        (
            "model",
            "use std::time::{Duration, Instant};",
            "1: std::time::Instant",
        ),
        ("model", "use std::net::IpAddr;", ""),
        (
            "model",
            "use std::collections::{BTreeMap, HashMap};",
            "1: HashMap",
        ),
        ("builders", "use std::collections::HashMap;", ""),
        ("model", "#[cfg(test)] mod tests { use std::fs; }", ""),
        ("model", "// std::fs\nconst A: &str = \"std::fs\";", ""),
        ("world", "const A: &str = env!(\"X\");", "1: env!"),
    ] {
        assert_eq!(
            violations(crate_name, source).join("; "),
            expected,
            "{source}"
        );
    }
}

/// The entries of a clippy.toml: its lines but brackets and comments.
fn entries(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#') && *line != "]")
        .collect()
}

#[test]
fn clippy_of_the_pure_crates_forbids_all_that_the_root_forbids() {
    let root_text = read(repo_root().join("clippy.toml"));
    for name in PURE {
        let path = repo_root()
            .join("control-plane")
            .join(name)
            .join("clippy.toml");
        let text = read(&path);
        let own = entries(&text);
        // Clippy does not merge files: the nearest one counts alone.
        let missing: Vec<_> = entries(&root_text)
            .into_iter()
            .filter(|entry| !own.contains(entry))
            .collect();
        assert!(missing.is_empty(), "{} lacks {missing:#?}", path.display());
        for must in [
            "std::time::SystemTime",
            "std::time::Instant",
            "std::fs::File",
            "std::env::var",
        ] {
            assert!(
                text.contains(must),
                "{} does not forbid {must}",
                path.display()
            );
        }
    }
}
