//! Durations, spelt as Go spells them.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SECOND: i64 = 1_000_000_000;

/// A signed span of time with the range and precision of Go's `time.Duration`.
///
/// Istio 1.31 reads durations with `jsonpb`, that is with Go's `time.ParseDuration`: `1.5s`, `1h2m`, `300ms`, `-1s` and
/// `0`, but not `5`. The CRDs agree: their `duration(self)` is the same function. Written as proto3 JSON: `1.500s`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration {
    nanos: i64,
}

impl Duration {
    /// A duration of so many nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self { nanos }
    }

    /// A duration of so many whole seconds; the longest there is when that does not fit.
    pub const fn from_secs(seconds: i64) -> Self {
        Self {
            nanos: seconds.saturating_mul(SECOND),
        }
    }

    /// The whole of it in nanoseconds.
    pub const fn as_nanos(self) -> i64 {
        self.nanos
    }

    /// The whole seconds, as in `google.protobuf.Duration.seconds`.
    pub const fn seconds(self) -> i64 {
        self.nanos / SECOND
    }

    /// The rest, of the same sign as the seconds, as in `google.protobuf.Duration.nanos`.
    pub const fn subsec_nanos(self) -> i32 {
        (self.nanos % SECOND) as i32
    }

    /// The standard library's duration; `None` when it is negative.
    pub fn to_std(self) -> Option<std::time::Duration> {
        u64::try_from(self.nanos)
            .ok()
            .map(std::time::Duration::from_nanos)
    }

    /// Reads a Go duration; the error says what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (negative, digits) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if digits == "0" {
            return Ok(Self::default());
        }
        if digits.is_empty() {
            return Err(format!(
                "{text:?} is not a duration; write a number with a unit, such as \"5s\""
            ));
        }
        let mut total: i128 = 0;
        let mut rest = digits;
        while !rest.is_empty() {
            let (span, after) = parse_span(rest).ok_or_else(|| wrong_span(text, rest))?;
            total += span;
            rest = after;
            if total > i128::from(i64::MAX) {
                return Err(format!(
                    "{text:?} is too long a duration; write one below 292 years"
                ));
            }
        }
        let total = if negative { -total } else { total };
        i64::try_from(total)
            .map(Self::from_nanos)
            .map_err(|_| format!("{text:?} is too long a duration"))
    }
}

fn wrong_span(text: &str, rest: &str) -> String {
    if rest.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return format!("{text:?} has no unit; write for instance \"{text}s\" for seconds");
    }
    format!(
        "{text:?} is not a duration; write numbers with the units h, m, s, ms, us or ns, such as \"1.5s\" or \"1m30s\""
    )
}

/// One number with its unit, in nanoseconds, and what follows it. Fractions below a nanosecond are dropped, as in Go.
fn parse_span(text: &str) -> Option<(i128, &str)> {
    let (whole, rest) = split_digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => split_digits(rest),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let end = rest
        .find(|c: char| c == '.' || c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    let unit: i128 = match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let whole = if whole.is_empty() {
        Some(0)
    } else {
        whole.parse::<u64>().ok()
    };
    // A number beyond 64 bits is too long in any unit; the caller's limit reports it.
    let mut nanos = whole.map_or(i128::from(u64::MAX), |whole| i128::from(whole) * unit);
    let digits = &fraction[..fraction.len().min(18)];
    if let (Ok(fraction), Ok(places)) = (digits.parse::<i128>(), u32::try_from(digits.len())) {
        nanos += fraction * unit / 10_i128.pow(places);
    }
    Some((nanos, rest))
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(
        text.bytes()
            .position(|b| !b.is_ascii_digit())
            .unwrap_or(text.len()),
    )
}

impl fmt::Display for Duration {
    /// As proto3 JSON writes it: seconds with 0, 3, 6 or 9 decimals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.nanos < 0 { "-" } else { "" };
        let nanos = self.nanos.unsigned_abs();
        let (seconds, rest) = (nanos / SECOND.unsigned_abs(), nanos % SECOND.unsigned_abs());
        match rest {
            0 => write!(f, "{sign}{seconds}s"),
            _ if rest.is_multiple_of(1_000_000) => {
                write!(f, "{sign}{seconds}.{:03}s", rest / 1_000_000)
            }
            _ if rest.is_multiple_of(1_000) => write!(f, "{sign}{seconds}.{:06}s", rest / 1_000),
            _ => write!(f, "{sign}{seconds}.{rest:09}s"),
        }
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Duration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"5s\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
                Duration::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_go_durations() {
        for (text, nanos) in [
            ("0", 0),
            ("-0", 0),
            ("5s", 5 * SECOND),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", SECOND),
            ("0.1s", 100_000_000),
            ("0.000000001s", 1),
            ("1.0000000019s", 1_000_000_001),
            ("300ms", 300_000_000),
            ("0.3ms", 300_000),
            ("1h2m3s", 3_723 * SECOND),
            ("0.1h", 360 * SECOND),
            ("7us", 7_000),
            ("7\u{b5}s", 7_000),
            ("-1m", -60 * SECOND),
            ("+1m", 60 * SECOND),
        ] {
            assert_eq!(
                Duration::parse(text),
                Ok(Duration::from_nanos(nanos)),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for (text, says) in [
            ("", "is not a duration"),
            ("-", "is not a duration"),
            ("5", "write for instance \"5s\""),
            ("1s2", "has no unit"),
            ("1.5", "has no unit"),
            ("s", "is not a duration"),
            (".s", "is not a duration"),
            ("1d", "units h, m, s"),
            ("5 s", "units h, m, s"),
            ("1s ", "units h, m, s"),
            ("9999999999999999999999s", "too long"),
            ("2562048h", "too long"),
        ] {
            let message = Duration::parse(text).expect_err(text);
            assert!(message.contains(says), "{text}: {message}");
        }
    }

    #[test]
    fn writes_proto3_json() {
        for (nanos, text) in [
            (0, "0s"),
            (5 * SECOND, "5s"),
            (1_500_000_000, "1.500s"),
            (1_000, "0.000001s"),
            (1, "0.000000001s"),
            (-1_500_000_000, "-1.500s"),
        ] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(duration.to_string(), text);
            assert_eq!(Duration::parse(text), Ok(duration));
        }
    }

    #[test]
    fn splits_as_the_proto_does() {
        let duration = Duration::from_nanos(-1_500_000_000);
        assert_eq!(
            (
                duration.seconds(),
                duration.subsec_nanos(),
                duration.to_std()
            ),
            (-1, -500_000_000, None)
        );
        assert_eq!(
            Duration::from_secs(2).to_std(),
            Some(std::time::Duration::from_secs(2))
        );
    }
}
