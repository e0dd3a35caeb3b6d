//! The state of a directory: what each file gave last, what of it is good, and what was already handed on.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use meltemi_model::allocation::{Claim, Prefixes, Start, decide};
use meltemi_model::diagnostic::Place;
use meltemi_model::service::ServiceEntry;
use meltemi_model::{Diagnostic, Hostname, Kind, Object, ObjectKey, Severity, Shared, Str};

use crate::lower::{LowerSettings, anonymous};

use super::scan::{Fingerprint, scan};
use super::{Batch, at_line, lower_bytes};

/// What is known besides what a look at the directory tells.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// Files to read even if they look unchanged: two writes may fall into one tick of the file system's clock.
    pub(super) dirty: BTreeSet<PathBuf>,
    /// Files that somebody is writing at this moment.
    pub(super) writing: BTreeSet<PathBuf>,
}

#[derive(Debug, Default)]
struct FileState {
    fingerprint: Option<Fingerprint>,
    /// Its last good objects, with the line of each.
    objects: BTreeMap<ObjectKey, (Object, u32)>,
    diagnostics: Vec<Diagnostic>,
}

/// A directory, or one file.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    settings: LowerSettings,
    files: BTreeMap<PathBuf, FileState>,
    /// About directories and files that could not be looked at.
    unreadable: Vec<Diagnostic>,
    directories: BTreeSet<PathBuf>,
    served: BTreeMap<ObjectKey, Object>,
}

impl Tree {
    pub(super) fn new(root: &Path, settings: &LowerSettings) -> Self {
        Self {
            root: root.to_owned(),
            settings: settings.clone(),
            files: BTreeMap::new(),
            unreadable: Vec::new(),
            directories: BTreeSet::new(),
            served: BTreeMap::new(),
        }
    }

    /// The directories that were found last.
    pub(super) fn directories(&self) -> &BTreeSet<PathBuf> {
        &self.directories
    }

    /// Looks at the directory and reads what has changed. Says whether anything did.
    pub(super) fn refresh(&mut self, hints: &Hints) -> bool {
        let found = scan(&self.root);
        let mut changed = false;
        let unreadable: Vec<Diagnostic> = found
            .unreadable
            .iter()
            .map(|(path, error)| {
                about(
                    path,
                    format!("cannot be read: {error}; its last objects stay"),
                )
            })
            .collect();
        changed |= unreadable != self.unreadable;
        let gone: Vec<PathBuf> = self
            .files
            .keys()
            .filter(|path| !found.files.contains_key(*path) && !found.may_hide(path))
            .cloned()
            .collect();
        for path in gone {
            self.files.remove(&path);
            changed = true;
        }
        for (path, fingerprint) in &found.files {
            let state = self.files.get(path);
            let known = state.and_then(|state| state.fingerprint) == Some(*fingerprint);
            if hints.writing.contains(path) || (known && !hints.dirty.contains(path)) {
                continue;
            }
            let state = self.files.entry(path.clone()).or_default();
            state.read(path, *fingerprint, &self.settings);
            changed = true;
        }
        self.unreadable = unreadable;
        self.directories = found.directories;
        changed
    }

    /// What changed since the last batch was made.
    pub(super) fn batch(&mut self) -> Batch {
        let (mut objects, mut diagnostics) = self.merge();
        let features = &self.settings.features;
        if features.ip_autoallocate {
            allocate(&mut objects, &features.ip_prefixes);
        }
        let mut changes = Vec::new();
        for key in self.served.keys().filter(|key| !objects.contains_key(*key)) {
            changes.push((key.clone(), None));
        }
        for (key, object) in &objects {
            if self.served.get(key) != Some(object) {
                changes.push((key.clone(), Some(object.clone())));
            }
        }
        self.served = objects;
        diagnostics.extend(self.unreadable.iter().cloned());
        Batch {
            changes,
            diagnostics,
            synced: true,
        }
    }

    /// The objects of all files; of those that are there twice the last one wins, and the first one is reported.
    fn merge(&self) -> (BTreeMap<ObjectKey, Object>, Vec<Diagnostic>) {
        let mut objects = BTreeMap::new();
        let mut places: BTreeMap<&ObjectKey, (&PathBuf, u32)> = BTreeMap::new();
        let mut diagnostics = Vec::new();
        for (path, state) in &self.files {
            diagnostics.extend(state.diagnostics.iter().cloned());
            for (key, (object, line)) in &state.objects {
                if let Some((other, other_line)) = places.insert(key, (path, *line)) {
                    let place = place(other, other_line);
                    diagnostics.push(overridden(
                        key,
                        place,
                        &format!("{}:{line}", path.display()),
                    ));
                }
                objects.insert(key.clone(), object.clone());
            }
        }
        (objects, diagnostics)
    }
}

/// Gives hosts of ServiceEntries addresses where no control plane wrote them into the status, since files have nobody
/// who does. They follow from names only, so they are the same after a restart and in every replica.
fn allocate(objects: &mut BTreeMap<ObjectKey, Object>, prefixes: &Prefixes) {
    let entries = objects.values().filter_map(|object| match object {
        Object::ServiceEntry(entry) => Some(entry),
        _ => None,
    });
    let owner = |key: &ObjectKey| (key.namespace.clone(), key.name.clone());
    let claims = entries.map(|entry| (owner(&entry.meta.key), Claim::of(entry)));
    let decided = decide(&claims.collect(), prefixes, Start::Name);
    for ((namespace, name), held) in decided {
        let key = ObjectKey::new(Kind::ServiceEntry, namespace, name);
        if let Some(Object::ServiceEntry(entry)) = objects.get_mut(&key) {
            let held = held.iter();
            let allocated = held.map(|(host, ip)| (Hostname::new(host), ip.to_string().into()));
            *entry = Shared::new(ServiceEntry {
                allocated: allocated.collect(),
                ..(**entry).clone()
            });
        }
    }
}

impl FileState {
    fn read(&mut self, path: &Path, fingerprint: Fingerprint, settings: &LowerSettings) {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                // No fingerprint: it is tried again at the next look.
                self.fingerprint = None;
                self.diagnostics = vec![about(
                    path,
                    format!("cannot be read: {error}; its last objects stay"),
                )];
                return;
            }
        };
        self.fingerprint = Some(fingerprint);
        // What a full disk or an interrupted writer leaves behind.
        if bytes.is_empty() && !self.objects.is_empty() {
            let message =
                "the file became empty; its last objects stay until it is removed or written again";
            self.diagnostics = vec![about(path, message.to_owned())];
            return;
        }
        let name = path.to_string_lossy();
        let text = lower_bytes(&name, &bytes, settings);
        let mut diagnostics = text.diagnostics;
        let mut objects: BTreeMap<ObjectKey, (Object, u32)> = BTreeMap::new();
        for (object, line) in text.objects {
            let key = object.key().clone();
            if let Some((_, first)) = objects.insert(key.clone(), (object, line)) {
                diagnostics.push(overridden(
                    &key,
                    place(path, first),
                    &format!("line {line} of the same file"),
                ));
            }
        }
        if !text.complete {
            let kept = keep_missing(&mut objects, &self.objects);
            if kept > 0 {
                let message = format!(
                    "until the errors of this file are mended, {kept} of its last good objects stay"
                );
                let mut notice = about(path, message);
                notice.severity = Severity::Info;
                diagnostics.push(notice);
            }
        }
        self.objects = objects;
        self.diagnostics = diagnostics;
    }
}

/// Adds what a file had before and does not show now; how many objects that were.
fn keep_missing(
    objects: &mut BTreeMap<ObjectKey, (Object, u32)>,
    last: &BTreeMap<ObjectKey, (Object, u32)>,
) -> usize {
    let before = objects.len();
    for (key, object) in last {
        objects.entry(key.clone()).or_insert_with(|| object.clone());
    }
    objects.len() - before
}

fn overridden(key: &ObjectKey, place: Place, by: &str) -> Diagnostic {
    let message = format!("the same object is at {by}, which wins; remove one of them");
    let mut diagnostic = Diagnostic::warning(key, "", message);
    diagnostic.place = Some(place);
    diagnostic
}

fn about(path: &Path, message: String) -> Diagnostic {
    at_line(anonymous(Severity::Error, "", message), &name(path), 0)
}

fn place(path: &Path, line: u32) -> Place {
    Place {
        file: name(path),
        line,
    }
}

fn name(path: &Path) -> Str {
    path.to_string_lossy().into()
}
