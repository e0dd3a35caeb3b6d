//! The agent of a pod: a process that owns the pod's namespaces, sets up its network, starts application and Envoy in it
//! and makes requests from it. The node talks to it by lines of JSON on its standard input and output; when the node
//! goes away, so does the agent, and the kernel takes the namespaces and what runs in them.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, anyhow, bail};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};

use crate::dns::Resolver;
use crate::http::{Answer, Call};

mod process;

pub(crate) use process::main;

/// How a pod's namespaces are to be set up.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// The pod's address.
    pub(crate) address: Ipv4Addr,
    /// Rules for iptables-restore; none without a sidecar.
    pub(crate) redirection: Option<String>,
    /// The file to see as /etc/resolv.conf.
    pub(crate) resolv_conf: PathBuf,
    /// Whether any user may listen on ports below 1024, as container runtimes allow it.
    pub(crate) low_ports: bool,
    /// How the agent's own requests resolve names.
    pub(crate) resolver: Resolver,
}

/// A program to start in the pod.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    /// What messages call it.
    pub(crate) name: String,
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// As whom it runs.
    pub(crate) uid: u32,
    /// Where its output goes.
    pub(crate) log: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
enum Order {
    Setup(Setup),
    Start(Start),
    Fetch(Call),
    /// Whether something listens on a port of the pod's loopback.
    Listens(u16),
    /// How many connections from outside the pod are open to a local port.
    Connections(u16),
    /// Ends the pod and everything in it.
    Stop,
}

#[derive(Debug, Serialize, Deserialize)]
enum Outcome {
    Done,
    Fetched(Answer),
    Count(usize),
    Failed(String),
}

#[derive(Debug, Serialize, Deserialize)]
struct Numbered<T> {
    id: u64,
    what: T,
}

#[derive(Debug, Serialize, Deserialize)]
enum Message {
    /// The agent is in its namespaces.
    Hello,
    Result(Numbered<Outcome>),
    /// A program that was started has ended.
    Ended {
        name: String,
        status: String,
    },
}

/// A program in a pod that ended by itself.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) name: String,
    pub(crate) status: String,
}

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Outcome>>>>;

/// A connection to a pod's agent.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    orders: mpsc::Sender<String>,
    waiting: Waiting,
    next: Arc<AtomicU64>,
    pid: u32,
}

impl Agent {
    /// Starts an agent in new namespaces. `ended` hears of programs that end by themselves.
    pub(crate) async fn start(
        executable: &Path,
        ended: mpsc::Sender<Ended>,
    ) -> Result<(Self, Child)> {
        let mut child = Command::new("unshare")
            .args(["--net", "--mount", "--"])
            .arg(executable)
            .args(["demo-part", "agent"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting unshare")?;
        let stdin = child.stdin.take().context("the agent has no input")?;
        let mut lines =
            BufReader::new(child.stdout.take().context("the agent has no output")?).lines();
        let hello = lines
            .next_line()
            .await
            .context("the agent")?
            .context("a pod's namespaces cannot be made")?;
        if !matches!(serde_json::from_str(&hello), Ok(Message::Hello)) {
            bail!("the agent says {hello}");
        }
        let pid = child.id().context("the agent has ended")?;
        let (orders, receiver) = mpsc::channel(64);
        let waiting = Waiting::default();
        tokio::spawn(write_orders(stdin, receiver));
        tokio::spawn(read_messages(lines, Arc::clone(&waiting), ended));
        Ok((
            Self {
                orders,
                waiting,
                next: Arc::default(),
                pid,
            },
            child,
        ))
    }

    /// Its process id, by which the node finds its network namespace.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    async fn ask(&self, order: Order) -> Result<Outcome> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().insert(id, sender);
        let line = serde_json::to_string(&Numbered { id, what: order }).context("order")?;
        if self.orders.send(line).await.is_err() {
            bail!("the pod is gone");
        }
        match receiver.await {
            Ok(Outcome::Failed(reason)) => Err(anyhow!(reason)),
            Ok(result) => Ok(result),
            Err(_) => bail!("the pod is gone"),
        }
    }

    /// Sets up network and mounts.
    pub(crate) async fn setup(&self, setup: Setup) -> Result<()> {
        self.ask(Order::Setup(setup)).await.map(drop)
    }

    /// Starts a program.
    pub(crate) async fn run(&self, start: Start) -> Result<()> {
        self.ask(Order::Start(start)).await.map(drop)
    }

    /// Makes a request from the pod; it takes the same way as one of the application.
    pub(crate) async fn fetch(&self, call: Call) -> Result<Answer> {
        match self.ask(Order::Fetch(call)).await? {
            Outcome::Fetched(answer) => Ok(answer),
            other => bail!("the agent answers {other:?}"),
        }
    }

    /// A path of Envoy's admin interface.
    pub(crate) async fn admin(&self, path: &str) -> Result<Answer> {
        self.fetch(Call::get("127.0.0.1:15000", path)).await
    }

    /// Whether something listens on the pod's loopback.
    pub(crate) async fn listens(&self, port: u16) -> bool {
        self.ask(Order::Listens(port)).await.is_ok()
    }

    /// Ends the pod. The answer is its end, so there is none.
    pub(crate) async fn stop(&self) {
        let _gone = self.ask(Order::Stop).await;
    }

    /// How many connections from outside are open to a port of the pod.
    pub(crate) async fn connections(&self, port: u16) -> Result<usize> {
        match self.ask(Order::Connections(port)).await? {
            Outcome::Count(count) => Ok(count),
            other => bail!("the agent answers {other:?}"),
        }
    }
}

async fn write_orders(mut stdin: ChildStdin, mut orders: mpsc::Receiver<String>) {
    while let Some(mut line) = orders.recv().await {
        line.push('\n');
        if stdin.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read_messages(
    mut lines: Lines<BufReader<ChildStdout>>,
    waiting: Waiting,
    ended: mpsc::Sender<Ended>,
) {
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(Message::Result(result)) => {
                let sender = waiting.lock().remove(&result.id);
                if let Some(sender) = sender {
                    // Who asked may have given up meanwhile.
                    let _gone = sender.send(result.what);
                }
            }
            Ok(Message::Ended { name, status }) => {
                let _closing = ended.send(Ended { name, status }).await;
            }
            Ok(Message::Hello) | Err(_) => {}
        }
    }
    // Whoever still waits learns that the pod is gone.
    waiting.lock().clear();
}
