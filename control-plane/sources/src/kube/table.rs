//! What is known of the objects of one kind: names, versions and findings. The objects themselves are handed on.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use meltemi_model::{Diagnostic, Diagnostics, Kind, Object, ObjectKey, Severity, Str};

use super::counts::Event;

/// Namespace and name.
pub(super) type Name = (Str, Str);

/// An object, read.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) name: Name,
    /// Its `resourceVersion`, when it is a number, as those of Kubernetes are.
    pub(super) version: Option<u64>,
    /// Of its `uid`.
    pub(super) identity: u64,
    pub(super) fate: Fate,
}

/// What lowering made of it.
#[derive(Debug)]
pub(super) enum Fate {
    /// None of ours, such as one of another revision.
    Foreign,
    /// Of a kind that is not supported yet.
    Unread,
    /// Lowered; no object: it means nothing, or its findings say why it cannot be used.
    Lowered(Option<Object>, Diagnostics),
}

/// One change for a batch.
pub(super) type Change = (ObjectKey, Option<Object>);

#[derive(Debug)]
struct Known {
    version: Option<u64>,
    identity: u64,
    /// Under which kind it is handed on; `None`: it is not.
    served: Option<Kind>,
    unread: bool,
}

/// The objects of one kind.
#[derive(Debug, Default)]
pub(super) struct Table {
    known: BTreeMap<Name, Known>,
    findings: BTreeMap<Name, Diagnostics>,
    /// The versions of deletions, for events that come late.
    buried: BTreeMap<Name, u64>,
    /// What the running list has shown so far.
    listing: Vec<Seen>,
    unread: usize,
    /// Whether findings changed since they were asked for.
    changed: bool,
}

/// Late events come soon or never.
const MOST_BURIED: usize = 1_000;

impl Table {
    /// A list begins.
    pub(super) fn begin(&mut self) {
        self.listing.clear();
    }

    /// The list shows an object.
    pub(super) fn listed(&mut self, seen: Seen) {
        self.listing.push(seen);
    }

    /// The list is complete: what it did not show is gone. The list is right, whatever came before it.
    pub(super) fn end(&mut self, mut count: impl FnMut(Event)) -> Vec<Change> {
        let listing = std::mem::take(&mut self.listing);
        let before = std::mem::take(&mut self.known);
        self.unread = 0;
        self.buried.clear();
        let mut changes = Vec::new();
        let mut before = before;
        for seen in listing {
            let old = before.remove(&seen.name);
            match &old {
                None => count(Event::Add),
                Some(old) if old.version != seen.version => count(Event::Update),
                Some(_) => {}
            }
            changes.extend(self.accept(seen, old.as_ref()));
        }
        for (name, old) in before {
            count(Event::Delete);
            self.changed |= self.findings.remove(&name).is_some();
            changes.extend(old.gone(&name));
        }
        self.changed = true;
        changes
    }

    /// An object is new or changed.
    pub(super) fn apply(&mut self, seen: Seen, mut count: impl FnMut(Event)) -> Option<Change> {
        let old = self.known.get(&seen.name);
        let newest = old
            .and_then(|o| o.version)
            .max(self.buried.get(&seen.name).copied());
        // An event that came before, or one that comes late.
        if newest.is_some() && seen.version.is_some() && seen.version <= newest {
            return None;
        }
        self.buried.remove(&seen.name);
        let old = self.known.remove(&seen.name);
        self.unread -= usize::from(old.as_ref().is_some_and(|o| o.unread));
        count(if old.is_some() {
            Event::Update
        } else {
            Event::Add
        });
        self.accept(seen, old.as_ref())
    }

    /// An object was deleted.
    pub(super) fn delete(
        &mut self,
        name: &Name,
        version: Option<u64>,
        mut count: impl FnMut(Event),
    ) -> Option<Change> {
        // It was made again since.
        let newer = self.known.get(name).and_then(|old| old.version);
        if version.is_some() && version < newer {
            return None;
        }
        // Also when it is not known: its making may come late.
        if let Some(version) = version {
            if self.buried.len() >= MOST_BURIED {
                self.buried.clear();
            }
            self.buried.insert(name.clone(), version);
        }
        let old = self.known.remove(name)?;
        count(Event::Delete);
        self.unread -= usize::from(old.unread);
        self.changed |= self.findings.remove(name).is_some() || old.unread;
        old.gone(name)
    }

    /// The whole kind is gone.
    pub(super) fn clear(&mut self, count: impl FnMut(Event)) -> Vec<Change> {
        self.listing.clear();
        self.end(count)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// How many objects are of a kind that is not supported yet.
    pub(super) fn unread(&self) -> usize {
        self.unread
    }

    /// All findings, when they changed since the last call.
    pub(super) fn findings(&mut self) -> Option<Diagnostics> {
        std::mem::take(&mut self.changed)
            .then(|| self.findings.values().flatten().cloned().collect())
    }

    fn accept(&mut self, seen: Seen, old: Option<&Known>) -> Option<Change> {
        let before = old.and_then(|o| o.served);
        let mut known = Known {
            version: seen.version,
            identity: seen.identity,
            served: None,
            unread: false,
        };
        let mut findings = Diagnostics::new();
        let mut object = None;
        match seen.fate {
            Fate::Foreign => {}
            Fate::Unread => known.unread = true,
            Fate::Lowered(lowered, found) => {
                findings = found;
                known.served = lowered.as_ref().map(|o| o.key().kind);
                object = lowered;
            }
        }
        let same = old.is_some_and(|o| o.identity == seen.identity);
        if let Some(kind) = before
            && object.is_none()
            && same
            && let Some(error) = findings.iter().find(|d| d.severity == Severity::Error)
        {
            let notice = Diagnostic {
                severity: Severity::Info,
                path: String::new(),
                message: "until this is mended, the last good version of the object stays".into(),
                ..error.clone()
            };
            findings.push(notice);
            known.served = Some(kind);
            self.remember(seen.name, known, findings);
            return None;
        }
        let change = match object {
            Some(object) => Some((object.key().clone(), Some(object))),
            None => old.and_then(|o| o.gone(&seen.name)),
        };
        self.remember(seen.name, known, findings);
        change
    }

    fn remember(&mut self, name: Name, known: Known, findings: Diagnostics) {
        self.unread += usize::from(known.unread);
        self.changed |= known.unread;
        let before = if findings.is_empty() {
            self.findings.remove(&name)
        } else {
            self.findings.insert(name.clone(), findings)
        };
        self.changed |= before.as_ref() != self.findings.get(&name);
        self.known.insert(name, known);
    }
}

impl Known {
    fn gone(&self, (namespace, name): &Name) -> Option<Change> {
        let kind = self.served?;
        Some((ObjectKey::new(kind, namespace.clone(), name.clone()), None))
    }
}

/// A number for a `uid`: only whether two are equal matters.
pub(super) fn identity(uid: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(uid)
}
