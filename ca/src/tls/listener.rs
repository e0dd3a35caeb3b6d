//! Connections out of sockets: handshakes run side by side, each with a time limit.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use super::clients;
use crate::settings::Handshakes;

/// What is known about the other end of a TLS connection. Requests have it among their extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Where it comes from.
    pub remote: SocketAddr,
    /// The identities of its certificate, which has been verified; empty: it showed none.
    pub identities: Arc<[String]>,
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
}

impl Connection {
    /// The other end.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Connections as they become ready. Dropping it closes the socket and ends all handshakes.
#[derive(Debug)]
pub struct Incoming {
    connections: mpsc::Receiver<Connection>,
    _accepting: JoinSet<()>,
}

impl Incoming {
    /// The next connection; `None` never comes while the runtime lives.
    pub async fn accept(&mut self) -> Option<Connection> {
        self.connections.recv().await
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.connections.poll_recv(context).map(|next| next.map(Ok))
    }
}

/// Ready connections that wait to be taken.
const READY: usize = 64;
/// After an error of the socket (no more file descriptors, say) nothing is accepted for so long.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections from a socket. Must be called within a runtime.
///
/// A peer that is slow holds one of the places for handshakes until its time is over; nobody else waits for it while
/// there are places.
pub fn listen(socket: TcpListener, config: Arc<ServerConfig>, limits: Handshakes) -> Incoming {
    let (sender, connections) = mpsc::channel(READY);
    let mut accepting = JoinSet::new();
    accepting.spawn(accept(socket, config, limits, sender));
    Incoming {
        connections,
        _accepting: accepting,
    }
}

async fn accept(
    socket: TcpListener,
    config: Arc<ServerConfig>,
    limits: Handshakes,
    sender: mpsc::Sender<Connection>,
) {
    let acceptor = TlsAcceptor::from(config);
    let places = Arc::new(Semaphore::new(limits.at_once.max(1)));
    let mut handshakes = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            () = sender.closed() => return,
            accepted = socket.accept() => accepted,
        };
        while handshakes.try_join_next().is_some() {}
        match accepted {
            Ok((stream, remote)) => {
                let acceptor = acceptor.clone();
                let sender = sender.clone();
                handshakes.spawn(async move {
                    let done = handshake(&acceptor, stream, remote, limits.timeout).await;
                    if let Some(connection) = done {
                        deliver(&sender, connection, place).await;
                    }
                });
            }
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The place is held until the connection is taken, so that ready connections cannot pile up.
async fn deliver(
    sender: &mpsc::Sender<Connection>,
    connection: Connection,
    place: OwnedSemaphorePermit,
) {
    // Nobody takes connections any more: the server is going down.
    let _ = sender.send(connection).await;
    drop(place);
}

async fn handshake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    remote: SocketAddr,
    timeout: Duration,
) -> Option<Connection> {
    // Answers are small and awaited.
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(timeout, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            // Scanners and health checks fail here all day; somebody with a wrong certificate is another matter.
            if is_certificate_error(&error) {
                warn!(%remote, %error, "client certificate refused");
            } else {
                debug!(%remote, %error, "handshake failed");
            }
            return None;
        }
        Err(_) => {
            debug!(%remote, "handshake took too long");
            return None;
        }
    };
    let shown = stream.get_ref().1.peer_certificates();
    let identities = match shown.and_then(|certificates| certificates.first()) {
        None => Vec::new(),
        // It has been verified, so it has an identity.
        Some(certificate) => vec![clients::identity(certificate).ok()?.to_string()],
    };
    let peer = Peer {
        remote,
        identities: identities.into(),
    };
    Some(Connection { stream, peer })
}

fn is_certificate_error(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}
