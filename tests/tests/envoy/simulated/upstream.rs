//! A server for each cluster, which tells the cluster's name and what it was sent.

use std::collections::BTreeMap;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub(super) struct Upstreams {
    /// The port of each cluster's server, on 127.0.0.1.
    pub(super) ports: BTreeMap<String, u16>,
    servers: JoinSet<()>,
}

impl Upstreams {
    pub(super) async fn start(clusters: impl Iterator<Item = &String>) -> Self {
        let mut ports = BTreeMap::new();
        let mut servers = JoinSet::new();
        for cluster in clusters {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let port = listener.local_addr().expect("an address").port();
            ports.insert(cluster.clone(), port);
            let cluster = cluster.clone();
            servers.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    // A client that goes away is no failure of the server.
                    let _ = answer(stream, &cluster).await;
                }
            });
        }
        Self { ports, servers }
    }

    pub(super) async fn stop(mut self) {
        self.servers.shutdown().await;
    }
}

/// HTTP is answered with HTTP, anything else with a line.
async fn answer(mut stream: TcpStream, cluster: &str) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await?;
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request);
        let http = request.first().is_some_and(u8::is_ascii_uppercase);
        if !http || read == 0 {
            stream
                .write_all(format!("cluster {cluster}\n").as_bytes())
                .await?;
            break;
        }
        if text.contains("\r\n\r\n") {
            let path = text.split(' ').nth(1).unwrap_or_default();
            let host = text.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("host").then(|| value.trim())
            });
            let host = host.unwrap_or_default();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nx-cluster: {cluster}\r\nx-path: {path}\r\nx-host: {host}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await?;
            break;
        }
    }
    stream.shutdown().await
}
