//! The HTTP client for documents of strangers: it goes to no blocked address, whatever a name or a redirection says, and
//! reads no more than a limit. One request, one connection.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Settings;

/// The longest document that is read.
pub const MOST_BYTES: usize = 1 << 20;

/// Redirections that are followed, as many as Go's client does.
const REDIRECTIONS: usize = 10;

/// Why there is no document. None of these quotes what a server answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no address of HTTP.
    #[error("{0} is no http or https address")]
    Address(String),
    /// The name has no address.
    #[error("{0} is not resolved: {1}")]
    Unresolved(String, String),
    /// It may not be asked.
    #[error("{0} is blocked: {1}")]
    Blocked(IpAddr, &'static str),
    /// Nobody takes the connection.
    #[error("no connection: {0}")]
    Connect(std::io::Error),
    /// The server's certificate is not good, or the like.
    #[error("TLS: {0}")]
    Tls(std::io::Error),
    /// What comes is not HTTP, or stops.
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// It says no.
    #[error("status {0}")]
    Status(u16),
    /// It is too long, or stops.
    #[error("the answer is longer than {MOST_BYTES} bytes, or breaks off")]
    Body,
    /// It sends from one place to the next.
    #[error("more than {REDIRECTIONS} redirections, or one to nowhere")]
    Redirected,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    tls: Arc<ClientConfig>,
    blocked: Vec<IpNet>,
}

impl Client {
    /// A client that trusts the system's roots, and those in further files of PEM that are there.
    pub fn new(settings: &Settings, extra_roots: &[&Path]) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for file in extra_roots.iter().filter(|file| file.is_file()) {
            let certificates = CertificateDer::pem_file_iter(file)
                .with_context(|| format!("reading {}", file.display()))?;
            roots.add_parsable_certificates(certificates.filter_map(Result::ok));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .context("TLS versions")?;
        let tls = if settings.skip_verify {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
                .with_no_client_auth()
        } else {
            builder.with_root_certificates(roots).with_no_client_auth()
        };
        Ok(Self {
            tls: Arc::new(tls),
            blocked: settings.blocked.clone(),
        })
    }

    /// The document at an address.
    pub async fn get(&self, address: &str) -> Result<Bytes, Error> {
        let mut uri = parse(address)?;
        for _ in 0..=REDIRECTIONS {
            match self.ask(&uri).await? {
                Answer::Document(bytes) => return Ok(bytes),
                Answer::Elsewhere(location) => uri = join(&uri, &location)?,
            }
        }
        Err(Error::Redirected)
    }

    async fn ask(&self, uri: &Uri) -> Result<Answer, Error> {
        let target = Target::of(uri)?;
        let stream = self.connect(&target).await?;
        if !target.secure {
            return exchange(stream, uri, &target).await;
        }
        let name = ServerName::try_from(target.host.clone())
            .map_err(|_| Error::Address(uri.to_string()))?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(name, stream).await.map_err(Error::Tls)?;
        exchange(stream, uri, &target).await
    }

    /// Connects to the first address that may be asked and answers. The name is resolved here and nowhere else, so that the
    /// address that was looked at is the one that is asked.
    async fn connect(&self, target: &Target) -> Result<TcpStream, Error> {
        let unresolved = |why: String| Error::Unresolved(target.host.clone(), why);
        let found = tokio::net::lookup_host((target.host.as_str(), target.port))
            .await
            .map_err(|error| unresolved(error.to_string()))?;
        let mut problem = unresolved("it has no addresses".to_owned());
        for address in found {
            if let Err(blocked) = self.may_ask(&address) {
                problem = blocked;
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => problem = Error::Connect(error),
            }
        }
        Err(problem)
    }

    fn may_ask(&self, address: &SocketAddr) -> Result<(), Error> {
        let ip = address.ip().to_canonical();
        match blocked(ip, &self.blocked) {
            Some(why) => Err(Error::Blocked(ip, why)),
            None => Ok(()),
        }
    }
}

/// Why an address is never asked. Clouds hand out credentials at some of them, and nobody publishes keys there; private
/// and loopback addresses are allowed, since issuers within the cluster have them. Istio after 1.31.0: `jwksBlockedIP`.
fn blocked(ip: IpAddr, ranges: &[IpNet]) -> Option<&'static str> {
    const METADATA: [&str; 2] = ["100.100.100.200/32", "fd00:ec2::/32"];
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.octets()[..3] == [224, 0, 0],
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.segments()[0] & 0xff0f == 0xff02,
    };
    if is_link_local {
        return Some("link-local addresses are never asked");
    }
    let metadata = METADATA.iter().filter_map(|range| range.parse().ok());
    if metadata.into_iter().any(|range: IpNet| range.contains(&ip)) {
        return Some("a cloud's metadata service is never asked");
    }
    let is_listed = ranges.iter().any(|range| range.contains(&ip));
    is_listed.then_some("it is in BLOCKED_CIDRS_IN_JWKS_URIS")
}

/// Whom to ask.
#[derive(Debug)]
struct Target {
    secure: bool,
    host: String,
    port: u16,
    /// The header.
    authority: String,
}

impl Target {
    fn of(uri: &Uri) -> Result<Self, Error> {
        let wrong = || Error::Address(uri.to_string());
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(wrong)?;
        let authority = match uri.port_u16() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Self {
            secure,
            host: bare.to_owned(),
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority,
        })
    }
}

/// What a server says.
#[derive(Debug)]
enum Answer {
    Document(Bytes),
    Elsewhere(String),
}

async fn exchange<S>(stream: S, uri: &Uri, target: &Target) -> Result<Answer, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, &target.authority)
        .header(ACCEPT, "*/*")
        .header(USER_AGENT, "meltemi")
        .body(Empty::<Bytes>::new())
        .map_err(|_| Error::Address(uri.to_string()))?;
    let mut asked = pin!(async move { read(sender.send_request(request).await?).await });
    let mut connection = pin!(connection);
    tokio::select! {
        answer = &mut asked => answer,
        // It may end before the answer was read, but not the other way round.
        _ = &mut connection => asked.await,
    }
}

async fn read(answer: Response<Incoming>) -> Result<Answer, Error> {
    let status = answer.status();
    if status.is_redirection() {
        let location = answer.headers().get(LOCATION);
        let location = location.and_then(|value| value.to_str().ok());
        let location = location.ok_or(Error::Redirected)?;
        return Ok(Answer::Elsewhere(location.to_owned()));
    }
    if !status.is_success() {
        return Err(Error::Status(status.as_u16()));
    }
    let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await;
    let body = body.map_err(|_| Error::Body)?;
    Ok(Answer::Document(body.to_bytes()))
}

fn parse(address: &str) -> Result<Uri, Error> {
    let parsed = address.parse();
    parsed.map_err(|_| Error::Address(address.to_owned()))
}

/// Where a redirection leads: to an address, or to a path of the same server.
fn join(from: &Uri, location: &str) -> Result<Uri, Error> {
    if location.contains("://") {
        return parse(location);
    }
    let scheme = from.scheme_str().unwrap_or("http");
    if let Some(rest) = location.strip_prefix("//") {
        return parse(&format!("{scheme}://{rest}"));
    }
    let authority = from.authority().map_or("", |authority| authority.as_str());
    let folder = from
        .path()
        .rsplit_once('/')
        .map_or("", |(folder, _)| folder);
    let path = match location.strip_prefix('/') {
        Some(rest) => format!("/{rest}"),
        None => format!("{folder}/{location}"),
    };
    parse(&format!("{scheme}://{authority}{path}"))
}

/// Takes any certificate.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
