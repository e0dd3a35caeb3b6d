//! How fast new streams may open. Istio 1.31: PILOT_MAX_REQUESTS_PER_SECOND, with a burst of one and a wait of a second.

use std::num::NonZeroU32;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};
use tonic::Status;

/// Who would wait longer is refused, so that it tries another replica.
const PATIENCE: Duration = Duration::from_secs(1);

/// Gives every new stream its turn.
pub(super) struct Pace {
    between: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self {
            between: Duration::from_secs(1) / per_second.get(),
            next: Mutex::new(None),
        }
    }

    /// Waits for a turn. A stream that gives up while it waits leaves its turn unused.
    pub(super) async fn admit(&self) -> Result<(), Status> {
        let turn = self.turn(Instant::now()).ok_or_else(|| {
            Status::resource_exhausted(format!(
                "request rate limit exceeded: no turn for a new stream within {PATIENCE:?}"
            ))
        })?;
        sleep_until(turn).await;
        Ok(())
    }

    fn turn(&self, now: Instant) -> Option<Instant> {
        let mut next = self.next.lock();
        let turn = next.map_or(now, |next| next.max(now));
        if turn.duration_since(now) > PATIENCE {
            return None;
        }
        *next = Some(turn + self.between);
        Some(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_get_their_turns_in_order_and_the_last_are_refused() {
        let pace = Pace::new(NonZeroU32::new(10).unwrap());
        let start = Instant::now();
        let turns: Vec<Option<Duration>> = (0..12)
            .map(|_| pace.turn(start).map(|turn| turn - start))
            .collect();
        let expected = (0..=10).map(|n| Some(Duration::from_millis(100) * n));
        assert_eq!(turns, expected.chain([None]).collect::<Vec<_>>());
        let later = start + Duration::from_secs(5);
        assert_eq!(pace.turn(later), Some(later), "unused time is not saved up");
    }
}
