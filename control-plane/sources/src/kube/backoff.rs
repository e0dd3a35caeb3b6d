//! How long to wait before asking again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use super::Patience;

/// Grows with every failure, with jitter, so that a thousand replicas do not ask in the same moment.
#[derive(Debug)]
pub(super) struct Backoff {
    patience: Patience,
    failures: u32,
    last: Option<Instant>,
}

impl Backoff {
    pub(super) fn new(patience: Patience) -> Self {
        Self {
            patience,
            failures: 0,
            last: None,
        }
    }

    /// After one more failure; `asked` is what the server asked for, and is granted up to the longest wait.
    pub(super) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let now = Instant::now();
        // A failure now and then is not many failures.
        if self
            .last
            .is_some_and(|last| now.duration_since(last) > 4 * self.patience.longest)
        {
            self.failures = 0;
        }
        self.last = Some(now);
        let wait = wait(&self.patience, self.failures, jitter());
        self.failures = self.failures.saturating_add(1);
        wait.max(asked.unwrap_or_default())
            .min(self.patience.longest)
    }

    /// How many failures there were in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Something came: the next failure is a first one.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }
}

/// Doubles with every failure; `jitter` is between 0.5 and 1.5.
fn wait(patience: &Patience, failures: u32, jitter: f64) -> Duration {
    let doubled = patience
        .shortest
        .saturating_mul(2_u32.saturating_pow(failures.min(16)));
    doubled
        .min(patience.longest)
        .mul_f64(jitter)
        .min(patience.longest)
}

/// Between 0.5 and 1.5. The standard library seeds its hashers at random; nothing else here needs chance.
fn jitter() -> f64 {
    let chance = RandomState::new().hash_one(0_u8) >> 32;
    0.5 + f64::from(u32::try_from(chance).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let patience = Patience::default();
        for (failures, jitter, millis) in [
            (0, 1.0, 800),
            (0, 0.5, 400),
            (1, 1.0, 1_600),
            (3, 1.5, 9_600),
            (5, 1.0, 25_600),
            (5, 1.5, 30_000),
            (6, 0.5, 15_000),
            (u32::MAX, 1.5, 30_000),
        ] {
            let found = wait(&patience, failures, jitter);
            assert_eq!(found, Duration::from_millis(millis), "{failures} {jitter}");
        }
    }

    #[test]
    fn chance_stays_in_its_bounds() {
        let found: Vec<f64> = (0..1_000).map(|_| jitter()).collect();
        assert!(found.iter().all(|j| (0.5..=1.5).contains(j)));
        assert!(found.iter().any(|j| *j < 0.9) && found.iter().any(|j| *j > 1.1));
    }

    #[tokio::test(start_paused = true)]
    async fn success_or_long_quiet_makes_the_next_failure_a_first_one() {
        let patience = Patience::default();
        let mut backoff = Backoff::new(patience);
        let first = Duration::from_millis(1_200);
        for _ in 0..6 {
            backoff.next(None);
        }
        assert!(backoff.next(None) > first);
        backoff.succeeded();
        assert!(backoff.next(None) <= first);
        for _ in 0..6 {
            backoff.next(None);
        }
        tokio::time::advance(5 * patience.longest).await;
        assert!(backoff.next(None) <= first);
        assert_eq!(
            backoff.next(Some(Duration::from_secs(20))),
            Duration::from_secs(20)
        );
        assert_eq!(
            backoff.next(Some(Duration::from_secs(900))),
            patience.longest
        );
    }
}
