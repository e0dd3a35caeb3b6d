//! Relays between this machine's loopback and the node's network namespace. A Unix socket is a file, so it joins two
//! network namespaces without touching either.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Connects everything that arrives at a TCP listener to a Unix socket.
pub(crate) async fn tcp_to_unix(listener: TcpListener, socket: PathBuf) -> Result<()> {
    loop {
        let (mut client, _) = listener.accept().await.context("relay")?;
        let socket = socket.clone();
        tokio::spawn(async move {
            if let Ok(mut server) = UnixStream::connect(&socket).await {
                // Either side may end the connection as it likes.
                let _ended = copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}

/// Connects everything that arrives at a Unix socket to the address that `target` gives at that moment.
pub(crate) async fn unix_to_tcp<F>(listener: UnixListener, target: F) -> Result<()>
where
    F: Fn() -> Option<SocketAddr> + Send,
{
    loop {
        let (mut client, _) = listener.accept().await.context("relay")?;
        let target = target();
        tokio::spawn(async move {
            if let Some(target) = target
                && let Ok(mut server) = TcpStream::connect(target).await
            {
                let _ended = copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn bytes_pass_both_ways_and_ends_too() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("relay");
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = server.local_addr().unwrap();
        let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = front.local_addr().unwrap();
        let unix = UnixListener::bind(&socket).unwrap();
        tokio::spawn(unix_to_tcp(unix, move || Some(target)));
        tokio::spawn(tcp_to_unix(front, socket));
        let echo = tokio::spawn(async move {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            stream
                .write_all(text.to_uppercase().as_bytes())
                .await
                .unwrap();
        });
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "HELLO");
        echo.await.unwrap();
    }
}
