//! Our times beside those that istiod took for the same worlds. They are shown, never asserted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// What istiod takes for one type of one case, and how much it gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Anchor {
    /// Microseconds.
    pub micros: f64,
    /// Thousands of bytes; none where no resource comes out.
    pub kilobytes: Option<f64>,
}

/// Anchors by case and type.
pub type Anchors = BTreeMap<(String, String), Anchor>;

/// What we took for the same.
#[derive(Debug, Clone, Default)]
pub struct Ours {
    /// From nothing.
    pub cold: Option<Duration>,
    /// With everything known but one object, which has changed.
    pub warm: Option<Duration>,
    /// Bytes of output.
    pub bytes: u64,
}

/// Reads the anchors; `#` begins a comment line.
pub fn parse(text: &str) -> Result<Anchors> {
    let mut anchors = Anchors::new();
    let lines = text.lines().map(str::trim);
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        ensure!(words.len() == 4, "not `case type time output`: {line}");
        let number = |word: &str| word.parse::<f64>().with_context(|| format!("in {line}"));
        let anchor = Anchor {
            micros: number(words[2])?,
            kilobytes: match words[3] {
                "-" => None,
                word => Some(number(word)?),
            },
        };
        anchors.insert((words[0].to_owned(), words[1].to_owned()), anchor);
    }
    Ok(anchors)
}

/// The table: istiod's time, ours, and how many times as fast we are, from nothing and with one object changed.
pub fn table(anchors: &Anchors, ours: &BTreeMap<(String, String), Ours>) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:<38}{:>12}{:>12}{:>8}{:>12}{:>8}{:>12}{:>12}",
        "beside istiod, garbage collector off",
        "istiod us",
        "cold us",
        "ratio",
        "warm us",
        "ratio",
        "istiod kB",
        "our kB"
    );
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for ((case, kind), anchor) in anchors {
        let Some(ours) = ours.get(&(case.clone(), kind.clone())) else {
            continue;
        };
        let shown = |time: Option<Duration>, ratios: &mut Vec<f64>| {
            let Some(time) = time else {
                return ["-".to_owned(), "-".to_owned()];
            };
            let micros = time.as_secs_f64() * 1e6;
            let ratio = anchor.micros / micros.max(0.001);
            ratios.push(ratio);
            [format!("{micros:.1}"), format!("{ratio:.1}")]
        };
        let [cold_time, cold_ratio] = shown(ours.cold, &mut cold);
        let [warm_time, warm_ratio] = shown(ours.warm, &mut warm);
        let theirs = anchor.kilobytes.map_or("-".to_owned(), |k| k.to_string());
        let bytes = anchor
            .kilobytes
            .map_or("-".to_owned(), |_| format!("{:.1}", kilobytes(ours.bytes)));
        let _ = writeln!(
            text,
            "{:<38}{:>12}{cold_time:>12}{cold_ratio:>8}{warm_time:>12}{warm_ratio:>8}{theirs:>12}{bytes:>12}",
            format!("{case} {kind}"),
            anchor.micros,
        );
    }
    for (what, ratios) in [("from nothing", &cold), ("one object changed", &warm)] {
        if let (Some(mean), Some(least)) = (mean(ratios), least(ratios)) {
            let slower = ratios.iter().filter(|ratio| **ratio < 1.0).count();
            let _ = writeln!(
                text,
                "{what}: geometric mean {mean:.1}, least {least:.1}, slower in {slower} of {}",
                ratios.len()
            );
        }
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn kilobytes(bytes: u64) -> f64 {
    bytes as f64 / 1000.0
}

/// The geometric mean.
#[expect(clippy::cast_precision_loss, reason = "a few dozen")]
fn mean(ratios: &[f64]) -> Option<f64> {
    let sum: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    (!ratios.is_empty()).then(|| (sum / ratios.len() as f64).exp())
}

fn least(ratios: &[f64]) -> Option<f64> {
    ratios.iter().copied().reduce(f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_shown_with_their_mean() {
        let anchors = parse("# us kB\nhttp cds 400 99.2\nhttp init 900 -\ntcp lds 5 1").unwrap();
        let key = |kind: &str| ("http".to_owned(), kind.to_owned());
        let ours = BTreeMap::from([
            (
                key("cds"),
                Ours {
                    cold: Some(Duration::from_micros(100)),
                    warm: Some(Duration::from_micros(8)),
                    bytes: 99_217,
                },
            ),
            (
                key("init"),
                Ours {
                    cold: Some(Duration::from_micros(100)),
                    ..Ours::default()
                },
            ),
        ]);
        let text = table(&anchors, &ours);
        let words = |line: usize| -> Vec<&str> {
            text.lines().nth(line).unwrap().split_whitespace().collect()
        };
        assert_eq!(
            words(1),
            [
                "http", "cds", "400", "100.0", "4.0", "8.0", "50.0", "99.2", "99.2"
            ]
        );
        assert_eq!(
            words(2),
            ["http", "init", "900", "100.0", "9.0", "-", "-", "-", "-"]
        );
        assert_eq!(
            text.lines().nth(3).unwrap(),
            "from nothing: geometric mean 6.0, least 4.0, slower in 0 of 2"
        );
        assert!(parse("http cds 1").is_err());
    }
}
