//! Every Rust file belongs to a module tree, and which files are only for tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use meltemi_tests::rust_source::{declared_modules, tokens};

use super::metadata::{folder, members, text};
use super::sources::{files_under, read};

/// A file of one of our packages.
#[derive(Debug, Clone)]
pub(crate) struct Module {
    pub(crate) package: String,
    pub(crate) path: PathBuf,
    /// Only compiled for tests or benches.
    pub(crate) test: bool,
}

/// All files that the compiler reads, from the roots of all targets along `mod` declarations.
pub(crate) fn modules() -> Vec<Module> {
    let mut found: BTreeMap<PathBuf, Module> = BTreeMap::new();
    for package in members() {
        for target in package["targets"].as_array().expect("a list") {
            let kind = target["kind"][0].as_str().unwrap_or_default();
            let test = matches!(kind, "test" | "bench") || text(package, "name") == "meltemi-tests";
            let root = PathBuf::from(text(target, "src_path"));
            follow(
                &root,
                root.parent().expect("a folder"),
                test,
                text(package, "name"),
                &mut found,
            );
        }
    }
    found.into_values().collect()
}

fn follow(
    file: &Path,
    folder: &Path,
    test: bool,
    package: &str,
    found: &mut BTreeMap<PathBuf, Module>,
) {
    if found.get(file).is_some_and(|known| known.test <= test) {
        return;
    }
    let source = read(file);
    let module = Module {
        package: package.to_owned(),
        path: file.to_path_buf(),
        test,
    };
    found.insert(file.to_path_buf(), module);
    for declared in declared_modules(&tokens(&source)) {
        let inner = declared
            .path
            .iter()
            .fold(folder.to_path_buf(), |path, name| path.join(name));
        let child = match &declared.file {
            Some(file_name) => file.parent().expect("a folder").join(file_name),
            None => inner.with_extension("rs"),
        };
        // A declared file that is not there does not compile: nothing to say about it here.
        if !child.is_file() {
            continue;
        }
        follow(&child, &inner, test || declared.test, package, found);
    }
}

#[test]
fn no_rust_file_is_an_orphan() {
    let known: Vec<_> = modules().into_iter().map(|module| module.path).collect();
    let mut orphans = Vec::new();
    for package in members() {
        let folder = folder(package);
        let nested: Vec<_> = members()
            .map(super::metadata::folder)
            .filter(|other| *other != folder)
            .collect();
        for file in files_under(&folder) {
            let rust = file.extension().is_some_and(|extension| extension == "rs");
            let of_another = nested
                .iter()
                .any(|other| other.starts_with(&folder) && file.starts_with(other));
            if rust && !of_another && !known.contains(&file) {
                orphans.push(file);
            }
        }
    }
    assert!(orphans.is_empty(), "no module declares {orphans:?}");
}

#[test]
fn modules_are_not_called_mod() {
    let found: Vec<_> = modules()
        .into_iter()
        .filter(|module| module.path.ends_with("mod.rs"))
        .collect();
    assert!(found.is_empty(), "write foo.rs beside foo/: {found:?}");
}
