//! Reads the corpus: `base/` and `<area>/<case>/`, as its README describes them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::answer::{Answer, TYPES};

/// A proxy that was asked.
#[derive(Debug, Clone, Deserialize)]
pub struct NodeSpec {
    /// The name of its file under `expected/`.
    pub name: String,
    /// `Node.id`.
    pub id: String,
    /// `Node.cluster`.
    pub cluster: String,
    /// `Node.locality`; all empty means that it is not sent.
    #[serde(default)]
    pub locality: Locality,
    /// `Node.metadata`.
    pub metadata: Value,
    /// The base proxy that the recording is compared with; absent in the base itself.
    #[serde(default)]
    pub base: Option<String>,
}

/// `Node.locality`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Locality {
    /// Region.
    #[serde(default)]
    pub region: String,
    /// Zone.
    #[serde(default)]
    pub zone: String,
    /// Sub-zone.
    #[serde(default)]
    pub sub_zone: String,
}

impl Locality {
    /// `region/zone/sub_zone` without trailing empty parts; `None` when nothing is sent.
    pub fn joined(&self) -> Option<String> {
        if self.region.is_empty() {
            return None;
        }
        let joined = format!("{}/{}/{}", self.region, self.zone, self.sub_zone);
        Some(joined.trim_end_matches('/').to_owned())
    }
}

impl NodeSpec {
    /// The node as proto JSON of `envoy.config.core.v3.Node`.
    pub fn to_json(&self) -> Value {
        let mut node =
            serde_json::json!({"id": self.id, "cluster": self.cluster, "metadata": self.metadata});
        if self.locality != Locality::default() {
            let Locality {
                region,
                zone,
                sub_zone,
            } = &self.locality;
            node["locality"] =
                serde_json::json!({"region": region, "zone": zone, "sub_zone": sub_zone});
        }
        node
    }
}

#[derive(Debug, Deserialize)]
struct NodesFile {
    nodes: Vec<NodeSpec>,
    #[serde(default)]
    istiod_env: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
struct ExpectedFile {
    #[serde(default)]
    cds: BTreeMap<String, Value>,
    #[serde(default)]
    eds: BTreeMap<String, Value>,
    #[serde(default)]
    lds: BTreeMap<String, Value>,
    #[serde(default)]
    rds: BTreeMap<String, Value>,
    #[serde(default)]
    removed: BTreeMap<String, Vec<String>>,
}

/// What istiod serves to the base proxies, by name.
type BaseAnswers = Arc<BTreeMap<String, Answer>>;

/// One world.
#[derive(Debug, Clone)]
pub struct Case {
    /// `virtualservice`, …; `base` for the base world.
    pub area: String,
    /// The folder's name; empty for the base world.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
    /// The files in the order in which they are laid over each other.
    pub files: Vec<PathBuf>,
    /// The proxies that were asked.
    pub nodes: Vec<NodeSpec>,
    /// Feature flags of the reference server.
    pub istiod_env: BTreeMap<String, String>,
    base: BaseAnswers,
}

impl Case {
    /// `area/name`, or `base`.
    pub fn id(&self) -> String {
        if self.name.is_empty() {
            self.area.clone()
        } else {
            format!("{}/{}", self.area, self.name)
        }
    }

    /// The recorded answer in full: base − removed + what differs.
    pub fn expected(&self, node: &str) -> Result<Answer> {
        if self.name.is_empty() {
            return self
                .base
                .get(node)
                .cloned()
                .with_context(|| format!("no recording of {node}"));
        }
        let spec = self
            .nodes
            .iter()
            .find(|n| n.name == node)
            .with_context(|| format!("no node {node}"))?;
        let base = spec.base.as_deref().unwrap_or(node);
        let mut answer = self
            .base
            .get(base)
            .cloned()
            .with_context(|| format!("no base recording of {base}"))?;
        let differing = read_expected(&self.dir, node)?;
        for kind in TYPES {
            for name in differing.removed.get(kind).into_iter().flatten() {
                answer.of_mut(kind).remove(name);
            }
        }
        answer.cds.extend(differing.cds);
        answer.eds.extend(differing.eds);
        answer.lds.extend(differing.lds);
        answer.rds.extend(differing.rds);
        Ok(answer)
    }

    /// The recorded answer for the base proxy that `node` is compared with.
    pub fn base_expected(&self, node: &NodeSpec) -> Option<&Answer> {
        self.base.get(node.base.as_deref().unwrap_or(&node.name))
    }
}

/// All worlds.
#[derive(Debug)]
pub struct Corpus {
    /// The base world.
    pub base: Case,
    /// The others, sorted by area and name.
    pub cases: Vec<Case>,
}

impl Corpus {
    /// Reads the folder, without the expected files of the worlds.
    pub fn load(dir: &Path) -> Result<Self> {
        let base_dir = dir.join("base");
        let base_file = base_dir.join("base.yaml");
        let nodes = read_nodes(&base_dir)?;
        let mut answers = BTreeMap::new();
        for node in &nodes.nodes {
            let file = read_expected(&base_dir, &node.name)?;
            let ExpectedFile {
                cds, eds, lds, rds, ..
            } = file;
            answers.insert(
                node.name.clone(),
                Answer {
                    cds,
                    eds,
                    lds,
                    rds,
                    diagnostics: Vec::new(),
                },
            );
        }
        let answers = Arc::new(answers);
        let base = Case {
            area: "base".to_owned(),
            name: String::new(),
            dir: base_dir,
            files: vec![base_file.clone()],
            nodes: nodes.nodes,
            istiod_env: nodes.istiod_env,
            base: Arc::clone(&answers),
        };
        let mut cases = Vec::new();
        for area in folders(dir)?.into_iter().filter(|area| area != "base") {
            for name in folders(&dir.join(&area))? {
                let case_dir = dir.join(&area).join(&name);
                let nodes = read_nodes(&case_dir)?;
                cases.push(Case {
                    area: area.clone(),
                    name,
                    files: vec![base_file.clone(), case_dir.join("world.yaml")],
                    dir: case_dir,
                    nodes: nodes.nodes,
                    istiod_env: nodes.istiod_env,
                    base: Arc::clone(&answers),
                });
            }
        }
        Ok(Self { base, cases })
    }
}

fn folders(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let entry = entry?;
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn read_nodes(dir: &Path) -> Result<NodesFile> {
    let path = dir.join("nodes.yaml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    serde_yaml::from_str(&text).with_context(|| format!("parsing {}", path.display()))
}

fn read_expected(dir: &Path, node: &str) -> Result<ExpectedFile> {
    let path = dir.join("expected").join(format!("{node}.json"));
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("parsing {}", path.display()))
}
