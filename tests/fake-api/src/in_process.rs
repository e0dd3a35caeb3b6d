//! The server as a service in this process: requests and answers are passed, no bytes cross a socket.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Request, Response};
use futures::{StreamExt, TryStreamExt, stream};
use tower_service::Service;

use crate::http::{self, CutOff};
use crate::state::Shared;

/// A client's end of a [`FakeApi`](crate::FakeApi) that needs no network.
#[derive(Clone)]
pub struct InProcess {
    shared: Arc<Shared>,
}

impl InProcess {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InProcess").finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for InProcess
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = self.shared.clone();
        Box::pin(async move {
            if shared.read(|state| state.down) {
                return Err(CutOff.into());
            }
            let down = shared.until(|state| state.down.then_some(()));
            // A client that does not wait any longer does not stop the server.
            let answer = tokio::spawn(http::answer(request, shared.clone()));
            let response = tokio::select! {
                biased;
                () = down => return Err(CutOff.into()),
                answer = answer => answer??,
            };
            Ok(response.map(|body| cut_when_down(body, shared)))
        })
    }
}

/// The body, which breaks when the server goes down.
fn cut_when_down(body: Body, shared: Arc<Shared>) -> Body {
    let waiting = shared.clone();
    let down = async move { waiting.until(|state| state.down.then_some(())).await };
    let broken = stream::once(async move {
        let down = shared.read(|state| state.down);
        down.then(|| Err(io::Error::other(CutOff)))
    });
    let data = body.into_data_stream().map_err(io::Error::other);
    let broken = broken.filter_map(futures::future::ready);
    Body::from_stream(data.take_until(Box::pin(down)).chain(broken))
}
