//! One object by itself: what the webhook would say, and rules of a VirtualService that others shadow.

use crate::analyze::Found;
use crate::message::types;
use crate::{Input, Kind};

use super::unreachable;

/// How validation tells of rules that others shadow; the analyzer has types of messages for them.
const SHADOWED: &str = "virtualService rule ";

pub(super) fn run<'a>(kind: Kind, input: &'a Input<'a>, found: &mut Found<'a>) {
    for object in input.of(kind) {
        let findings = (input.judges.validate)(&object.value);
        for error in &findings.errors {
            let message = &error.message;
            found.add(
                &types::SCHEMA_VALIDATION_ERROR,
                object,
                &error.path,
                &[message],
            );
        }
        for warning in &findings.warnings {
            if !warning.message.starts_with(SHADOWED) {
                let message = &warning.message;
                found.add(&types::SCHEMA_WARNING, object, &warning.path, &[message]);
            }
        }
        if kind == Kind::VirtualService {
            unreachable::run(object, found);
        }
    }
}
