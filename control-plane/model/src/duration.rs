//! Durations as users write them.

use std::time::Duration;

/// Parses a Go duration (`1h2m3.5s`, `100ms`, `10s`), the superset of protobuf's JSON form. Negative and empty values
/// give `None`.
pub fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total = 0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        total += number
            * match &rest[..unit] {
                "h" => 3600e9,
                "m" => 60e9,
                "s" => 1e9,
                "ms" => 1e6,
                "us" | "µs" | "μs" => 1e3,
                "ns" => 1.0,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    // 10,000 years, protobuf's limit, fits well below u64 nanoseconds times 18; larger values are refused.
    (total <= 315_576_000_000e9).then(|| {
        let nanos = total.round();
        Duration::new((nanos / 1e9) as u64, (nanos % 1e9) as u32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations() {
        for (text, millis) in [
            ("10s", Some(10_000)),
            ("1.5s", Some(1_500)),
            ("1h2m3s", Some(3_723_000)),
            ("100ms", Some(100)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("-1s", None),
            ("10", None),
            ("s", None),
            ("", None),
            ("10x", None),
        ] {
            assert_eq!(parse(text), millis.map(Duration::from_millis), "{text}");
        }
    }
}
