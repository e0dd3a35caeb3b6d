//! Semantic versions, read as loosely as sprig reads them: `v1.2` is 1.2.0.

use std::cmp::Ordering;

use super::text;
use crate::template::functions::{Functions, Param, Signature};
use crate::template::value::{Object, Value};

pub(super) fn add(functions: &mut Functions) {
    functions.add_typed("semver", Signature::of(&[Param::String]), |args| {
        Ok(Value::object(Version::parse(text(args, 0))?))
    });
    functions.add_typed(
        "semverCompare",
        Signature::of(&[Param::String, Param::String]),
        |args| {
            let ranges = parse_ranges(text(args, 0))?;
            let version = Version::parse(text(args, 1))?;
            let holds = |all: &Vec<Range>| all.iter().all(|range| range.holds(&version));
            Ok(Value::Bool(ranges.iter().any(holds)))
        },
    );
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Version {
    numbers: [u64; 3],
    pre: String,
    metadata: String,
    original: String,
}

const INVALID: &str = "Invalid Semantic Version";

impl Version {
    fn parse(original: &str) -> Result<Self, String> {
        let (version, given) = Self::parse_partial(original)?;
        if given == 0 {
            return Err(INVALID.to_owned());
        }
        Ok(version)
    }

    /// Also tells how many numbers there are: a wildcard ends them.
    fn parse_partial(original: &str) -> Result<(Self, usize), String> {
        let text = original.strip_prefix('v').unwrap_or(original);
        let (text, metadata) = text.split_once('+').unwrap_or((text, ""));
        let (core, pre) = text.split_once('-').unwrap_or((text, ""));
        let mut numbers = [0; 3];
        let mut given = 0;
        let mut wild = false;
        for (i, part) in core.split('.').enumerate() {
            if i >= 3 || part.is_empty() {
                return Err(INVALID.to_owned());
            }
            if matches!(part, "x" | "X" | "*") {
                wild = true;
                continue;
            }
            if !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(INVALID.to_owned());
            }
            if !wild {
                numbers[i] = part.parse().map_err(|_| INVALID.to_owned())?;
                given = i + 1;
            }
        }
        let valid = |text: &str| {
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
        };
        if !valid(pre) || !valid(metadata) {
            return Err(INVALID.to_owned());
        }
        let version = Self {
            numbers,
            pre: pre.to_owned(),
            metadata: metadata.to_owned(),
            original: original.to_owned(),
        };
        Ok((version, if wild { given } else { given.max(1) }))
    }

    fn text(&self) -> String {
        let [major, minor, patch] = self.numbers;
        let mut text = format!("{major}.{minor}.{patch}");
        for (mark, part) in [('-', &self.pre), ('+', &self.metadata)] {
            if !part.is_empty() {
                text.push(mark);
                text.push_str(part);
            }
        }
        text
    }

    fn order(&self, other: &Self) -> Ordering {
        let numbers = self.numbers.cmp(&other.numbers);
        numbers.then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => pre_order(&self.pre, &other.pre),
        })
    }
}

fn pre_order(left: &str, right: &str) -> Ordering {
    let (mut lefts, mut rights) = (left.split('.'), right.split('.'));
    loop {
        let order = match (lefts.next(), rights.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(left), Some(right)) => match (left.parse::<u64>(), right.parse::<u64>()) {
                (Ok(left), Ok(right)) => left.cmp(&right),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => left.cmp(right),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

impl Object for Version {
    fn type_name(&self) -> &str {
        "*semver.Version"
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn call(&self, method: &str, args: &[Value]) -> Option<Result<Value, String>> {
        let other = || args.first().map(|arg| Version::parse(&arg.to_string()));
        let value = match method {
            "Major" => Value::Uint(self.numbers[0]),
            "Minor" => Value::Uint(self.numbers[1]),
            "Patch" => Value::Uint(self.numbers[2]),
            "Prerelease" => Value::from(&*self.pre),
            "Metadata" => Value::from(&*self.metadata),
            "Original" => Value::from(&*self.original),
            "String" => Value::from(self.text()),
            "Compare" | "Equal" | "LessThan" | "GreaterThan" => match other()? {
                Ok(other) => {
                    let order = self.order(&other);
                    match method {
                        "Compare" => Value::Int(order as i64),
                        "Equal" => Value::Bool(order == Ordering::Equal),
                        "LessThan" => Value::Bool(order == Ordering::Less),
                        _ => Value::Bool(order == Ordering::Greater),
                    }
                }
                Err(problem) => return Some(Err(problem)),
            },
            _ => return None,
        };
        Some(Ok(value))
    }

    fn json(&self) -> serde_json::Value {
        serde_json::Value::String(self.text())
    }

    fn print(&self) -> String {
        self.text()
    }
}

/// Versions from one, which is part of it, up to another, which is not.
#[derive(Debug)]
enum Range {
    Within(Version, Option<Version>),
    Not(Box<Range>),
    Above { version: Version, orequal: bool },
    Below { version: Version, orequal: bool },
}

impl Range {
    fn holds(&self, version: &Version) -> bool {
        // A version before a release fits only where the range speaks of such versions.
        if !version.pre.is_empty() && !self.mentions_pre() {
            return false;
        }
        match self {
            Self::Within(from, to) => {
                version.order(from) != Ordering::Less
                    && to
                        .as_ref()
                        .is_none_or(|to| version.order(to) == Ordering::Less)
            }
            Self::Not(range) => !range.holds(version),
            Self::Above {
                version: limit,
                orequal,
            } => match version.order(limit) {
                Ordering::Greater => true,
                order => *orequal && order == Ordering::Equal,
            },
            Self::Below {
                version: limit,
                orequal,
            } => match version.order(limit) {
                Ordering::Less => true,
                order => *orequal && order == Ordering::Equal,
            },
        }
    }

    fn mentions_pre(&self) -> bool {
        match self {
            Self::Within(from, _) => !from.pre.is_empty(),
            Self::Not(range) => range.mentions_pre(),
            Self::Above { version, .. } | Self::Below { version, .. } => !version.pre.is_empty(),
        }
    }
}

/// Alternatives, all ranges of one of which must hold.
fn parse_ranges(source: &str) -> Result<Vec<Vec<Range>>, String> {
    source.split("||").map(parse_all).collect()
}

fn parse_all(source: &str) -> Result<Vec<Range>, String> {
    let improper = || format!("improper constraint: {source}");
    let words: Vec<&str> = source
        .split([' ', ',', '\t'])
        .filter(|word| !word.is_empty())
        .collect();
    let mut ranges = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        if words.next_if_eq(&"-").is_some() {
            let to = words.next().ok_or_else(improper)?;
            ranges.push(range(">=", word).ok_or_else(improper)?);
            ranges.push(range("<=", to).ok_or_else(improper)?);
            continue;
        }
        let split = word
            .find(|c: char| !"=!<>~^".contains(c))
            .unwrap_or(word.len());
        let (operator, version) = word.split_at(split);
        let version = match version {
            "" => words.next().ok_or_else(improper)?,
            version => version,
        };
        ranges.push(range(operator, version).ok_or_else(improper)?);
    }
    if ranges.is_empty() {
        Err(improper())
    } else {
        Ok(ranges)
    }
}

/// One operator with its version, which may lack numbers; nothing if either is wrong.
fn range(operator: &str, source: &str) -> Option<Range> {
    let (version, given) = Version::parse_partial(source).ok()?;
    let given = match given {
        // Without a wildcard one cannot tell "1" from "1.x": both lack numbers.
        given if source.contains(['x', 'X', '*']) => given,
        _ => source
            .split(['-', '+'])
            .next()?
            .split('.')
            .count()
            .min(given.max(1)),
    };
    let up_to = |kept: usize| {
        let mut next = Version {
            numbers: version.numbers,
            ..Version::default()
        };
        let at = kept.checked_sub(1)?;
        next.numbers[at] = next.numbers[at].checked_add(1)?;
        next.numbers[kept..].fill(0);
        Some(next)
    };
    let exactly = || match given {
        3 => {
            let mut above = version.clone();
            above.pre.clear();
            let last = above.numbers[2].checked_add(1)?;
            above.numbers[2] = last;
            above.pre = "0".to_owned();
            Some(Range::Within(version.clone(), Some(above)))
        }
        given => Some(Range::Within(version.clone(), up_to(given))),
    };
    Some(match operator {
        "" | "=" | "==" if given == 3 && !version.pre.is_empty() => {
            let mut above = version.clone();
            above.pre.push_str(".0");
            Range::Within(version, Some(above))
        }
        "" | "=" | "==" => exactly()?,
        "!=" => Range::Not(Box::new(exactly()?)),
        ">" if given < 3 => Range::Above {
            version: up_to(given).unwrap_or_default(),
            orequal: true,
        },
        ">" => Range::Above {
            version,
            orequal: false,
        },
        ">=" | "=>" => Range::Above {
            version,
            orequal: true,
        },
        "<" => Range::Below {
            version,
            orequal: false,
        },
        "<=" | "=<" if given < 3 => match up_to(given) {
            Some(limit) => Range::Below {
                version: limit,
                orequal: false,
            },
            None => Range::Within(Version::default(), None),
        },
        "<=" | "=<" => Range::Below {
            version,
            orequal: true,
        },
        "~" | "~>" => Range::Within(version.clone(), up_to(given.min(2))),
        "^" => {
            let first = version.numbers.iter().position(|n| *n > 0);
            let kept = first.map_or(given, |first| (first + 1).min(given.max(first + 1)));
            Range::Within(version.clone(), up_to(kept))
        }
        _ => return None,
    })
}
