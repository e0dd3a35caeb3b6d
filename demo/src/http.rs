//! A small HTTP/1.1 client: one call, one connection, as Bookinfo's services call each other.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::dns::Resolver;

/// One request: where to connect and what to ask.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    /// GET, POST, …
    pub method: String,
    /// `host:port` to connect to; a name goes through the resolver. Also the `Host` header, when `headers` has none.
    pub address: String,
    /// Path and query.
    pub path: String,
    /// Further headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body, often empty.
    pub body: String,
    /// Limit for connecting, sending and reading all of the answer.
    pub timeout_ms: u64,
}

impl Call {
    /// A GET with no headers and a limit of 5 s.
    #[must_use]
    pub fn get(address: &str, path: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            address: address.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: String::new(),
            timeout_ms: 5_000,
        }
    }

    /// The same call with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// The body; bytes that are not UTF-8 are replaced.
    pub body: String,
}

impl Answer {
    /// The first value of a header, by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A connection that can carry several requests.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Starts HTTP/1.1 on an open stream, inside a tokio runtime.
    pub async fn start<S>(stream: S) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .context("HTTP handshake")?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// Whether the peer has announced or done the close.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends one request and reads the whole answer. There is no limit in time.
    pub async fn send(&mut self, call: &Call) -> Result<Answer> {
        let mut request = hyper::Request::builder()
            .method(call.method.as_str())
            .uri(&call.path);
        if !call
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            request = request.header("host", host_header(&call.address));
        }
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let request = request
            .body(Full::new(Bytes::from(call.body.clone())))
            .context("request")?;
        self.sender.ready().await.context("connection closed")?;
        let response = self
            .sender
            .send_request(request)
            .await
            .context("no answer")?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.context("answer cut off")?.to_bytes();
        let text = |value: &hyper::header::HeaderValue| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head
                .headers
                .iter()
                .map(|(name, value)| (name.as_str().to_owned(), text(value)))
                .collect(),
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }
}

/// Opens a connection, makes the call, closes. The error says what was not reached, or what did not come in time.
pub async fn call(resolver: &Resolver, call: &Call) -> Result<Answer> {
    let limit = Duration::from_millis(call.timeout_ms);
    let exchange = async {
        let mut connection = Connection::start(connect(resolver, &call.address).await?).await?;
        connection.send(call).await
    };
    match tokio::time::timeout(limit, exchange).await {
        Ok(answer) => answer,
        Err(_) => bail!(
            "no answer from {}{} within {limit:?}",
            call.address,
            call.path
        ),
    }
}

/// Connects to `host:port`.
pub async fn connect(resolver: &Resolver, address: &str) -> Result<TcpStream> {
    let (host, port) = address
        .rsplit_once(':')
        .with_context(|| format!("{address} has no port"))?;
    let port: u16 = port
        .parse()
        .with_context(|| format!("{address}: the port is not a number"))?;
    let ip = resolver.resolve(host).await?;
    TcpStream::connect((ip, port))
        .await
        .with_context(|| format!("connecting to {address}"))
}

/// Clients leave the default port out of `Host` (RFC 9110, section 4.2.3).
fn host_header(address: &str) -> &str {
    address.strip_suffix(":80").unwrap_or(address)
}
