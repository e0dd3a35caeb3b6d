//! From a URL and flags to a call.

use std::net::IpAddr;
use std::time::SystemTime;

use anyhow::Context as _;
use clap::ValueEnum;
use meltemi_model::Hostname;
use meltemi_model::proxy::{Proxy, ProxyClass, ProxyKind};
use meltemi_model::service::Service;
use meltemi_simulator::{Call, Mode, Outcome, Protocol, Stage, Tls};
use meltemi_world::World;

use super::live::{self, Served};

/// What is known of the proxy and its mesh.
pub(super) enum Place<'a> {
    /// Objects, the proxy, and the class that it is of.
    Objects(&'a World, &'a Proxy, &'a ProxyClass),
    /// What a control plane sent it.
    Served(&'a Served),
}

impl Place<'_> {
    /// The pod's own address, the first of those that its proxy tells; older control planes do not say it.
    fn own_address(&self) -> Option<IpAddr> {
        match self {
            Place::Objects(_, proxy, _) => proxy.ips.first().copied(),
            Place::Served(served) => served.address,
        }
    }

    fn is_sidecar(&self) -> bool {
        match self {
            Place::Objects(_, proxy, _) => proxy.kind == ProxyKind::Sidecar,
            Place::Served(served) => served.kind == ProxyKind::Sidecar.as_str(),
        }
    }
}

/// The request.
#[derive(Debug, clap::Args)]
pub(super) struct Request {
    /// http://, https://, grpc:// (HTTP/2) or tcp:// with host, port and path.
    #[arg(value_name = "URL")]
    url: String,
    /// The address that the client connects to; else what the host's service has.
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// The connection arrives at the pod instead of leaving it.
    #[arg(long)]
    inbound: bool,
    /// The method.
    #[arg(short = 'X', long, default_value = "GET")]
    method: String,
    /// A header, `name: value`; may be given several times. `host:` takes the place of the URL's.
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// How the client secures the connection; else what the URL says.
    #[arg(long)]
    tls: Option<Secured>,
    /// The identity in the client's certificate, with --tls mtls: NAMESPACE/ACCOUNT, or TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT.
    #[arg(long, value_name = "IDENTITY")]
    principal: Option<String>,
    /// Extension providers that are asked refuse the request.
    #[arg(long)]
    provider_refuses: bool,
    /// The server name of the TLS handshake; else the URL's host.
    #[arg(long)]
    sni: Option<String>,
    /// An application protocol that the TLS handshake offers; may be given several times.
    #[arg(long)]
    alpn: Vec<String>,
    /// Who connects.
    #[arg(long, value_name = "IP")]
    source: Option<IpAddr>,
    /// Envoy's random number of the request: decides between weights and whether percentages hold.
    #[arg(long, default_value_t = 0)]
    random: u64,
    /// The client waits for the server to speak first.
    #[arg(long)]
    server_first: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Secured {
    /// Not at all.
    Plaintext,
    /// A client without a certificate.
    Tls,
    /// A client with the mesh's certificate.
    Mtls,
}

/// A call, and what had to be assumed for it.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) call: Call,
    pub(super) assumed: Vec<String>,
}

impl Question {
    /// What policies were told that decided.
    pub(super) fn assume(&mut self, outcome: &Outcome) {
        let mut steps = outcome.steps.iter();
        let authorized = steps.any(|step| step.stage == Stage::Authorization);
        if authorized && self.call.tls == Tls::Mtls && self.call.principal.is_empty() {
            let nobody = "the client's certificate names nobody (--principal says whom)";
            self.assumed.push(nobody.to_owned());
        }
    }
}

/// The parts of a URL.
struct Url<'a> {
    scheme: &'a str,
    host: &'a str,
    port: u16,
    path: String,
}

impl Request {
    /// The call of this request for a proxy.
    pub(super) fn question(&self, place: &Place<'_>) -> anyhow::Result<Question> {
        let url = split(&self.url)?;
        let mut assumed = Vec::new();
        let mode = match (self.inbound, place.is_sidecar()) {
            (true, _) => Mode::Inbound,
            (false, true) => Mode::Outbound,
            (false, false) => Mode::Direct,
        };
        let address = match self.address {
            Some(address) => address,
            None => address(place, mode, url.host, &mut assumed),
        };
        let tls = match (self.tls, url.scheme) {
            (Some(Secured::Plaintext), _) => Tls::Plaintext,
            (Some(Secured::Tls), _) => Tls::Tls,
            (Some(Secured::Mtls), _) => Tls::Mtls,
            (None, "https") => Tls::Tls,
            (None, _) => Tls::Plaintext,
        };
        let protocol = match url.scheme {
            "http" | "https" => Protocol::Http1,
            "grpc" | "h2" => Protocol::Http2,
            _ => Protocol::Tcp,
        };
        let mut call = Call {
            mode,
            protocol,
            tls,
            sni: self.server_name(tls, url.host),
            alpn: self.offered(tls, protocol),
            method: self.method.to_ascii_uppercase(),
            host: host_header(&url),
            random: self.random,
            now: SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .ok()
                .map(|since| since.as_secs()),
            server_first: self.server_first,
            provider_refuses: self.provider_refuses,
            ..Call::to(
                &address.to_string(),
                port(place, mode, url.port, &mut assumed),
            )
        };
        call.path = url.path;
        if tls == Tls::Mtls {
            call.principal = self.identity(place);
        }
        if let Some(source) = self.source {
            call.source = source;
        }
        if call.protocol == Protocol::Http2 && url.scheme == "grpc" {
            let kind = ("content-type".to_owned(), "application/grpc".to_owned());
            call.headers.push(kind);
        }
        for header in &self.headers {
            let (name, value) = header
                .split_once(':')
                .with_context(|| format!("header {header:?} must be `name: value`"))?;
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
            if name == "host" {
                call.host = value;
            } else {
                call.headers.push((name, value));
            }
        }
        Ok(Question { call, assumed })
    }

    /// The URI in the client's certificate. Policies of the mesh ask for it.
    fn identity(&self, place: &Place<'_>) -> String {
        let Some(told) = &self.principal else {
            return String::new();
        };
        let bare = told.trim_start_matches("spiffe://");
        match bare.split_once('/') {
            Some((namespace, account)) if !account.contains('/') => {
                let domain = match place {
                    Place::Objects(world, ..) => &*world.mesh.trust_domain,
                    Place::Served(_) => "cluster.local",
                };
                format!("spiffe://{domain}/ns/{namespace}/sa/{account}")
            }
            _ => format!("spiffe://{bare}"),
        }
    }

    fn server_name(&self, tls: Tls, host: &str) -> String {
        match &self.sni {
            Some(name) => name.clone(),
            None if tls == Tls::Tls && host.parse::<IpAddr>().is_err() => host.to_owned(),
            None => String::new(),
        }
    }

    /// What clients of the kind offer; Istio: a sidecar offers the mesh's own names first.
    fn offered(&self, tls: Tls, protocol: Protocol) -> Vec<String> {
        if !self.alpn.is_empty() {
            return self.alpn.clone();
        }
        let names: &[&str] = match (tls, protocol) {
            (Tls::Plaintext, _) | (Tls::Tls, Protocol::Tcp) => &[],
            (Tls::Tls, Protocol::Http1) => &["http/1.1"],
            (Tls::Tls, Protocol::Http2) => &["h2"],
            (Tls::Mtls, Protocol::Http1) => &["istio-http/1.1", "istio", "http/1.1"],
            (Tls::Mtls, Protocol::Http2) => &["istio-h2", "istio", "h2"],
            (Tls::Mtls, Protocol::Tcp) => &["istio-peer-exchange", "istio"],
        };
        names.iter().map(|&name| name.to_owned()).collect()
    }
}

fn split(url: &str) -> anyhow::Result<Url<'_>> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let default = match scheme {
        "http" | "grpc" | "h2" => Some(80),
        "https" => Some(443),
        "tcp" => None,
        other => {
            anyhow::bail!("{url}: the scheme {other} is none of http, https, grpc, h2 and tcp")
        }
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = match path {
        "" => "/".to_owned(),
        query if query.starts_with('?') => format!("/{query}"),
        path => path.to_owned(),
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            let port = port
                .parse()
                .with_context(|| format!("{url}: port {port:?}"))?;
            (host, Some(port))
        }
        _ => (authority, default),
    };
    anyhow::ensure!(!host.is_empty(), "{url}: the host is missing");
    let port = port.with_context(|| format!("{url}: the port is missing"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok(Url {
        scheme,
        host,
        port,
        path,
    })
}

/// The header that clients send: the default port of the scheme is left out.
fn host_header(url: &Url<'_>) -> String {
    let host = if url.host.contains(':') {
        format!("[{}]", url.host)
    } else {
        url.host.to_owned()
    };
    match (url.scheme, url.port) {
        ("https", 443) | ("http" | "grpc" | "h2", 80) => host,
        (_, port) => format!("{host}:{port}"),
    }
}

/// The port that a gateway's pod hears for a port of its Service. What was served does not tell it.
fn port(place: &Place<'_>, mode: Mode, port: u16, assumed: &mut Vec<String>) -> u16 {
    let Place::Objects(_, _, class) = place else {
        return port;
    };
    if mode != Mode::Direct {
        return port;
    }
    match class.gateway_ports.get(&port).map(Vec::as_slice) {
        Some([own, ..]) if *own != port => {
            assumed.push(format!("the gateway's Service sends port {port} to {own}"));
            *own
        }
        _ => port,
    }
}

/// An address that nothing of a mesh has (RFC 5737).
const NOBODY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

/// Where a client connects to for a host.
fn address(place: &Place<'_>, mode: Mode, host: &str, assumed: &mut Vec<String>) -> IpAddr {
    if let Ok(address) = host.parse() {
        return address;
    }
    if mode != Mode::Outbound {
        // Listeners of a gateway hear every address; filter chains of a sidecar may be for one.
        return place.own_address().unwrap_or(NOBODY);
    }
    let found = match place {
        Place::Served(served) => live::address(&served.resources, host)
            .ok_or_else(|| format!("no address of {host} is in the proxy's routes")),
        Place::Objects(world, _, class) => of_service(world, class, host),
    };
    found.unwrap_or_else(|why| {
        assumed.push(format!("{why}; the client connects to {NOBODY}"));
        NOBODY
    })
}

/// The address of a host's service, or why there is none.
fn of_service(world: &World, class: &ProxyClass, host: &str) -> Result<IpAddr, String> {
    let Some(service) = service(world, class, host) else {
        return Err(format!("no service of the mesh is {host}"));
    };
    let all = service.addresses.iter().chain(&service.allocated);
    let mut ips = all.filter_map(|address| address.parse().ok());
    ips.next()
        .ok_or_else(|| format!("{} has no address of its own", service.object))
}

/// The service that a client of the proxy reaches under a name, found as DNS does: through the namespace's search domains.
fn service<'a>(world: &'a World, class: &ProxyClass, host: &str) -> Option<&'a Service> {
    let domain = &world.mesh.domain;
    let names = [
        host.trim_end_matches('.').to_owned(),
        format!("{host}.{}.svc.{domain}", class.namespace),
        format!("{host}.svc.{domain}"),
        format!("{host}.{domain}"),
    ];
    names.iter().find_map(|name| {
        let host = Hostname::new(name);
        let own = world.services.owner(&host, &class.namespace);
        own.or_else(|| world.services.owners(&host).next())
            .map(|s| &**s)
    })
}
