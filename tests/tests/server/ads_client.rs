//! A client of the aggregated discovery service that asks as Envoy does: clusters and listeners first, then the
//! endpoints and routes that these name. It keeps what it was sent, and refuses what a test tells it to refuse.
//!
//! Both variants of the protocol end in the same [`Held`] copy, so that they can be compared.

mod delta;
mod refer;
mod sotw;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use meltemi_proto::ads::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use meltemi_proto::ads::{Node, Status as Reason};
use meltemi_proto::any::struct_from_json;
use serde_json::Value;
use tonic::Status;
use tonic::transport::Channel;

pub(crate) use refer::{endpoints_of, routes_of};

/// Clusters.
pub(crate) const CDS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
/// Endpoints.
pub(crate) const EDS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
/// Listeners.
pub(crate) const LDS: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
/// Routes.
pub(crate) const RDS: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";

/// Secrets.
pub(crate) const SDS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// A server that says nothing for so long has failed the test. No test waits for it in vain.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which variant of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// Incremental.
    Delta,
    /// State of the world.
    Sotw,
}

/// What a client holds of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    /// Delta: its version. SotW has versions of whole responses only.
    pub(crate) version: String,
    /// The message.
    pub(crate) body: Bytes,
}

/// What a client holds: by type URL and name.
pub(crate) type Held = BTreeMap<&'static str, BTreeMap<String, Resource>>;

/// One response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    /// The type URL.
    pub(crate) ty: &'static str,
    /// What was sent.
    pub(crate) names: BTreeSet<String>,
    /// Delta: what is gone.
    pub(crate) removed: BTreeSet<String>,
    /// What the client answered: nothing, or why it refused.
    pub(crate) refused: Option<String>,
}

/// What a client refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The resource of a type and name.
    Named(&'static str, String),
    /// Listeners and routes that hold these words.
    Holding(String),
}

/// The client.
#[derive(Debug)]
pub(crate) struct AdsClient {
    stream: Stream,
    held: Held,
    /// Names that were asked for; of clusters and listeners everything is wanted.
    asked: BTreeMap<&'static str, BTreeSet<String>>,
    /// What is refused, with the reasons.
    refuses: Vec<(Refused, String)>,
    received: Vec<Received>,
}

#[derive(Debug)]
enum Stream {
    Delta(delta::Stream),
    Sotw(sotw::Stream),
}

/// A response of either variant, before it is judged.
#[derive(Debug)]
struct Arrived {
    ty: &'static str,
    nonce: String,
    /// SotW.
    version: String,
    resources: Vec<(String, Resource)>,
    removed: Vec<String>,
}

/// A proxy as it describes itself.
pub(crate) fn node(id: &str, metadata: &Value) -> Node {
    Node {
        id: id.to_owned(),
        metadata: Some(struct_from_json(metadata)),
        ..Node::default()
    }
}

impl AdsClient {
    /// Connects, and asks for clusters and listeners. A client that comes back says what it holds (delta), and asks for
    /// the endpoints and routes that this names.
    pub(crate) async fn connect(
        address: SocketAddr,
        node: Node,
        variant: Variant,
        held: Held,
    ) -> Result<Self, Status> {
        let channel = Channel::from_shared(format!("http://{address}"))
            .map_err(|error| Status::invalid_argument(error.to_string()))?
            .connect()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let service =
            AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(usize::MAX);
        let mut wanted = BTreeMap::new();
        for (ty, of, names) in [(EDS, CDS, endpoints_of as Names), (RDS, LDS, routes_of)] {
            let names: BTreeSet<String> = bodies(&held, of).flat_map(names).collect();
            wanted.insert(ty, names);
        }
        let stream = match variant {
            Variant::Delta => {
                Stream::Delta(delta::Stream::open(service, node, &held, &wanted).await?)
            }
            Variant::Sotw => Stream::Sotw(sotw::Stream::open(service, node, &wanted).await?),
        };
        Ok(Self {
            stream,
            held,
            asked: wanted,
            refuses: Vec::new(),
            received: Vec::new(),
        })
    }

    /// What it holds.
    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    /// A resource that it holds.
    pub(crate) fn get(&self, ty: &str, name: &str) -> Option<&Resource> {
        self.held.get(ty)?.get(name)
    }

    /// All responses since [`Self::take_received`].
    pub(crate) fn received(&self) -> &[Received] {
        &self.received
    }

    /// All responses since the last call.
    pub(crate) fn take_received(&mut self) -> Vec<Received> {
        std::mem::take(&mut self.received)
    }

    /// Asks for these secrets from now on, and for no others.
    pub(crate) async fn ask_secrets(&mut self, names: &[&str]) {
        let wanted: BTreeSet<String> = names.iter().map(ToString::to_string).collect();
        let before = self.asked.insert(SDS, wanted.clone()).unwrap_or_default();
        let sent = match &mut self.stream {
            Stream::Delta(stream) => stream.subscribe(SDS, &before, &wanted).await,
            Stream::Sotw(stream) => stream.subscribe(SDS, &wanted).await,
        };
        sent.expect("the stream is open");
    }

    /// From now on refuses this too, as Envoy says it: by name, with a reason.
    pub(crate) fn refuse(&mut self, what: Refused, reason: &str) {
        self.refuses.push((what, reason.to_owned()));
    }

    /// From now on refuses nothing.
    pub(crate) fn refuse_nothing(&mut self) {
        self.refuses.clear();
    }

    /// Reads responses until the client is as it should be.
    pub(crate) async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) -> Result<()> {
        while !is_so(self) {
            if !self
                .receive()
                .await
                .with_context(|| format!("waiting until {what}"))?
            {
                bail!("the server ended the stream before {what}");
            }
        }
        Ok(())
    }

    /// Reads until the server ends the stream without an error.
    pub(crate) async fn ended(&mut self) -> Result<()> {
        while self.receive().await? {}
        Ok(())
    }

    /// Reads one response and answers it; false when the server has ended the stream.
    pub(crate) async fn receive(&mut self) -> Result<bool> {
        let next = async {
            match &mut self.stream {
                Stream::Delta(stream) => stream.next().await,
                Stream::Sotw(stream) => stream.next().await,
            }
        };
        let Some(arrived) = tokio::time::timeout(PATIENCE, next)
            .await
            .context("the server says nothing")??
        else {
            return Ok(false);
        };
        let refused = self.judge(&arrived);
        self.take_over(&arrived, refused.as_ref().map(|(name, _)| name.as_str()));
        let reason =
            refused.map(|(name, reason)| format!("Error adding/updating {name}: {reason}"));
        self.answer(&arrived, reason.clone()).await?;
        self.received.push(Received {
            ty: arrived.ty,
            names: arrived
                .resources
                .into_iter()
                .map(|(name, _)| name)
                .collect(),
            removed: arrived.removed.into_iter().collect(),
            refused: reason,
        });
        self.follow().await?;
        Ok(true)
    }

    /// The name and reason, if the response has what is refused.
    fn judge(&self, arrived: &Arrived) -> Option<(String, String)> {
        let is_refused = |what: &Refused, name: &str, resource: &Resource| match what {
            Refused::Named(ty, refused) => arrived.ty == *ty && name == refused,
            Refused::Holding(words) => {
                let mut found = resource.body.windows(words.len());
                matches!(arrived.ty, LDS | RDS) && found.any(|w| w == words.as_bytes())
            }
        };
        arrived.resources.iter().find_map(|(name, resource)| {
            let mut refuses = self.refuses.iter();
            let found = refuses.find(|(what, _)| is_refused(what, name, resource));
            found.map(|(_, reason)| (name.clone(), reason.clone()))
        })
    }

    /// Envoy: of a refused response the other resources are used.
    fn take_over(&mut self, arrived: &Arrived, refused: Option<&str>) {
        let held = self.held.entry(arrived.ty).or_default();
        // SotW: a response with clusters or listeners is all there is.
        if matches!(self.stream, Stream::Sotw(_)) && matches!(arrived.ty, CDS | LDS) {
            held.retain(|name, _| arrived.resources.iter().any(|(other, _)| other == name));
        }
        for (name, resource) in arrived
            .resources
            .iter()
            .filter(|(name, _)| Some(name.as_str()) != refused)
        {
            held.insert(name.clone(), resource.clone());
        }
        for name in &arrived.removed {
            held.remove(name);
        }
    }

    async fn answer(&mut self, arrived: &Arrived, reason: Option<String>) -> Result<()> {
        let reason = reason.map(|message| Reason { code: 13, message });
        match &mut self.stream {
            Stream::Delta(stream) => stream.answer(arrived, reason).await,
            Stream::Sotw(stream) => {
                stream
                    .answer(arrived, reason, self.asked.get(arrived.ty))
                    .await
            }
        }
    }

    /// Asks for what clusters and listeners name, and drops what none names any more.
    async fn follow(&mut self) -> Result<()> {
        for (ty, of, names) in [(EDS, CDS, endpoints_of as Names), (RDS, LDS, routes_of)] {
            let wanted: BTreeSet<String> = bodies(&self.held, of).flat_map(names).collect();
            let asked = self.asked.entry(ty).or_default();
            if wanted == *asked {
                continue;
            }
            let before = std::mem::replace(asked, wanted.clone());
            self.held
                .entry(ty)
                .or_default()
                .retain(|name, _| wanted.contains(name));
            match &mut self.stream {
                Stream::Delta(stream) => stream.subscribe(ty, &before, &wanted).await?,
                Stream::Sotw(stream) => stream.subscribe(ty, &wanted).await?,
            }
        }
        Ok(())
    }
}

type Names = fn(&Bytes) -> BTreeSet<String>;

fn bodies<'a>(held: &'a Held, ty: &str) -> impl Iterator<Item = &'a Bytes> {
    held.get(ty)
        .into_iter()
        .flat_map(|set| set.values())
        .map(|resource| &resource.body)
}

/// The type URL as one of ours.
fn known(type_url: &str) -> Result<&'static str> {
    [CDS, EDS, LDS, RDS, SDS]
        .into_iter()
        .find(|known| *known == type_url)
        .with_context(|| format!("a response of type {type_url:?}"))
}
