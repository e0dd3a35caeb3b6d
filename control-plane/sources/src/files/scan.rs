//! Which files a directory holds, and what tells that one has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What differs when a file was written or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    size: u64,
    modified: Option<SystemTime>,
    identity: (u64, u64, i64, i64),
}

impl Fingerprint {
    fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.len(),
            modified: metadata.modified().ok(),
            identity: identity(metadata),
        }
    }
}

/// Device, inode and time of the last change; also tells apart files of equal size and age.
#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, u64, i64, i64) {
    use std::os::unix::fs::MetadataExt;
    (
        metadata.dev(),
        metadata.ino(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    )
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> (u64, u64, i64, i64) {
    (0, 0, 0, 0)
}

/// What is there.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) files: BTreeMap<PathBuf, Fingerprint>,
    pub(super) directories: BTreeSet<PathBuf>,
    /// What could not be looked at. Below such a path nothing is known, which is not the same as nothing being there.
    pub(super) unreadable: Vec<(PathBuf, String)>,
}

impl Found {
    /// Whether a path that was not found may be there all the same.
    pub(super) fn may_hide(&self, path: &Path) -> bool {
        self.unreadable
            .iter()
            .any(|(hidden, _)| path.starts_with(hidden))
    }
}

/// Looks at a directory, recursively, or at one file. Symbolic links are followed, as the mounts of ConfigMaps need.
pub(super) fn scan(root: &Path) -> Found {
    let mut found = Found::default();
    match std::fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => directory(root, &mut BTreeSet::new(), &mut found),
        Ok(metadata) => {
            found
                .files
                .insert(root.to_owned(), Fingerprint::of(&metadata));
        }
        Err(error) => found.unreadable.push((root.to_owned(), error.to_string())),
    }
    found
}

/// `above` holds the real paths of the directories that this one is in, so that a link upwards ends the descent.
fn directory(path: &Path, above: &mut BTreeSet<PathBuf>, found: &mut Found) {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if !above.insert(real.clone()) {
        return;
    }
    found.directories.insert(path.to_owned());
    match entries(path) {
        Ok(names) => {
            for name in names {
                entry(&path.join(name), above, found);
            }
        }
        Err(error) => found.unreadable.push((path.to_owned(), error.to_string())),
    }
    above.remove(&real);
}

fn entries(path: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(path)? {
        if let Ok(name) = entry?.file_name().into_string()
            && !name.starts_with('.')
        {
            names.insert(name);
        }
    }
    Ok(names)
}

fn entry(path: &Path, above: &mut BTreeSet<PathBuf>, found: &mut Found) {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => directory(path, above, found),
        Ok(metadata) if metadata.is_file() && is_config(path) => {
            found
                .files
                .insert(path.to_owned(), Fingerprint::of(&metadata));
        }
        Ok(_) => {}
        // It went between listing and looking, or a link leads nowhere: it is not there.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            if is_config(path) {
                found.unreadable.push((path.to_owned(), error.to_string()));
            }
        }
    }
}

/// Files by their names; what editors leave behind (`.x.swp`, `x.yaml~`, `#x.yaml#`) is none of them.
pub(super) fn is_config(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("");
    let known = [".yaml", ".yml", ".json"]
        .iter()
        .any(|ending| name.ends_with(ending));
    known && !name.starts_with(['.', '#'])
}
