//! Counts results in the output of test programs.

/// How many tests passed, failed and were skipped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    /// Tests that passed for libtest and said that they were skipped.
    pub(crate) said_skipped: u64,
}

impl Tally {
    /// Reads a line. Libtest's summary counts; a test that finds its material absent says `skipped: why` and passes for
    /// libtest, but not for us.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("test result: ") {
            let counts = rest
                .split(['.', ';'])
                .filter_map(|part| part.trim().split_once(' '));
            for (count, what) in counts {
                let Ok(count) = count.parse::<u64>() else {
                    continue;
                };
                match what {
                    "passed" => self.passed += count,
                    "failed" => self.failed += count,
                    "ignored" => self.skipped += count,
                    _ => {}
                }
            }
        } else if line.starts_with("skipped: ") {
            self.said_skipped += 1;
        }
    }

    /// Moves those that said so from the passed to the skipped: they say it before libtest counts them.
    pub(crate) fn settle(&mut self) {
        let moved = self.said_skipped.min(self.passed);
        self.passed -= moved;
        self.skipped += moved;
        self.said_skipped = 0;
    }

    /// Adds another count.
    pub(crate) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.said_skipped += other.said_skipped;
    }

    /// Whether nothing was counted.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_libtest_prints() {
        for (lines, expected) in [
            (
                &[
                    "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 1 filtered out; finished in 0.10s",
                ][..],
                (12, 0, 3),
            ),
            (
                &["test result: FAILED. 5 passed; 1 failed; 0 ignored; 0 measured"],
                (5, 1, 0),
            ),
            (
                &[
                    "test result: ok. 2 passed; 0 failed; 0 ignored",
                    "test result: ok. 1 passed; 0 failed; 0 ignored",
                ],
                (3, 0, 0),
            ),
            (&["test a ... ok", "running 5 tests"], (0, 0, 0)),
            (
                &[
                    "skipped: no corpus",
                    "test result: ok. 2 passed; 0 failed; 0 ignored",
                ],
                (1, 0, 1),
            ),
        ] {
            let mut tally = Tally::default();
            lines.iter().for_each(|line| tally.read(line));
            tally.settle();
            assert_eq!(
                (tally.passed, tally.failed, tally.skipped),
                expected,
                "{lines:?}"
            );
        }
    }
}
