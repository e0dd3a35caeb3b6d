//! How long to wait before the next attempt.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// Waits that double with every failure, with jitter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    /// The wait after the first failure.
    pub(crate) first: Duration,
    /// The longest wait.
    pub(crate) longest: Duration,
}

impl Backoff {
    /// The wait after so many failures in a row: between half of the doubled wait and the whole of it, so that
    /// replicas that failed together do not come back together.
    pub(crate) fn delay(&self, failures: u32) -> Duration {
        if failures == 0 {
            return Duration::ZERO;
        }
        let factor = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
        let whole = self.first.saturating_mul(factor).min(self.longest);
        spread(whole / 2, whole)
    }
}

/// A random duration between the two.
pub(crate) fn spread(from: Duration, to: Duration) -> Duration {
    from + to.saturating_sub(from).mul_f64(fraction())
}

/// A number in `[0, 1)`. Every `RandomState` has keys of its own, so its hash of nothing is random enough for jitter.
fn fraction() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let fraction = bits as f64 / (1_u64 << 53) as f64;
    fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_millis(100),
        longest: Duration::from_secs(60),
    };

    #[test]
    fn waits_double_up_to_the_longest() {
        let rows = [
            (0, 0, 0),
            (1, 50, 100),
            (2, 100, 200),
            (5, 800, 1_600),
            (10, 25_600, 51_200),
            (11, 30_000, 60_000),
            (40, 30_000, 60_000),
            (u32::MAX, 30_000, 60_000),
        ];
        for (failures, least, most) in rows {
            for _ in 0..50 {
                let delay = BACKOFF.delay(failures).as_millis();
                assert!(
                    (least..=most).contains(&delay),
                    "{failures} failures: {delay} ms"
                );
            }
        }
    }

    #[test]
    fn waits_differ() {
        let delays: std::collections::BTreeSet<_> = (0..20).map(|_| BACKOFF.delay(11)).collect();
        assert!(delays.len() > 10, "{delays:?}");
    }
}
