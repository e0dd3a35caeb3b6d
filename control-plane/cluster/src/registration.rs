//! WorkloadEntries of workloads outside Kubernetes (virtual machines) that connect: made from a WorkloadGroup when one
//! connects for the first time, told when it connects and leaves, removed when it does not come back; and the health that
//! it reports.
//!
//! As in Istio 1.31 (`pilot/pkg/autoregistration`) every replica does this for the workloads that are connected to it;
//! annotations of the entry say to which one that is, and whatever came later wins. An entry that a user wrote is never
//! removed: only what was reported of its health is.
//!
//! Entries are read from the API server when something is written to them, so that nothing is decided on an old copy; a
//! write names the version that was read.

mod entry;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::core::DynamicObject;
use kube::{Api, Client};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::{Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backoff::Backoff;
use crate::error::{ApiError, REQUEST_TIMEOUT, within};
use crate::metrics::Registrations;

use entry::Cleanup;

/// Attempts of one write that somebody else's came before.
const ATTEMPTS: u32 = 5;

const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(50),
    longest: Duration::from_secs(30),
};

/// How many entries are cleaned up at a time.
const AT_A_TIME: usize = 4;

/// What is done, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Our name among the replicas: the pod's.
    pub instance: String,
    /// Whether entries are made (PILOT_ENABLE_WORKLOAD_ENTRY_AUTOREGISTRATION).
    pub auto_registration: bool,
    /// Whether health is written (PILOT_ENABLE_WORKLOAD_ENTRY_HEALTHCHECKS).
    pub health_checks: bool,
    /// Whether a workload must be of the entry's namespace and account (ISTIO_WORKLOAD_ENTRY_VALIDATE_IDENTITY).
    pub check_identity: bool,
    /// How long a workload may be away (PILOT_WORKLOAD_ENTRY_GRACE_PERIOD).
    pub grace: Duration,
    /// How long a connection lives at most; `None`: as long as it likes.
    pub max_connection_age: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            instance: String::new(),
            auto_registration: true,
            health_checks: true,
            check_identity: true,
            grace: Duration::from_secs(10),
            max_connection_age: None,
        }
    }
}

/// Who a workload is, as its certificate or token proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The namespace.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
}

/// A workload that connects, as it describes itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workload {
    /// Its name for people.
    pub id: String,
    /// Its namespace.
    pub namespace: String,
    /// The WorkloadGroup from which it gets its entry (AUTO_REGISTER_GROUP); empty: it gets none.
    pub group: String,
    /// The entry that a user wrote for it (WORKLOAD_ENTRY); empty: none.
    pub entry: String,
    /// Its first address.
    pub address: Option<String>,
    /// Its network.
    pub network: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// `region/zone/subzone`; empty: not known.
    pub locality: String,
    /// Whether its agent probes its health.
    pub probed: bool,
    /// Who it is; `None`: it has not proved it.
    pub identity: Option<Identity>,
}

/// Why a workload may not connect.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// Somebody has to write the group, or mend the workload's configuration.
    #[error(
        "auto-registration WorkloadEntry of {id} failed: cannot find WorkloadGroup {namespace}/{group}"
    )]
    NoGroup {
        /// The workload.
        id: String,
        /// Its namespace.
        namespace: String,
        /// The group that it names.
        group: String,
    },
    /// Somebody has to write the entry, or mend the workload's configuration.
    #[error(
        "proxy metadata indicates that it must correspond to an existing WorkloadEntry, however WorkloadEntry \
         {namespace}/{name} is not found"
    )]
    NoEntry {
        /// Its namespace.
        namespace: String,
        /// The entry that it names.
        name: String,
    },
    /// It is somebody else.
    #[error("{0}")]
    Identity(String),
    /// The entry could not be read or written; the workload comes again.
    #[error("registration of WorkloadEntry {namespace}/{name} failed: {error}")]
    Api {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Why.
        error: ApiError,
    },
}

/// What a workload reported of its health: well, or not and why. And when.
type Report = (Result<(), String>, Timestamp);

/// A workload that is connected; it has left when this is dropped.
#[derive(Debug)]
pub struct Attendance {
    reports: watch::Sender<Option<Report>>,
}

impl Attendance {
    /// The workload says how it is; `Err` with its words: not well. The newest counts.
    pub fn report(&self, health: Result<(), String>) {
        self.reports.send_replace(Some((health, now())));
    }
}

/// Whose connections belong together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    namespace: String,
    group: String,
    address: Option<String>,
    network: String,
}

/// A connection.
#[derive(Debug)]
struct Connected {
    workload: Workload,
    key: Key,
    /// The name of its entry.
    entry: String,
    since: Timestamp,
    number: u64,
}

/// Keeps the entries of the workloads that are connected.
#[derive(Debug, Clone)]
pub struct Registrar(Arc<Inner>);

struct Inner {
    client: Client,
    settings: Settings,
    metrics: Registrations,
    connections: Mutex<BTreeMap<Key, BTreeMap<u64, Arc<Connected>>>>,
    numbers: AtomicU64,
    cleaners: Semaphore,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Registrar {
    /// A registrar whose tasks run on `tasks` until `stop`. `None`: all of it is switched off.
    pub fn new(
        client: Client,
        settings: Settings,
        metrics: Registrations,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Option<Self> {
        if !settings.auto_registration && !settings.health_checks {
            return None;
        }
        let registrar = Self(Arc::new(Inner {
            client,
            settings,
            metrics,
            connections: Mutex::default(),
            numbers: AtomicU64::new(0),
            cleaners: Semaphore::new(AT_A_TIME),
            tasks: tasks.clone(),
            stop: stop.clone(),
        }));
        let inner = Arc::clone(&registrar.0);
        tasks.spawn(async move {
            let stop = inner.stop.clone();
            stop.run_until_cancelled(inner.look_around()).await;
        });
        Some(registrar)
    }

    /// A workload connects: its entry says so from now on. `None`: it is no business of ours.
    ///
    /// # Errors
    /// Why it may not connect.
    pub async fn connect(&self, workload: Workload) -> Result<Option<Attendance>, Refused> {
        let inner = &self.0;
        let since = now();
        let Some((entry, is_ours)) = inner.entry_of(&workload).await? else {
            return Ok(None);
        };
        let key = Key {
            namespace: workload.namespace.clone(),
            group: workload.group.clone(),
            address: workload.address.clone(),
            network: workload.network.clone(),
        };
        let number = inner.numbers.fetch_add(1, Ordering::Relaxed);
        let connected = Arc::new(Connected {
            workload,
            key,
            entry,
            since,
            number,
        });
        let (reports, reported) = watch::channel(None);
        inner.enter(&connected);
        let written = match is_ours {
            true => inner.register(&connected).await,
            false => inner.take_over(&connected).await,
        };
        if let Err(refused) = written {
            inner.left(&connected);
            inner.metrics.errors.inc();
            return Err(refused);
        }
        let inner = Arc::clone(inner);
        let tasks = inner.tasks.clone();
        tasks.spawn(async move { inner.attend(&connected, reported).await });
        Ok(Some(Attendance { reports }))
    }

    /// A WorkloadGroup is there that was not: workloads that are connected and lost their entries with the one before get
    /// them again.
    pub fn group_appeared(&self, namespace: &str, group: &str) {
        let connected: Vec<Arc<Connected>> = {
            let connections = self.0.connections.lock();
            let of_group = connections
                .iter()
                .filter(|(key, _)| key.namespace == namespace && key.group == group);
            // Of several connections of one workload the newest counts.
            of_group
                .filter_map(|(_, all)| all.values().next_back().cloned())
                .collect()
        };
        if connected.is_empty() || !self.0.settings.auto_registration {
            return;
        }
        let inner = Arc::clone(&self.0);
        self.0.tasks.spawn(async move {
            for connected in connected {
                if inner.stop.is_cancelled() {
                    return;
                }
                if let Err(error) = inner.register(&connected).await {
                    inner.metrics.errors.inc();
                    tracing::warn!(%error, "a connected workload is not registered again");
                }
            }
        });
    }
}

impl Inner {
    fn entries(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &entry::entries())
    }

    /// The name of a workload's entry, and whether it is made by us. Istio 1.31: `OnConnect`.
    async fn entry_of(&self, workload: &Workload) -> Result<Option<(String, bool)>, Refused> {
        if self.settings.auto_registration && !workload.group.is_empty() {
            let name = entry::name_of(workload);
            if name.is_none() {
                tracing::warn!(
                    id = workload.id,
                    "a workload without address or namespace is not registered"
                );
            }
            return Ok(name.map(|name| (name, true)));
        }
        if !self.settings.health_checks || workload.entry.is_empty() {
            return Ok(None);
        }
        let (namespace, name) = (&workload.namespace, &workload.entry);
        let found = within(REQUEST_TIMEOUT, self.entries(namespace).get_opt(name)).await;
        let found = found.map_err(|error| refused(workload, name, error))?;
        let Some(object) = found else {
            return Err(Refused::NoEntry {
                namespace: namespace.clone(),
                name: name.clone(),
            });
        };
        if !entry::takes_health(&object) {
            return Ok(None);
        }
        Ok(Some((name.clone(), false)))
    }

    fn enter(&self, connected: &Arc<Connected>) {
        let mut connections = self.connections.lock();
        let of_workload = connections.entry(connected.key.clone()).or_default();
        of_workload.insert(connected.number, Arc::clone(connected));
    }

    /// Whether it was the last connection of its workload.
    fn left(&self, connected: &Connected) -> bool {
        let mut connections = self.connections.lock();
        let Some(of_workload) = connections.get_mut(&connected.key) else {
            return true;
        };
        of_workload.remove(&connected.number);
        let last = of_workload.is_empty();
        if last {
            connections.remove(&connected.key);
        }
        last
    }

    fn check(&self, object: &DynamicObject, workload: &Workload) -> Result<(), Refused> {
        if !self.settings.check_identity {
            return Ok(());
        }
        entry::belongs_to(object, workload.identity.as_ref()).map_err(Refused::Identity)
    }

    /// Makes the entry of a workload, or says in it that the workload is connected. Istio 1.31: `registerWorkload`.
    async fn register(&self, connected: &Connected) -> Result<(), Refused> {
        let (workload, name) = (&connected.workload, &connected.entry);
        let api = self.entries(&workload.namespace);
        for attempt in 1.. {
            let done = match within(REQUEST_TIMEOUT, api.get_opt(name)).await {
                Ok(Some(object)) => {
                    self.check(&object, workload)?;
                    let told = self.tell_connected(&api, object, connected).await;
                    told.map(|written| {
                        self.metrics.updates.inc_by(u64::from(written));
                    })
                }
                Ok(None) => self.create(&api, connected).await?,
                Err(error) => Err(error),
            };
            match done {
                Ok(()) => break,
                // Another replica, or another connection, was faster.
                Err(ApiError::Conflict | ApiError::AlreadyExists) if attempt < ATTEMPTS => {
                    sleep(BACKOFF.delay(attempt)).await;
                }
                Err(error) => return Err(refused(workload, name, error)),
            }
        }
        Ok(())
    }

    async fn create(
        &self,
        api: &Api<DynamicObject>,
        connected: &Connected,
    ) -> Result<Result<(), ApiError>, Refused> {
        let (workload, name) = (&connected.workload, &connected.entry);
        let namespace = &workload.namespace;
        let groups: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &entry::groups());
        let group = match within(REQUEST_TIMEOUT, groups.get_opt(&workload.group)).await {
            Ok(Some(group)) => group,
            Ok(None) => {
                return Err(Refused::NoGroup {
                    id: workload.id.clone(),
                    namespace: namespace.clone(),
                    group: workload.group.clone(),
                });
            }
            Err(error) => return Ok(Err(error)),
        };
        let mut object = entry::made_from(&group, name, workload);
        self.check(&object, workload)?;
        entry::mark_connected(&mut object, &self.settings.instance, connected.since);
        let made = within(REQUEST_TIMEOUT, api.create(&PostParams::default(), &object)).await;
        Ok(made.map(|_| {
            self.metrics.made.inc();
            tracing::info!(
                namespace,
                name,
                "WorkloadEntry made for a workload that connected"
            );
        }))
    }

    /// Says in an entry that a user wrote that its workload is connected to us.
    async fn take_over(&self, connected: &Connected) -> Result<(), Refused> {
        let (workload, name) = (&connected.workload, &connected.entry);
        let api = self.entries(&workload.namespace);
        for attempt in 1.. {
            let read = within(REQUEST_TIMEOUT, api.get(name)).await;
            let object = read.map_err(|error| refused(workload, name, error))?;
            self.check(&object, workload)?;
            match self.tell_connected(&api, object, connected).await {
                Ok(_) => break,
                Err(ApiError::Conflict) if attempt < ATTEMPTS => {
                    sleep(BACKOFF.delay(attempt)).await;
                }
                Err(error) => return Err(refused(workload, name, error)),
            }
        }
        Ok(())
    }

    async fn tell_connected(
        &self,
        api: &Api<DynamicObject>,
        mut object: DynamicObject,
        connected: &Connected,
    ) -> Result<bool, ApiError> {
        let changed = entry::connect(&mut object, &self.settings.instance, connected.since);
        if changed {
            let params = PostParams::default();
            let name = &connected.entry;
            within(REQUEST_TIMEOUT, api.replace(name, &params, &object)).await?;
        }
        Ok(changed)
    }

    /// Writes what a connected workload reports, and what is to be done when it has left.
    async fn attend(&self, connected: &Connected, mut reports: watch::Receiver<Option<Report>>) {
        // A replica that ends has all its workloads leave, also those that have not noticed.
        while let Some(Ok(())) = self.stop.run_until_cancelled(reports.changed()).await {
            let report = reports.borrow_and_update().clone();
            if let Some((health, seen)) = report.filter(|_| self.settings.health_checks) {
                self.write_health(connected, &health, seen, &reports).await;
            }
        }
        let at = now();
        if !self.left(connected) || !self.unregister(connected, at).await {
            return;
        }
        let grace = sleep(self.settings.grace);
        // Other replicas look around, too.
        if self.stop.run_until_cancelled(grace).await.is_none() {
            return;
        }
        let (namespace, name) = (&connected.workload.namespace, &connected.entry);
        match within(REQUEST_TIMEOUT, self.entries(namespace).get_opt(name)).await {
            Ok(Some(object)) => self.clean(&object).await,
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(namespace, name, %error, "a WorkloadEntry is cleaned up later");
            }
        }
    }

    async fn write_health(
        &self,
        connected: &Connected,
        health: &Result<(), String>,
        seen: Timestamp,
        reports: &watch::Receiver<Option<Report>>,
    ) {
        let (namespace, name) = (&connected.workload.namespace, &connected.entry);
        let api = self.entries(namespace);
        for attempt in 1.. {
            let written = async {
                let mut object = within(REQUEST_TIMEOUT, api.get(name)).await?;
                // It has connected to another replica.
                if entry::is_of(&object, &self.settings.instance)
                    && entry::set_health(&mut object, health, seen)
                {
                    let params = PostParams::default();
                    within(REQUEST_TIMEOUT, api.replace_status(name, &params, &object)).await?;
                }
                Ok(())
            };
            let error: ApiError = match written.await {
                Ok(()) => return,
                Err(error) => error,
            };
            let newer = reports.has_changed().unwrap_or(true);
            let again = error == ApiError::Conflict || error.is_outage();
            if newer || !again || self.stop.is_cancelled() {
                tracing::warn!(namespace, name, %error, "health of a workload is not written");
                return;
            }
            sleep(BACKOFF.delay(attempt)).await;
        }
    }

    /// Says in the entry that its workload left, however long the API server is away; whether it was there to be said.
    async fn unregister(&self, connected: &Connected, at: Timestamp) -> bool {
        let (namespace, name) = (&connected.workload.namespace, &connected.entry);
        let api = self.entries(namespace);
        for attempt in 1.. {
            let told = async {
                let Some(mut object) = within(REQUEST_TIMEOUT, api.get_opt(name)).await? else {
                    return Ok(false);
                };
                let changed = entry::disconnect(&mut object, connected.since, at);
                if changed {
                    let params = PostParams::default();
                    within(REQUEST_TIMEOUT, api.replace(name, &params, &object)).await?;
                }
                Ok(changed)
            };
            let error: ApiError = match told.await {
                Ok(changed) => {
                    if changed && !connected.workload.group.is_empty() {
                        self.metrics.unregistered.inc();
                    }
                    return changed;
                }
                Err(error) => error,
            };
            let again = error == ApiError::Conflict || error.is_outage();
            let pause = sleep(BACKOFF.delay(attempt));
            if !again || self.stop.run_until_cancelled(pause).await.is_none() {
                self.metrics.errors.inc();
                tracing::warn!(namespace, name, %error, "a WorkloadEntry does not say that its workload left");
                return false;
            }
        }
        false
    }

    /// Cleans up after replicas that are gone, now and then. Istio 1.31: `periodicWorkloadEntryCleanup`.
    async fn look_around(&self) {
        let pause = (self.settings.grace * 10).max(Duration::from_secs(1));
        let mut turns = interval(pause);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        turns.tick().await;
        loop {
            turns.tick().await;
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &entry::entries());
            // What the API server has in memory is new enough: a write names the version that was read.
            let params = ListParams::default().match_any();
            match within(REQUEST_TIMEOUT, api.list(&params)).await {
                Ok(list) => {
                    for object in list {
                        self.clean(&object).await;
                    }
                }
                // Without the definition there are none.
                Err(ApiError::NotFound(_)) => {}
                Err(error) => tracing::warn!(%error, "WorkloadEntries cannot be listed"),
            }
        }
    }

    /// Cleans an entry up if it is time.
    async fn clean(&self, object: &DynamicObject) {
        let longest = self.settings.max_connection_age.map(|age| age + age / 2);
        let Some(what) = entry::cleanup(object, now(), self.settings.grace, longest) else {
            return;
        };
        let Ok(_permit) = self.cleaners.acquire().await else {
            return;
        };
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let name = object.metadata.name.clone().unwrap_or_default();
        let api = self.entries(&namespace);
        let done = match what {
            Cleanup::Delete => {
                let params = DeleteParams {
                    preconditions: Some(Preconditions {
                        resource_version: object.metadata.resource_version.clone(),
                        uid: object.metadata.uid.clone(),
                    }),
                    ..DeleteParams::default()
                };
                let deleted = within(REQUEST_TIMEOUT, api.delete(&name, &params)).await;
                deleted.map(|_| {
                    self.metrics.deleted.inc();
                })
            }
            Cleanup::ForgetHealth => {
                let mut object = object.clone();
                entry::forget_health(&mut object);
                let params = PostParams::default();
                let written = api.replace_status(&name, &params, &object);
                within(REQUEST_TIMEOUT, written).await.map(drop)
            }
        };
        match done {
            Ok(()) => {
                tracing::info!(
                    namespace,
                    name,
                    ?what,
                    "WorkloadEntry of a workload that left"
                );
            }
            // Somebody else was faster, or the workload came back.
            Err(ApiError::NotFound(_) | ApiError::Conflict) => {}
            Err(error) => {
                self.metrics.errors.inc();
                tracing::warn!(namespace, name, %error, "a WorkloadEntry is not cleaned up");
            }
        }
    }
}

fn refused(workload: &Workload, name: &str, error: ApiError) -> Refused {
    Refused::Api {
        namespace: workload.namespace.clone(),
        name: name.to_owned(),
        error,
    }
}

fn now() -> Timestamp {
    #[cfg(not(test))]
    return Timestamp::now();
    // A test's clock may be paused.
    #[cfg(test)]
    return crate::testing::wall_clock();
}

#[cfg(test)]
pub(crate) mod tests;
