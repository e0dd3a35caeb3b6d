//! Numbers.

use super::{int, text};
use crate::template::constant;
use crate::template::functions::{Functions, Param, Signature};
use crate::template::print;
use crate::template::value::{Elem, List, Value};

/// The most numbers that a list of them may have.
const MOST: usize = 1_000_000;

pub(super) fn add(functions: &mut Functions) {
    conversions(functions);
    integers(functions);
    floats(functions);
    lists(functions);
    durations(functions);
}

fn conversions(functions: &mut Functions) {
    let one = Signature::of(&[Param::Any]);
    functions.add_typed("int", one, |args| Ok(Value::Int(integer(&args[0]))));
    functions.add_typed("int64", one, |args| Ok(Value::Int64(integer(&args[0]))));
    functions.add_typed("float64", one, |args| Ok(Value::Float(float(&args[0]))));
    functions.add_typed("atoi", Signature::of(&[Param::String]), |args| {
        Ok(Value::Int(decimal_text(text(args, 0)).unwrap_or(0)))
    });
    functions.add_typed("toDecimal", one, |args| {
        let text = print::sprint(&args[..1])?;
        Ok(Value::Int64(i64::from_str_radix(&text, 8).unwrap_or(0)))
    });
}

fn decimal_text(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// An integer of whatever there is; 0 if there is none in it.
fn integer(value: &Value) -> i64 {
    match value {
        Value::Int(n) | Value::Int64(n) => *n,
        Value::Uint(n) => n.cast_signed(),
        Value::Byte(n) => i64::from(*n),
        // What Go gives for a number out of range depends on the machine.
        Value::Float(n) => *n as i64,
        Value::Bool(b) => i64::from(*b),
        Value::String(text) => {
            let whole = text
                .trim_end_matches('0')
                .strip_suffix('.')
                .filter(|_| text.ends_with('0'));
            constant::parse_int(whole.unwrap_or(text)).unwrap_or(0)
        }
        _ => 0,
    }
}

fn float(value: &Value) -> f64 {
    match value {
        Value::Float(n) => *n,
        Value::String(text) => match constant::parse_float(text) {
            Some(number) => number,
            None => special(text),
        },
        value => integer(value) as f64,
    }
}

fn special(text: &str) -> f64 {
    match text.to_ascii_lowercase().as_str() {
        "inf" | "+inf" | "infinity" | "+infinity" => f64::INFINITY,
        "-inf" | "-infinity" => f64::NEG_INFINITY,
        "nan" => f64::NAN,
        _ => 0.0,
    }
}

fn integers(functions: &mut Functions) {
    let any = Signature::and_more(&[], Param::Any);
    let some = Signature::and_more(&[Param::Any], Param::Any);
    let two = Signature::of(&[Param::Any, Param::Any]);
    functions.add_typed("add", any, |args| {
        Ok(Value::Int64(
            args.iter().map(integer).fold(0, i64::wrapping_add),
        ))
    });
    functions.add_typed("add1", Signature::of(&[Param::Any]), |args| {
        Ok(Value::Int64(integer(&args[0]).wrapping_add(1)))
    });
    functions.add_typed("sub", two, |args| {
        Ok(Value::Int64(
            integer(&args[0]).wrapping_sub(integer(&args[1])),
        ))
    });
    functions.add_typed("mul", some, |args| {
        Ok(Value::Int64(
            args.iter().map(integer).fold(1, i64::wrapping_mul),
        ))
    });
    for (name, operation) in [
        ("div", i64::wrapping_div as fn(i64, i64) -> i64),
        ("mod", i64::wrapping_rem),
    ] {
        functions.add_typed(name, two, move |args| match integer(&args[1]) {
            0 => Err("runtime error: integer divide by zero".to_owned()),
            divisor => Ok(Value::Int64(operation(integer(&args[0]), divisor))),
        });
    }
    for name in ["max", "biggest"] {
        functions.add_typed(name, some, |args| {
            Ok(Value::Int64(
                args.iter().map(integer).max().unwrap_or_default(),
            ))
        });
    }
    functions.add_typed("min", some, |args| {
        Ok(Value::Int64(
            args.iter().map(integer).min().unwrap_or_default(),
        ))
    });
}

fn floats(functions: &mut Functions) {
    let some = Signature::and_more(&[Param::Any], Param::Any);
    functions.add_typed("maxf", some, |args| {
        Ok(Value::Float(
            args.iter().map(float).reduce(f64::max).unwrap_or_default(),
        ))
    });
    functions.add_typed("minf", some, |args| {
        Ok(Value::Float(
            args.iter().map(float).reduce(f64::min).unwrap_or_default(),
        ))
    });
    functions.add_typed("floor", Signature::of(&[Param::Any]), |args| {
        Ok(Value::Float(float(&args[0]).floor()))
    });
    functions.add_typed("ceil", Signature::of(&[Param::Any]), |args| {
        Ok(Value::Float(float(&args[0]).ceil()))
    });
    functions.add_typed(
        "round",
        Signature::and_more(&[Param::Any, Param::Int], Param::Float),
        |args| {
            let limit = args.get(2).map_or(0.5, float);
            let power = 10_f64.powf(int(args, 1) as f64);
            let digit = power * float(&args[0]);
            let rounded = if digit.fract() >= limit {
                digit.ceil()
            } else {
                digit.floor()
            };
            Ok(Value::Float(rounded / power))
        },
    );
    functions.add_typed("add1f", Signature::of(&[Param::Any]), |args| {
        Ok(Value::Float(
            Decimal::of(float(&args[0])).plus(Decimal::of(1.0)).float(),
        ))
    });
    functions.add_typed("addf", Signature::and_more(&[], Param::Any), |args| {
        let sum = args.iter().fold(Decimal::of(0.0), |sum, arg| {
            sum.plus(Decimal::of(float(arg)))
        });
        Ok(Value::Float(sum.float()))
    });
    type Operation = fn(Decimal, Decimal) -> Option<Decimal>;
    let table: &[(&str, Operation)] = &[
        ("subf", |left, right| Some(left.plus(right.negated()))),
        ("mulf", |left, right| Some(left.times(right))),
        ("divf", Decimal::over),
    ];
    for (name, operation) in table {
        functions.add_typed(name, some, move |args| {
            let mut result = Decimal::of(float(&args[0]));
            for arg in &args[1..] {
                let right = Decimal::of(float(arg));
                result = operation(result, right).ok_or("decimal division by 0")?;
            }
            Ok(Value::Float(result.float()))
        });
    }
}

/// A decimal number, in which 0.1 and 0.2 are 0.3 as in sprig. What is too large for it goes on as a float.
#[derive(Clone, Copy)]
enum Decimal {
    /// The digits, and the power of ten.
    Exact(i128, i32),
    Float(f64),
}

impl Decimal {
    fn of(number: f64) -> Self {
        let text = format!("{number:e}");
        let exact = || {
            let (mantissa, power) = text.split_once('e')?;
            let power: i32 = power.parse().ok()?;
            let places = mantissa
                .split_once('.')
                .map_or(0, |(_, fraction)| fraction.len());
            let digits: i128 = mantissa.replace('.', "").parse().ok()?;
            Some(Self::Exact(
                digits,
                power.checked_sub(i32::try_from(places).ok()?)?,
            ))
        };
        exact().unwrap_or(Self::Float(number))
    }

    fn float(self) -> f64 {
        match self {
            Self::Exact(digits, power) => format!("{digits}e{power}").parse().unwrap_or(0.0),
            Self::Float(number) => number,
        }
    }

    fn negated(self) -> Self {
        match self {
            Self::Exact(digits, power) => Self::Exact(-digits, power),
            Self::Float(number) => Self::Float(-number),
        }
    }

    /// The digits at a lower power of ten.
    fn scaled(digits: i128, from: i32, to: i32) -> Option<i128> {
        digits.checked_mul(10_i128.checked_pow(u32::try_from(from.checked_sub(to)?).ok()?)?)
    }

    fn plus(self, other: Self) -> Self {
        if let (Self::Exact(left, left_power), Self::Exact(right, right_power)) = (self, other) {
            let power = left_power.min(right_power);
            let left = Self::scaled(left, left_power, power);
            let right = Self::scaled(right, right_power, power);
            if let (Some(left), Some(right)) = (left, right)
                && let Some(sum) = left.checked_add(right)
            {
                return Self::Exact(sum, power);
            }
        }
        Self::Float(self.float() + other.float())
    }

    fn times(self, other: Self) -> Self {
        if let (Self::Exact(left, left_power), Self::Exact(right, right_power)) = (self, other)
            && let (Some(digits), Some(power)) =
                (left.checked_mul(right), left_power.checked_add(right_power))
        {
            return Self::Exact(digits, power);
        }
        Self::Float(self.float() * other.float())
    }

    /// To 16 decimal places, rounded half away from zero; nothing if the divisor is 0.
    fn over(self, other: Self) -> Option<Self> {
        const PLACES: i32 = 16;
        if other.float() == 0.0 {
            return None;
        }
        let exact = || {
            let (Self::Exact(left, left_power), Self::Exact(right, right_power)) = (self, other)
            else {
                return None;
            };
            let power = left_power.checked_sub(right_power)?;
            let left = if power >= -PLACES {
                Self::scaled(left, power, -PLACES)?
            } else {
                return None;
            };
            let twice = left.checked_mul(2)?;
            let half = right.checked_abs()?.checked_mul(left.signum())?;
            Some(Self::Exact(
                twice.checked_add(half)? / right.checked_mul(2)?,
                -PLACES,
            ))
        };
        Some(exact().unwrap_or_else(|| Self::Float(self.float() / other.float())))
    }
}

fn lists(functions: &mut Functions) {
    functions.add_typed("until", Signature::of(&[Param::Int]), |args| {
        let count = int(args, 0);
        Ok(list(steps(0, count, if count < 0 { -1 } else { 1 })?))
    });
    functions.add_typed(
        "untilStep",
        Signature::of(&[Param::Int, Param::Int, Param::Int]),
        |args| Ok(list(steps(int(args, 0), int(args, 1), int(args, 2))?)),
    );
    functions.add_typed("seq", Signature::and_more(&[], Param::Int), |args| {
        let toward = |start: i64, end: i64| if end < start { -1 } else { 1 };
        let numbers = match args.len() {
            1 => {
                let (end, step) = (int(args, 0), toward(1, int(args, 0)));
                steps(1, end.saturating_add(step), step)?
            }
            2 => {
                let (start, end) = (int(args, 0), int(args, 1));
                let step = toward(start, end);
                steps(start, end.saturating_add(step), step)?
            }
            3 => {
                let (start, step, end) = (int(args, 0), int(args, 1), int(args, 2));
                if end < start && step > 0 {
                    Vec::new()
                } else {
                    steps(start, end.saturating_add(toward(start, end)), step)?
                }
            }
            _ => Vec::new(),
        };
        let texts: Vec<String> = numbers.iter().map(i64::to_string).collect();
        Ok(Value::from(texts.join(" ")))
    });
}

fn list(numbers: Vec<i64>) -> Value {
    Value::List(List::new(
        Elem::Int,
        numbers.into_iter().map(Value::Int).collect(),
    ))
}

/// The numbers from `start` towards `stop`, without it; none if the step leads away.
fn steps(start: i64, stop: i64, step: i64) -> Result<Vec<i64>, String> {
    let leads = if stop < start { step < 0 } else { step > 0 };
    let mut numbers = Vec::new();
    let mut number = start;
    while leads
        && (if step < 0 {
            number > stop
        } else {
            number < stop
        })
    {
        if numbers.len() >= MOST {
            return Err(format!("the list exceeds {MOST} numbers"));
        }
        numbers.push(number);
        let Some(next) = number.checked_add(step) else {
            break;
        };
        number = next;
    }
    Ok(numbers)
}

fn durations(functions: &mut Functions) {
    functions.add_typed("duration", Signature::of(&[Param::Any]), |args| {
        let seconds = match &args[0] {
            Value::String(text) => decimal_text(text).unwrap_or(0),
            Value::Int64(n) => *n,
            _ => 0,
        };
        Ok(Value::from(duration(seconds)))
    });
    functions.add_typed("durationRound", Signature::of(&[Param::Any]), |args| {
        Ok(Value::from(rounded_duration(&args[0])))
    });
}

/// How Go prints a duration of whole seconds.
fn duration(seconds: i64) -> String {
    let sign = if seconds < 0 { "-" } else { "" };
    let seconds = seconds.unsigned_abs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{rest}s"),
        (0, minutes) => format!("{sign}{minutes}m{rest}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{rest}s"),
    }
}

/// The largest unit of a duration in nanoseconds or in Go's words.
fn rounded_duration(value: &Value) -> String {
    let nanoseconds = match value {
        Value::String(text) => parse_duration(text).unwrap_or(0),
        Value::Int64(n) => *n,
        _ => 0,
    };
    const SECOND: u64 = 1_000_000_000;
    let seconds = nanoseconds.unsigned_abs() / SECOND;
    let units = [
        (365 * 24 * 3600, "y"),
        (30 * 24 * 3600, "mo"),
        (24 * 3600, "d"),
        (3600, "h"),
        (60, "m"),
        (1, "s"),
    ];
    match units
        .iter()
        .find(|(size, _)| seconds > *size || (*size == 1 && seconds == 1))
    {
        Some((size, unit)) => format!("{}{unit}", seconds / size),
        None => "0s".to_owned(),
    }
}

fn parse_duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        total += number
            * match &rest[..unit] {
                "ns" => 1.0,
                "us" | "µs" | "μs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    Some((sign * total) as i64)
}
