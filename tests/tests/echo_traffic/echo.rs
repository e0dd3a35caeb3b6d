//! The applications, and a call from one to another.

mod check;
mod mesh;
mod peers;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use meltemi_simulator::{Call, End, Mode, Outcome, Protocol, Stage, Tls, next_call, simulate};
use serde::Deserialize;
use serde_json::Value;

use mesh::Mesh;
pub(super) use mesh::{World, world};
use peers::{From, GATEWAY};

/// Redirects that a client follows.
const MOST_REDIRECTS: usize = 5;

/// A file of the corpus.
#[derive(Debug, Deserialize)]
pub(super) struct Case {
    pub(super) name: String,
    runs: Vec<Run>,
}

#[derive(Debug, Deserialize)]
struct Run {
    #[serde(default)]
    config: Option<Vec<Value>>,
    calls: Vec<Recorded>,
}

#[derive(Debug, Deserialize)]
struct Recorded {
    #[serde(default)]
    name: String,
    call: Asked,
    expect: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    /// An application, or `ingress:NAMESPACE/SERVICE` for a client outside of the cluster.
    from: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    port: Port,
    #[serde(default)]
    scheme: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    http: Http,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Port {
    name: String,
    protocol: String,
    service_port: i32,
    workload_port: i32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Http {
    path: String,
    method: String,
    headers: std::collections::BTreeMap<String, Vec<String>>,
    http2: bool,
    follow_redirects: bool,
}

/// How a call ended, compared with what is expected.
pub(super) enum Verdict {
    Meets,
    Differs(String),
    /// The expectation is about what no resources tell.
    NotFollowed,
}

/// What the client and the server saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    /// The HTTP status; 200 for TCP that came through. None: an error.
    status: Option<u16>,
    location: String,
    /// The application that answered.
    app: String,
    host: String,
    path: String,
    protocol: &'static str,
    /// The request's headers at the application, with names in lower case.
    headers: Vec<(String, String)>,
    /// Those that routes add to the answer.
    answered: Vec<(String, String)>,
    /// What the application's own TLS agreed on.
    alpn: String,
    /// The version of the PROXY protocol that the connection began with.
    proxy_protocol: Option<u8>,
    /// Every call of this kind reaches one and the same application.
    one_host: bool,
    /// The addresses that a name stands for.
    resolved: BTreeSet<String>,
    /// The connection to the destination's proxy was mutual TLS.
    mutual: bool,
    /// Clusters and weights of the source's route.
    weights: Vec<(String, u32)>,
    /// Why it ended.
    why: String,
}

/// The groups of the corpus.
pub(super) fn groups(suite: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(suite).expect("the corpus");
    let folders = entries.map(|entry| entry.expect("an entry").path());
    let folders = folders.filter(|path| path.is_dir() && !path.ends_with("fixtures"));
    folders
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect()
}

/// The cases of a group.
pub(super) fn cases(group: &Path) -> Vec<Case> {
    let mut files: Vec<_> = fs::read_dir(group)
        .expect("a group")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    let read = |file: &std::path::PathBuf| {
        let text = fs::read_to_string(file).expect("a case");
        serde_yaml::from_str(&text).expect("a case")
    };
    files.iter().map(read).collect()
}

/// All calls of a case.
pub(super) fn run(world: &World, case: &Case) -> Vec<(String, Verdict)> {
    let mut all = Vec::new();
    for run in &case.runs {
        let mut mesh = Mesh::new(world, run.config.as_deref().unwrap_or_default());
        for recorded in &run.calls {
            let verdict = one(world, &mut mesh, recorded);
            all.push((recorded.name.clone(), verdict));
        }
    }
    all
}

fn one(world: &World, mesh: &mut Mesh, recorded: &Recorded) -> Verdict {
    // Speaks gRPC to the control plane itself; there is no proxy to follow.
    let proxyless = "proxyless-grpc";
    let asked = &recorded.call;
    if asked.from == proxyless || asked.to.starts_with(proxyless) {
        return Verdict::NotFollowed;
    }
    let from = From::of(&asked.from);
    let (seen, call) = if asked.scheme == "dns" {
        (
            peers::lookup(world, mesh, from, &asked.address),
            Call::to("", 0),
        )
    } else {
        let Some(mut call) = call(world, mesh, asked) else {
            return Verdict::Differs(format!("{} has no address", asked.address));
        };
        let mut seen = send(world, mesh, from, &call);
        for _ in 0..MOST_REDIRECTS {
            if !asked.http.follow_redirects || seen.location.is_empty() {
                break;
            }
            let Some((_, rest)) = seen.location.split_once("://") else {
                break;
            };
            let at = rest.find('/').unwrap_or(rest.len());
            call.host = rest[..at].to_owned();
            call.path = rest[at..].to_owned();
            seen = send(world, mesh, from, &call);
        }
        (seen, call)
    };
    match check::holds(&recorded.expect, &seen, &call) {
        Some(true) => Verdict::Meets,
        Some(false) => Verdict::Differs(format!("{}, but {seen:?}", recorded.expect)),
        None => Verdict::NotFollowed,
    }
}

fn call(world: &World, mesh: &mut Mesh, asked: &Asked) -> Option<Call> {
    let from = From::of(&asked.from);
    let scheme = match (asked.scheme.as_str(), asked.port.protocol.as_str()) {
        ("", "HTTPS") => "https",
        ("", _) => "http",
        (scheme, _) => scheme,
    };
    let number = match asked.port.service_port {
        port if port > 0 => port,
        _ => asked.port.workload_port,
    };
    let (address, number, mode) = match from {
        // The gateway's Service leads to these ports of its pod.
        From::Outside => {
            let number = if scheme == "https" { 8443 } else { 8080 };
            (GATEWAY.address.to_owned(), number, Mode::Direct)
        }
        From::App(app) => {
            let address = mesh.resolve(world, app, &asked.address)?;
            (address, number, Mode::Outbound)
        }
    };
    let (protocol, tls) = match scheme {
        "http" | "https" if asked.http.http2 => (Protocol::Http2, tls_of(scheme)),
        "http" | "https" => (Protocol::Http1, tls_of(scheme)),
        "grpc" => (Protocol::Http2, Tls::Plaintext),
        "tls" => (Protocol::Tcp, Tls::Tls),
        _ => (Protocol::Tcp, Tls::Plaintext),
    };
    let headers = &asked.http.headers;
    let host = headers.get("Host").and_then(|values| values.first());
    let host = host.unwrap_or(&asked.address).clone();
    let more = headers.iter().filter(|(name, _)| *name != "Host");
    let more =
        more.flat_map(|(name, values)| values.iter().map(move |v| (name.clone(), v.clone())));
    let mut headers: Vec<(String, String)> = more.collect();
    if scheme == "grpc" {
        headers.push(("content-type".to_owned(), "application/grpc".to_owned()));
    }
    Some(Call {
        mode,
        protocol,
        tls,
        sni: match (tls, from) {
            (Tls::Plaintext, _) => String::new(),
            // The client of a gateway connects to an address, and names the host.
            (_, From::Outside) => host.clone(),
            _ => asked.address.clone(),
        },
        alpn: match (tls, protocol) {
            (Tls::Plaintext, _) | (_, Protocol::Tcp) => Vec::new(),
            (_, Protocol::Http2) => vec!["h2".to_owned()],
            (_, Protocol::Http1) => vec!["http/1.1".to_owned()],
        },
        host,
        path: or(&asked.http.path, "/"),
        method: or(&asked.http.method, "GET"),
        headers,
        server_first: world.is_server_first(&asked.port.name),
        source: match from {
            From::App(app) => mesh.address_of(world, app)?,
            From::Outside => [203, 0, 113, 7].into(),
        },
        ..Call::to(&address, u16::try_from(number).ok()?)
    })
}

fn tls_of(scheme: &str) -> Tls {
    if scheme == "https" {
        Tls::Tls
    } else {
        Tls::Plaintext
    }
}

fn or(text: &str, default: &str) -> String {
    if text.is_empty() { default } else { text }.to_owned()
}

/// Through the source's proxy, the network, and the destination's proxy.
fn send(world: &World, mesh: &mut Mesh, from: From<'_>, call: &Call) -> Seen {
    let mut seen = Seen::default();
    if let From::App(app) = from
        && (call.address.is_loopback() || call.address == world.address(app))
    {
        // What stays in the pod passes no proxy.
        app.clone_into(&mut seen.app);
        take(world, call, &mut seen);
        return seen;
    }
    // The client's own TLS ends where a proxy reads its requests.
    let mut own = call.tls;
    let next = if let Some(resources) = mesh.resources_of(world, from) {
        let outcome = simulate(resources, call);
        seen.weights = outcome
            .weights
            .iter()
            .map(|w| (w.cluster.clone(), w.weight))
            .collect();
        if from == From::Outside
            && let Some(why) = mesh.lacks_secret(&outcome)
        {
            seen.why = why;
            return seen;
        }
        let next = leave(world, mesh, from, call, &outcome, &mut seen);
        outcome.response_changes.apply(&mut seen.answered);
        if outcome.upstream_host.is_some() {
            own = Tls::Plaintext;
        }
        let Some(next) = next else {
            return seen;
        };
        next
    } else {
        call.clone()
    };
    let Some((app, port)) = mesh.endpoint(world, next.address, next.port) else {
        seen.why = format!("nobody is at {}:{}", next.address, next.port);
        return seen;
    };
    let arriving = Call {
        address: world.address(&app),
        port,
        mode: Mode::Inbound,
        ..next
    };
    seen.app.clone_from(&app);
    let mut answered = std::mem::take(&mut seen.answered);
    arrive(world, mesh, &app, &arriving, own, &mut seen);
    // The answer passes the destination's proxy first.
    seen.answered.append(&mut answered);
    seen
}

fn leave(
    world: &World,
    mesh: &mut Mesh,
    from: From<'_>,
    call: &Call,
    outcome: &Outcome,
    seen: &mut Seen,
) -> Option<Call> {
    match &outcome.end {
        End::Forwarded => {}
        other => {
            ended(other, seen);
            return None;
        }
    }
    let destination = outcome.destination.as_ref()?;
    let mut endpoint = destination.endpoints.first()?.clone();
    seen.one_host = destination.endpoints.len() == 1 || outcome.hashed.is_some();
    seen.proxy_protocol = endpoint.proxy_protocol;
    if endpoint.address.parse::<std::net::IpAddr>().is_err() {
        let app = if let From::App(app) = from { app } else { "" };
        endpoint.address = mesh.resolve(world, app, &endpoint.address)?;
    }
    next_call(call, outcome, &endpoint)
}

fn ended(end: &End, seen: &mut Seen) {
    match end {
        End::Forwarded => {}
        End::Redirected {
            status, location, ..
        } => {
            seen.status = Some(*status);
            seen.location.clone_from(location);
        }
        End::Answered { status, .. } => seen.status = Some(*status),
        End::Missed(miss) => {
            seen.status = miss.status;
            seen.why.clone_from(&miss.why);
        }
    }
}

/// The way to the application. `own` is the client's TLS, which is inside of the mesh's where there is both.
fn arrive(world: &World, mesh: &mut Mesh, app: &str, call: &Call, own: Tls, seen: &mut Seen) {
    let mut last = call.clone();
    if world.has_sidecar(app) {
        let outcome = simulate(mesh.resources(world, app), call);
        seen.mutual = outcome.steps.iter().any(|step| step.stage == Stage::Tls);
        outcome.response_changes.apply(&mut seen.answered);
        if outcome.end != End::Forwarded {
            ended(&outcome.end, seen);
            return;
        }
        if seen.proxy_protocol.is_some() && outcome.upstream_host.is_some() {
            seen.why = "what comes before the request is no HTTP".to_owned();
            return;
        }
        if seen.mutual {
            last.tls = own;
        }
        if outcome.upstream_host.is_some() {
            last.headers.clone_from(&outcome.upstream_headers);
            // The sidecar takes what the sending proxy told of itself.
            if mesh.takes_peer_metadata(world, app) {
                last.headers
                    .retain(|(name, _)| !name.starts_with("x-envoy-peer-metadata"));
            }
        }
        last.host = outcome.upstream_host.clone().unwrap_or(last.host);
        last.path = outcome.upstream_path.clone().unwrap_or(last.path);
        let destination = outcome.destination.as_ref();
        last.protocol = match destination.and_then(|d| d.http) {
            Some("HTTP/1.1") => Protocol::Http1,
            Some("HTTP/2") => Protocol::Http2,
            _ => last.protocol,
        };
        let endpoint = destination.and_then(|d| d.endpoints.first());
        if let Some(address) = endpoint.and_then(|e| e.address.parse().ok()) {
            last.address = address;
        }
        if !world.listens(&last) {
            seen.status = outcome.upstream_host.map(|_| 503);
            seen.why = format!("nobody listens at {}:{}", last.address, last.port);
            return;
        }
    }
    take(world, &last, seen);
}

/// At the application.
fn take(world: &World, last: &Call, seen: &mut Seen) {
    let speaks_tls = world.is_tls(last.port);
    if speaks_tls != (last.tls != Tls::Plaintext) {
        seen.why = format!("port {} and the client disagree about TLS", last.port);
        return;
    }
    if speaks_tls {
        let known = ["h2", "http/1.1"].into_iter();
        let mut agreed = known.filter(|name| last.alpn.iter().any(|alpn| alpn == name));
        seen.alpn = agreed.next().unwrap_or_default().to_owned();
    }
    seen.status = Some(200);
    seen.host.clone_from(&last.host);
    seen.path.clone_from(&last.path);
    let headers = last.headers.iter();
    seen.headers = headers
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .collect();
    seen.protocol = match last.protocol {
        Protocol::Http1 => "HTTP/1.1",
        Protocol::Http2 => "HTTP/2.0",
        Protocol::Tcp => "",
    };
}
