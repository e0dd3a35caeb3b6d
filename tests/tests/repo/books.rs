//! The books: their commands exist, their links lead somewhere, and the README has exactly two commands.

use std::path::{Path, PathBuf};

use meltemi_tests::shared::repo_root;

use super::sources::{files_under, read};

fn books() -> Vec<PathBuf> {
    let is_book = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "md");
    files_under(&repo_root())
        .into_iter()
        .filter(is_book)
        .collect()
}

/// The lines of the fenced blocks that hold commands.
fn commands(book: &Path) -> Vec<String> {
    let text = read(book);
    let mut found = Vec::new();
    let mut inside = None;
    for line in text.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            inside = if inside.is_some() {
                None
            } else {
                Some(matches!(language, "sh" | "console" | "bash"))
            };
        } else if inside == Some(true) && !line.trim().is_empty() {
            found.push(line.trim().trim_start_matches("$ ").to_owned());
        }
    }
    found
}

#[test]
fn the_readme_has_exactly_two_commands() {
    let found = commands(&repo_root().join("README.md"));
    let commands: Vec<_> = found
        .iter()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .collect();
    assert_eq!(
        commands,
        ["cargo run --release -- demo", "cargo xtask test"]
    );
}

/// The file that must exist for a command: one for each verb.
fn file_of(command: &str) -> Option<PathBuf> {
    if let Some(verb) = verb_after(command, "cargo xtask ") {
        return Some(repo_root().join("xtask/src").join(format!("{verb}.rs")));
    }
    let runs = ["meltemi ", "cargo run --release -- ", "cargo run -- "];
    let verb = runs
        .into_iter()
        .find_map(|start| verb_after(command, start))?;
    let file = format!("{}.rs", verb.replace('-', "_"));
    Some(repo_root().join("control-plane/src/cli").join(file))
}

fn verb_after<'a>(command: &'a str, start: &str) -> Option<&'a str> {
    command.strip_prefix(start)?.split_whitespace().next()
}

#[test]
fn every_command_in_the_books_exists() {
    let mut checked = 0;
    for book in books() {
        for command in commands(&book) {
            if let Some(file) = file_of(&command) {
                assert!(
                    file.is_file(),
                    "{}: `{command}` has no {}",
                    book.display(),
                    file.display()
                );
                checked += 1;
            }
        }
    }
    assert!(checked >= 2, "the README alone has two");
}

#[test]
fn links_between_the_books_lead_somewhere() {
    for book in books() {
        let text = read(&book);
        for rest in text.split("](").skip(1) {
            let target = rest.split([')', '#']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let file = book.parent().expect("a folder").join(target);
            assert!(file.exists(), "{} links to {target}", book.display());
        }
    }
}
