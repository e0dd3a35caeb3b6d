//! Durations as Go spells them (`500ms`, `1h2m`): Istio's reader takes them where proto JSON wants seconds.

/// The proto JSON form of a Go duration, such as `0.5s` for `500ms`. `None` for other text.
pub(super) fn seconds(text: &str) -> Option<String> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let mut nanos: i128 = 0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(number);
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit: i128 = match unit {
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let whole: i128 = if whole.is_empty() {
            0
        } else {
            i128::from(whole.parse::<u64>().ok()?)
        };
        nanos = nanos.checked_add(whole.checked_mul(unit)?)?;
        let digits = fraction.get(..fraction.len().min(15))?;
        if !digits.is_empty() {
            let places = u32::try_from(digits.len()).ok()?;
            nanos += i128::from(digits.parse::<u64>().ok()?) * unit / 10_i128.pow(places);
        }
        rest = after;
    }
    if text.is_empty() || nanos > i128::from(i64::MAX) {
        return None;
    }
    let (whole, part) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    Some(match part {
        0 => format!("{sign}{whole}s"),
        part => format!("{sign}{whole}.{part:09}s"),
    })
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn go_durations_become_seconds() {
        for (text, want) in [
            ("500ms", Some("0.500000000s")),
            ("1m30s", Some("90s")),
            ("1.5h", Some("5400s")),
            ("-2s", Some("-2s")),
            ("5", None),
            ("", None),
            (".s", None),
            ("1d", None),
            ("1.2.3s", None),
        ] {
            assert_eq!(seconds(text).as_deref(), want, "{text}");
        }
    }
}
