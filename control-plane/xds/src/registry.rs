//! The live streams, for `ps`, `/debug/syncz` and `/debug/config_dump`.

use std::sync::Arc;
use std::time::SystemTime;

use dashmap::DashMap;
use meltemi_model::proxy::Proxy;
use meltemi_model::{ProxySnapshot, Resource, ResourceType, Str, Version};
use parking_lot::Mutex;

use crate::message::Protocol;
use crate::session::Session;
use crate::subscription::Subscription;

/// One live stream.
#[derive(Debug)]
pub struct Connection {
    /// `<proxy id>-<number>`.
    pub id: String,
    /// Who is connected.
    pub proxy: Arc<Proxy>,
    /// Since when.
    pub connected_at: SystemTime,
    /// Locked for the length of one event; never over an await.
    session: Mutex<Session>,
}

impl Connection {
    /// A connection with its session.
    pub fn new(id: String, proxy: Arc<Proxy>, connected_at: SystemTime, session: Session) -> Self {
        Self {
            id,
            proxy,
            connected_at,
            session: Mutex::new(session),
        }
    }

    /// Does something with the session.
    pub fn with<T>(&self, act: impl FnOnce(&mut Session) -> T) -> T {
        act(&mut self.session.lock())
    }

    /// The variant of the protocol.
    pub fn protocol(&self) -> Protocol {
        self.with(|session| session.protocol())
    }

    /// What the client is being brought to.
    pub fn snapshot(&self) -> Arc<ProxySnapshot> {
        self.with(|session| session.snapshot().clone())
    }

    /// Where each type stands, in push order.
    pub fn types(&self) -> [TypeStatus; ResourceType::SERVED.len()] {
        self.with(|session| {
            ResourceType::SERVED.map(|ty| TypeStatus::of(ty, session.subscription(ty)))
        })
    }

    /// The resources of a type that this client was sent last and watches.
    pub fn resources(&self, ty: ResourceType) -> Vec<Arc<Resource>> {
        self.with(|session| {
            let Some(subscription) = session.subscription(ty) else {
                return Vec::new();
            };
            let sent = subscription.sent.by_name.values();
            sent.filter(|r| subscription.wants(&r.name))
                .cloned()
                .collect()
        })
    }
}

/// How far a client is with one type. Istio 1.31: pilot/pkg/xds/statusgen.go (dataplane-contract 3.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Nothing was sent: the client did not ask.
    NotSent,
    /// The last response was accepted.
    Synced,
    /// The last response was not answered yet.
    Stale,
    /// The last answer was a NACK.
    Error,
}

impl Status {
    /// The word that `istioctl proxy-status` prints.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::NotSent => "NOT SENT",
            Status::Synced => "SYNCED",
            Status::Stale => "STALE",
            Status::Error => "ERROR",
        }
    }
}

/// One type of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeStatus {
    /// The type.
    pub ty: ResourceType,
    /// Where it stands.
    pub status: Status,
    /// Nonce of the last response.
    pub nonce_sent: String,
    /// Nonce of the last response that was accepted.
    pub nonce_acked: String,
    /// Version of the last response.
    pub version_sent: Option<Version>,
    /// Version of the last response that was accepted.
    pub version_acked: Option<Version>,
    /// The message of the last NACK, until the next ACK.
    pub error: Option<String>,
    /// Resources that were refused and not replaced since.
    pub rejected: Vec<Str>,
    /// Whether the client wants everything.
    pub wildcard: bool,
    /// How many names it asked for.
    pub names: usize,
}

impl TypeStatus {
    /// The status of a subscription.
    pub fn of(ty: ResourceType, subscription: Option<&Subscription>) -> Self {
        let Some(subscription) = subscription else {
            return Self {
                ty,
                status: Status::NotSent,
                nonce_sent: String::new(),
                nonce_acked: String::new(),
                version_sent: None,
                version_acked: None,
                error: None,
                rejected: Vec::new(),
                wildcard: false,
                names: 0,
            };
        };
        let report = &subscription.report;
        let status = if report.error.is_some() {
            Status::Error
        } else if report.nonce_sent.is_empty() {
            Status::NotSent
        } else if report.nonce_sent == report.nonce_acked {
            Status::Synced
        } else {
            Status::Stale
        };
        Self {
            ty,
            status,
            nonce_sent: report.nonce_sent.clone(),
            nonce_acked: report.nonce_acked.clone(),
            version_sent: report.version_sent,
            version_acked: report.version_acked,
            error: report.error.clone(),
            rejected: subscription.rejected().cloned().collect(),
            wildcard: subscription.wildcard,
            names: subscription.names.len(),
        }
    }
}

/// All live streams.
#[derive(Debug, Default)]
pub struct Registry {
    by_id: DashMap<String, Arc<Connection>>,
}

impl Registry {
    /// Adds a stream.
    pub fn insert(&self, connection: Arc<Connection>) {
        self.by_id.insert(connection.id.clone(), connection);
    }

    /// Drops a stream.
    pub fn remove(&self, id: &str) {
        self.by_id.remove(id);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// All streams, sorted by id.
    pub fn all(&self) -> Vec<Arc<Connection>> {
        let mut all: Vec<_> = self
            .by_id
            .iter()
            .map(|entry| entry.value().clone())
            .collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// The streams of a proxy (`name.namespace`): while one replaces another there can be two. The newest is last.
    pub fn of_proxy(&self, proxy_id: &str) -> Vec<Arc<Connection>> {
        let mut found: Vec<_> = self
            .by_id
            .iter()
            .filter(|e| &*e.proxy.id == proxy_id)
            .map(|e| e.value().clone())
            .collect();
        // Of two that came at one time the longer id has the higher number, or equal lengths sort as numbers do.
        found.sort_by(|a, b| {
            let age = |c: &Connection| (c.connected_at, c.id.len());
            age(a).cmp(&age(b)).then_with(|| a.id.cmp(&b.id))
        });
        found
    }
}
