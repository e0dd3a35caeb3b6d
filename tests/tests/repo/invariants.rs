//! ARCHITECTURE.md names a test for each invariant; the test exists and carries the invariant's number.

use meltemi_tests::rust_source::tokens;
use meltemi_tests::shared::repo_root;

use super::sources::read;

const INVARIANTS: usize = 10;

/// The tests of one invariant, as `file` and `function`, from its line in the table: `| I5 | … | `file::function` |`.
fn tests_of(number: usize, book: &str) -> Vec<(String, String)> {
    let start = format!("| I{number} |");
    let line = book.lines().find(|line| line.starts_with(&start));
    let line = line.unwrap_or_else(|| panic!("ARCHITECTURE.md has no line {start}"));
    let quoted = line.split('`').skip(1).step_by(2);
    let tests = quoted.filter_map(|words| words.split_once(".rs::"));
    tests
        .map(|(file, function)| (format!("{file}.rs"), function.to_owned()))
        .collect()
}

#[test]
fn every_invariant_names_a_test_that_exists() {
    let book = read(repo_root().join("ARCHITECTURE.md"));
    let mut wrong = Vec::new();
    for number in 1..=INVARIANTS {
        let tests = tests_of(number, &book);
        if tests.is_empty() {
            wrong.push(format!("I{number} names no test"));
        }
        for (file, function) in tests {
            let source = std::fs::read_to_string(repo_root().join(&file)).unwrap_or_default();
            let defined = tokens(&source)
                .windows(2)
                .any(|two| two[0].is_word("fn") && two[1].is_word(&function));
            if !defined || !function.starts_with(&format!("i{number}_")) {
                wrong.push(format!("I{number}: {file} has no test {function}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
