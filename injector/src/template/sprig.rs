//! Sprig's text functions.

use super::functions::{Functions, Param, Signature};
use super::print;
use super::value::{List, Value};

pub(super) fn add(functions: &mut Functions) {
    functions.add("default", |args| match args {
        [default] => Ok(default.clone()),
        [default, value, ..] if !value.is_truthy() => Ok(default.clone()),
        [_, value, ..] => Ok(value.clone()),
        [] => Ok(Value::Nil),
    });
    functions.add("quote", |args| {
        let quoted: Vec<String> = args
            .iter()
            .filter(|arg| !arg.is_nil())
            .map(|arg| print::quoted(&print::text(arg)))
            .collect();
        Ok(Value::from(quoted.join(" ")))
    });
    functions.add_typed(
        "nindent",
        Signature::of(&[Param::Int, Param::String]),
        |args| {
            let pad = " ".repeat(
                usize::try_from(args[0].as_int().unwrap_or(0))
                    .unwrap_or(0)
                    .min(1000),
            );
            let text = args[1].as_str().unwrap_or_default();
            Ok(Value::from(format!(
                "\n{pad}{}",
                text.replace('\n', &format!("\n{pad}"))
            )))
        },
    );
    functions.add_typed(
        "trunc",
        Signature::of(&[Param::Int, Param::String]),
        |args| {
            let text = args[1].as_str().unwrap_or_default();
            let n = usize::try_from(args[0].as_int().unwrap_or(0)).unwrap_or(usize::MAX);
            Ok(Value::from(text.chars().take(n).collect::<String>()))
        },
    );
    functions.add_typed(
        "trimAll",
        Signature::of(&[Param::String, Param::String]),
        |args| {
            let cut = args[0].as_str().unwrap_or_default();
            Ok(Value::from(
                args[1]
                    .as_str()
                    .unwrap_or_default()
                    .trim_matches(|c| cut.contains(c)),
            ))
        },
    );
    functions.add("list", |args| Ok(Value::List(List::any(args.to_vec()))));
    functions.add_typed(
        "append",
        Signature::of(&[Param::Any, Param::Any]),
        |args| match &args[0] {
            Value::List(list) => {
                let mut items = list.items().to_vec();
                items.push(args[1].clone());
                Ok(Value::List(List::any(items)))
            }
            value => Err(format!("Cannot push on type {}", value.type_name())),
        },
    );
    functions.add_typed(
        "join",
        Signature::of(&[Param::String, Param::Any]),
        |args| {
            let between = args[0].as_str().unwrap_or_default();
            let texts: Vec<String> = match &args[1] {
                Value::List(list) => list.items().iter().map(print::text).collect(),
                value => vec![print::text(value)],
            };
            Ok(Value::from(texts.join(between)))
        },
    );
}
