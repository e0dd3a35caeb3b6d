//! Rules for all source files: size, `unwrap`.

use std::path::{Path, PathBuf};

use meltemi_tests::rust_source::{tokens, without_tests};
use meltemi_tests::shared::repo_root;

use super::modules::modules;

/// A file longer than this holds more than one idea. The number only falls.
const MOST_LINES: usize = 700;

/// A file's text; a test that cannot read it has failed.
pub(crate) fn read(file: impl AsRef<Path>) -> String {
    let file = file.as_ref();
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// All files under a folder but what cargo and git make.
pub(crate) fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.filter_map(Result::ok) {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() {
                let name = entry.file_name();
                let made = name == ".git" || (name == "target" && folder == repo_root());
                if !made {
                    folders.push(path);
                }
            } else if kind.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn files_are_not_too_long() {
    for file in files_under(&repo_root()) {
        if file.extension().is_some_and(|extension| extension == "rs") {
            let lines = read(&file).lines().count();
            assert!(
                lines <= MOST_LINES,
                "{} has {lines} lines, {MOST_LINES} are allowed",
                file.display()
            );
        }
    }
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    let mut found = Vec::new();
    for module in modules().into_iter().filter(|module| !module.test) {
        let source = read(&module.path);
        for three in without_tests(&tokens(&source)).windows(3) {
            if three[0].is_sign('.') && three[1].is_word("unwrap") && three[2].is_sign('(') {
                found.push(format!("{}:{}", module.path.display(), three[1].line));
            }
        }
    }
    assert!(
        found.is_empty(),
        "say with expect(\"why it cannot be\"), or handle it: {found:#?}"
    );
}
