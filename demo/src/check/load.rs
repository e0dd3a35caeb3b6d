//! A bounded, steady load that counts every answer which is not good.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{EFFECT_LIMIT, Rig, eventually};
use crate::agent::Agent;
use crate::http::{Answer, Call, Connection};
use crate::node::ingress_address;

/// Workers that keep a connection to the gateway, as a load balancer does.
const GATEWAY_WORKERS: usize = 4;
/// Workers in a pod that call reviews without the second try that productpage would hide a failure with.
const MESH_WORKERS: usize = 2;
/// Each worker's pace: the load is bounded, whatever the machine can do.
const PACE: Duration = Duration::from_millis(25);
/// So many good answers in a row say that the way is open.
const IN_A_ROW: usize = 10;
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    good: AtomicU64,
    bad: Mutex<Vec<String>>,
}

/// A running load.
#[derive(Debug)]
pub(super) struct Load {
    counts: Arc<Counts>,
    stop: watch::Sender<bool>,
    workers: JoinSet<()>,
}

impl Load {
    /// Starts once the whole way answers: a pod is ready a moment before the proxies hear of it.
    pub(super) async fn start(rig: &Rig) -> Result<Self> {
        eventually(EFFECT_LIMIT, "the way to reviews", || async {
            for _ in 0..IN_A_ROW {
                good(
                    &rig.through_gateway(&rig.gateway_call("/productpage"))
                        .await?,
                )?;
                good(
                    &rig.agent("productpage")?
                        .fetch(Call::get("reviews:9080", "/reviews/0"))
                        .await?,
                )?;
            }
            Ok(())
        })
        .await?;
        let counts = Arc::new(Counts::default());
        let stop = watch::Sender::new(false);
        let mut workers = JoinSet::new();
        for _ in 0..GATEWAY_WORKERS {
            workers.spawn(gateway_worker(
                rig.clone(),
                Arc::clone(&counts),
                stop.subscribe(),
            ));
        }
        let agent = rig.agent("productpage")?;
        for _ in 0..MESH_WORKERS {
            workers.spawn(mesh_worker(
                agent.clone(),
                Arc::clone(&counts),
                stop.subscribe(),
            ));
        }
        Ok(Self {
            counts,
            stop,
            workers,
        })
    }

    /// How many good answers there are so far.
    pub(super) fn good(&self) -> u64 {
        self.counts.good.load(Ordering::Relaxed)
    }

    /// Stops after the requests that are under way; their number and the failures among them.
    pub(super) async fn end(mut self) -> Result<u64> {
        self.stop.send_replace(true);
        while self.workers.join_next().await.is_some() {}
        let bad = self.counts.bad.lock();
        let sent = self.counts.sent.load(Ordering::Relaxed);
        if let Some(first) = bad.first() {
            bail!(
                "{} of {sent} requests failed, the first: {first}",
                bad.len()
            );
        }
        Ok(sent)
    }
}

/// 200, and not productpage's word that one of its own calls failed.
fn good(answer: &Answer) -> Result<()> {
    if answer.status != 200 || answer.body.contains("Error fetching") {
        bail!(
            "status {} {:?}: {:.200}",
            answer.status,
            answer.headers,
            answer.body
        );
    }
    Ok(())
}

impl Counts {
    fn note(&self, way: &str, answer: Result<Answer>) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let problem = answer
            .and_then(|answer| good(&answer))
            .err()
            .map(|error| format!("{error:#}"));
        match problem {
            None => {
                self.good.fetch_add(1, Ordering::Relaxed);
            }
            Some(problem) => self.bad.lock().push(format!("{way}: {problem}")),
        }
    }
}

async fn gateway_worker(rig: Rig, counts: Arc<Counts>, stop: watch::Receiver<bool>) {
    let call = rig.gateway_call("/productpage");
    let mut connection = None;
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stop.borrow() {
        pace.tick().await;
        let answer = timeout(ANSWER_LIMIT, page(&rig, &call, &mut connection)).await;
        let answer = answer.unwrap_or_else(|_| bail_late());
        if answer.is_err() {
            connection = None;
        }
        counts.note("through the gateway", answer);
    }
}

fn bail_late() -> Result<Answer> {
    bail!("no answer within {ANSWER_LIMIT:?}")
}

async fn page(rig: &Rig, call: &Call, kept: &mut Option<Connection>) -> Result<Answer> {
    let open = kept.take().filter(|connection| !connection.is_closed());
    let mut connection = match open {
        Some(connection) => connection,
        None => {
            let gateway = ingress_address(&rig.view.borrow()).context("there is no gateway")?;
            Connection::start(
                TcpStream::connect(gateway)
                    .await
                    .context("connecting to the gateway")?,
            )
            .await?
        }
    };
    let answer = connection.send(call).await?;
    if answer.header("connection") != Some("close") {
        *kept = Some(connection);
    }
    Ok(answer)
}

async fn mesh_worker(agent: Agent, counts: Arc<Counts>, stop: watch::Receiver<bool>) {
    let mut call = Call::get("reviews:9080", "/reviews/0");
    call.timeout_ms = u64::try_from(ANSWER_LIMIT.as_millis()).unwrap_or(u64::MAX);
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stop.borrow() {
        pace.tick().await;
        counts.note(
            "from productpage to reviews",
            agent.fetch(call.clone()).await,
        );
    }
}
