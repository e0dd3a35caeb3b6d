//! The cluster's name service: A records of Services for the pods, in the way kube-dns answers them, and the client of it.
//!
//! Names outside `cluster.local` resolve to the stand-in for the world outside the mesh, so that the labs with external
//! hosts run without the internet.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::net::UdpSocket;
use tokio::sync::watch;

#[cfg(test)]
mod tests;

const TYPE_A: u16 = 1;
const CLASS_IN: u16 = 1;
const NAME_ERROR: u16 = 3;
/// As the `ndots` that the kubelet writes into a pod's resolv.conf.
const NDOTS: usize = 5;
const ATTEMPTS: usize = 3;
const ATTEMPT_LIMIT: Duration = Duration::from_secs(1);

/// Everything the server knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Zone {
    /// Full names without the last dot, in lower case.
    pub names: BTreeMap<String, Vec<Ipv4Addr>>,
    /// The address of every name outside the cluster, when there is one.
    pub outside: Option<Ipv4Addr>,
}

impl Zone {
    /// The addresses of a name; `None` says that there is no such name.
    #[must_use]
    pub(crate) fn lookup(&self, name: &str) -> Option<Vec<Ipv4Addr>> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if let Some(found) = self.names.get(&name) {
            return Some(found.clone());
        }
        let inside = !name.contains('.') || name.ends_with(".local");
        if inside {
            None
        } else {
            self.outside.map(|address| vec![address])
        }
    }
}

/// Answers queries until the socket fails.
pub(crate) async fn serve(socket: UdpSocket, zone: watch::Receiver<Arc<Zone>>) -> Result<()> {
    let mut buffer = [0_u8; 1500];
    loop {
        let (length, peer) = socket
            .recv_from(&mut buffer)
            .await
            .context("name service")?;
        let zone = zone.borrow().clone();
        if let Some(reply) = reply(&buffer[..length], &zone) {
            // A client that is gone asks again or does not care.
            let _gone = socket.send_to(&reply, peer).await;
        }
    }
}

/// The answer to one datagram; none for what is not a query (RFC 1035, section 4).
fn reply(query: &[u8], zone: &Zone) -> Option<Vec<u8>> {
    let flags = u16::from_be_bytes([*query.get(2)?, *query.get(3)?]);
    let questions = u16::from_be_bytes([*query.get(4)?, *query.get(5)?]);
    if flags & 0x8000 != 0 || questions != 1 {
        return None;
    }
    let (name, end) = read_name(query, 12)?;
    let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
    query.get(end + 3)?;
    let found = zone.lookup(&name);
    let addresses = if kind == TYPE_A {
        found.clone().unwrap_or_default()
    } else {
        Vec::new()
    };
    let code = if found.is_none() { NAME_ERROR } else { 0 };
    let mut out = Vec::with_capacity(end + 4 + 16 * addresses.len());
    out.extend_from_slice(&query[..2]);
    // A response, authoritative, recursion available; recursion desired is copied.
    out.extend_from_slice(&(0x8480 | (flags & 0x0100) | code).to_be_bytes());
    for count in [1, u16::try_from(addresses.len()).ok()?, 0, 0] {
        out.extend_from_slice(&count.to_be_bytes());
    }
    out.extend_from_slice(&query[12..end + 4]);
    for address in addresses {
        // A pointer to the question's name, then type, class, a time to live of 5 s as kube-dns gives, and 4 bytes.
        out.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4]);
        out.extend_from_slice(&address.octets());
    }
    Some(out)
}

/// A name that starts at `at`, and where it ends.
fn read_name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        match length {
            0 => return Some((labels.join("."), at)),
            1..=63 => {
                labels.push(String::from_utf8_lossy(message.get(at..at + length)?).into_owned())
            }
            _ => return None,
        }
        at += length;
    }
}

/// How a process of the demo resolves names.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Resolver {
    /// The name service; without one, only addresses and the system's resolver work.
    pub server: Option<SocketAddr>,
    /// Search domains, tried in order.
    pub search: Vec<String>,
}

impl Resolver {
    /// The resolver of a pod in a namespace, with the search list that the kubelet writes.
    #[must_use]
    pub fn of_namespace(server: SocketAddr, namespace: &str) -> Self {
        Self {
            server: Some(server),
            search: search_list(namespace),
        }
    }

    /// The address of a host.
    pub async fn resolve(&self, host: &str) -> Result<IpAddr> {
        if let Ok(address) = host.parse() {
            return Ok(address);
        }
        let Some(server) = self.server else {
            let mut found = tokio::net::lookup_host((host, 0))
                .await
                .with_context(|| format!("resolving {host}"))?;
            return found
                .next()
                .map(|address| address.ip())
                .with_context(|| format!("{host} has no address"));
        };
        for name in self.candidates(host) {
            if let Some(address) = ask(server, &name).await? {
                return Ok(IpAddr::V4(address));
            }
        }
        bail!("no such host: {host}")
    }

    fn candidates(&self, host: &str) -> Vec<String> {
        let mut searched: Vec<String> = self
            .search
            .iter()
            .map(|domain| format!("{host}.{domain}"))
            .collect();
        if host.matches('.').count() >= NDOTS {
            searched.insert(0, host.to_owned());
        } else {
            searched.push(host.to_owned());
        }
        searched
    }
}

/// The search list of a pod, as the kubelet writes it.
#[must_use]
pub(crate) fn search_list(namespace: &str) -> Vec<String> {
    vec![
        format!("{namespace}.svc.cluster.local"),
        "svc.cluster.local".to_owned(),
        "cluster.local".to_owned(),
    ]
}

/// The resolv.conf of a pod, for Envoy and for the tools that a user starts in it.
#[must_use]
pub(crate) fn resolv_conf(server: Ipv4Addr, namespace: &str) -> String {
    format!(
        "nameserver {server}\nsearch {}\noptions ndots:{NDOTS}\n",
        search_list(namespace).join(" ")
    )
}

async fn ask(server: SocketAddr, name: &str) -> Result<Option<Ipv4Addr>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .await
        .context("name query")?;
    socket.connect(server).await.context("name query")?;
    let query = question(name)?;
    let mut buffer = [0_u8; 1500];
    for _ in 0..ATTEMPTS {
        socket.send(&query).await.context("name query")?;
        if let Ok(length) = tokio::time::timeout(ATTEMPT_LIMIT, socket.recv(&mut buffer)).await {
            let length = length.context("name query")?;
            return Ok(first_address(&buffer[..length], query.len()));
        }
    }
    bail!("the name service {server} does not answer")
}

fn question(name: &str) -> Result<Vec<u8>> {
    // One socket carries one question, so the id need not differ.
    let mut out = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.trim_end_matches('.').split('.') {
        let length = u8::try_from(label.len())
            .ok()
            .filter(|length| (1..=63).contains(length));
        out.push(length.with_context(|| format!("{name} is not a host name"))?);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(&TYPE_A.to_be_bytes());
    out.extend_from_slice(&CLASS_IN.to_be_bytes());
    Ok(out)
}

/// The first record of an answer of `serve`, whose records all have 16 bytes and follow the question.
fn first_address(message: &[u8], question: usize) -> Option<Ipv4Addr> {
    let record = message.get(question..question + 16)?;
    Some(Ipv4Addr::new(
        record[12], record[13], record[14], record[15],
    ))
}
