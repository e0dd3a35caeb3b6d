//! Everything that a control plane serves to one proxy.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Case, NodeSpec};

/// The four types, in the order in which Envoy asks for them.
pub const TYPES: [&str; 4] = ["cds", "eds", "lds", "rds"];

/// Resources by type and name, and what was said about the objects.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// Clusters.
    pub cds: BTreeMap<String, Value>,
    /// Cluster load assignments.
    pub eds: BTreeMap<String, Value>,
    /// Listeners.
    pub lds: BTreeMap<String, Value>,
    /// Route configurations.
    pub rds: BTreeMap<String, Value>,
    /// One line for each diagnostic.
    pub diagnostics: Vec<String>,
}

/// Something that compiles a world for a node: Meltemi's program, its library, or the recording itself.
pub trait Compiler: Sync {
    /// The whole answer for `node` in the world that `case` describes.
    fn compile(&self, files: &[PathBuf], case: &Case, node: &NodeSpec) -> Result<Answer>;
}

impl Answer {
    /// The resources of one of [`TYPES`].
    pub fn of(&self, kind: &str) -> &BTreeMap<String, Value> {
        match kind {
            "cds" => &self.cds,
            "eds" => &self.eds,
            "lds" => &self.lds,
            _ => &self.rds,
        }
    }

    /// As [`Answer::of`], to be changed.
    pub fn of_mut(&mut self, kind: &str) -> &mut BTreeMap<String, Value> {
        match kind {
            "cds" => &mut self.cds,
            "eds" => &mut self.eds,
            "lds" => &mut self.lds,
            _ => &mut self.rds,
        }
    }

    /// Reads the output of `meltemi compile -o json`: four lists of messages.
    pub fn from_json(json: &Value) -> Result<Self> {
        let mut answer = Self::default();
        let lists = [
            ("cds", "clusters", "name"),
            ("eds", "endpoints", "cluster_name"),
            ("lds", "listeners", "name"),
            ("rds", "routes", "name"),
        ];
        for (kind, list, name_field) in lists {
            let Some(items) = json.get(list) else {
                continue;
            };
            for item in items
                .as_array()
                .with_context(|| format!("`{list}` is not a list"))?
            {
                let mut item = item.clone();
                if let Some(fields) = item.as_object_mut() {
                    fields.remove("@type");
                }
                let name = item
                    .get(name_field)
                    .and_then(Value::as_str)
                    .with_context(|| format!("an entry of `{list}` has no `{name_field}`"))?
                    .to_owned();
                if answer.of_mut(kind).insert(name.clone(), item).is_some() {
                    bail!("`{list}` holds {name} twice");
                }
            }
        }
        Ok(answer)
    }
}

/// Answers with the recording: the runner's own check, in which everything is equal.
#[derive(Debug, Clone, Copy)]
pub struct Recorded;

impl Compiler for Recorded {
    fn compile(&self, _files: &[PathBuf], case: &Case, node: &NodeSpec) -> Result<Answer> {
        case.expected(&node.name)
    }
}
