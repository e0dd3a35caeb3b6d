//! Leader election: of all control planes that write the same things one does.
//!
//! The locks are istiod's, object for object ([`locks`]), so that an istiod beside us and Meltemi never both write.
//! As there, the control plane of the default revision takes a lock over from other revisions, and one that runs in
//! the cluster from a remote one of the same revision (Istio 1.31: `pilot/pkg/leaderelection`).
//!
//! Who leads renews the lock every 7.5 s. Who could not renew for 15 s stops leading; others wait until the lock did
//! not change for 30 s. So there are 15 s between the end of one leader and the beginning of the next, whatever the
//! clocks say: times in the lock are for people, nobody compares them.

mod lock;
mod record;

use std::future::Future;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::backoff::spread;
use crate::error::ApiError;
use crate::revisions::revision_or_default;

use lock::{Held, Lock};
use record::{Candidate, Claim, Observed, Record};

/// How long a lock that nobody renews stays its holder's.
pub const LEASE: Duration = Duration::from_secs(30);
/// How long a leader goes on without having renewed.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(15);
/// How often a leader renews, and others look whether the lock is free.
pub const RETRY: Duration = Duration::from_millis(7_500);

/// How soon a leader tries again after it could not renew.
const RENEW_AGAIN: Duration = Duration::from_secs(2);
/// How long one request may take: two fit between two looks.
const REQUEST: Duration = Duration::from_secs(3);
/// How long a leader's work may take to end when it is asked to, before it is dropped where it is.
const GRACE: Duration = Duration::from_secs(5);

/// The kind of object that a lock is. The kinds do not exclude each other, so it must be istiod's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// An annotation of a ConfigMap.
    ConfigMap,
    /// A Lease, with an annotation for the revision.
    Lease,
}

/// The locks of Istio 1.31 and their kinds.
pub mod locks {
    use super::LockKind::{self, ConfigMap, Lease};

    /// The root certificate in every namespace.
    pub const NAMESPACES: (&str, LockKind) = ("istio-namespace-controller-election", ConfigMap);
    /// The status of Ingresses.
    pub const INGRESS: (&str, LockKind) = ("istio-leader", ConfigMap);
    /// Istio's own status conditions.
    pub const STATUS: (&str, LockKind) = ("istio-status-leader", Lease);
    /// The results of analysis.
    pub const ANALYSIS: (&str, LockKind) = ("istio-analyze-leader", ConfigMap);
    /// Addresses of ServiceEntries.
    pub const IP_AUTOALLOCATE: (&str, LockKind) = ("istio-ip-autoallocate", ConfigMap);
    /// Taints of nodes.
    pub const NODE_UNTAINT: (&str, LockKind) = ("istio-node-untaint", ConfigMap);
    /// The status of Gateway API objects; a lock for each revision.
    pub const GATEWAY_STATUS: (&str, LockKind) = ("istio-gateway-status-leader", Lease);
    /// Deployments of gateways; a lock for each revision.
    pub const GATEWAY_DEPLOYMENT: (&str, LockKind) = ("istio-gateway-deployment", Lease);
}

/// Who stands for what.
#[derive(Debug, Clone)]
pub struct Election {
    /// The control plane's namespace.
    pub namespace: String,
    /// Name and kind of the lock.
    pub lock: (&'static str, LockKind),
    /// Who we are among all control planes: the name of the pod.
    pub identity: String,
    /// Our revision; empty is `default`.
    pub revision: String,
    /// Whether every revision has a leader of its own: then the lock's name ends in the revision.
    pub per_revision: bool,
    /// Whether we serve this cluster from another one.
    pub remote: bool,
}

/// How long we led, and why no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// We were asked to stop.
    Stopped,
    /// We could not renew in time.
    Expired,
    /// Somebody else holds the lock.
    Taken,
    /// The work ended by itself.
    WorkEnded,
}

/// A lock that we hold.
#[derive(Debug)]
struct Term {
    held: Held,
    /// When the request that last renewed it was sent.
    renewed: Instant,
    /// Whether it was taken from a holder who may not know yet.
    taken_over: bool,
}

/// Stands for election until `stop`, again and again. While we lead, the future that `on_lead` returns runs; its token
/// is cancelled when we lead no longer, [`RENEW_DEADLINE`] after the last renewal at the latest. It then has 5 s to
/// end before it is dropped, which is well before the lock can be somebody else's; so it must not leave writing tasks
/// behind that outlive it.
///
/// `default_revision` is the revision that wins over others; empty if there is none ([`crate::revisions`]).
/// On `stop` the work is ended first, then the lock is given back, so that others need not wait.
pub async fn campaign<F, Work>(
    client: &Client,
    election: &Election,
    mut default_revision: watch::Receiver<String>,
    stop: CancellationToken,
    mut on_lead: F,
) where
    F: FnMut(CancellationToken) -> Work,
    Work: Future<Output = ()> + Send + 'static,
{
    let lock = Lock::new(client, election);
    let candidate = Candidate::new(election);
    let mut observed = Observed::default();
    let name = lock.name().to_owned();
    loop {
        let term = acquire(
            &lock,
            &candidate,
            &mut observed,
            &mut default_revision,
            &stop,
        )
        .await;
        let Some(term) = term else {
            return;
        };
        tracing::info!(lock = name, taken_over = term.taken_over, "leading");
        let end = lead(&lock, &candidate, term, &stop, &mut on_lead).await;
        tracing::info!(lock = name, ?end, "leading no longer");
        match end {
            End::Stopped | End::WorkEnded => release(&lock, &candidate).await,
            // The lock is somebody else's, or out of reach.
            End::Taken | End::Expired => {}
        }
        if stop.is_cancelled() {
            return;
        }
        // What we saw is old. Somebody who holds the lock has a whole lease from now on.
        observed = Observed::default();
        tokio::select! {
            () = sleep(spread(RETRY / 2, RETRY)) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Looks at the lock until it is ours; `None` on `stop`. A request that runs when `stop` comes is awaited, so that we
/// do not hold a lock without knowing.
async fn acquire(
    lock: &Lock,
    candidate: &Candidate,
    observed: &mut Observed,
    default_revision: &mut watch::Receiver<String>,
    stop: &CancellationToken,
) -> Option<Term> {
    let mut failing = false;
    while !stop.is_cancelled() {
        let default = default_revision.borrow().clone();
        match attempt(lock, candidate, observed, &default).await {
            Ok(Some(term)) => return Some(term),
            Ok(None) => failing = false,
            Err(error) => {
                if std::mem::replace(&mut failing, true) {
                    tracing::debug!(lock = lock.name(), %error, "lock cannot be acquired, still");
                } else {
                    tracing::warn!(lock = lock.name(), %error, "lock cannot be acquired, trying again");
                }
            }
        }
        tokio::select! {
            () = sleep(spread(RETRY, RETRY.mul_f32(1.2))) => {}
            () = stop.cancelled() => {}
        }
    }
    None
}

/// One look at the lock, and an attempt to take it if it is to be had.
async fn attempt(
    lock: &Lock,
    candidate: &Candidate,
    observed: &mut Observed,
    default_revision: &str,
) -> Result<Option<Term>, ApiError> {
    let Some(found) = lock.read().await? else {
        let renewed = Instant::now();
        let held = lock.create(&candidate.record(None)).await?;
        let taken_over = false;
        return Ok(Some(Term {
            held,
            renewed,
            taken_over,
        }));
    };
    let unchanged = observed.see(&found.raw, Instant::now());
    let claim = candidate.claim(&found.record, unchanged >= LEASE, default_revision);
    if claim == Claim::Wait {
        return Ok(None);
    }
    let record = candidate.record(Some(&found.record));
    let renewed = Instant::now();
    match lock.write(found, &record).await {
        Ok(held) => Ok(Some(Term {
            held,
            renewed,
            taken_over: claim == Claim::TakeOver,
        })),
        // Somebody else was faster.
        Err(ApiError::Conflict) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Leads: lets the work run and renews the lock, until one of the ends.
async fn lead<F, Work>(
    lock: &Lock,
    candidate: &Candidate,
    term: Term,
    stop: &CancellationToken,
    on_lead: &mut F,
) -> End
where
    F: FnMut(CancellationToken) -> Work,
    Work: Future<Output = ()> + Send + 'static,
{
    let token = CancellationToken::new();
    let mut work = JoinSet::new();
    let mut started = false;
    // Who was ousted learns of it when it next renews; an istiod may write until its renew deadline. After a whole
    // lease it certainly does not.
    let start = Instant::now()
        + if term.taken_over {
            LEASE
        } else {
            Duration::ZERO
        };
    let mut renewed = term.renewed;
    let mut held = Some(term.held);
    let mut next = renewed + RETRY;
    let end = loop {
        let renewal = async {
            sleep_until(next).await;
            let sent = Instant::now();
            (sent, renew(lock, candidate, &mut held).await)
        };
        let event = tokio::select! {
            biased;
            () = stop.cancelled() => break End::Stopped,
            () = sleep_until(renewed + RENEW_DEADLINE) => break End::Expired,
            event = duties(&mut work, start, &mut started, || on_lead(token.clone())) => event,
            (sent, result) = renewal => Event::Renewal(sent, result),
        };
        match event {
            Event::WorkEnded(result) => {
                if let Err(error) = result {
                    tracing::error!(lock = lock.name(), %error, "the leader's work failed");
                }
                break End::WorkEnded;
            }
            Event::Renewal(sent, Renewal::Ours) => {
                renewed = sent;
                next = renewed + RETRY;
            }
            Event::Renewal(_, Renewal::NotKnown) => next = Instant::now() + RENEW_AGAIN,
            Event::Renewal(_, Renewal::Lost) => break End::Taken,
        }
    };
    token.cancel();
    let grace = if end == End::Taken {
        Duration::ZERO
    } else {
        GRACE
    };
    if timeout(grace, work.join_next()).await.is_err() {
        work.shutdown().await;
    }
    end
}

/// What happened while we led.
enum Event {
    WorkEnded(Result<(), JoinError>),
    Renewal(Instant, Renewal),
}

/// How a renewal ended.
enum Renewal {
    /// The lock is ours.
    Ours,
    /// That is not known.
    NotKnown,
    /// It is somebody else's.
    Lost,
}

/// Starts the work when its time has come, and waits for its end.
async fn duties<Work>(
    work: &mut JoinSet<()>,
    start: Instant,
    started: &mut bool,
    begin: impl FnOnce() -> Work,
) -> Event
where
    Work: Future<Output = ()> + Send + 'static,
{
    if !*started {
        sleep_until(start).await;
        *started = true;
        work.spawn(begin());
    }
    let ended = work.join_next().await;
    Event::WorkEnded(ended.unwrap_or(Ok(())))
}

async fn renew(lock: &Lock, candidate: &Candidate, held: &mut Option<Held>) -> Renewal {
    match renewal(lock, candidate, held.take()).await {
        Ok(Some(now)) => {
            *held = Some(now);
            Renewal::Ours
        }
        Ok(None) => Renewal::Lost,
        Err(error) => {
            tracing::warn!(lock = lock.name(), %error, "lock cannot be renewed, trying again");
            Renewal::NotKnown
        }
    }
}

/// Writes the lock that we held. If that is not the newest, or not known, it is read first.
async fn renewal(
    lock: &Lock,
    candidate: &Candidate,
    held: Option<Held>,
) -> Result<Option<Held>, ApiError> {
    if let Some(held) = held {
        let record = candidate.record(Some(&held.record));
        match lock.write(held, &record).await {
            Err(ApiError::Conflict | ApiError::NotFound(_)) => {}
            answer => return answer.map(Some),
        }
    }
    let Some(found) = lock.read().await? else {
        return lock.create(&candidate.record(None)).await.map(Some);
    };
    if !candidate.is_holder(&found.record) {
        return Ok(None);
    }
    let record = candidate.record(Some(&found.record));
    lock.write(found, &record).await.map(Some)
}

/// Gives the lock back if it is ours.
async fn release(lock: &Lock, candidate: &Candidate) {
    let given_back = async {
        let Some(found) = lock.read().await? else {
            return Ok(());
        };
        if candidate.is_holder(&found.record) {
            let record = Record::released(&found.record);
            lock.write(found, &record).await?;
        }
        Ok::<(), ApiError>(())
    };
    if let Err(error) = given_back.await {
        tracing::warn!(lock = lock.name(), %error, "lock not given back, it expires by itself");
    }
}

fn name_of(election: &Election) -> String {
    let (name, _) = election.lock;
    if election.per_revision {
        format!("{name}-{}", revision_or_default(&election.revision))
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests;
