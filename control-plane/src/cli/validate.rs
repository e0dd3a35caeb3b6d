//! `meltemi validate`: what Istio's webhook would say about objects in files, without a cluster.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use meltemi_sources::files::{Verdict, validate_bytes, yaml_files};
use serde_json::json;

use super::common;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A file or folder of objects, or `-` for standard input; may be given several times.
    #[arg(short = 'f', long = "filename", required = true, value_name = "PATH")]
    filename: Vec<PathBuf>,
    /// The namespace of objects that name none.
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// The form of the output.
    #[arg(short, long, default_value = "text")]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// A line for each finding, and one for the whole.
    Text,
    /// One JSON document.
    Json,
}

/// Runs it; exit 1 when something is refused.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut all = Verdict::default();
    for path in &args.filename {
        for (name, bytes) in texts(path)? {
            all.extend(validate_bytes(&name, &bytes, &args.namespace));
        }
    }
    match args.output {
        Output::Text => text(&all),
        Output::Json => common::print(&(serde_json::to_string_pretty(&listed(&all))? + "\n")),
    }
    Ok(if all.is_accepted() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The files that a path stands for, with their names for findings.
fn texts(path: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes)?;
        return Ok(vec![("stdin".to_owned(), bytes)]);
    }
    let files = yaml_files(path)?;
    let read = files.into_iter().map(|file| {
        let bytes = std::fs::read(&file)
            .map_err(|error| anyhow::anyhow!("{}: cannot be read: {error}", file.display()))?;
        Ok((file.display().to_string(), bytes))
    });
    read.collect()
}

fn text(all: &Verdict) {
    for finding in &all.findings {
        eprintln!("{finding}");
    }
    if all.is_accepted() {
        let objects = match all.objects {
            1 => "1 object is valid".to_owned(),
            count => format!("{count} objects are valid"),
        };
        common::print(&format!("{objects}\n"));
    }
}

fn listed(all: &Verdict) -> serde_json::Value {
    let findings = all.findings.iter().map(|finding| {
        json!({
            "severity": finding.severity,
            "file": finding.file,
            "line": finding.line,
            "object": finding.object,
            "path": finding.path,
            "message": finding.message,
        })
    });
    json!({
        "accepted": all.is_accepted(),
        "objects": all.objects,
        "findings": findings.collect::<Vec<_>>(),
    })
}
