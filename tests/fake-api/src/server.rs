//! Accepting connections, and closing them all in an outage.

use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::http;
use crate::state::Shared;

/// Serves until it is aborted. The port stays ours in an outage: connections are accepted and closed at once, so that
/// nobody else can take the port.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((socket, _)) = accepted
                    && !shared.read(|state| state.down)
                {
                    connections.spawn(connection(socket, shared.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(socket: TcpStream, shared: Arc<Shared>) {
    let _ = socket.set_nodelay(true);
    let service = service_fn(|request| http::answer(request, shared.clone()));
    let served =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service);
    tokio::select! {
        _ = served => {}
        () = shared.until(|state| state.down.then_some(())) => {}
    }
}
