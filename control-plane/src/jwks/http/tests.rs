//! The client against a server on loopback.

use std::time::Duration;

use meltemi_model::security::KeySource;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::jwks::fetch::fetch;
use crate::jwks::metrics::Metrics;

const KEYS: &str = r#"{"keys":[]}"#;

/// A server that answers each path with what is written for it; what is written nowhere hangs.
struct Server {
    address: SocketAddr,
    /// The heads of the requests.
    heads: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

impl Server {
    async fn start(pages: &[(&str, String)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let pages: Vec<(String, String)> = pages
            .iter()
            .map(|(path, answer)| {
                let own = answer.replace("{address}", &address.to_string());
                ((*path).to_owned(), own)
            })
            .collect();
        let seen = Arc::clone(&heads);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut hanging = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                let mut buffer = [0; 4096];
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut buffer).await {
                        Ok(n) if n > 0 => head.extend_from_slice(&buffer[..n]),
                        _ => break,
                    }
                }
                let head = String::from_utf8(head).unwrap();
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                seen.lock().push(head);
                match pages.iter().find(|(known, _)| *known == path) {
                    Some((_, answer)) => {
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                    None => hanging.push(stream),
                }
            }
        });
        Self {
            address,
            heads,
            _task: task,
        }
    }

    fn uri(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn moved(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
}

fn client(settings: &Settings) -> Client {
    Client::new(settings, &[]).unwrap()
}

#[tokio::test]
async fn documents_errors_redirections_and_limits() {
    let endless = "HTTP/1.1 200 OK\r\n\r\n".to_owned() + &"x".repeat(MOST_BYTES + 1);
    let server = Server::start(&[
        ("/keys?v=1", ok(KEYS)),
        (
            "/missing",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 6\r\n\r\nsecret".to_owned(),
        ),
        ("/moved", moved("http://{address}/keys?v=1")),
        ("/a/relative", moved("../keys?v=1")),
        ("/absolute", moved("/keys?v=1")),
        ("/loop", moved("/loop")),
        ("/nowhere", moved("ftp://example.com/")),
        ("/oversize", ok(&"x".repeat(MOST_BYTES + 1))),
        ("/endless", endless),
        ("/broken", "nothing of HTTP\r\n\r\n".to_owned()),
        (
            "/short",
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort".to_owned(),
        ),
    ])
    .await;
    let client = client(&Settings::default());
    for (path, want) in [
        ("/keys?v=1", Ok(())),
        ("/moved", Ok(())),
        ("/absolute", Ok(())),
        ("/missing", Err("status 404")),
        ("/loop", Err("more than 10 redirections")),
        ("/nowhere", Err("is no http or https address")),
        ("/oversize", Err("longer than 1048576 bytes")),
        ("/endless", Err("longer than 1048576 bytes")),
        ("/broken", Err("HTTP: ")),
    ] {
        let found = client.get(&server.uri(path)).await;
        match (found, want) {
            (Ok(found), Ok(())) => assert_eq!(found, KEYS, "{path}"),
            (Err(error), Err(part)) => {
                let error = error.to_string();
                assert!(error.contains(part), "{path}: {error}");
                assert!(!error.contains("secret"), "{path}: {error}");
            }
            (found, _) => panic!("{path}: {found:?}"),
        }
    }
    let heads = server.heads.lock();
    let host = format!("host: {}\r\n", server.address);
    assert!(heads[0].contains(&host), "{}", heads[0]);
}

#[tokio::test]
async fn who_does_not_listen_or_has_no_address_is_said() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let client = client(&Settings::default());
    for (uri, part) in [
        (format!("http://{address}/"), "no connection"),
        ("http:///keys".to_owned(), "no http or https address"),
        ("file:///etc/passwd".to_owned(), "no http or https address"),
        (
            "http://no such host/".to_owned(),
            "no http or https address",
        ),
    ] {
        let error = client.get(&uri).await.unwrap_err().to_string();
        assert!(error.contains(part), "{uri}: {error}");
    }
}

#[tokio::test]
async fn blocked_addresses_are_not_asked_whoever_names_them() {
    let server = Server::start(&[
        ("/keys", ok(KEYS)),
        ("/moved", moved("http://169.254.169.254/latest/meta-data")),
    ])
    .await;
    let open = client(&Settings::default());
    let closed = client(&Settings {
        blocked: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        ..Settings::default()
    });
    assert!(open.get(&server.uri("/keys")).await.is_ok());
    let by_name = format!("http://localhost:{}/keys", server.address.port());
    for (client, uri) in [
        (&open, "http://169.254.169.254/keys".to_owned()),
        (&open, server.uri("/moved")),
        (&closed, server.uri("/keys")),
        (&closed, by_name),
    ] {
        let before = server.heads.lock().len();
        let error = client.get(&uri).await.unwrap_err();
        assert!(matches!(error, Error::Blocked(..)), "{uri}: {error}");
        let asked = server.heads.lock().len() - before;
        assert_eq!(asked, usize::from(uri.ends_with("/moved")), "{uri}");
    }
}

#[test]
fn addresses_that_are_never_asked() {
    let listed = ["10.0.0.0/8".parse().unwrap()];
    for (ip, want) in [
        ("192.0.2.1", false),
        ("127.0.0.1", false),
        ("10.1.2.3", true),
        ("169.254.169.254", true),
        ("224.0.0.1", true),
        ("100.100.100.200", true),
        ("100.100.100.201", false),
        ("fe80::1", true),
        ("ff02::1", true),
        ("ff12::1", true),
        ("fd00:ec2::254", true),
        ("fd00:ec3::254", false),
        ("2001:db8::1", false),
    ] {
        let found = blocked(ip.parse().unwrap(), &listed);
        assert_eq!(found.is_some(), want, "{ip}: {found:?}");
    }
}

#[tokio::test]
async fn discovery_names_the_address_and_requests_are_counted() {
    let server = Server::start(&[
        (
            "/realm/.well-known/openid-configuration",
            ok(r#"{"jwks_uri":"http://ADDRESS/certs"}"#),
        ),
        ("/certs", ok(KEYS)),
        ("/empty/.well-known/openid-configuration", ok("{}")),
    ])
    .await;
    let client = Arc::new(client(&Settings::default()));
    let metrics = Arc::<Metrics>::default();
    let of = |source: KeySource| {
        let (client, metrics) = (Arc::clone(&client), Arc::clone(&metrics));
        fetch(client, metrics, source, Duration::from_secs(20))
    };
    // The name of the host in the document is none, so that only what was discovered is asked.
    let issuer = KeySource::Issuer(server.uri("/realm/").into());
    let error = of(issuer).await.unwrap_err();
    assert!(error.starts_with("http://ADDRESS/certs: "), "{error}");
    let empty = of(KeySource::Issuer(server.uri("/empty").into())).await;
    assert!(empty.unwrap_err().contains("names no jwks_uri"));
    let found = of(KeySource::Uri(server.uri("/certs").into())).await;
    assert_eq!(found.as_deref(), Ok(KEYS));
    assert_eq!(metrics.counts(), (3, 1));
}

#[tokio::test]
async fn a_slow_server_costs_its_timeout_only() {
    let server = Server::start(&[]).await;
    let client = Arc::new(client(&Settings::default()));
    let source = KeySource::Uri(server.uri("/hangs").into());
    let timeout = Duration::from_millis(50);
    let found = fetch(client, Arc::default(), source, timeout).await;
    assert!(found.unwrap_err().contains("no answer within 50ms"));
}
