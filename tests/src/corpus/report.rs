//! Outcomes as text: the table, the first difference of each world, classes of differences, and details.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::answer::TYPES;
use super::compare::{Difference, normal_form};
use super::outcome::{NodeOutcome, ResourceDifference, Side, Verdict, WorldOutcome};
use super::unified::unified;

/// How much is shown.
#[derive(Debug, Clone, Copy)]
pub struct Detail {
    /// Differences for each world.
    pub limit: usize,
    /// A unified diff of the whole resource instead of a list of places.
    pub unified: bool,
    /// Differences that the base has as well.
    pub inherited: bool,
}

/// One line for each area, and the sum.
pub fn table(outcomes: &[WorldOutcome]) -> String {
    let mut text = format!(
        "{:<23}{:>7}{:>7}{:>10}{:>11}{:>13}{:>21}\n",
        "area", "worlds", "equal", "but base", "different", "unsupported", "resources equal"
    );
    let mut areas: BTreeMap<&str, Vec<&WorldOutcome>> = BTreeMap::new();
    for outcome in outcomes {
        areas.entry(&outcome.area).or_default().push(outcome);
    }
    for (area, worlds) in &areas {
        text.push_str(&table_line(area, worlds));
    }
    if areas.len() > 1 {
        text.push_str(&table_line("all", &outcomes.iter().collect::<Vec<_>>()));
    }
    text
}

fn table_line(area: &str, worlds: &[&WorldOutcome]) -> String {
    let count = |verdict| {
        worlds
            .iter()
            .filter(|world| world.verdict == verdict)
            .count()
    };
    let equal: usize = worlds.iter().map(|world| world.equal()).sum();
    let expected: usize = worlds.iter().map(|world| world.expected()).sum();
    format!(
        "{area:<23}{:>7}{:>7}{:>10}{:>11}{:>13}{:>21}\n",
        worlds.len(),
        count(Verdict::Equal),
        count(Verdict::EqualButBase),
        count(Verdict::Different),
        count(Verdict::Unsupported),
        format!("{equal}/{expected} {}", percent(equal, expected)),
    )
}

fn percent(part: usize, whole: usize) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    // Rounded down: 100.0 % means all.
    let tenths = part * 1000 / whole;
    format!("{}.{}%", tenths / 10, tenths % 10)
}

/// For each proxy and type of a world: names and resources that are equal.
pub fn per_type(world: &WorldOutcome) -> String {
    let mut text = format!(
        "{:<14}{:>16}{:>16}{:>16}{:>16}   (equal/served)\n",
        world.id, "cds", "eds", "lds", "rds"
    );
    for node in &world.nodes {
        let _ = write!(text, "{:<14}", node.node);
        for position in 0..TYPES.len() {
            let mut cell = format!("{}/{}", node.equal[position], node.expected[position]);
            let missing = node.expected[position] - node.named[position];
            if missing > 0 {
                let _ = write!(cell, " -{missing}");
            }
            if node.extra[position] > 0 {
                let _ = write!(cell, " +{}", node.extra[position]);
            }
            let _ = write!(text, "{cell:>16}");
        }
        text.push('\n');
    }
    text
}

/// One line for each world that is not equal: its first difference.
pub fn first_differences(outcomes: &[WorldOutcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        let mark = match outcome.verdict {
            Verdict::Equal => continue,
            Verdict::EqualButBase => "base",
            Verdict::Different => "DIFF",
            Verdict::Unsupported => "unsup",
        };
        let _ = write!(text, "{mark:<6}{:<48}", outcome.id);
        if outcome.verdict == Verdict::Unsupported {
            let said = outcome
                .nodes
                .iter()
                .flat_map(|node| &node.unsupported)
                .next();
            let why = if outcome.unsupported.is_empty() {
                said.cloned()
            } else {
                Some(outcome.unsupported.join(","))
            };
            let _ = write!(text, "[{}] ", short_text(&why.unwrap_or_default(), 60));
        }
        if outcome.verdict == Verdict::EqualButBase {
            text.push_str("only what differs in the base as well\n");
            continue;
        }
        if let Some((node, why)) = outcome
            .nodes
            .iter()
            .find_map(|node| Some((node, node.failure.as_ref()?)))
        {
            let _ = writeln!(text, "{}: failed: {}", node.node, short_text(why, 200));
        } else if let Some((node, difference)) = outcome.first() {
            let _ = writeln!(text, "{} {}", node.node, one_line(difference));
        }
    }
    text
}

fn one_line(difference: &ResourceDifference) -> String {
    let what = match (difference.side, difference.first_place()) {
        (Side::Missing, _) => "missing".to_owned(),
        (Side::Extra, _) => "not served by istiod".to_owned(),
        (Side::Both, Some(first)) => {
            format!(
                "{}: ours {} theirs {}",
                first.path,
                short(first.ours.as_ref()),
                short(first.theirs.as_ref())
            )
        }
        (Side::Both, None) => String::new(),
    };
    format!("{} {} {what}", difference.kind, difference.name)
}

fn short(value: Option<&Value>) -> String {
    value.map_or_else(
        || "-".to_owned(),
        |value| short_text(&value.to_string(), 80),
    )
}

fn short_text(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let cut: String = text.chars().take(most).collect();
    format!("{cut}…")
}

#[derive(Debug, Default)]
struct Class {
    places: usize,
    worlds: Vec<String>,
    example: String,
}

/// The most frequent classes of differences over all worlds: mend these, not single cases.
pub fn classes(outcomes: &[WorldOutcome], most: usize) -> String {
    let mut found: BTreeMap<String, Class> = BTreeMap::new();
    for outcome in outcomes {
        for node in &outcome.nodes {
            for resource in node.differing.iter().filter(|resource| !resource.inherited) {
                for (key, example) in class_keys(resource) {
                    let class = found.entry(key).or_default();
                    class.places += 1;
                    if class.worlds.last() != Some(&outcome.id) {
                        class.worlds.push(outcome.id.clone());
                    }
                    if class.example.is_empty() {
                        class.example =
                            format!("{} {} {}: {example}", outcome.id, node.node, resource.name);
                    }
                }
            }
        }
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|(_, class)| std::cmp::Reverse((class.worlds.len(), class.places)));
    let mut text = String::new();
    for (key, class) in found.iter().take(most) {
        let _ = writeln!(
            text,
            "{:>4} worlds {:>5} places  {key}",
            class.worlds.len(),
            class.places
        );
        let _ = writeln!(text, "                          {}", class.example);
    }
    if found.len() > most {
        let _ = writeln!(
            text,
            "… and {} more classes (--classes N shows more)",
            found.len() - most
        );
    }
    text
}

fn class_keys(resource: &ResourceDifference) -> Vec<(String, String)> {
    let kind = resource.kind;
    match resource.side {
        Side::Missing => vec![(format!("{kind} (missing resource)"), "missing".to_owned())],
        Side::Extra => vec![(format!("{kind} (extra resource)"), "extra".to_owned())],
        Side::Both => {
            let of = |difference: &Difference| {
                let sign = match (&difference.ours, &difference.theirs) {
                    (None, _) => "missing",
                    (_, None) => "extra",
                    _ => "differs",
                };
                let example = format!(
                    "{}: ours {} theirs {}",
                    difference.path,
                    short(difference.ours.as_ref()),
                    short(difference.theirs.as_ref())
                );
                (format!("{kind} {} ({sign})", difference.class), example)
            };
            resource
                .differences
                .iter()
                .filter(|place| !place.inherited)
                .map(of)
                .collect()
        }
    }
}

/// All about one world.
pub fn world(outcome: &WorldOutcome, detail: Detail) -> String {
    let mut text = format!("=== {} {:?}\n", outcome.id, outcome.verdict);
    if !outcome.unsupported.is_empty() {
        let _ = writeln!(
            text,
            "not supported yet: {}",
            outcome.unsupported.join(", ")
        );
    }
    text.push_str(&per_type(outcome));
    let mut left = detail.limit;
    for node in &outcome.nodes {
        if let Some(failure) = &node.failure {
            let _ = writeln!(text, "{}: failed: {failure}", node.node);
        }
        for line in &node.unsupported {
            let _ = writeln!(text, "{}: {line}", node.node);
        }
        for difference in &node.differing {
            if difference.inherited && !detail.inherited {
                continue;
            }
            if left == 0 {
                text.push_str("… more (--limit N shows more)\n");
                return text;
            }
            resource(&mut text, node, difference, detail, &mut left);
        }
        let inherited = node
            .differing
            .iter()
            .filter(|difference| difference.inherited)
            .count();
        if inherited > 0 && !detail.inherited {
            let _ = writeln!(
                text,
                "{}: {inherited} resources differ as in the base (--inherited shows them)",
                node.node
            );
        }
    }
    text
}

fn resource(
    text: &mut String,
    node: &NodeOutcome,
    difference: &ResourceDifference,
    detail: Detail,
    left: &mut usize,
) {
    let _ = writeln!(
        text,
        "--- {} {} {}",
        node.node, difference.kind, difference.name
    );
    let (ours, theirs) = (difference.ours.as_ref(), difference.theirs.as_ref());
    if detail.unified {
        *left -= 1;
        text.push_str("    - istiod, + ours\n");
        text.push_str(&unified(&pretty(theirs), &pretty(ours)));
        return;
    }
    match difference.side {
        Side::Missing => {
            *left -= 1;
            let _ = writeln!(
                text,
                "  missing; istiod serves:\n{}",
                signed('-', theirs, 40)
            );
        }
        Side::Extra => {
            *left -= 1;
            let _ = writeln!(
                text,
                "  istiod does not serve it; ours:\n{}",
                signed('+', ours, 12)
            );
        }
        Side::Both => {
            let places: Vec<_> = difference
                .differences
                .iter()
                .filter(|place| detail.inherited || !place.inherited)
                .collect();
            for (index, place) in places.iter().enumerate() {
                if *left == 0 {
                    let _ = writeln!(text, "  … {} more places here", places.len() - index);
                    return;
                }
                *left -= 1;
                let _ = writeln!(text, "  {}", place.path);
                text.push_str(&signed('-', place.theirs.as_ref(), 30));
                text.push_str(&signed('+', place.ours.as_ref(), 30));
            }
        }
    }
}

fn pretty(value: Option<&Value>) -> String {
    value
        .map(|value| format!("{:#}\n", normal_form(value)))
        .unwrap_or_default()
}

/// A value with a sign before each line; short ones on one line, an absent one not at all.
fn signed(sign: char, value: Option<&Value>, most_lines: usize) -> String {
    let Some(value) = value else {
        return String::new();
    };
    let line = value.to_string();
    let shown = if line.len() <= 100 {
        line
    } else {
        format!("{value:#}")
    };
    let mut text = String::new();
    let total = shown.lines().count();
    for line in shown.lines().take(most_lines) {
        let _ = writeln!(text, "    {sign} {line}");
    }
    if total > most_lines {
        let _ = writeln!(text, "    {sign} … {} more lines", total - most_lines);
    }
    text
}

/// A resource of a world in full, both sides, in normal form.
pub fn both_sides(outcome: &WorldOutcome, name: &str) -> String {
    let mut text = String::new();
    for node in &outcome.nodes {
        for difference in node
            .differing
            .iter()
            .filter(|difference| difference.name == name)
        {
            let _ = writeln!(
                text,
                "--- {} {} {} istiod",
                node.node, difference.kind, difference.name
            );
            text.push_str(&pretty(difference.theirs.as_ref()));
            let _ = writeln!(
                text,
                "+++ {} {} {} ours",
                node.node, difference.kind, difference.name
            );
            text.push_str(&pretty(difference.ours.as_ref()));
        }
    }
    if text.is_empty() {
        let _ = writeln!(text, "{}: {name} does not differ", outcome.id);
    }
    text
}
