//! The agent's own side: what runs inside the pod.

use std::fs::File;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::{Message, Numbered, Order, Outcome, Setup, Start};
use crate::dns::Resolver;
use crate::http;
use crate::net::{pod_commands, run_with_input};

/// State that orders share.
#[derive(Debug)]
struct Pod {
    resolver: Mutex<Resolver>,
    /// Becomes true when the pod ends.
    stopping: watch::Sender<bool>,
    programs: Mutex<JoinSet<()>>,
    messages: mpsc::Sender<Message>,
}

/// Serves orders until the node goes away.
pub(crate) async fn main() -> Result<()> {
    let (sender, mut messages) = mpsc::channel::<Message>(64);
    let writing = tokio::spawn(async move {
        let mut stdout = tokio::io::stdout();
        while let Some(message) = messages.recv().await {
            let Ok(mut line) = serde_json::to_string(&message) else {
                continue;
            };
            line.push('\n');
            if stdout.write_all(line.as_bytes()).await.is_err() || stdout.flush().await.is_err() {
                return;
            }
        }
    });
    let _closing = sender.send(Message::Hello).await;
    let pod = Arc::new(Pod {
        resolver: Mutex::default(),
        stopping: watch::Sender::new(false),
        programs: Mutex::default(),
        messages: sender,
    });
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Numbered { id, what: order } = serde_json::from_str(&line).context("order")?;
        if matches!(order, Order::Stop) {
            break;
        }
        let pod = Arc::clone(&pod);
        tokio::spawn(async move {
            let outcome = match obey(&pod, order).await {
                Ok(outcome) => outcome,
                Err(error) => Outcome::Failed(format!("{error:#}")),
            };
            let _closing = pod
                .messages
                .send(Message::Result(Numbered { id, what: outcome }))
                .await;
        });
    }
    writing.abort();
    pod.stopping.send_replace(true);
    let mut programs = std::mem::take(&mut *pod.programs.lock());
    while programs.join_next().await.is_some() {}
    // A plain return would wait for the thread that still reads the standard input.
    std::process::exit(0)
}

async fn obey(pod: &Pod, order: Order) -> Result<Outcome> {
    match order {
        Order::Setup(setup) => {
            set_up(&setup).await?;
            *pod.resolver.lock() = setup.resolver;
        }
        Order::Start(start) => run(pod, start)?,
        Order::Stop => {}
        Order::Fetch(call) => {
            let resolver = pod.resolver.lock().clone();
            return http::call(&resolver, &call).await.map(Outcome::Fetched);
        }
        Order::Listens(port) => {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                .await
                .context("connect")?;
        }
        Order::Connections(port) => {
            let table = std::fs::read_to_string("/proc/net/tcp").context("/proc/net/tcp")?;
            return Ok(Outcome::Count(connections(&table, port)));
        }
    }
    Ok(Outcome::Done)
}

async fn set_up(setup: &Setup) -> Result<()> {
    run_with_input("ip", &["-batch", "-"], &pod_commands(setup.address)).await?;
    let resolv_conf = setup.resolv_conf.to_string_lossy();
    run_with_input("mount", &["--bind", &resolv_conf, "/etc/resolv.conf"], "").await?;
    if setup.low_ports {
        // This file is the pod's own: network settings under /proc are per namespace.
        std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")
            .context("low ports")?;
    }
    if let Some(rules) = &setup.redirection {
        run_with_input("iptables-restore", &[], rules).await?;
    }
    Ok(())
}

fn run(pod: &Pod, start: Start) -> Result<()> {
    let Some((program, arguments)) = start.command.split_first() else {
        bail!("{} has no command", start.name);
    };
    let log =
        File::create(&start.log).with_context(|| format!("creating {}", start.log.display()))?;
    let errors = log.try_clone().context("log")?;
    // Dropping the supplementary groups goes with the change of the uid (std::os::unix::process::CommandExt::uid).
    let mut child = Command::new(program)
        .args(arguments)
        .uid(start.uid)
        .gid(start.uid)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    let messages = pod.messages.clone();
    let mut stopping = pod.stopping.subscribe();
    pod.programs.lock().spawn(async move {
        let ended = tokio::select! {
            ended = child.wait() => ended,
            () = stop_sign(&mut stopping) => {
                let _gone = child.kill().await;
                return;
            }
        };
        let status = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
        let _closing = messages
            .send(Message::Ended {
                name: start.name,
                status,
            })
            .await;
    });
    Ok(())
}

async fn stop_sign(stopping: &mut watch::Receiver<bool>) {
    // An error says that the sender is gone, which is a sign as well.
    let _either = stopping.wait_for(|stopping| *stopping).await.is_err();
}

/// Open connections to a local port from other hosts, in the kernel's table (proc(5), /proc/net/tcp: addresses in
/// hexadecimal with the bytes of the address reversed, state 01 is ESTABLISHED).
fn connections(table: &str, port: u16) -> usize {
    let local_suffix = format!(":{port:04X}");
    let open = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        let (Some(local), Some(remote), Some(state)) = (words.next(), words.next(), words.next())
        else {
            return false;
        };
        let loopback = remote.get(6..8) == Some("7F");
        local.ends_with(&local_suffix) && state == "01" && !loopback
    };
    table.lines().skip(1).filter(open).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_open_connections_from_outside_count() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
            0: 00000000:3A9E 00000000:0000 0A 00000000\n\
            1: 0101F40A:3A9E 0201F40A:C350 01 00000000\n\
            2: 0101F40A:3A9E 0201F40A:C351 06 00000000\n\
            3: 0100007F:3A9E 0100007F:C352 01 00000000\n\
            4: 0101F40A:2378 0201F40A:C353 01 00000000\n";
        assert_eq!(connections(table, 15006), 1);
        assert_eq!(connections(table, 9080), 1);
        assert_eq!(connections(table, 80), 0);
    }
}
