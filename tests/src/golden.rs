//! The goldens, one folder for each case: `golden/<area>/<case>/` holds a world, a proxy, and what the proxy is served.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use meltemi_sources::lower::LowerSettings;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::features;
use crate::shared::repo_root;

/// One case.
#[derive(Debug, Clone)]
pub struct Case {
    /// `<area>/<case>`.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Its proxy.
    pub node: Node,
}

/// `node.yaml`: the proxy that asks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// `Node.id`.
    pub id: String,
    /// `Node.cluster`.
    pub cluster: String,
    /// `Node.locality`, as region/zone/subzone.
    #[serde(default)]
    pub locality: String,
    /// `Node.metadata`.
    pub metadata: Map<String, Value>,
    /// `Node.extensions`.
    #[serde(default)]
    pub extensions: Vec<Extension>,
    /// The environment variables of istiod that are not at their defaults: its feature flags.
    #[serde(default)]
    pub istiod_env: BTreeMap<String, String>,
    /// The secrets that it asks for.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// The lists of the answer that the case is about; empty: all. The others are compiled, but not in `out.yaml`.
    #[serde(default)]
    pub show: Vec<String>,
}

/// One of `Node.extensions`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    /// Its name, which decides nothing.
    pub name: String,
    /// Its category.
    pub category: String,
    /// Whether it is there but switched off.
    #[serde(default)]
    pub disabled: bool,
    /// The types of its configuration.
    #[serde(default)]
    pub type_urls: Vec<String>,
}

impl Case {
    /// What lowering is told: the feature flags.
    pub fn settings(&self) -> Result<LowerSettings> {
        features::settings(&self.node.istiod_env)
    }

    /// The world's file.
    pub fn world(&self) -> PathBuf {
        self.dir.join("world.yaml")
    }

    /// The file of what the proxy is served.
    pub fn out(&self) -> PathBuf {
        self.dir.join("out.yaml")
    }

    fn load(area: &Path, dir: &Path) -> Result<Self> {
        let node = dir.join("node.yaml");
        let text = fs::read_to_string(&node).with_context(|| node.display().to_string())?;
        let node = serde_yaml::from_str(&text).with_context(|| node.display().to_string())?;
        Ok(Self {
            name: format!("{}/{}", base(area), base(dir)),
            dir: dir.to_path_buf(),
            node,
        })
    }
}

fn base(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// All cases, by name.
pub fn cases() -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for area in folders(&repo_root().join("tests/golden"))? {
        for dir in folders(&area)? {
            cases.push(Case::load(&area, &dir)?);
        }
    }
    Ok(cases)
}

fn folders(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
