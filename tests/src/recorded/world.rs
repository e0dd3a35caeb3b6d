//! A case becomes a world, in process, and is compiled for its proxy.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result};
use meltemi::offline::{self, Input};
use meltemi::render;
use meltemi_model::proxy::{ProxyClass, ProxyKind};
use meltemi_model::{Diagnostics, ProxySnapshot};
use meltemi_sources::lower::lower;
use serde_json::Value;

use super::{Case, mesh, node, registry};
use crate::corpus::Answer;
use crate::{features, shared};

/// A world, and the class of the case's proxy in it.
#[derive(Debug)]
pub struct Built {
    /// The world with what was found while it was read.
    pub input: Input,
    /// The class.
    pub class: ProxyClass,
}

/// What the proxy is given.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The resources.
    pub snapshot: Arc<ProxySnapshot>,
    /// Findings about the objects.
    pub diagnostics: Diagnostics,
}

impl Compiled {
    /// As proto JSON, by type and name.
    pub fn answer(&self) -> Result<Answer> {
        let mut answer = Answer::from_json(&render::snapshot(&self.snapshot))?;
        answer.diagnostics = self.diagnostics.iter().map(ToString::to_string).collect();
        Ok(answer)
    }
}

/// Builds the world of a case.
pub fn build(case: &Case) -> Result<Built> {
    let settings = features::settings(&case.features)?;
    let map = mesh::config_map(case, &default_mesh_config()?);
    let mut diagnostics = Diagnostics::new();
    let mut objects = registry::rows(case);
    let configs: Vec<Value> = case.configs.iter().map(with_whole_hosts).collect();
    let raw = case.kubernetes.values().flatten().chain(&configs);
    for raw in raw.chain([&map]) {
        let lowered = lower(&with_unlike_port_names(raw), &settings);
        diagnostics.extend(lowered.diagnostics);
        objects.extend(lowered.object.map(mesh::with_no_trust_domain));
    }
    let input = offline::of_objects(objects, diagnostics, &settings);
    let proxy = node::proxy(&case.proxy)?;
    let mut class = offline::class_of(&input, &proxy);
    if class.kind == ProxyKind::Sidecar && !case.instances.is_empty() {
        class.instances = registry::instances(case, &input.world, &proxy);
    }
    Ok(Built { input, class })
}

impl Built {
    /// Compiles everything for the proxy.
    pub fn compile(&self) -> Compiled {
        let answer = offline::compile_class(&self.input, &self.class);
        Compiled {
            snapshot: answer.snapshot,
            diagnostics: answer.diagnostics,
        }
    }
}

/// The short hosts of objects that did not come through an API server are completed with their namespace only.
fn with_whole_hosts(raw: &Value) -> Value {
    let mut object = raw.clone();
    let namespace = raw.pointer("/metadata/namespace").and_then(Value::as_str);
    let short = matches!(
        raw.get("kind").and_then(Value::as_str),
        Some("VirtualService" | "DestinationRule")
    );
    if let (true, Some(namespace), Some(spec)) = (short, namespace, object.get_mut("spec")) {
        complete_hosts(spec, namespace);
    }
    object
}

fn complete_hosts(value: &mut Value, namespace: &str) {
    match value {
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| complete_hosts(item, namespace)),
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(host)
                        if name == "host" && !host.contains('.') && !host.is_empty() =>
                    {
                        *host = format!("{host}.{namespace}");
                    }
                    other => complete_hosts(other, namespace),
                }
            }
        }
        _ => {}
    }
}

/// istiod's tests give all ports of a Service the same name, which no API server takes. What stands before a "-" tells
/// the protocol, so the number may follow it.
fn with_unlike_port_names(raw: &Value) -> Value {
    let mut object = raw.clone();
    let ports = object
        .get_mut("spec")
        .and_then(|spec| spec.get_mut("ports"));
    let mut seen = BTreeSet::new();
    let ports = ports.and_then(Value::as_array_mut).into_iter().flatten();
    if raw.get("kind").is_some_and(|kind| kind == "Service") {
        for port in ports {
            let name = port.get("name").and_then(Value::as_str).unwrap_or("");
            if !seen.insert(name.to_owned()) {
                let number = port.get("port").and_then(Value::as_u64).unwrap_or(0);
                port["name"] = format!("{name}-{number}").into();
            }
        }
    }
    object
}

/// The mesh configuration that the cases' overrides are laid over.
fn default_mesh_config() -> Result<Value> {
    let path = shared::shared_dir()
        .context("no corpus")?
        .join("corpus/simulation/fixtures/mesh-config-default.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_yaml::from_str(&text).with_context(|| path.display().to_string())
}
