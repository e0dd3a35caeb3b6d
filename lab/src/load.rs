//! Bounded load from inside a pod: half of the requests go over connections that are kept, half over new ones.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use meltemi_demo::{Call, Connection, Resolver, connect};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::say::say;

/// As many for kept connections as for new ones.
const WORKERS: u32 = 4;
/// More kinds of failures than that are not told apart.
const KINDS: usize = 20;

/// What came of it, as it is printed at the end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// Requests that were begun; each of them has ended.
    pub(crate) sent: u64,
    /// Answered with 200.
    pub(crate) ok: u64,
    /// Everything else.
    pub(crate) failed: u64,
    /// Connections that were opened.
    pub(crate) connections: u64,
    /// Why requests failed, and when the first of each kind did, in seconds from the beginning.
    pub(crate) errors: BTreeMap<String, Failure>,
    /// The longest time from the beginning of a request to the end of its answer.
    pub(crate) longest_ms: u64,
    /// How long the load lasted.
    pub(crate) seconds: u64,
}

/// Failures of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Failure {
    count: u64,
    first: f64,
    last: f64,
}

/// `load HOST:PORT PATH RATE SECONDS`: so many requests a second until the time is over or SIGTERM comes.
pub(crate) fn run(address: &str, path: &str, rate: &str, seconds: &str) -> Result<()> {
    let rate: u32 = rate.parse().context("a number of requests a second")?;
    let seconds: u64 = seconds.parse().context("a number of seconds")?;
    ensure!(rate > 0, "no load");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let (end, ended) = watch::channel(false);
    let load = async {
        let mut stop = signal(SignalKind::terminate()).context("signals")?;
        tokio::task::spawn_local(async move {
            tokio::select! {
                _ = stop.recv() => {}
                () = sleep(Duration::from_secs(seconds)) => {}
            }
            end.send_replace(true);
        });
        Ok::<_, anyhow::Error>(press(&Call::get(address, path), rate, ended).await)
    };
    let summary = LocalSet::new().block_on(&runtime, load)?;
    say(&serde_json::to_string(&summary)?);
    Ok(())
}

/// `hold HOST:PORT PATH`: one request, whose connection is kept idle until the peer closes it; prints for how long.
pub(crate) fn hold(address: &str, path: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(async {
        let mut stream = connect(&Resolver::default(), address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
        stream
            .write_all(request.as_bytes())
            .await
            .context("sending")?;
        let (mut buffer, mut answer) = ([0_u8; 4096], 0);
        let begun = Instant::now();
        loop {
            match stream.read(&mut buffer).await {
                // A reset is an end, too.
                Ok(0) | Err(_) => break,
                Ok(length) => {
                    if answer == 0 {
                        say("open");
                    }
                    answer += length;
                }
            }
        }
        ensure!(answer > 0, "there is no answer");
        say(&format!("closed after {} s", begun.elapsed().as_secs()));
        Ok(())
    })
}

/// Calls again and again until the end, and lets the last requests end.
async fn press(call: &Call, rate: u32, ended: watch::Receiver<bool>) -> Summary {
    let begun = Instant::now();
    let summary = Rc::new(RefCell::new(Summary::default()));
    let workers: Vec<_> = (0..WORKERS)
        .map(|number| {
            let worker = Worker {
                call: call.clone(),
                keeps: number % 2 == 0,
                pause: Duration::from_secs(1) * WORKERS / rate,
                begun,
                summary: Rc::clone(&summary),
                ended: ended.clone(),
            };
            tokio::task::spawn_local(worker.work())
        })
        .collect();
    for worker in workers {
        if let Err(error) = worker.await {
            fail(&mut summary.borrow_mut(), &error.to_string(), begun);
        }
    }
    let mut summary = summary.borrow().clone();
    summary.seconds = begun.elapsed().as_secs();
    summary
}

struct Worker {
    call: Call,
    /// Whether it keeps its connection.
    keeps: bool,
    pause: Duration,
    begun: Instant,
    summary: Rc<RefCell<Summary>>,
    ended: watch::Receiver<bool>,
}

impl Worker {
    async fn work(mut self) {
        let mut ticks = interval(self.pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut kept = None;
        loop {
            tokio::select! {
                biased;
                // Without a sender nobody can end it any more.
                _ = self.ended.wait_for(|ended| *ended) => return,
                _ = ticks.tick() => {}
            }
            self.summary.borrow_mut().sent += 1;
            let begun = Instant::now();
            let limit = Duration::from_millis(self.call.timeout_ms);
            let outcome = match timeout(limit, self.exchange(kept.take())).await {
                Ok(outcome) => outcome,
                Err(_) => Err(anyhow::anyhow!("no answer within {limit:?}")),
            };
            let mut summary = self.summary.borrow_mut();
            let time = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            summary.longest_ms = summary.longest_ms.max(time);
            match outcome {
                Ok(connection) => {
                    summary.ok += 1;
                    kept = connection.filter(|_| self.keeps);
                }
                Err(error) => fail(&mut summary, &format!("{error:#}"), self.begun),
            }
        }
    }

    /// One request; the connection if it can carry another one.
    async fn exchange(&self, kept: Option<Connection>) -> Result<Option<Connection>> {
        let mut connection = match kept.filter(|kept| !kept.is_closed()) {
            Some(kept) => kept,
            None => {
                self.summary.borrow_mut().connections += 1;
                let stream = connect(&Resolver::default(), &self.call.address).await?;
                Connection::start(stream).await?
            }
        };
        let answer = connection.send(&self.call).await?;
        ensure!(
            answer.status == 200,
            "status {}: {}",
            answer.status,
            answer.body.chars().take(120).collect::<String>()
        );
        let closes = answer
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        Ok((!closes).then_some(connection))
    }
}

fn fail(summary: &mut Summary, why: &str, begun: Instant) {
    summary.failed += 1;
    let known = summary.errors.contains_key(why);
    let why = if known || summary.errors.len() < KINDS {
        why
    } else {
        "others"
    };
    let at = (begun.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    let failure = summary.errors.entry(why.to_owned()).or_default();
    if failure.count == 0 {
        failure.first = at;
    }
    failure.count += 1;
    failure.last = at;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// Answers each request on a connection with the next of these, over and over.
    async fn server(listener: TcpListener, answers: &'static [&'static str]) {
        let mut next = answers.iter().cycle();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0_u8; 1024];
            // One connection after the other, one request each; the others wait in the backlog.
            if let Ok(1..) = stream.read(&mut request).await
                && let Some(answer) = next.next()
            {
                // An empty answer closes the connection.
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    }

    fn pressed(answers: &'static [&'static str]) -> Summary {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        LocalSet::new().block_on(&runtime, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            tokio::task::spawn_local(server(listener, answers));
            let (end, ended) = watch::channel(false);
            tokio::task::spawn_local(async move {
                sleep(Duration::from_millis(300)).await;
                end.send_replace(true);
            });
            press(&Call::get(&address, "/"), 400, ended).await
        })
    }

    #[test]
    fn every_request_is_counted_once() {
        let all_fine =
            pressed(&["HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"]);
        assert!(all_fine.sent > 0, "{all_fine:?}");
        assert_eq!((all_fine.ok, all_fine.failed), (all_fine.sent, 0));

        let broken = pressed(&[
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 503 Unavailable\r\ncontent-length: 4\r\nconnection: close\r\n\r\nwhy?",
            "",
        ]);
        assert!(broken.sent > 3, "{broken:?}");
        assert_eq!(broken.ok + broken.failed, broken.sent);
        assert!(broken.ok > 0 && broken.failed > broken.ok, "{broken:?}");
        assert!(broken.errors.contains_key("status 503: why?"), "{broken:?}");
        let told: u64 = broken.errors.values().map(|failure| failure.count).sum();
        assert_eq!(told, broken.failed);
    }
}
