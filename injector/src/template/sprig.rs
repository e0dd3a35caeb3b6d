//! Sprig's text functions, as of Masterminds/sprig 3.3.
//!
//! What is random, needs the time, the environment, the network or keys is refused when it is called
//! ([`UNAVAILABLE`]): an injection must give the same pod each time. `keys` and `values` are in key order, where
//! sprig's order is random.

mod cases;
mod dicts;
mod encoding;
mod json;
mod lists;
mod numbers;
mod paths;
mod regexes;
mod strings;
mod versions;

use super::functions::{Functions, Param, Signature};
use super::print;
use super::value::Value;

/// The functions that are errors when they are called.
pub const UNAVAILABLE: &[&str] = &[
    "ago",
    "bcrypt",
    "buildCustomCert",
    "date",
    "dateInZone",
    "dateModify",
    "date_in_zone",
    "date_modify",
    "decryptAES",
    "derivePassword",
    "encryptAES",
    "env",
    "expandenv",
    "genCA",
    "genCAWithKey",
    "genPrivateKey",
    "genSelfSignedCert",
    "genSelfSignedCertWithKey",
    "genSignedCert",
    "genSignedCertWithKey",
    "getHostByName",
    "htmlDate",
    "htmlDateInZone",
    "htpasswd",
    "mustDateModify",
    "mustToDate",
    "must_date_modify",
    "now",
    "randAlpha",
    "randAlphaNum",
    "randAscii",
    "randBytes",
    "randInt",
    "randNumeric",
    "shuffle",
    "toDate",
    "unixEpoch",
    "uuidv4",
];

pub(super) fn add(functions: &mut Functions) {
    for name in UNAVAILABLE {
        functions.add(name, move |_| {
            Err(format!("{name} is not available in an injection template"))
        });
    }
    strings::add(functions);
    cases::add(functions);
    numbers::add(functions);
    lists::add(functions);
    dicts::add(functions);
    json::add(functions);
    encoding::add(functions);
    paths::add(functions);
    regexes::add(functions);
    versions::add(functions);
    logic(functions);
}

fn logic(functions: &mut Functions) {
    let any = Signature::and_more(&[], Param::Any);
    functions.add_typed(
        "default",
        Signature::and_more(&[Param::Any], Param::Any),
        |args| {
            Ok(match args.get(1) {
                Some(value) if value.is_truthy() => value.clone(),
                _ => args[0].clone(),
            })
        },
    );
    functions.add_typed("empty", Signature::of(&[Param::Any]), |args| {
        Ok(Value::Bool(!args[0].is_truthy()))
    });
    functions.add_typed("coalesce", any, |args| {
        Ok(args
            .iter()
            .find(|arg| arg.is_truthy())
            .cloned()
            .unwrap_or(Value::Nil))
    });
    functions.add_typed("all", any, |args| {
        Ok(Value::Bool(args.iter().all(Value::is_truthy)))
    });
    functions.add_typed("any", any, |args| {
        Ok(Value::Bool(args.iter().any(Value::is_truthy)))
    });
    functions.add_typed(
        "ternary",
        Signature::of(&[Param::Any, Param::Any, Param::Bool]),
        |args| Ok(args[if args[2].is_truthy() { 0 } else { 1 }].clone()),
    );
    functions.add_typed("fail", Signature::of(&[Param::String]), |args| {
        Err(text(args, 0).to_owned())
    });
    functions.add_typed("hello", Signature::of(&[]), |_| Ok(Value::from("Hello!")));
    let one = Signature::of(&[Param::Any]);
    let named = Signature::of(&[Param::String, Param::Any]);
    functions.add_typed("typeOf", one, |args| Ok(Value::from(args[0].type_name())));
    functions.add_typed("kindOf", one, |args| Ok(Value::from(kind(&args[0]))));
    functions.add_typed("typeIs", named, |args| {
        Ok(Value::Bool(text(args, 0) == args[1].type_name()))
    });
    functions.add_typed("kindIs", named, |args| {
        Ok(Value::Bool(text(args, 0) == kind(&args[1])))
    });
    functions.add_typed("typeIsLike", named, |args| {
        let (wanted, found) = (text(args, 0), args[1].type_name());
        Ok(Value::Bool(
            found == wanted || found.strip_prefix('*') == Some(wanted),
        ))
    });
    functions.add_typed(
        "deepEqual",
        Signature::of(&[Param::Any, Param::Any]),
        |args| Ok(Value::Bool(lists::deep_equal(&args[0], &args[1])?)),
    );
}

/// A function from text to text.
type Change = fn(&str) -> String;

/// The text of an argument whose parameter is a string.
fn text(args: &[Value], i: usize) -> &str {
    args.get(i).and_then(Value::as_str).unwrap_or_default()
}

/// The number of an argument whose parameter is an integer.
fn int(args: &[Value], i: usize) -> i64 {
    args.get(i).and_then(Value::as_int).unwrap_or_default()
}

/// Any value as sprig makes a string of it.
fn stringified(value: &Value) -> Result<std::sync::Arc<str>, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        value => Ok(print::sprint(std::slice::from_ref(value))?.into()),
    }
}

/// Go's word for what kind of type a value has.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Absent | Value::Nil => "invalid",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Int64(_) => "int64",
        Value::Uint(_) => "uint64",
        Value::Byte(_) => "uint8",
        Value::Float(_) => "float64",
        Value::String(_) => "string",
        Value::List(_) => "slice",
        Value::Map(_) => "map",
        Value::Object(object) if object.type_name().starts_with('*') => "ptr",
        Value::Object(object) => object.scalar().map_or("struct", |scalar| kind(&scalar)),
    }
}
