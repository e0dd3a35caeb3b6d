//! The tonic shell: streams in, sessions, streams out. Everything that decides is in [`crate::session`].
//!
//! One task per stream waits for room at its client *before* it looks at requests and snapshots. So a slow reader holds
//! only itself, and finds the newest snapshot when it can read again.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime};

use futures::Stream;
use meltemi_model::proxy::Proxy;
use meltemi_model::{ProxySnapshot, ResourceSet, ResourceType, Str};
use meltemi_proto::ads::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use meltemi_proto::ads::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::{Extensions, Request, Response, Status, Streaming};

use self::pace::Pace;
use crate::diff::Diffs;
use crate::metrics::Metrics;
use crate::node::proxy_of;
use crate::registry::Registry;
use crate::subscription::Subscription;
use crate::wire::{WireRequest, WireResponse};

mod pace;
mod stream;
#[cfg(test)]
mod tests;

/// Where sessions get what they serve. The binary implements it.
pub trait Snapshots: Send + Sync + 'static {
    /// The snapshots of the proxy's class, newest only, once there is one: a class that is new is compiled first, which
    /// must not hold up the runtime. Its sender lives as long as the class has subscribers. An error ends the stream.
    fn subscribe(
        &self,
        proxy: &Arc<Proxy>,
    ) -> impl Future<Output = Result<watch::Receiver<Arc<ProxySnapshot>>, Status>> + Send;

    /// Whether every source has synced (I10).
    fn ready(&self) -> bool;

    /// Who the peer is: runs once for each stream, before anything is read from it. What it finds it leaves in the
    /// extensions (which hold the connection's: address, peer certificate), where [`Self::authorize`] reads it.
    fn authenticate(
        &self,
        metadata: &MetadataMap,
        extensions: &mut Extensions,
    ) -> impl Future<Output = Result<(), Status>> + Send {
        let _ = (metadata, extensions);
        std::future::ready(Ok(()))
    }

    /// The secrets of these names that this peer may have; those that it may not have, or that there are not, are left
    /// out. `asked`: it asks for some of them now, rather than that something has changed.
    fn secrets(
        &self,
        proxy: &Arc<Proxy>,
        extensions: &Extensions,
        names: BTreeSet<Str>,
        asked: bool,
    ) -> impl Future<Output = Secrets> + Send {
        let _ = (proxy, extensions, names, asked);
        std::future::ready(Secrets::default())
    }

    /// Changes whenever [`Self::secrets`] may answer otherwise; `None`: never.
    fn secrets_changed(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    /// Whether this peer may connect as this proxy; runs once, on the first request, with the extensions that
    /// [`Self::authenticate`] left. Istio 1.31: pilot/pkg/xds/auth.go.
    fn authorize(&self, proxy: &Proxy, extensions: &Extensions) -> Result<(), Status> {
        let _ = (proxy, extensions);
        Ok(())
    }

    /// The proxy is connected from now on, until what this gives is dropped. `None`: nobody has to know. An error ends the
    /// stream. Runs once, after [`Self::authorize`].
    fn attend(
        &self,
        proxy: &Arc<Proxy>,
        extensions: &Extensions,
    ) -> impl Future<Output = Result<Option<Box<dyn Attendance>>, Status>> + Send {
        let _ = (proxy, extensions);
        std::future::ready(Ok(None))
    }

    /// The proxy accepted or refused a response of this type; runs after each such request, with the stream locked, so
    /// it must be quick.
    fn answered(&self, proxy: &Arc<Proxy>, subscription: &Subscription) {
        let _ = (proxy, subscription);
    }
}

/// A proxy that is connected, for who must know; it has left when this is dropped.
pub trait Attendance: Send + Sync {
    /// Its agent says how the workload is: well, or not and why.
    fn health(&self, health: Result<(), String>);
}

/// Secrets of one stream.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// Those that it may have.
    pub set: Arc<ResourceSet>,
    /// When to ask again, where the answer may change without anybody saying so: permissions do.
    pub again: Option<Duration>,
}

impl Default for Secrets {
    fn default() -> Self {
        Self {
            set: Arc::new(ResourceSet::empty(ResourceType::Secret)),
            again: None,
        }
    }
}

/// Limits of the server. Istio 1.31: pilot/pkg/grpc/grpc.go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest request. Istio: ISTIO_GPRC_MAXRECVMSGSIZE, 4 MiB; a delta reconnect names all that it holds.
    pub max_request_bytes: usize,
    /// Time between keepalive pings. Istio: GRPC_KEEPALIVE_INTERVAL.
    pub keepalive_interval: Duration,
    /// How long a pong may take. Istio: GRPC_KEEPALIVE_TIMEOUT.
    pub keepalive_timeout: Duration,
    /// How long a stream lives before it is ended cleanly and its client connects again, so that load spreads over
    /// replicas; each lives up to a tenth shorter, so that clients that came together do not leave together. An agent
    /// has one connection for each stream. Istio: keepaliveMaxServerConnectionAge.
    pub max_connection_age: Option<Duration>,
    /// New streams per second; above it a stream waits up to a second, and is then refused. Istio:
    /// PILOT_MAX_REQUESTS_PER_SECOND.
    pub max_new_streams: Option<NonZeroU32>,
    /// Streams per connection. Istio: ISTIO_GPRC_MAXSTREAMS.
    pub max_streams: u32,
    /// How long a client may owe an answer that holds back what follows (see [`crate::session`]).
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_request_bytes: 4 << 20,
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            max_connection_age: None,
            max_new_streams: None,
            max_streams: 100_000,
            patience: Duration::from_secs(5),
        }
    }
}

/// A tonic server with these limits; add TLS and services to it.
pub fn transport(limits: &Limits) -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(limits.keepalive_interval))
        .http2_keepalive_timeout(Some(limits.keepalive_timeout))
        .max_concurrent_streams(limits.max_streams)
        .tcp_nodelay(true)
}

/// The aggregated discovery service.
pub struct Ads<S> {
    inner: Arc<Inner<S>>,
}

impl<S> std::fmt::Debug for Ads<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ads")
            .field("connections", &self.inner.registry.len())
            .finish_non_exhaustive()
    }
}

impl<S> Clone for Ads<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

struct Inner<S> {
    snapshots: Arc<S>,
    registry: Arc<Registry>,
    metrics: Metrics,
    limits: Limits,
    drain: CancellationToken,
    streams: TaskTracker,
    clock: fn() -> SystemTime,
    diffs: Arc<Diffs>,
    pace: Option<Pace>,
    /// Numbers connections, as Istio's process-wide counter does.
    connections: AtomicU64,
    /// Makes nonces of this process differ from those of the one before.
    epoch: u64,
}

impl<S: Snapshots> Inner<S> {
    /// Whether a new stream may open. The pace comes first: a refused stream asks nobody who it is.
    async fn admit(
        &self,
        metadata: &MetadataMap,
        extensions: &mut Extensions,
    ) -> Result<(), Status> {
        if let Some(pace) = &self.pace {
            pace.admit().await?;
        }
        self.snapshots.authenticate(metadata, extensions).await
    }
}

impl<S: Snapshots> Ads<S> {
    /// A service. When `drain` is cancelled every stream ends cleanly and new ones are refused. The clock tells when
    /// streams began, and makes nonces unique over restarts.
    pub fn new(
        snapshots: Arc<S>,
        registry: Arc<Registry>,
        metrics: Metrics,
        limits: Limits,
        drain: CancellationToken,
        clock: fn() -> SystemTime,
    ) -> Self {
        let since = clock()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let epoch = (since.as_millis() as u64) << 24;
        let inner = Inner {
            pace: limits.max_new_streams.map(Pace::new),
            snapshots,
            registry,
            metrics,
            limits,
            drain,
            streams: TaskTracker::new(),
            clock,
            diffs: Arc::default(),
            connections: AtomicU64::new(0),
            epoch,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Waits until every stream has ended; call it after cancelling `drain`.
    pub async fn drained(&self) {
        self.inner.streams.close();
        self.inner.streams.wait().await;
    }

    /// As a tonic service with its message limit.
    pub fn into_service(self) -> AggregatedDiscoveryServiceServer<Self> {
        let limit = self.inner.limits.max_request_bytes;
        AggregatedDiscoveryServiceServer::new(self)
            .max_decoding_message_size(limit)
            .max_encoding_message_size(usize::MAX)
    }

    async fn open<Q: WireRequest, R: WireResponse>(
        &self,
        request: Request<Streaming<Q>>,
    ) -> Result<Response<ResponseStream<R>>, Status> {
        let inner = &self.inner;
        if !inner.snapshots.ready() {
            inner.metrics.errors.inc();
            return Err(Status::unavailable(
                "server is not ready to serve discovery information",
            ));
        }
        if inner.drain.is_cancelled() {
            return Err(Status::unavailable("server is draining"));
        }
        let (metadata, mut extensions, requests) = request.into_parts();
        if let Err(status) = inner.admit(&metadata, &mut extensions).await {
            inner.metrics.errors.inc();
            return Err(status);
        }
        let (sender, receiver) = mpsc::channel(stream::ROOM);
        let inner = inner.clone();
        self.inner.streams.spawn(async move {
            let end = tokio::select! {
                () = inner.drain.cancelled() => Ok(()),
                end = stream::serve(&inner, requests, &extensions, &sender) => end,
            };
            if let Err(status) = end {
                inner.metrics.errors.inc();
                // The client may be gone; then nobody wants the status.
                let _ = sender.send(Err(status)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// What a stream sends.
pub type ResponseStream<R> = Pin<Box<dyn Stream<Item = Result<R, Status>> + Send>>;

#[tonic::async_trait]
impl<S: Snapshots> AggregatedDiscoveryService for Ads<S> {
    type StreamAggregatedResourcesStream = ResponseStream<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = ResponseStream<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        self.open(request).await
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        self.open(request).await
    }
}
