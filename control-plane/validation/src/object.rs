//! An object as a whole: its kind, its metadata, its specification. Istio 1.31: `pkg/webhooks/validation/server` and
//! `validateMetadata`.

use std::collections::BTreeMap;

use meltemi_api::authorization_policy::{Action, AuthorizationPolicy};
use meltemi_api::parse_spec;
use meltemi_model::flag::parse_bool;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Finding, Findings, kinds};

/// Who sets this annotation wants a refusal: that is how a control plane tries whether its own webhook is reached.
pub const ALWAYS_REJECT: &str = "internal.istio.io/webhook-always-reject";

const DRY_RUN: &str = "istio.io/dry-run";

/// What only a control plane sets: it would let an object act in the name of others.
const PARENTS: [&str; 2] = [
    "internal.istio.io/parent-namespace",
    "internal.istio.io/parents",
];

const TOP_LEVEL: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];

const GATEWAY_API: [&str; 2] = ["gateway.networking.k8s.io", "inference.networking.k8s.io"];

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is of no kind that has rules, and of no group of Istio's.
    Foreign,
    /// Its group is Istio's, but there is no such kind.
    UnknownKind,
    /// Its specification cannot be read.
    Unreadable(Finding),
    /// It was read; this was found.
    Read(Findings),
}

/// What the rules know of an object besides its specification.
#[derive(Debug, Clone, Copy)]
pub struct Meta<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace; empty if it names none.
    pub namespace: &'a str,
    object: &'a Value,
}

impl<'a> Meta<'a> {
    fn new(object: &'a Value) -> Self {
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or("");
        Self {
            name: text("name"),
            namespace: text("namespace"),
            object,
        }
    }

    /// An annotation's value; empty when it is no string.
    pub fn annotation(&self, name: &str) -> Option<&'a str> {
        self.entry("annotations", name)
    }

    /// A label's value; empty when it is no string.
    pub fn label(&self, name: &str) -> Option<&'a str> {
        self.entry("labels", name)
    }

    fn entry(&self, map: &str, name: &str) -> Option<&'a str> {
        let value = self.object["metadata"][map].as_object()?.get(name)?;
        Some(value.as_str().unwrap_or(""))
    }

    /// A part of the specification as it is written, for what reading makes equal.
    pub(crate) fn written(&self, path: &str) -> Option<&'a Value> {
        self.object.pointer(&format!("/spec/{path}"))
    }
}

/// What is found in an object of any kind; nothing in objects that are not Istio's.
pub fn validate(object: &Value) -> Findings {
    match review(object) {
        Outcome::Foreign => Findings::default(),
        Outcome::UnknownKind => Findings::only("kind", unrecognized(object)),
        Outcome::Unreadable(finding) => Findings {
            errors: vec![finding],
            warnings: Vec::new(),
        },
        Outcome::Read(findings) => findings,
    }
}

fn unrecognized(object: &Value) -> String {
    let text = |name: &str| object[name].as_str().unwrap_or("");
    format!(
        "unrecognized type {}, Kind={}",
        text("apiVersion"),
        text("kind")
    )
}

/// Goes through an object as Istio's webhook does, step by step. The version is not looked at: all have one schema.
pub fn review(object: &Value) -> Outcome {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let Some((group, _)) = version.split_once('/') else {
        return Outcome::Foreign;
    };
    if GATEWAY_API.contains(&group) {
        return Outcome::Read(Findings::default());
    }
    let of_group = || {
        meltemi_api::kinds::KINDS
            .iter()
            .filter(|k| k.group == group)
    };
    if of_group().next().is_none() {
        return Outcome::Foreign;
    }
    let kind = object["kind"].as_str().unwrap_or("");
    if !of_group().any(|known| known.kind == kind) {
        return Outcome::UnknownKind;
    }
    match kinds::findings(kind, object) {
        Ok(found) => Outcome::Read(found),
        Err(error) => Outcome::Unreadable(error),
    }
}

/// A specification that has rules.
pub trait Spec: DeserializeOwned {
    /// What the rules find.
    fn rules(&self, meta: &Meta<'_>) -> Findings;
}

/// Reads the specification of an object that is known to be of its kind, and looks at the whole object. Fields that the
/// type does not have are warnings: Istio's webhook reads again without them, so that objects of newer schemas are
/// accepted. The error says why the specification cannot be read.
pub fn read<T: Spec>(object: &Value) -> Result<(T, Findings), Finding> {
    let meta = Meta::new(object);
    let parsed = parse_spec::<T>(&object["spec"]).map_err(|error| Finding {
        path: error.path,
        message: error.message,
    })?;
    let mut found = match annotations(&meta) {
        Some(refusal) => return Ok((parsed.value, refusal)),
        None => parsed.value.rules(&meta),
    };
    for path in parsed.unknown {
        let name = path.rsplit('.').next().unwrap_or(&path).to_owned();
        found.warning(
            path,
            format!("unknown field {name:?}: it is ignored; check its spelling and indentation"),
        );
    }
    if found.is_accepted()
        && let Some(name) = unknown_field(object)
    {
        let kind = object["kind"].as_str().unwrap_or_default();
        let (namespace, own) = (meta.namespace, meta.name);
        let message = format!("unknown field {name:?} on {kind} resource {namespace}/{own}");
        found = Findings::only(name, message);
    }
    Ok((parsed.value, found))
}

fn unknown_field(object: &Value) -> Option<&str> {
    let mut names = object.as_object()?.keys().map(String::as_str);
    names.find(|name| !TOP_LEVEL.contains(name))
}

fn annotations(meta: &Meta<'_>) -> Option<Findings> {
    let refuse = |name: &str, message: String| {
        Some(Findings::only(
            format!("metadata.annotations[{name:?}]"),
            message,
        ))
    };
    if let Some(value) = meta.annotation(DRY_RUN)
        && let Err(message) = dry_run(meta, value)
    {
        return refuse(DRY_RUN, message);
    }
    if meta.annotation(ALWAYS_REJECT).is_some() {
        let message = format!("{ALWAYS_REJECT:?} annotation found, rejecting");
        return refuse(ALWAYS_REJECT, message);
    }
    let parent = PARENTS
        .into_iter()
        .find(|name| meta.annotation(name).is_some())?;
    let message = format!("{parent:?} annotation found, this may not be set by users");
    refuse(parent, message)
}

/// Only an AuthorizationPolicy that allows or denies can be tried. Istio 1.31: `checkDryRunAnnotation`.
fn dry_run(meta: &Meta<'_>, value: &str) -> Result<(), String> {
    let name = format!("{}/{}", meta.namespace, meta.name);
    if meta.object["kind"] != "AuthorizationPolicy" {
        return Err(format!(
            "{name} has unsupported annotation {DRY_RUN}, please remove the annotation"
        ));
    }
    let action = parse_spec::<AuthorizationPolicy>(&meta.object["spec"])
        .map(|parsed| parsed.value.action)
        .unwrap_or_default();
    if !matches!(action, Action::Allow | Action::Deny) {
        return Err(format!(
            "the annotation {DRY_RUN} currently only supports action ALLOW/DENY, found action {} in {name}",
            action.as_str()
        ));
    }
    if parse_bool(value).is_none() {
        return Err(format!(
            "{name} has annotation {DRY_RUN} with invalid value ({value}): write \"true\" or \"false\""
        ));
    }
    Ok(())
}

/// The fields of a map, each with its path.
pub(crate) fn entries<'a, T>(
    at: &str,
    map: &'a BTreeMap<String, T>,
) -> impl Iterator<Item = (String, &'a str, &'a T)> {
    map.iter()
        .map(move |(key, value)| (format!("{at}[{key:?}]"), key.as_str(), value))
}

/// The elements of a list, each with its path.
pub(crate) fn elements<'a, T>(at: &str, list: &'a [T]) -> impl Iterator<Item = (String, &'a T)> {
    list.iter()
        .enumerate()
        .map(move |(i, value)| (format!("{at}[{i}]"), value))
}
