//! What a proxy has: its resources, decoded.

use std::collections::BTreeMap;
use std::fmt;

use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use meltemi_proto::envoy::config::listener::v3::Listener;
use meltemi_proto::envoy::config::route::v3::RouteConfiguration;
use prost::Message as _;

/// All resources of one proxy, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resources {
    /// LDS.
    pub listeners: BTreeMap<String, Listener>,
    /// RDS.
    pub routes: BTreeMap<String, RouteConfiguration>,
    /// CDS.
    pub clusters: BTreeMap<String, Cluster>,
    /// EDS, by the name of the service.
    pub endpoints: BTreeMap<String, ClusterLoadAssignment>,
}

/// The types of resources that are walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// LDS.
    Listener,
    /// RDS.
    Route,
    /// CDS.
    Cluster,
    /// EDS.
    Endpoint,
}

impl Kind {
    /// The kind of a type URL; none for secrets and other types that are not walked.
    pub fn from_type_url(url: &str) -> Option<Self> {
        match meltemi_proto::any::type_name(url) {
            "envoy.config.listener.v3.Listener" => Some(Self::Listener),
            "envoy.config.route.v3.RouteConfiguration" => Some(Self::Route),
            "envoy.config.cluster.v3.Cluster" => Some(Self::Cluster),
            "envoy.config.endpoint.v3.ClusterLoadAssignment" => Some(Self::Endpoint),
            _ => None,
        }
    }
}

/// A resource whose bytes are not a message of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecoded {
    /// What it was said to be.
    pub kind: Kind,
    /// Why it is not.
    pub reason: String,
}

impl fmt::Display for Undecoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a {:?} that cannot be decoded: {}",
            self.kind, self.reason
        )
    }
}

impl Resources {
    /// Decodes resources; what cannot be decoded is left out and told.
    pub fn decode<'a>(
        encoded: impl IntoIterator<Item = (Kind, &'a [u8])>,
    ) -> (Self, Vec<Undecoded>) {
        let mut all = Self::default();
        let mut problems = Vec::new();
        for (kind, bytes) in encoded {
            if let Err(error) = all.add(kind, bytes) {
                problems.push(Undecoded {
                    kind,
                    reason: error.to_string(),
                });
            }
        }
        (all, problems)
    }

    fn add(&mut self, kind: Kind, bytes: &[u8]) -> Result<(), prost::DecodeError> {
        match kind {
            Kind::Listener => {
                let listener = Listener::decode(bytes)?;
                self.listeners.insert(listener.name.clone(), listener);
            }
            Kind::Route => {
                let route = RouteConfiguration::decode(bytes)?;
                self.routes.insert(route.name.clone(), route);
            }
            Kind::Cluster => {
                let cluster = Cluster::decode(bytes)?;
                self.clusters.insert(cluster.name.clone(), cluster);
            }
            Kind::Endpoint => {
                let endpoints = ClusterLoadAssignment::decode(bytes)?;
                self.endpoints
                    .insert(endpoints.cluster_name.clone(), endpoints);
            }
        }
        Ok(())
    }
}
