//! What no file of this repository says: where it was made, and which hosts packages come from.

use meltemi_tests::shared::repo_root;

use super::sources::{files_under, read};

/// In two halves, so that this file does not contain them.
const FORBIDDEN: [(&str, &str); 9] = [
    ("crates", ".io"),
    ("py", "pi.org"),
    ("files.python", "hosted.org"),
    ("proxy.golang", ".org"),
    ("registry.npm", "js.org"),
    ("deb.deb", "ian.org"),
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
];

#[test]
fn no_file_names_a_registry_host_or_a_path_of_a_machine() {
    let mut found = Vec::new();
    for file in files_under(&repo_root()) {
        // Cargo writes its lock file.
        if file.ends_with("Cargo.lock") {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        for (index, line) in text.lines().enumerate() {
            for (first, second) in FORBIDDEN {
                if line.contains(&format!("{first}{second}")) {
                    found.push(format!("{}:{}: {first}{second}", file.display(), index + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn text_files_end_with_a_line_end_and_have_unix_ones() {
    for file in files_under(&repo_root()) {
        let kind = file
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or_default();
        if !["md", "proto", "rs", "toml"].contains(&kind) {
            continue;
        }
        let text = read(&file);
        assert!(
            !text.contains('\r'),
            "{} has carriage returns",
            file.display()
        );
        assert!(
            text.is_empty() || text.ends_with('\n'),
            "{} has no line end at its end",
            file.display()
        );
    }
}
