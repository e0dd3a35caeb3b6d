//! Asks Meltemi's program: `meltemi compile -f … --node … --metadata FILE -o json`.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::{fs, process};

use anyhow::{Context, Result, bail};
use serde::Deserialize as _;
use serde_json::Value;

use super::{Answer, Case, Compiler, NodeSpec};

/// A program that understands `compile`.
#[derive(Debug, Clone)]
pub struct Command {
    /// Its path.
    pub program: PathBuf,
}

impl Compiler for Command {
    fn compile(&self, files: &[PathBuf], case: &Case, node: &NodeSpec) -> Result<Answer> {
        let mut metadata = tempfile::NamedTempFile::new().context("a file for the metadata")?;
        metadata.write_all(&serde_json::to_vec(&node.metadata)?)?;
        let mut command = process::Command::new(&self.program);
        command.arg("compile").envs(&case.istiod_env);
        for file in files {
            command.arg("-f").arg(file);
        }
        command
            .arg("--node")
            .arg(&node.id)
            .arg("--metadata")
            .arg(metadata.path());
        command.arg("--cluster").arg(&node.cluster);
        let keys = case.dir.join("jwks.json");
        if keys.is_file() {
            for uri in jwks_uris(files)? {
                let mut pair = OsString::from(format!("{uri}="));
                pair.push(&keys);
                command.arg("--jwks").arg(pair);
            }
        }
        if let Some(locality) = node.locality.joined() {
            command.arg("--locality").arg(locality);
        }
        command
            .args(["-o", "json"].map(OsString::from))
            .stdin(process::Stdio::null());
        let output = command
            .output()
            .with_context(|| format!("running {}", self.program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let json = match serde_json::from_slice(&output.stdout) {
            Ok(json) => json,
            Err(error) => bail!(
                "{}: no JSON ({error}), {}: {}",
                case.id(),
                output.status,
                last_lines(&said)
            ),
        };
        let mut answer = Answer::from_json(&json)?;
        answer.diagnostics = said.lines().map(str::to_owned).collect();
        Ok(answer)
    }
}

/// Where RequestAuthentications have keys from. Nobody serves them: the corpus has the document as a file.
fn jwks_uris(files: &[PathBuf]) -> Result<Vec<String>> {
    let mut uris = Vec::new();
    for file in files {
        let text = fs::read_to_string(file)?;
        for document in serde_yaml::Deserializer::from_str(&text) {
            let object = Value::deserialize(document)?;
            let rules = object["spec"]["jwtRules"].as_array().into_iter().flatten();
            let found = rules.filter_map(|rule| rule["jwksUri"].as_str());
            uris.extend(found.map(str::to_owned));
        }
    }
    Ok(uris)
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(4)..].join(" | ")
}
