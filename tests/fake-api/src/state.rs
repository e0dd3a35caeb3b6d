//! Objects and the history of their changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;

use crate::api::Request;
use crate::fault::{Fault, Rule, Verb};
use crate::status::Refusal;
use crate::types::{self, DEFINITIONS, Type};

/// What names an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// As in [`Type::resource`].
    pub(crate) resource: String,
    /// Empty for types without namespaces.
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// One write.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) key: Key,
    pub(crate) before: Option<Value>,
    /// `None`: deleted.
    pub(crate) after: Option<Value>,
    /// What a watch says about it: `after`, or the last state with the version of the deletion.
    pub(crate) shown: Value,
}

/// Answers a review or a subresource that is posted.
pub(crate) type Answer = Arc<dyn Fn(&Request) -> Result<Value, Refusal> + Send + Sync>;

/// An end of open watches.
#[derive(Debug, Clone)]
pub(crate) struct Cut {
    /// `None`: all.
    pub(crate) resource: Option<String>,
    /// Whether the connection breaks in the middle of the body, instead of the body ending.
    pub(crate) broken: bool,
}

pub(crate) struct State {
    pub(crate) types: Vec<Type>,
    /// The newest resourceVersion.
    pub(crate) version: u64,
    /// The history up to here is gone.
    pub(crate) oldest: u64,
    pub(crate) objects: BTreeMap<Key, Value>,
    pub(crate) history: Vec<Change>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) requests: Vec<Request>,
    pub(crate) streaming_lists: bool,
    /// How often stalled requests have been released.
    pub(crate) released: u64,
    pub(crate) down: bool,
    pub(crate) cuts: Vec<Cut>,
    /// Lines for open watches that no write caused.
    pub(crate) extra: Vec<(String, Value)>,
    /// Resources whose events wait.
    pub(crate) held: BTreeSet<String>,
    /// Events up to here are delivered in the wrong order.
    pub(crate) reversed: BTreeMap<String, u64>,
    /// Open watches.
    pub(crate) open: BTreeMap<String, usize>,
    pub(crate) answers: BTreeMap<String, Answer>,
}

/// The state, and a number that grows with everything that happens to it.
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                types: types::built_in(),
                version: 1,
                oldest: 0,
                objects: BTreeMap::new(),
                history: Vec::new(),
                rules: Vec::new(),
                requests: Vec::new(),
                streaming_lists: true,
                released: 0,
                down: false,
                cuts: Vec::new(),
                extra: Vec::new(),
                held: BTreeSet::new(),
                reversed: BTreeMap::new(),
                open: BTreeMap::new(),
                answers: BTreeMap::new(),
            }),
            changed: watch::Sender::new(0),
        }
    }

    pub(crate) fn read<T>(&self, f: impl FnOnce(&State) -> T) -> T {
        f(&self.state.lock())
    }

    /// Changes something and wakes everybody who waits.
    pub(crate) fn edit<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let out = f(&mut self.state.lock());
        self.changed.send_modify(|n| *n += 1);
        out
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Waits until something holds.
    pub(crate) async fn until<T>(&self, mut holds: impl FnMut(&State) -> Option<T>) -> T {
        let mut changes = self.changes();
        loop {
            changes.borrow_and_update();
            if let Some(found) = self.read(&mut holds) {
                return found;
            }
            // The sender lives in self.
            let _ = changes.changed().await;
        }
    }
}

impl State {
    /// The type that a test means.
    pub(crate) fn type_named(&self, name: &str) -> Option<&Type> {
        self.types.iter().find(|t| t.is(name))
    }

    /// The type and version of an object.
    pub(crate) fn type_of(&self, object: &Value) -> Option<(&Type, String)> {
        let api_version = object["apiVersion"].as_str()?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let found = self
            .types
            .iter()
            .find(|t| t.group == group && object["kind"] == t.kind.as_str())?;
        Some((found, version.to_owned()))
    }

    pub(crate) fn serves(&self, resource: &str, version: &str) -> bool {
        self.types
            .iter()
            .any(|t| t.resource() == resource && t.versions.iter().any(|v| v == version))
    }

    /// The fault that meets a request, if any is left.
    pub(crate) fn fault(&mut self, verb: Verb, resource: &str) -> Option<Fault> {
        let rule = self
            .rules
            .iter_mut()
            .find(|r| r.left > 0 && r.on.meets(verb, resource))?;
        rule.left -= 1;
        let fault = rule.fault.clone();
        self.rules.retain(|r| r.left > 0);
        Some(fault)
    }

    /// Stores an object under the next version.
    pub(crate) fn put(&mut self, key: &Key, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let before = self.objects.insert(key.clone(), object.clone());
        self.history.push(Change {
            version: self.version,
            key: key.clone(),
            before,
            after: Some(object.clone()),
            shown: object.clone(),
        });
        if key.resource == DEFINITIONS {
            self.define(&object);
        }
        object
    }

    /// Deletes an object; its last state, if there was one.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Value> {
        let before = self.objects.remove(key)?;
        self.version += 1;
        let mut shown = before.clone();
        shown["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.history.push(Change {
            version: self.version,
            key: key.clone(),
            before: Some(before),
            after: None,
            shown: shown.clone(),
        });
        if key.resource == DEFINITIONS {
            self.undefine(&shown);
        }
        Some(shown)
    }

    /// What there was at a version.
    pub(crate) fn objects_at(&self, version: u64, resource: &str) -> BTreeMap<Key, Value> {
        let mut objects: BTreeMap<Key, Value> = self
            .objects
            .iter()
            .filter(|(key, _)| key.resource == resource)
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect();
        for change in self.history.iter().rev() {
            if change.version <= version {
                break;
            }
            if change.key.resource != resource {
                continue;
            }
            match &change.before {
                Some(before) => objects.insert(change.key.clone(), before.clone()),
                None => objects.remove(&change.key),
            };
        }
        objects
    }

    /// Forgets the history up to now.
    pub(crate) fn compact(&mut self) {
        self.oldest = self.version;
        self.history.clear();
    }

    fn define(&mut self, definition: &Value) {
        let Some(defined) = Type::defined_by(definition) else {
            return;
        };
        let resource = defined.resource();
        self.types.retain(|t| t.resource() != resource);
        self.types.push(defined);
    }

    fn undefine(&mut self, definition: &Value) {
        let Some(defined) = Type::defined_by(definition) else {
            return;
        };
        let resource = defined.resource();
        let keys: Vec<Key> = self
            .objects
            .keys()
            .filter(|k| k.resource == resource)
            .cloned()
            .collect();
        for key in &keys {
            self.remove(key);
        }
        self.types.retain(|t| t.resource() != resource);
    }
}
