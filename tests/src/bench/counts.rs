//! The checked-in table of counts, and how far a run may be off.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};

/// The counts of one case and type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Resources.
    pub resources: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Resources that had to be built.
    pub misses: u64,
    /// Allocations.
    pub allocations: u64,
}

/// Counts by `case type`.
pub type Table = BTreeMap<String, Counts>;

/// Allocations may grow by so many in a hundred: hash tables grow at moments that depend on their seeds.
const ALLOCATIONS_PERCENT: u64 = 5;
/// And by so many at least.
const ALLOCATIONS_SLACK: u64 = 20;

/// Reads the table; `#` begins a comment line.
pub fn parse(text: &str) -> Result<Table> {
    let mut table = Table::new();
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        ensure!(
            words.len() == 6,
            "not `case type resources bytes misses allocations`: {line}"
        );
        let number = |position: usize| {
            words[position]
                .parse::<u64>()
                .with_context(|| format!("in {line}"))
        };
        let counts = Counts {
            resources: number(2)?,
            bytes: number(3)?,
            misses: number(4)?,
            allocations: number(5)?,
        };
        table.insert(format!("{} {}", words[0], words[1]), counts);
    }
    Ok(table)
}

/// Writes the table.
pub fn render(table: &Table) -> String {
    let mut text = String::from(
        "# Written by `cargo xtask bench --update`; asserted by `cargo xtask test`. Times are never asserted.\n",
    );
    let _ = writeln!(
        text,
        "# {:<38}{:>10}{:>12}{:>8}{:>13}",
        "case type", "resources", "bytes", "misses", "allocations"
    );
    for (name, counts) in table {
        let Counts {
            resources,
            bytes,
            misses,
            allocations,
        } = counts;
        let _ = writeln!(
            text,
            "{name:<40}{resources:>10}{bytes:>12}{misses:>8}{allocations:>13}"
        );
    }
    text
}

/// Where a run is off, one line for each case and type.
pub fn violations(run: &Table, expected: &Table) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, counts) in run {
        let Some(known) = expected.get(name) else {
            wrong.push(format!(
                "{name} is new: `cargo xtask bench --update` writes it down"
            ));
            continue;
        };
        for (what, now, then) in [
            ("resources", counts.resources, known.resources),
            ("bytes", counts.bytes, known.bytes),
            ("misses", counts.misses, known.misses),
        ] {
            if now != then {
                wrong.push(format!("{name}: {now} {what}, not {then}"));
            }
        }
        let most = known.allocations
            + (known.allocations * ALLOCATIONS_PERCENT / 100).max(ALLOCATIONS_SLACK);
        if counts.allocations > most {
            wrong.push(format!(
                "{name}: {} allocations, at most {most} are allowed",
                counts.allocations
            ));
        }
    }
    wrong.extend(
        expected
            .keys()
            .filter(|name| !run.contains_key(*name))
            .map(|name| format!("{name} was not run")),
    );
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(line: &str) -> Table {
        parse(line).unwrap()
    }

    #[test]
    fn a_table_survives_its_text() {
        let two = table("http-5 cds 10 2000 10 400\nhttp-5 lds 3 9000 3 100");
        assert_eq!(parse(&render(&two)).unwrap(), two);
        assert!(parse("http-5 cds 10").is_err());
        assert!(parse("http-5 cds 1 2 3 x").is_err());
    }

    #[test]
    fn counts_are_asserted() {
        let known = "a cds 10 2000 10 1000";
        for (run, expected) in [
            (known, ""),
            ("a cds 10 2000 10 900", ""),
            ("a cds 10 2000 10 1050", ""),
            (
                "a cds 10 2000 10 1051",
                "a cds: 1051 allocations, at most 1050 are allowed",
            ),
            ("a cds 11 2000 10 1000", "a cds: 11 resources, not 10"),
            (
                "a cds 10 1999 11 1000",
                "a cds: 1999 bytes, not 2000; a cds: 11 misses, not 10",
            ),
            ("", "a cds was not run"),
            (
                "a cds 10 2000 10 1000\nb cds 1 1 1 1",
                "b cds is new: `cargo xtask bench --update` writes it down",
            ),
        ] {
            assert_eq!(
                violations(&table(run), &table(known)).join("; "),
                expected,
                "{run}"
            );
        }
    }
}
