//! One stream, from its first request to its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{Stream, StreamExt};
use meltemi_model::proxy::Proxy;
use meltemi_model::{ResourceSet, ResourceType, Str};
use tokio::sync::mpsc::Sender;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tonic::{Extensions, Status};
use tracing::{debug, info, warn};

use super::{Attendance, Inner, Snapshots, proxy_of};
use crate::message::Action;
use crate::metrics::{Metrics, VersionLabel};
use crate::registry::{Connection, Registry};
use crate::session::Session;
use crate::wire::{WireRequest, WireResponse};

/// Responses that wait for the client to read. One push is at most five; more would only hold memory.
pub(super) const ROOM: usize = 4;

/// What agents of workloads outside Kubernetes say of their health; nobody answers. Istio 1.31: `HealthInfoType`.
const HEALTH: &str = "type.googleapis.com/istio.v1.HealthInformation";

pub(super) async fn serve<S, Q, R>(
    inner: &Inner<S>,
    mut requests: impl Stream<Item = Result<Q, Status>> + Unpin,
    extensions: &Extensions,
    sender: &Sender<Result<R, Status>>,
) -> Result<(), Status>
where
    S: Snapshots,
    Q: WireRequest,
    R: WireResponse,
{
    let Some(first) = requests.next().await else {
        return Ok(());
    };
    let first = first?;
    let proxy =
        proxy_of(first.node()).map_err(|error| Status::invalid_argument(error.to_string()))?;
    inner.snapshots.authorize(&proxy, extensions)?;
    let proxy = Arc::new(proxy);
    let attendance = inner.snapshots.attend(&proxy, extensions).await?;
    let mut snapshots = inner.snapshots.subscribe(&proxy).await?;
    let number = inner.connections.fetch_add(1, Ordering::Relaxed) + 1;
    let snapshot = snapshots.borrow_and_update().clone();
    let session = Session::new(
        R::PROTOCOL,
        inner.epoch.wrapping_add(number),
        inner.diffs.clone(),
        snapshot,
    );
    let id = format!("{}-{number}", proxy.id);
    let connection = Arc::new(Connection::new(id, proxy, (inner.clock)(), session));
    let live = Live::enter(connection, inner.registry.clone(), inner.metrics.clone());
    let peer = Peer {
        extensions,
        connection: &live.connection,
        metrics: &inner.metrics,
        snapshots: &*inner.snapshots,
        attendance: attendance.as_deref(),
        sender,
    };

    let mut secrets = inner.snapshots.secrets_changed();
    let mut look_again_at = None;
    peer.request(first, &mut look_again_at).await?;
    let ends_at = inner
        .limits
        .max_connection_age
        .map(|age| Instant::now() + shortened(age, number));
    let mut release_at = peer.deadline(None, inner.limits.patience);
    loop {
        // A client that has not read the last push gets no next one; when it reads on it gets the newest.
        if sender.reserve_many(ROOM).await.map(drop).is_err() {
            return Ok(());
        }
        tokio::select! {
            // Requests before pushes, as istiod (pilot/pkg/xds, Stream).
            biased;
            request = requests.next() => match request {
                Some(Ok(request)) => peer.request(request, &mut look_again_at).await?,
                Some(Err(status)) => {
                    debug!(id = %live.connection.id, %status, "stream broke");
                    return Ok(());
                }
                None => return Ok(()),
            },
            changed = snapshots.changed() => {
                if changed.is_err() {
                    return Err(Status::unavailable("the class of this proxy is gone"));
                }
                let snapshot = snapshots.borrow_and_update().clone();
                peer.act(|session| session.on_snapshot(snapshot)).await?;
            }
            // After a newer snapshot, so that secrets are the last of a push.
            () = changed(&mut secrets), if peer.watches_secrets() => {
                peer.look_at_secrets(&mut look_again_at).await?;
            }
            () = sleep_until(look_again_at.unwrap_or_else(Instant::now)), if look_again_at.is_some() => {
                peer.look_at_secrets(&mut look_again_at).await?;
            }
            () = sender.closed() => return Ok(()),
            () = sleep_until(ends_at.unwrap_or_else(Instant::now)), if ends_at.is_some() => {
                debug!(id = %live.connection.id, "old enough, to connect again");
                return Ok(());
            }
            () = sleep_until(release_at.unwrap_or_else(Instant::now)), if release_at.is_some() => {
                debug!(id = %live.connection.id, "client owes an answer, going on without it");
                release_at = None;
                peer.act(Session::release).await?;
            }
        }
        release_at = peer.deadline(release_at, inner.limits.patience);
    }
}

/// The age of the stream with this number: up to a tenth less, spread evenly over neighbouring numbers.
fn shortened(age: Duration, number: u64) -> Duration {
    // The golden ratio's fraction of 2^64: its multiples fill the range without clusters (Fibonacci hashing).
    let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54;
    age - age / 10 * (spread as u32) / 1024
}

/// Waits until secrets change; for ever where they do not.
async fn changed(secrets: &mut Option<watch::Receiver<u64>>) {
    if let Some(receiver) = secrets
        && receiver.changed().await.is_ok()
    {
        return;
    }
    *secrets = None;
    std::future::pending().await
}

/// The other end of a stream.
struct Peer<'a, S, R> {
    extensions: &'a Extensions,
    connection: &'a Connection,
    metrics: &'a Metrics,
    snapshots: &'a S,
    attendance: Option<&'a dyn Attendance>,
    sender: &'a Sender<Result<R, Status>>,
}

impl<S: Snapshots, R: WireResponse> Peer<'_, S, R> {
    async fn request<Q: WireRequest>(
        &self,
        request: Q,
        look_again_at: &mut Option<Instant>,
    ) -> Result<(), Status> {
        let url = request.type_url().to_owned();
        if url == HEALTH {
            if let Some(attendance) = self.attendance {
                let words = request.error().map(str::to_owned);
                attendance.health(words.map_or(Ok(()), Err));
            }
            return Ok(());
        }
        let Some(request) = request.into_request() else {
            // Agents do not wait for these (dataplane-contract 3.6).
            debug!(id = %self.connection.id, %url, "type is not served");
            return Ok(());
        };
        let asked = self.connection.with(|s| s.secrets_asked(&request));
        let secrets = match asked {
            Some(names) => Some(self.secrets(names, true, look_again_at).await),
            None => None,
        };
        self.act(|session| {
            if let Some(secrets) = secrets {
                session.hold_secrets(secrets);
            }
            let actions = session.on_request(&request);
            if let Some(subscription) = session.subscription(request.ty)
                && !request.nonce.is_empty()
            {
                // A refused trial is no rejection.
                if let (Some(_), Some(error)) = (&request.error, &subscription.report.error) {
                    warn!(id = %self.connection.id, ty = request.ty.short(), nonce = %request.nonce, %error, "rejected by the proxy");
                    self.metrics.rejects.get_or_create(&request.ty.into()).inc();
                }
                self.snapshots
                    .answered(&self.connection.proxy, subscription);
            }
            actions
        })
        .await
    }

    fn watches_secrets(&self) -> bool {
        let watches = |s: &mut Session| s.subscription(ResourceType::Secret).is_some();
        self.connection.with(watches)
    }

    /// Brings the client's secrets to what they are now.
    async fn look_at_secrets(&self, look_again_at: &mut Option<Instant>) -> Result<(), Status> {
        let names = self.connection.with(|session| session.secrets_watched());
        let secrets = self.secrets(names, false, look_again_at).await;
        self.act(|session| session.on_secrets(secrets)).await
    }

    async fn secrets(
        &self,
        names: BTreeSet<Str>,
        asked: bool,
        look_again_at: &mut Option<Instant>,
    ) -> Arc<ResourceSet> {
        let proxy = &self.connection.proxy;
        let found = self
            .snapshots
            .secrets(proxy, self.extensions, names, asked)
            .await;
        *look_again_at = found.again.map(|pause| Instant::now() + pause);
        found.set
    }

    /// Lets the session act, and sends what it says.
    async fn act(&self, event: impl FnOnce(&mut Session) -> Vec<Action>) -> Result<(), Status> {
        let (actions, before, after) = self.connection.with(|session| {
            let before = rejecting(session);
            (event(session), before, rejecting(session))
        });
        count_rejecting(self.metrics, before, after);
        for action in actions {
            match action {
                Action::Close(code, message) => return Err(Status::new(code, message)),
                Action::Send(response) => {
                    let (ty, count) = (response.ty, response.resources.len());
                    let message = R::of(response);
                    let label = ty.into();
                    self.metrics.pushes.get_or_create(&label).inc();
                    self.metrics
                        .resources
                        .get_or_create(&label)
                        .inc_by(count as u64);
                    self.metrics
                        .bytes
                        .get_or_create(&label)
                        .inc_by(message.encoded_len() as u64);
                    if self.sender.send(Ok(message)).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// When to stop waiting for the client: kept while it keeps us waiting.
    fn deadline(&self, current: Option<Instant>, patience: Duration) -> Option<Instant> {
        let waiting = self.connection.with(|session| session.is_waiting());
        waiting.then(|| current.unwrap_or_else(|| Instant::now() + patience))
    }
}

/// By type, whether the last response was refused.
type Rejecting = [bool; ResourceType::SERVED.len()];

/// The types whose last response was refused, as bits.
fn rejecting(session: &Session) -> Rejecting {
    ResourceType::SERVED.map(|ty| {
        session
            .subscription(ty)
            .is_some_and(|s| s.report.error.is_some())
    })
}

fn count_rejecting(metrics: &Metrics, before: Rejecting, after: Rejecting) {
    for (gauge, (before, after)) in metrics.rejecting.iter().zip(before.into_iter().zip(after)) {
        gauge.inc_by(i64::from(after) - i64::from(before));
    }
}

/// A registered stream; leaves the registry when dropped, however the stream ends.
struct Live {
    connection: Arc<Connection>,
    registry: Arc<Registry>,
    metrics: Metrics,
}

impl Live {
    fn enter(connection: Arc<Connection>, registry: Arc<Registry>, metrics: Metrics) -> Self {
        info!(id = %connection.id, node = %connection.proxy.node_id, "proxy connected");
        metrics
            .connected
            .get_or_create(&version_label(&connection.proxy))
            .inc();
        registry.insert(connection.clone());
        Self {
            connection,
            registry,
            metrics,
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        info!(id = %self.connection.id, "proxy disconnected");
        self.registry.remove(&self.connection.id);
        self.metrics
            .connected
            .get_or_create(&version_label(&self.connection.proxy))
            .dec();
        count_rejecting(
            &self.metrics,
            self.connection.with(|s| rejecting(s)),
            [false; ResourceType::SERVED.len()],
        );
    }
}

fn version_label(proxy: &Proxy) -> VersionLabel {
    let text = proxy.meta.text("ISTIO_VERSION");
    VersionLabel {
        version: if text.is_empty() {
            "unknown".to_owned()
        } else {
            text.to_owned()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_differ_by_up_to_a_tenth() {
        let age = Duration::from_secs(1800);
        let mut ages: Vec<Duration> = (1..=100).map(|n| shortened(age, n)).collect();
        ages.sort();
        assert!(ages[0] >= age * 9 / 10 && ages[99] <= age);
        let widest = ages.windows(2).map(|two| two[1] - two[0]).max();
        assert!(widest < Some(age / 10 / 20), "{widest:?} between two");
        ages.dedup();
        assert_eq!(ages.len(), 100);
    }
}
