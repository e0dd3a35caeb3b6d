//! Watches that outlive outages of the API server.

use std::fmt::Debug;
use std::future::pending;
use std::pin::pin;

use futures::{Stream, StreamExt, future::ready};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The events of a kind, for ever. While the API server is away there are none, and nobody is told that something is
/// gone; when it is back it is asked again for everything. It is asked after 0.8 s and ever more slowly up to 30 s,
/// with jitter. An outage is logged when it begins and when it ends.
pub(crate) fn events<K>(
    api: Api<K>,
    config: watcher::Config,
    what: &'static str,
) -> impl Stream<Item = Event<K>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut away = false;
    watcher::watcher(api, config)
        .default_backoff()
        .filter_map(move |event| {
            ready(match event {
                Ok(event) => {
                    if std::mem::take(&mut away) {
                        tracing::info!(what, "watching again");
                    }
                    Some(event)
                }
                Err(error) => {
                    if std::mem::replace(&mut away, true) {
                        tracing::debug!(what, error = %text(&error), "watch failed again");
                    } else {
                        tracing::warn!(what, error = %text(&error), "watch failed, what is known stays");
                    }
                    None
                }
            })
        })
}

/// Never the text of a decoder: it may quote an object.
fn text(error: &watcher::Error) -> String {
    use watcher::Error;
    match error {
        Error::InitialListFailed(error)
        | Error::WatchStartFailed(error)
        | Error::WatchFailed(error) => match error {
            kube::Error::SerdeError(_) => "the answer cannot be read".into(),
            kube::Error::Api(status) => status.message.clone(),
            other => other.to_string(),
        },
        Error::WatchError(status) => status.message.clone(),
        Error::NoResourceVersion => "the list has no version".into(),
    }
}

/// Waits for a new value; for ever if there will be none.
pub(crate) async fn changed<T>(value: &mut watch::Receiver<T>) {
    if value.changed().await.is_err() {
        pending::<()>().await;
    }
}

/// Waits for a time; for ever without one.
pub(crate) async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => pending().await,
    }
}

/// Follows one object by its name until `stop`; `tell` has it whenever it was read or changed, `None` if there is none.
pub(crate) async fn one<K>(
    api: Api<K>,
    name: &str,
    what: &'static str,
    stop: CancellationToken,
    mut tell: impl FnMut(Option<K>) + Send,
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = pin!(events(api, config, what));
    let mut listed = None;
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            Some(event) = events.next() => event,
        };
        match event {
            Event::Init => listed = None,
            Event::InitApply(object) if named(&object, name) => listed = Some(object),
            Event::InitDone => tell(listed.take()),
            Event::Apply(object) if named(&object, name) => tell(Some(object)),
            Event::Delete(object) if named(&object, name) => tell(None),
            Event::InitApply(_) | Event::Apply(_) | Event::Delete(_) => {}
        }
    }
}

fn named<K: Resource>(object: &K, name: &str) -> bool {
    object.meta().name.as_deref() == Some(name)
}
