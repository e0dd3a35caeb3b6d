//! The tables as they are written.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// One file: the rows of a kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// Such as `VirtualService`.
    pub(crate) kind: String,
    /// What stands above the rows.
    #[serde(default)]
    pub(crate) about: String,
    /// The rows, in the order of the page.
    pub(crate) rows: Vec<Row>,
}

/// One row: what users can say, and how it is shown to work.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    /// Fields below `spec`, as `http[].match[].uri.exact`; the values of a map are `*`. A field that ends in `.**` stands
    /// for all fields below it, where the same message has rows of its own elsewhere.
    #[serde(default)]
    fields: Vec<String>,
    /// What it is, in words.
    pub(crate) what: String,
    /// How much it matters: core, common, rare or alpha.
    pub(crate) level: String,
    /// How far it is.
    pub(crate) status: Status,
    /// `golden/AREA/CASE`, `world/AREA/CASE` (recorded from istiod) or `PATH.rs::TEST`.
    #[serde(default)]
    pub(crate) cases: Vec<String>,
    /// What is special.
    #[serde(default)]
    pub(crate) note: String,
}

/// How far a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    /// As in Istio.
    Done,
    /// As in Istio but for what docs/differences.md says.
    Differs,
    /// Istio 1.31 itself does nothing with it.
    Dead,
    /// Off by default or experimental in Istio, and not built.
    AlphaWaits,
    /// Not built yet.
    Missing,
}

impl Row {
    /// The fields.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(String::as_str)
    }

    /// The goldens, as `AREA/CASE`.
    pub(crate) fn goldens(&self) -> impl Iterator<Item = &str> {
        self.cases.iter().filter_map(|c| c.strip_prefix("golden/"))
    }
}

/// All tables of a folder, by file name.
pub(crate) fn read(folder: &Path) -> Result<Vec<Table>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        files.push(entry?.path());
    }
    files.sort();
    let read = |file: &std::path::PathBuf| {
        let text = fs::read_to_string(file)?;
        serde_yaml::from_str(&text).with_context(|| file.display().to_string())
    };
    files.iter().map(read).collect()
}
