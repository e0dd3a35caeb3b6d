//! Waiting for a condition by asking again, with a deadline.

use std::time::Duration;

use tokio::time::{Instant, sleep};

const PAUSE: Duration = Duration::from_millis(50);

/// The time that is left for something to happen.
#[derive(Debug)]
pub(crate) struct Patience {
    deadline: Instant,
}

impl Patience {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            deadline: Instant::now() + limit,
        }
    }

    /// Pauses before the next question; false when there is no time left for one.
    pub(crate) async fn lasts(&self) -> bool {
        if Instant::now() >= self.deadline {
            return false;
        }
        sleep(PAUSE).await;
        true
    }
}

/// Asks until there is an answer; `None` when the limit has passed.
pub(crate) async fn until<T, F, R>(limit: Duration, mut ask: F) -> Option<T>
where
    F: FnMut() -> R,
    R: Future<Output = Option<T>>,
{
    let patience = Patience::new(limit);
    loop {
        if let Some(answer) = ask().await {
            return Some(answer);
        }
        if !patience.lasts().await {
            return None;
        }
    }
}
