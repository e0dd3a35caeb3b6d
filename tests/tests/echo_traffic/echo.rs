//! The applications, and a call from one to another.

mod check;
mod mesh;

use std::fs;
use std::path::Path;

use meltemi_simulator::{Call, End, Mode, Outcome, Protocol, Stage, Tls, next_call, simulate};
use serde::Deserialize;
use serde_json::Value;

use mesh::Mesh;
pub(super) use mesh::{World, world};

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
    from: String,
    #[serde(default)]
    to: String,
    port: Port,
    scheme: String,
    address: String,
    #[serde(default)]
    http: Http,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Port {
    name: String,
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
    /// The connection to the destination's proxy was mutual TLS.
    mutual: bool,
    /// Clusters and weights of the source's route.
    weights: Vec<(String, u32)>,
    /// Why it ended.
    why: String,
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
    if asked.from == proxyless || asked.to.starts_with(proxyless) || asked.from.contains(':') {
        return Verdict::NotFollowed;
    }
    let Some(mut call) = call(world, mesh, asked) else {
        return Verdict::Differs(format!("{} has no address", asked.address));
    };
    let mut seen = send(world, mesh, &asked.from, &call);
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
        seen = send(world, mesh, &asked.from, &call);
    }
    match check::holds(&recorded.expect, &seen, &call) {
        Some(true) => Verdict::Meets,
        Some(false) => Verdict::Differs(format!("{}, but {seen:?}", recorded.expect)),
        None => Verdict::NotFollowed,
    }
}

fn call(world: &World, mesh: &mut Mesh, asked: &Asked) -> Option<Call> {
    let number = match asked.port.service_port {
        port if port > 0 => port,
        _ => asked.port.workload_port,
    };
    let address = mesh.resolve(world, &asked.address)?;
    let (protocol, tls) = match asked.scheme.as_str() {
        "http" if asked.http.http2 => (Protocol::Http2, Tls::Plaintext),
        "http" => (Protocol::Http1, Tls::Plaintext),
        "grpc" => (Protocol::Http2, Tls::Plaintext),
        "https" => (Protocol::Http1, Tls::Tls),
        "tls" => (Protocol::Tcp, Tls::Tls),
        _ => (Protocol::Tcp, Tls::Plaintext),
    };
    let host = asked
        .http
        .headers
        .get("Host")
        .and_then(|values| values.first());
    let mut headers: Vec<(String, String)> = asked
        .http
        .headers
        .iter()
        .filter(|(name, _)| *name != "Host")
        .flat_map(|(name, values)| {
            values
                .iter()
                .map(move |value| (name.clone(), value.clone()))
        })
        .collect();
    if asked.scheme == "grpc" {
        headers.push(("content-type".to_owned(), "application/grpc".to_owned()));
    }
    Some(Call {
        mode: Mode::Outbound,
        protocol,
        tls,
        sni: if tls == Tls::Tls {
            asked.address.clone()
        } else {
            String::new()
        },
        host: host.unwrap_or(&asked.address).clone(),
        path: if asked.http.path.is_empty() {
            "/".to_owned()
        } else {
            asked.http.path.clone()
        },
        method: if asked.http.method.is_empty() {
            "GET".to_owned()
        } else {
            asked.http.method.clone()
        },
        headers,
        server_first: world.is_server_first(&asked.port.name),
        source: mesh.address_of(world, &asked.from)?,
        ..Call::to(&address, u16::try_from(number).ok()?)
    })
}

/// Through the source's proxy, the network, and the destination's proxy.
fn send(world: &World, mesh: &mut Mesh, from: &str, call: &Call) -> Seen {
    let mut seen = Seen::default();
    let next = if world.has_sidecar(from) {
        let outcome = simulate(mesh.resources(world, from), call);
        seen.weights = outcome
            .weights
            .iter()
            .map(|w| (w.cluster.clone(), w.weight))
            .collect();
        let Some(next) = leave(world, mesh, call, &outcome, &mut seen) else {
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
    arrive(world, mesh, &app, &arriving, call.tls, &mut seen);
    seen
}

fn leave(
    world: &World,
    mesh: &mut Mesh,
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
    if endpoint.address.parse::<std::net::IpAddr>().is_err() {
        endpoint.address = mesh.resolve(world, &endpoint.address)?;
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
        if outcome.end != End::Forwarded {
            ended(&outcome.end, seen);
            return;
        }
        if seen.mutual {
            last.tls = own;
        }
        last.host = outcome.upstream_host.clone().unwrap_or(last.host);
        last.path = outcome.upstream_path.clone().unwrap_or(last.path);
        let http = outcome.destination.as_ref().and_then(|d| d.http);
        last.protocol = match http {
            Some("HTTP/1.1") => Protocol::Http1,
            Some("HTTP/2") => Protocol::Http2,
            _ => last.protocol,
        };
    }
    let speaks_tls = world.is_tls(last.port);
    if speaks_tls != (last.tls != Tls::Plaintext) {
        seen.why = format!("port {} and the client disagree about TLS", last.port);
        return;
    }
    seen.status = Some(200);
    seen.host = last.host;
    seen.path = last.path;
    seen.protocol = match last.protocol {
        Protocol::Http1 => "HTTP/1.1",
        Protocol::Http2 => "HTTP/2.0",
        Protocol::Tcp => "",
    };
}
