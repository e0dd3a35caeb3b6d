//! What a test calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::fault::{Fault, On, Rule, Verb};
use crate::in_process::InProcess;
use crate::server;
use crate::state::{Cut, Key, Shared, State};
use crate::status::Refusal;
use crate::types::Type;
use crate::write;

/// A running API server. It stops, with all its connections, when it is dropped.
///
/// Where a method takes the name of a type (`resource`), it is `pods`, `gateways.networking.istio.io`, or just
/// `gateways`. A name of no type that is served is a mistake of the test: such methods panic.
pub struct FakeApi {
    shared: Arc<Shared>,
    url: String,
    serving: JoinHandle<()>,
}

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Request {
    /// What it does.
    pub verb: Verb,
    /// The type, with its subresource if there is one: `services/status`.
    pub resource: String,
    /// Empty: all, or none.
    pub namespace: String,
    /// Empty: all.
    pub name: String,
    /// The query, decoded.
    pub query: BTreeMap<String, String>,
    /// `Content-Type`.
    pub content_type: String,
    /// `Accept`.
    pub accept: String,
    /// `User-Agent`.
    pub user_agent: String,
    /// The body; null if there is none.
    pub body: Value,
}

impl std::fmt::Debug for FakeApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeApi")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Drop for FakeApi {
    fn drop(&mut self) {
        self.shared.edit(|state| state.down = true);
        self.serving.abort();
    }
}

impl FakeApi {
    /// Starts one on a free port of loopback, with the built-in types and no objects.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared::new());
        let serving = tokio::spawn(server::serve(listener, shared.clone()));
        Ok(Self {
            shared,
            url,
            serving,
        })
    }

    /// Where it is: `http://127.0.0.1:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same server without a network, for tests with a paused clock: give it to `kube::Client::new`. (A clock that
    /// is paused runs ahead while everybody waits for a socket.)
    pub fn in_process(&self) -> InProcess {
        InProcess::new(self.shared.clone())
    }

    /// A kubeconfig for it.
    pub fn kubeconfig(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "fake", "user": {}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        })
    }

    // ---- types ----

    /// Serves a type without a CustomResourceDefinition.
    pub fn serve(&self, kind: Type) {
        self.shared.edit(|state| state.types.push(kind));
    }

    /// Installs the CustomResourceDefinition of a type; from now on the type is served.
    pub fn install(&self, kind: &Type) {
        self.apply(kind.definition());
    }

    /// Removes the CustomResourceDefinition of a type, and with it its objects; its watches end, and it is not found.
    pub fn uninstall(&self, resource: &str) {
        self.shared.edit(|state| {
            let name = type_of(state, resource).resource();
            state.remove(&Key {
                resource: crate::types::DEFINITIONS.to_owned(),
                namespace: String::new(),
                name,
            });
        });
    }

    /// Whether a type is served.
    pub fn serves(&self, resource: &str) -> bool {
        self.shared
            .read(|state| state.type_named(resource).is_some())
    }

    /// Answers what is posted to a type that keeps no objects (`tokenreviews.authentication.k8s.io`), or to a
    /// subresource (`serviceaccounts/token`).
    pub fn answer(
        &self,
        resource: &str,
        answer: impl Fn(&Request) -> Result<Value, Refusal> + Send + Sync + 'static,
    ) {
        self.shared.edit(|state| {
            state.answers.insert(resource.to_owned(), Arc::new(answer));
        });
    }

    // ---- objects ----

    /// Creates or replaces an object, status and all, whatever version it has; what is then stored.
    pub fn apply(&self, object: Value) -> Value {
        self.shared.edit(|state| {
            let Some((kind, _)) = state.type_of(&object) else {
                panic!(
                    "no type is served for {} {}",
                    object["apiVersion"], object["kind"]
                );
            };
            let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
            let namespace = match (kind.namespaced, text("namespace")) {
                (false, _) => "",
                (true, "") => "default",
                (true, namespace) => namespace,
            };
            let target = kind.target(namespace, text("name"));
            write::assert(state, &target, object)
        })
    }

    /// Deletes an object at once, whatever its finalizers; its last state.
    pub fn delete(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.shared.edit(|state| {
            let key = key_of(state, resource, namespace, name);
            state.remove(&key)
        })
    }

    /// An object as it is stored.
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.shared.read(|state| {
            let key = key_of(state, resource, namespace, name);
            state.objects.get(&key).cloned()
        })
    }

    /// All objects of a type.
    pub fn list(&self, resource: &str) -> Vec<Value> {
        self.shared.read(|state| {
            let resource = type_of(state, resource).resource();
            let of_type = |(key, _): &(&Key, &Value)| key.resource == resource;
            state
                .objects
                .iter()
                .filter(of_type)
                .map(|(_, o)| o.clone())
                .collect()
        })
    }

    /// The newest resourceVersion.
    pub fn version(&self) -> u64 {
        self.shared.read(|state| state.version)
    }

    /// Waits until an object is as it should be (`None`: gone, or not there yet).
    pub async fn until(
        &self,
        resource: &str,
        namespace: &str,
        name: &str,
        mut holds: impl FnMut(Option<&Value>) -> bool,
    ) {
        self.shared
            .until(|state| {
                let key = key_of(state, resource, namespace, name);
                holds(state.objects.get(&key)).then_some(())
            })
            .await;
    }

    // ---- requests ----

    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.read(|state| state.requests.clone())
    }

    /// How many requests with this verb there were for this type (`services/status`: for its subresource).
    pub fn count(&self, verb: Verb, resource: &str) -> usize {
        self.shared.read(|state| counted(state, verb, resource))
    }

    /// Waits until there were at least so many since the start.
    pub async fn requested(&self, verb: Verb, resource: &str, at_least: usize) {
        self.shared
            .until(|state| (counted(state, verb, resource) >= at_least).then_some(()))
            .await;
    }

    /// Waits until so many watches of this type are open.
    pub async fn watched(&self, resource: &str, watches: usize) {
        self.shared
            .until(|state| {
                let found = state.type_named(resource).map(Type::resource);
                let open = found.map_or(0, |r| state.open.get(&r).copied().unwrap_or(0));
                (open == watches).then_some(())
            })
            .await;
    }

    // ---- faults ----

    /// The next so many requests that fit meet this fault. Earlier scripts come first.
    pub fn fault(&self, on: On, fault: Fault, times: usize) {
        self.shared.edit(|state| {
            state.rules.push(Rule {
                on,
                fault,
                left: times,
            });
        });
    }

    /// Forgets all scripted faults, and lets stalled requests go on.
    pub fn heal(&self) {
        self.shared.edit(|state| {
            state.rules.clear();
            state.released += 1;
        });
    }

    /// Lets the requests go on that are stalled now.
    pub fn release(&self) {
        self.shared.edit(|state| state.released += 1);
    }

    /// Whether `sendInitialEvents` is served (it is at first).
    pub fn streaming_lists(&self, served: bool) {
        self.shared.edit(|state| state.streaming_lists = served);
    }

    /// Ends the open watches of a type, or all: as a server does after a while.
    pub fn end_watches(&self, resource: Option<&str>) {
        self.cut(resource, false);
    }

    /// Breaks the connections of the open watches of a type, or of all.
    pub fn break_watches(&self, resource: Option<&str>) {
        self.cut(resource, true);
    }

    fn cut(&self, resource: Option<&str>, broken: bool) {
        self.shared.edit(|state| {
            let resource = resource.map(|r| type_of(state, r).resource());
            state.cuts.push(Cut { resource, broken });
        });
    }

    /// Sends a line to the open watches of a type: `type` is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR. Nothing is
    /// stored.
    pub fn send(&self, resource: &str, event: &str, object: &Value) {
        self.shared.edit(|state| {
            let resource = type_of(state, resource).resource();
            let line = json!({"type": event, "object": object});
            state.extra.push((resource, line));
        });
    }

    /// Sends a bookmark with the newest version to the open watches of a type.
    pub fn bookmark(&self, resource: &str) {
        let (api_version, version) = self.shared.read(|state| {
            let kind = type_of(state, resource);
            (kind.api_version(&kind.versions[0]), state.version)
        });
        let object = json!({
            "apiVersion": api_version,
            "kind": "Bookmark",
            "metadata": {"resourceVersion": version.to_string(), "creationTimestamp": null},
        });
        self.send(resource, "BOOKMARK", &object);
    }

    /// Sends the newest so many events of a type again to its open watches, as they were.
    pub fn repeat(&self, resource: &str, events: usize) {
        self.shared.edit(|state| {
            let resource = type_of(state, resource).resource();
            let past: Vec<Value> = state
                .history
                .iter()
                .filter(|c| c.key.resource == resource)
                .map(|c| {
                    let verb = match (&c.before, &c.after) {
                        (None, _) => "ADDED",
                        (_, Some(_)) => "MODIFIED",
                        (_, None) => "DELETED",
                    };
                    json!({"type": verb, "object": c.shown})
                })
                .collect();
            let from = past.len().saturating_sub(events);
            for line in &past[from..] {
                state.extra.push((resource.clone(), line.clone()));
            }
        });
    }

    /// Holds the events of a type back, until they are delivered.
    pub fn hold(&self, resource: &str) {
        self.shared.edit(|state| {
            let resource = type_of(state, resource).resource();
            state.held.insert(resource);
        });
    }

    /// Delivers the events that were held back.
    pub fn deliver(&self, resource: &str) {
        self.shared.edit(|state| {
            let resource = type_of(state, resource).resource();
            state.held.remove(&resource);
        });
    }

    /// Delivers the events that were held back, the newest first.
    pub fn deliver_reversed(&self, resource: &str) {
        self.shared.edit(|state| {
            let resource = type_of(state, resource).resource();
            state.held.remove(&resource);
            state.reversed.insert(resource, state.version);
        });
    }

    /// Forgets the history: who wants to go on from an older version meets 410.
    pub fn compact(&self) {
        self.shared.edit(State::compact);
    }

    /// A total outage: every connection is closed, and new ones are closed at once.
    pub fn go_down(&self) {
        self.shared.edit(|state| state.down = true);
    }

    /// The end of an outage. Objects and history are as before; see [`FakeApi::compact`].
    pub fn come_back(&self) {
        self.shared.edit(|state| state.down = false);
    }
}

fn type_of<'a>(state: &'a State, resource: &str) -> &'a Type {
    match state.type_named(resource) {
        Some(found) => found,
        None => panic!("{resource} is not served"),
    }
}

fn key_of(state: &State, resource: &str, namespace: &str, name: &str) -> Key {
    Key {
        resource: type_of(state, resource).resource(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

fn counted(state: &State, verb: Verb, resource: &str) -> usize {
    let fits = |r: &&Request| r.verb == verb && crate::types::named(&r.resource, resource);
    state.requests.iter().filter(fits).count()
}
