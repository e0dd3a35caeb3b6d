//! What goes in and out of a session, in terms of neither variant of the protocol.

use std::collections::BTreeMap;
use std::sync::Arc;

use meltemi_model::{Resource, ResourceType, Str, Version};
use tonic::Code;

/// The two variants of the aggregated discovery protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Incremental: `DeltaAggregatedResources`.
    Delta,
    /// State of the world: `StreamAggregatedResources`.
    Sotw,
}

/// A request of either variant, for a type that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The type that it is about.
    pub ty: ResourceType,
    /// The nonce of the response that it answers; empty when it answers none.
    pub nonce: String,
    /// The error message of a NACK. Its presence alone makes a NACK: some clients send code 0.
    pub error: Option<String>,
    /// What the client wants.
    pub interest: Interest,
}

/// What the client wants, as each variant says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interest {
    /// Changes to the subscription.
    Delta {
        /// Names to add; `*` is everything.
        subscribe: Vec<String>,
        /// Names to drop.
        unsubscribe: Vec<String>,
        /// On the first request of a type: what the client still holds, with versions.
        initial: BTreeMap<String, String>,
    },
    /// The whole subscription.
    Sotw {
        /// All names.
        names: Vec<String>,
        /// The version that the client accepted last; empty when none.
        version: String,
    },
}

/// One resource on its way to a client.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The resource.
    pub resource: Arc<Resource>,
    /// EDS only: the version of the cluster that it is delivered for. Envoy waits for endpoints again after a cluster
    /// changed, even when they are the same (envoy#13009), so the cluster's version is a part of the version that the
    /// client sees: comparing versions then resends endpoints exactly when a cluster warms, also over a reconnect.
    pub cluster: Option<Version>,
}

impl Delivery {
    /// The resource's version on the wire.
    pub fn version(&self) -> String {
        match self.cluster {
            Some(cluster) => format!("{}.{cluster}", self.resource.version),
            None => self.resource.version.to_string(),
        }
    }
}

/// A response of either variant.
#[derive(Debug, Clone)]
pub struct Response {
    /// The type of every resource in it.
    pub ty: ResourceType,
    /// `version_info` (SotW: a hash of exactly what is sent) or `system_version_info` (delta: of the whole set).
    pub version: Version,
    /// Unique on the stream.
    pub nonce: String,
    /// What is sent.
    pub resources: Arc<[Delivery]>,
    /// Delta only: names that are gone.
    pub removed: Vec<Str>,
}

/// What the shell does next.
#[derive(Debug, Clone)]
pub enum Action {
    /// Send a response.
    Send(Response),
    /// End the stream with a status.
    Close(Code, String),
}
