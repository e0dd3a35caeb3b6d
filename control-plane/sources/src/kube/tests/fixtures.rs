//! A source that reads a fake API server, and what it has said so far.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::{Client, Config};
use meltemi_fake_api::{FakeApi, Type};
use meltemi_model::{Diagnostic, Object, ObjectKey};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::batch::Batch;
use crate::kube::{Counts, KubeSettings, Patience, watch};
use crate::lower::{LowerSettings, lower};

/// Errors cost milliseconds, stalls too.
const HASTY: Patience = Patience {
    shortest: Duration::from_millis(2),
    longest: Duration::from_millis(20),
    list: Duration::from_millis(300),
};

pub(super) fn settings() -> KubeSettings {
    KubeSettings {
        patience: HASTY,
        ..KubeSettings::new(LowerSettings::default())
    }
}

/// A source under test.
pub(super) struct Source {
    rx: mpsc::Receiver<Batch>,
    pub(super) objects: BTreeMap<ObjectKey, Object>,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) synced: bool,
    pub(super) counts: Arc<Counts>,
    task: JoinHandle<()>,
}

impl Drop for Source {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client without the patience of production.
pub(super) fn client(api: &FakeApi) -> Client {
    let mut config = Config::new(api.url().parse().unwrap());
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

impl Source {
    pub(super) fn of(api: &FakeApi) -> Self {
        Self::with(api, settings())
    }

    pub(super) fn with(api: &FakeApi, settings: KubeSettings) -> Self {
        let (tx, rx) = mpsc::channel(4);
        let counts = Arc::new(Counts::default());
        let task = tokio::spawn(watch(client(api), settings, Arc::clone(&counts), tx));
        Self {
            rx,
            objects: BTreeMap::new(),
            diagnostics: Vec::new(),
            synced: false,
            counts,
            task,
        }
    }

    /// One that has read everything.
    pub(super) async fn synced(api: &FakeApi) -> Self {
        let mut source = Self::of(api);
        source.until(|s| s.synced).await;
        source
    }

    /// Takes the next batch.
    pub(super) async fn step(&mut self) -> Batch {
        // Far less than a quiet watch lasts: what only its end would mend is a mistake.
        let batch = tokio::time::timeout(Duration::from_secs(120), self.rx.recv());
        let batch = batch.await.expect("nothing comes any more");
        let batch = batch.expect("the source ended");
        for (key, object) in &batch.changes {
            match object {
                Some(object) => {
                    assert_eq!(object.key(), key);
                    self.objects.insert(key.clone(), object.clone());
                }
                None => {
                    self.objects.remove(key);
                }
            }
        }
        self.diagnostics.clone_from(&batch.diagnostics);
        assert!(batch.synced || !self.synced, "synced is never taken back");
        self.synced = batch.synced;
        batch
    }

    /// Takes batches until something holds.
    pub(super) async fn until(&mut self, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            self.step().await;
        }
    }

    /// Takes batches until the objects are those of the API server.
    pub(super) async fn converges(&mut self, api: &FakeApi) {
        let expected = expected(api);
        self.until(|s| s.objects == expected).await;
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.objects.keys().map(ToString::to_string).collect()
    }

    pub(super) fn said(&self) -> Vec<String> {
        self.diagnostics.iter().map(ToString::to_string).collect()
    }
}

/// What lowering makes of everything that an API server has.
pub(super) fn expected(api: &FakeApi) -> BTreeMap<ObjectKey, Object> {
    let settings = LowerSettings::default();
    let built_in = [
        "namespaces",
        "nodes",
        "pods",
        "services",
        "serviceaccounts",
        "endpointslices",
        "configmaps",
    ];
    let istio = istio_types().into_iter().map(|kind| kind.resource());
    built_in
        .map(str::to_owned)
        .into_iter()
        .chain(istio)
        .filter(|resource| api.serves(resource))
        .flat_map(|resource| api.list(&resource))
        .filter_map(|object| lower(&object, &settings).object)
        .map(|object| (object.key().clone(), object))
        .collect()
}

/// Istio's kinds as types of the fake API server.
pub(super) fn istio_types() -> Vec<Type> {
    meltemi_api::kinds::KINDS
        .iter()
        .map(|k| Type::new(k.group, k.versions, k.plural, k.kind, true))
        .collect()
}

pub(super) fn istio_type(plural: &str) -> Type {
    let mut types = istio_types().into_iter();
    types.find(|t| t.plural == plural).unwrap()
}

/// An API server with Istio's definitions.
pub(super) async fn api() -> FakeApi {
    let api = FakeApi::start().await.unwrap();
    for kind in istio_types() {
        api.install(&kind);
    }
    api
}

pub(super) fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

pub(super) fn service(name: &str, port: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": name},
        "spec": {"clusterIP": "10.0.0.1", "ports": [{"name": "http", "port": port}]},
    })
}

pub(super) fn virtual_service(name: &str, host: &str) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"hosts": [host], "http": [{"route": [{"destination": {"host": "reviews"}}]}]},
    })
}
