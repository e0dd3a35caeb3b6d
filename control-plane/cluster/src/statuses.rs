//! Statuses of objects that users write: the fields of ours are kept as somebody decides, the others are left alone.
//!
//! One kind is watched, and [`Statuses`] is told of every object and asked what is to be written. A write names the
//! version that was decided on, so it never lays itself over a change that we have not seen; it is a merge patch of our
//! fields of the status subresource, so conditions that others write stay. An object that is right is not written.
//! It runs while we lead ([`crate::leader`]), so that replicas do not write against each other.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::error::{ApiError, REQUEST_TIMEOUT, within};
use crate::follow::{at, changed, events};
use crate::metrics::{KindLabel, Metrics};
use crate::queue::{Outcome, Queue};

/// How many objects are written at a time.
const AT_A_TIME: usize = 8;

const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(60),
};

/// A kind whose statuses are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its API group.
    pub group: &'static str,
    /// The version that is read and written.
    pub version: &'static str,
    /// Its name.
    pub kind: &'static str,
    /// Its name in paths.
    pub plural: &'static str,
}

/// networking.istio.io ServiceEntry, for the addresses of its hosts.
pub const SERVICE_ENTRIES: Kind = Kind {
    group: "networking.istio.io",
    version: "v1",
    kind: "ServiceEntry",
    plural: "serviceentries",
};

/// networking.k8s.io Ingress, for the addresses of its gateway.
pub const INGRESSES: Kind = Kind {
    group: "networking.k8s.io",
    version: "v1",
    kind: "Ingress",
    plural: "ingresses",
};

impl Kind {
    fn resource(self) -> ApiResource {
        let kind = GroupVersionKind::gvk(self.group, self.version, self.kind);
        ApiResource::from_gvk_with_plural(&kind, self.plural)
    }
}

/// Namespace and name of an object.
pub type Name = (String, String);

/// An object as the API server has it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Creation, in seconds since 1970; `i64::MAX` when not known.
    pub created: i64,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// `spec`; `Null` when there is none.
    pub spec: &'a Value,
    /// `status`; `Null` when there is none.
    pub status: &'a Value,
}

/// Decides what is written. It has no IO: it is told what there is and asked what should be.
pub trait Statuses: Send + 'static {
    /// What decides besides the objects.
    type News: Send + Sync + 'static;

    /// An object as it is now. Answers whether something else may have to be written now.
    fn seen(&mut self, name: &Name, object: Seen<'_>) -> bool;

    /// An object is gone.
    fn gone(&mut self, name: &Name);

    /// Somebody wrote an object before we could; it is seen again before it is asked for.
    fn was_changed(&mut self, name: &Name);

    /// The fields of the statuses that are not as they should be. It is asked again and again until the writes have
    /// succeeded, and answers the same for as long as the same is known.
    fn wanted(&mut self, news: &Self::News) -> BTreeMap<Name, Value>;
}

/// Keeps the statuses of a kind as `statuses` decides, until `stop`. Nothing is decided before all objects were read.
pub async fn keep<S: Statuses>(
    client: Client,
    kind: Kind,
    statuses: S,
    mut news: watch::Receiver<S::News>,
    metrics: Metrics,
    stop: CancellationToken,
) {
    let resource = kind.resource();
    let objects: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let config = watcher::Config::default();
    let mut objects = pin!(events(objects, config, kind.plural));
    let mut known = Known {
        statuses,
        versions: BTreeMap::new(),
        listed: None,
    };
    let label = KindLabel { kind: kind.kind };
    let mut wanted: BTreeMap<Name, Value> = BTreeMap::new();
    let mut queue: Queue<Name> = Queue::new(BACKOFF);
    let mut running = FuturesUnordered::new();
    let (mut complete, mut undecided) = (false, true);
    loop {
        while running.len() < AT_A_TIME {
            let Some(name) = queue.take(Instant::now()) else {
                break;
            };
            match (wanted.get(&name), known.versions.get(&name)) {
                (Some(fields), Some(version)) => {
                    running.push(write(
                        &client,
                        &resource,
                        name,
                        fields.clone(),
                        version.clone(),
                    ));
                }
                // It is right by now, or gone.
                _ => queue.done(&name, Outcome::Kept, Instant::now()),
            }
        }
        let next = if running.len() < AT_A_TIME {
            queue.next()
        } else {
            None
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            Some((name, answer)) = running.next(), if !running.is_empty() => {
                let outcome = outcome(kind, &name, &answer);
                match outcome {
                    Outcome::Written => {
                        metrics.statuses.get_or_create(&label).inc();
                    }
                    Outcome::Failed | Outcome::Refused => {
                        metrics.status_failures.get_or_create(&label).inc();
                    }
                    Outcome::Kept => {}
                }
                match answer {
                    Answer::Written(object) => {
                        undecided |= known.answered(&name, &object);
                        wanted.remove(&name);
                    }
                    Answer::Changed(object) => {
                        known.statuses.was_changed(&name);
                        known.read(&name, object.as_deref());
                        undecided = true;
                    }
                    Answer::Failed(_) => {}
                }
                queue.done(&name, outcome, Instant::now());
            }
            Some(event) = objects.next() => match event {
                Event::Init => known.listed = Some(BTreeSet::new()),
                Event::InitApply(object) | Event::Apply(object) => undecided |= known.shown(&object),
                Event::InitDone => {
                    known.list_ends();
                    (complete, undecided) = (true, true);
                }
                Event::Delete(object) => {
                    let name = name_of(&object);
                    known.read(&name, None);
                    queue.forget(&name);
                    undecided = true;
                }
            },
            () = changed(&mut news) => undecided = true,
            () = at(next) => {}
            // Last: what came meanwhile is decided on together.
            () = ready(()), if complete && undecided => {
                undecided = false;
                let now = known.statuses.wanted(&news.borrow_and_update());
                for (name, fields) in &now {
                    if wanted.get(name) != Some(fields) {
                        queue.add(name.clone(), Instant::now());
                    }
                }
                wanted = now;
            }
        }
    }
}

/// What is known of the objects.
struct Known<S> {
    statuses: S,
    /// Their versions.
    versions: BTreeMap<Name, String>,
    /// What a list that is being read has shown.
    listed: Option<BTreeSet<Name>>,
}

impl<S: Statuses> Known<S> {
    /// The watch shows an object. After a write it may still show older ones.
    fn shown(&mut self, object: &DynamicObject) -> bool {
        let name = name_of(object);
        if let Some(listed) = &mut self.listed {
            listed.insert(name.clone());
        }
        match self.versions.get(&name) {
            Some(known) if !is_newer(object, known) => false,
            _ => self.accept(name, object),
        }
    }

    /// A write was answered. The object may be gone by now, or another one.
    fn answered(&mut self, name: &Name, object: &DynamicObject) -> bool {
        match self.versions.get(name) {
            Some(known) if is_newer(object, known) => self.accept(name.clone(), object),
            _ => false,
        }
    }

    /// An object was asked for, or is gone.
    fn read(&mut self, name: &Name, object: Option<&DynamicObject>) {
        match object {
            Some(object) => {
                self.accept(name.clone(), object);
            }
            None => {
                self.versions.remove(name);
                self.statuses.gone(name);
            }
        }
    }

    fn accept(&mut self, name: Name, object: &DynamicObject) -> bool {
        let empty = BTreeMap::new();
        let metadata = &object.metadata;
        let created = metadata.creation_timestamp.as_ref();
        let changed = self.statuses.seen(
            &name,
            Seen {
                created: created.map_or(i64::MAX, |time| time.0.as_second()),
                labels: metadata.labels.as_ref().unwrap_or(&empty),
                spec: object.data.get("spec").unwrap_or(&Value::Null),
                status: object.data.get("status").unwrap_or(&Value::Null),
            },
        );
        let version = object.resource_version().unwrap_or_default();
        self.versions.insert(name, version);
        changed
    }

    /// What a list did not show is gone.
    fn list_ends(&mut self) {
        let Some(listed) = self.listed.take() else {
            return;
        };
        let known = self.versions.keys();
        let gone: Vec<Name> = known
            .filter(|name| !listed.contains(name))
            .cloned()
            .collect();
        for name in gone {
            self.read(&name, None);
        }
    }
}

fn name_of(object: &DynamicObject) -> Name {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// Whether an object is newer than a version. Versions of Kubernetes are numbers; of others nothing is known.
fn is_newer(object: &DynamicObject, known: &str) -> bool {
    let version = object.resource_version().unwrap_or_default();
    match (version.parse::<u64>(), known.parse::<u64>()) {
        (Ok(version), Ok(known)) => version > known,
        _ => version != known,
    }
}

/// How a write ended.
enum Answer {
    /// The object as it is now.
    Written(Box<DynamicObject>),
    /// Somebody else wrote it before; as it is now, `None`: it is gone.
    Changed(Option<Box<DynamicObject>>),
    Failed(ApiError),
}

async fn write(
    client: &Client,
    resource: &ApiResource,
    name: Name,
    fields: Value,
    version: String,
) -> (Name, Answer) {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &name.0, resource);
    let patch = Patch::Merge(json!({"metadata": {"resourceVersion": version}, "status": fields}));
    let params = PatchParams::default();
    let patched = within(REQUEST_TIMEOUT, api.patch_status(&name.1, &params, &patch)).await;
    let answer = match patched {
        Ok(object) => Answer::Written(Box::new(object)),
        Err(ApiError::Conflict | ApiError::NotFound(_)) => {
            match within(REQUEST_TIMEOUT, api.get_opt(&name.1)).await {
                Ok(object) => Answer::Changed(object.map(Box::new)),
                Err(error) => Answer::Failed(error),
            }
        }
        Err(error) => Answer::Failed(error),
    };
    (name, answer)
}

fn outcome(kind: Kind, (namespace, name): &Name, answer: &Answer) -> Outcome {
    let kind = kind.kind;
    match answer {
        Answer::Written(_) => {
            tracing::debug!(kind, namespace, name, "status written");
            Outcome::Written
        }
        Answer::Changed(Some(_)) => {
            tracing::debug!(kind, namespace, name, "changed meanwhile, deciding again");
            Outcome::Failed
        }
        Answer::Changed(None) => Outcome::Kept,
        Answer::Failed(error @ (ApiError::Forbidden(_) | ApiError::Invalid(_))) => {
            tracing::warn!(kind, namespace, name, %error, "status cannot be written");
            Outcome::Refused
        }
        Answer::Failed(error) => {
            tracing::warn!(kind, namespace, name, %error, "status not written, trying again");
            Outcome::Failed
        }
    }
}

#[cfg(test)]
mod tests;
