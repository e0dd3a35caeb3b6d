//! The webhooks that the API server calls, at 15017.

pub mod validate;

use std::io;
use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::serve::Listener;
use meltemi_ca::tls::{Connection, Incoming};
use tokio_util::sync::CancellationToken;

/// Connections with TLS, as axum takes them.
struct Encrypted {
    incoming: Incoming,
    address: SocketAddr,
}

impl Listener for Encrypted {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        match self.incoming.accept().await {
            Some(connection) => {
                let remote = connection.peer().remote;
                (connection, remote)
            }
            // The runtime is going down.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Serves until `ended` is cancelled; requests that are being answered are finished.
pub(crate) async fn serve(
    incoming: Incoming,
    address: SocketAddr,
    pages: Router,
    ended: CancellationToken,
) -> anyhow::Result<()> {
    axum::serve(Encrypted { incoming, address }, pages)
        .with_graceful_shutdown(async move { ended.cancelled().await })
        .await
        .context("serving the webhooks")
}
