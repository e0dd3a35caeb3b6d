//! The pool that signs. A signature is a millisecond of a core; ten thousand proxies that come back at once must not take
//! the threads that push configuration.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::metrics::Metrics;
use crate::settings::Signing;

/// Blocking threads for signing, no more than there are slots, and a queue with an end.
#[derive(Debug, Clone)]
pub struct Pool {
    /// One permit for each thread.
    slots: Arc<Semaphore>,
    /// One permit for each request that is being signed or waits.
    places: Arc<Semaphore>,
    metrics: Metrics,
}

/// Too many requests are waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many certificate requests are waiting")]
pub struct Busy;

impl Pool {
    /// A pool of this size.
    pub fn new(settings: Signing, metrics: Metrics) -> Self {
        let threads = settings.threads.max(1);
        let places = threads
            .saturating_add(settings.queue)
            .min(Semaphore::MAX_PERMITS);
        Self {
            slots: Arc::new(Semaphore::new(threads)),
            places: Arc::new(Semaphore::new(places)),
            metrics,
        }
    }

    /// Runs some work on a thread of the pool, when one is free. Work whose caller went away before it began is dropped.
    ///
    /// # Errors
    /// The queue is full, or the runtime is shutting down.
    pub async fn run<T, F>(&self, work: F) -> Result<T, Busy>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let place = self.places.clone().try_acquire_owned().map_err(|_| {
            self.metrics.busy.inc();
            Busy
        })?;
        let _counted = Counted::new(&self.metrics);
        let slot = self.slots.clone().acquire_owned().await.map_err(|_| Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            // A caller may go away; the thread is busy until the work is done.
            let _held = (place, slot);
            work()
        });
        done.await.map_err(|_| Busy)
    }
}

struct Counted<'a>(&'a Metrics);

impl<'a> Counted<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.signing.inc();
        Self(metrics)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.signing.dec();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_full_queue_refuses_and_an_empty_one_takes_again() {
        let settings = Signing {
            threads: 1,
            queue: 1,
        };
        let pool = Pool::new(settings, Metrics::default());
        let (release, gate) = mpsc::channel::<()>();
        let blocked = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(move || gate.recv().is_err()).await }
        });
        while pool.slots.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let waiting = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(|| 7).await }
        });
        while pool.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.metrics.signing.get(), 2);
        assert_eq!(pool.run(|| 8).await, Err(Busy));
        assert_eq!(pool.metrics.busy.get(), 1);
        release.send(()).unwrap();
        assert_eq!(blocked.await.unwrap(), Ok(false));
        assert_eq!(waiting.await.unwrap(), Ok(7));
        assert_eq!(pool.run(|| 9).await, Ok(9));
        assert_eq!(pool.metrics.signing.get(), 0);
    }
}
