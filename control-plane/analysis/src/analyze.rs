//! Runs analyzers, and keeps what somebody asked for.

use std::fmt;

use crate::analyzers::{ALL, Analyzer};
use crate::message::rendered;
use crate::{Input, Kind, Level, Message, MessageType, ON_REQUEST, Object, glob};

/// What is run, and what is kept of it.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only these analyzers, by name; all if none of them exists.
    pub analyzers: Vec<String>,
    /// Only objects of this namespace (and those without any); empty for all.
    pub namespace: String,
    /// What is not reported.
    pub suppressions: Vec<Suppression>,
    /// Whether the input is all there is. If not, what is missing may just not have been handed over: an analyzer is
    /// skipped unless there is an object of each kind that it compares with.
    pub is_whole_mesh: bool,
}

/// A type of messages about some objects that is not reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// `IST0101`.
    pub code: String,
    /// `Kind name.namespace` or `Kind namespace/name`; `*` stands for any text.
    pub resource: String,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Report<'a> {
    /// The messages, the worst first.
    pub messages: Vec<Message<'a>>,
    /// How many messages are about objects of other namespaces than the one that was asked for.
    pub elsewhere: usize,
    /// The analyzers that ran, by name.
    pub executed: Vec<&'static str>,
    /// Those that did not, since there is nothing to compare with.
    pub skipped: Vec<&'static str>,
}

/// Where analyzers leave what they find.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    input: &'a Input<'a>,
    messages: Vec<Message<'a>>,
}

impl<'a> Found<'a> {
    /// Adds a message. It points to `field` (as `spec.http[0]`), or to the object where that is empty or not there.
    pub(crate) fn add(
        &mut self,
        kind: &'static MessageType,
        object: &'a Object,
        field: &str,
        args: &[&dyn fmt::Display],
    ) {
        let line = match field {
            "" => None,
            field => (self.input.judges.line_of)(object, field),
        };
        self.messages.push(Message {
            kind,
            object,
            line: line.unwrap_or(object.line),
            text: rendered(kind.template, args),
        });
    }
}

/// Runs analyzers over objects.
pub fn analyze<'a>(input: &'a Input<'a>, options: &Options) -> Report<'a> {
    let mut report = Report::default();
    let mut found = Found {
        input,
        messages: Vec::new(),
    };
    for analyzer in selected(&options.analyzers) {
        let runs = options.is_whole_mesh || analyzer.needs.iter().all(|kind| input.knows(*kind));
        if runs {
            (analyzer.run)(input, &mut found);
            report.executed.push(analyzer.name);
        } else {
            report.skipped.push(analyzer.name);
        }
    }
    report.executed.sort_unstable();
    report.skipped.sort_unstable();
    let mut messages = found.messages;
    messages.retain(|message| !is_suppressed(message, &options.suppressions));
    let all = messages.len();
    messages.retain(|message| is_in(message.object, &options.namespace));
    report.elsewhere = all - messages.len();
    // Istio 1.31: `Messages.Sort`, and what reads the same is said once.
    messages.sort_by_cached_key(|message| {
        let MessageType { code, level, .. } = message.kind;
        let object = message.object;
        let place = format!(
            "{}/{}/{}",
            object.kind.name(),
            object.name,
            object.namespace
        );
        (*level, *code, place, message.to_string())
    });
    messages.dedup_by_key(|message| message.to_string());
    report.messages = messages;
    report
}

/// Istio 1.31: without any name that exists, all run.
fn selected(names: &[String]) -> Vec<&'static Analyzer> {
    let known = ALL.iter().chain(ON_REQUEST);
    let named: Vec<_> = known
        .filter(|analyzer| names.iter().any(|name| name == analyzer.name))
        .collect();
    if named.is_empty() {
        ALL.iter().collect()
    } else {
        named
    }
}

/// A namespace is part of itself.
fn is_in(object: &Object, namespace: &str) -> bool {
    let own = match object.kind {
        Kind::Namespace => &object.name,
        _ => &object.namespace,
    };
    namespace.is_empty() || own.is_empty() || own == namespace
}

fn is_suppressed(message: &Message<'_>, suppressions: &[Suppression]) -> bool {
    let object = message.object;
    let codes = object.annotation("galley.istio.io/analyze-suppress");
    let by_annotation = codes
        .into_iter()
        .flat_map(|codes| codes.split(','))
        .any(|code| code == "*" || code == message.kind.code);
    // istioctl documents `Kind name.namespace`, and compares with `Kind namespace/name`.
    let documented = match &*object.namespace {
        "" => object.origin(),
        namespace => format!("{} {}.{namespace}", object.kind.name(), object.name),
    };
    by_annotation
        || suppressions.iter().any(|suppression| {
            suppression.code == message.kind.code
                && [&object.origin(), &documented]
                    .iter()
                    .any(|name| glob::matches(&suppression.resource, name))
        })
}

impl Report<'_> {
    /// Whether a message is at least as bad as this.
    pub fn reaches(&self, level: Level) -> bool {
        self.messages
            .iter()
            .any(|message| message.kind.level <= level)
    }
}
