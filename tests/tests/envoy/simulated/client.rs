//! Makes a call, and reads what became of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use meltemi_simulator::{Call, Mode, Protocol, Resources, Tls};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, crypto};

/// What a client sees. All absent: the connection was closed without a word.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) status: Option<u16>,
    pub(super) cluster: Option<String>,
    pub(super) virtual_host: Option<String>,
    pub(super) route: Option<String>,
    pub(super) host: Option<String>,
    pub(super) path: Option<String>,
    pub(super) location: Option<String>,
}

/// Sends the call to the door of its listener.
pub(super) async fn send(
    call: &Call,
    resources: &Resources,
    doors: &BTreeMap<String, u16>,
) -> Seen {
    let door = match call.mode {
        Mode::Outbound => doors.get("virtualOutbound"),
        Mode::Inbound => doors.get("virtualInbound"),
        Mode::Direct => {
            let name = format!("0.0.0.0_{}", call.port);
            doors
                .get(&name)
                .filter(|_| resources.listeners.contains_key(&name))
        }
    };
    let Some(port) = door else {
        return Seen::default();
    };
    let exchange = exchange(*port, payload(call));
    let answer = tokio::time::timeout(crate::PATIENCE, exchange).await;
    read(&answer.expect("Envoy answers or closes").unwrap_or_default())
}

async fn exchange(port: u16, payload: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(&payload).await?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    // Envoy holds a connection open for a while after it said all; what it says is short.
    while !is_whole(&answer) {
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => answer.extend_from_slice(&buffer[..read]),
            // A reset is an end like any other.
            _ => break,
        }
    }
    Ok(answer)
}

/// Whether an answer has its headers, or its line.
fn is_whole(answer: &[u8]) -> bool {
    let headers = answer.windows(4).any(|bytes| bytes == b"\r\n\r\n");
    headers || (answer.starts_with(b"cluster ") && answer.ends_with(b"\n"))
}

fn payload(call: &Call) -> Vec<u8> {
    let mut bytes = format!(
        "PROXY TCP4 {} {} {} {}\r\n",
        call.source, call.address, call.source_port, call.port
    )
    .into_bytes();
    match (call.tls, call.protocol) {
        (Tls::Plaintext, Protocol::Tcp) => {
            bytes.extend_from_slice(b"\x01\x02\x03\x04 no HTTP\r\n\r\n")
        }
        (Tls::Plaintext, _) => bytes.extend_from_slice(request(call).as_bytes()),
        _ => bytes.extend(hello(call)),
    }
    bytes
}

fn request(call: &Call) -> String {
    let mut text = format!(
        "{} {} HTTP/1.1\r\nhost: {}\r\n",
        call.method, call.path, call.host
    );
    for (name, value) in &call.headers {
        text += &format!("{name}: {value}\r\n");
    }
    text + "content-length: 0\r\nconnection: close\r\n\r\n"
}

/// The first bytes of a TLS handshake. It is never ended: whoever gets them tells who it is.
fn hello(call: &Call) -> Vec<u8> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = call
        .alpn
        .iter()
        .map(|name| name.clone().into_bytes())
        .collect();
    config.enable_sni = !call.sni.is_empty();
    let name = match call.sni.as_str() {
        "" => ServerName::from(call.address),
        name => ServerName::try_from(name.to_owned()).expect("a server name"),
    };
    let mut connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut bytes = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut bytes).expect("bytes in memory");
    }
    bytes
}

fn read(answer: &[u8]) -> Seen {
    let text = String::from_utf8_lossy(answer);
    if let Some(line) = text.strip_prefix("cluster ") {
        return Seen {
            cluster: Some(line.trim_end().to_owned()),
            ..Seen::default()
        };
    }
    let mut lines = text.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers: BTreeMap<String, String> = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let header = |name: &str| headers.get(name).cloned();
    Seen {
        status,
        cluster: header("x-cluster"),
        virtual_host: header("x-virtual-host"),
        // Envoy writes `-` for a name that is empty, or leaves the header out.
        route: header("x-route").filter(|name| name != "-"),
        host: header("x-host"),
        path: header("x-path"),
        location: header("location"),
    }
}
