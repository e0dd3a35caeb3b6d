//! kube's watcher, and what is done about its errors.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::runtime::watcher::{Config, Error, Event, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, warn};

use super::Patience;
use super::backoff::Backoff;

/// Whether lists are asked for as watches (`sendInitialEvents`). One API server: all feeds share it.
#[derive(Debug, Clone)]
pub(super) struct Streaming(Arc<AtomicBool>);

/// The first version whose API servers have streaming lists switched on. Older ones may ignore the question and leave
/// the end of the list unsaid, so they are not asked.
const STREAMING_SINCE: (u32, u32) = (1, 34);

impl Streaming {
    /// By the version of the API server; no, when it does not tell.
    pub(super) async fn asked(client: &Client, patience: &Patience) -> Self {
        let version = timeout(patience.list, client.apiserver_version()).await;
        let served = match version {
            Ok(Ok(version)) => {
                let number = |text: &str| -> u32 {
                    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
                    digits.parse().unwrap_or(0)
                };
                (number(&version.major), number(&version.minor)) >= STREAMING_SINCE
            }
            _ => false,
        };
        debug!(served, "streaming lists");
        Self(Arc::new(AtomicBool::new(served)))
    }

    fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn config(&self, base: &Config) -> Config {
        let config = base.clone();
        if self.is_on() {
            config.streaming_lists()
        } else {
            config
        }
    }
}

/// Why a feed has nothing to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The API server does not know the kind.
    NotServed,
    /// The API server says no: somebody must act.
    Refused(String),
    /// It cannot be reached, or fails: it is asked again. How often that was so in a row.
    Failed(u32),
    /// No trouble any more: the last try did not fail.
    Over,
}

/// A try that did not fail for so long has succeeded: the watcher does not tell. Longer than a connection may take.
const SUCCEEDED: Duration = Duration::from_secs(15);

/// The events of one kind, for ever.
pub(super) struct Feed<K: Resource> {
    api: Api<K>,
    config: Config,
    streaming: Streaming,
    patience: Patience,
    backoff: Backoff,
    stream: BoxStream<'static, Result<Event<K>, Error>>,
    /// Whether the list is not complete.
    listing: bool,
    /// Until when to wait before asking again.
    pause: Option<Instant>,
    /// Whether there was trouble that is not over.
    troubled: bool,
}

impl<K> Feed<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    pub(super) fn new(
        api: Api<K>,
        config: Config,
        streaming: Streaming,
        patience: Patience,
    ) -> Self {
        let stream = watcher(api.clone(), streaming.config(&config)).boxed();
        Self {
            api,
            config,
            streaming,
            patience,
            backoff: Backoff::new(patience),
            stream,
            listing: true,
            pause: None,
            troubled: false,
        }
    }

    /// The next event, or what is in the way of it; it may be asked again at once, and waits as long as it should.
    pub(super) async fn next(&mut self) -> Result<Event<K>, Trouble> {
        if let Some(pause) = self.pause {
            sleep_until(pause).await;
            self.pause = None;
        }
        let patience = match (self.listing, self.troubled) {
            (true, _) => Some(self.patience.list),
            (false, true) => Some(SUCCEEDED),
            (false, false) => None,
        };
        let next = match patience {
            None => self.stream.next().await,
            Some(patience) => match timeout(patience, self.stream.next()).await {
                Ok(next) => next,
                Err(_) if self.listing => {
                    debug!("a list takes too long");
                    self.again();
                    return Err(self.trouble());
                }
                Err(_) => {
                    self.troubled = false;
                    return Err(Trouble::Over);
                }
            },
        };
        match next {
            Some(Ok(event)) => {
                match &event {
                    Event::Init => self.listing = true,
                    Event::InitApply(_) => {}
                    Event::InitDone => self.listing = false,
                    Event::Apply(_) | Event::Delete(_) => {
                        self.backoff.succeeded();
                        self.troubled = false;
                    }
                }
                Ok(event)
            }
            Some(Err(error)) => Err(self.failed(&error)),
            // The watcher's stream does not end.
            None => {
                self.again();
                Err(self.trouble())
            }
        }
    }

    fn failed(&mut self, error: &Error) -> Trouble {
        debug!(%error, "watch failed");
        let code = code_of(error);
        match (error, code) {
            // Streaming lists are switched off.
            (Error::WatchStartFailed(_), Some(400 | 422)) if self.listing => {
                self.streaming.0.store(false, Ordering::Relaxed);
                self.again();
            }
            // The storage behind the API server cannot stream lists (etcd before 3.4.31 and 3.5.13); the stream itself
            // says so, and only a streaming list is a stream. Another feed may have heard it before.
            (Error::WatchError(_), Some(500)) if self.listing => {
                self.streaming.0.store(false, Ordering::Relaxed);
                self.again();
            }
            // The watcher would ask for the same version for ever.
            (Error::WatchStartFailed(_), Some(404 | 410)) => self.again(),
            // An event that could not be read is lost to the watcher.
            (Error::WatchFailed(kube::Error::SerdeError(found)), _) => {
                warn!(error = %found, "an event cannot be read; listing again");
                self.again();
            }
            _ => self.pause(retry_after(error)),
        }
        match code {
            Some(404) => Trouble::NotServed,
            Some(401 | 403) => Trouble::Refused(why(error)),
            _ => self.trouble(),
        }
    }

    fn trouble(&self) -> Trouble {
        Trouble::Failed(self.backoff.failures())
    }

    fn pause(&mut self, asked: Option<Duration>) {
        self.troubled = true;
        self.pause = Some(Instant::now() + self.backoff.next(asked));
    }

    /// Begins from the list, after a pause.
    fn again(&mut self) {
        self.stream = watcher(self.api.clone(), self.streaming.config(&self.config)).boxed();
        self.listing = true;
        self.pause(None);
    }
}

/// The API server's sentence.
fn why(error: &Error) -> String {
    status_of(error).map_or_else(|| error.to_string(), |status| status.message.clone())
}

fn status_of(error: &Error) -> Option<&kube::core::Status> {
    match error {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status))
        | Error::WatchFailed(kube::Error::Api(status))
        | Error::WatchError(status) => Some(status),
        _ => None,
    }
}

fn code_of(error: &Error) -> Option<u16> {
    status_of(error).map(|status| status.code)
}

/// How long the API server asks to be left alone.
fn retry_after(error: &Error) -> Option<Duration> {
    let seconds = status_of(error)?.details.as_ref()?.retry_after_seconds;
    (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
}
