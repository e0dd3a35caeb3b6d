//! `meltemi compile`: the whole xDS of one proxy on standard output.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use meltemi_model::Severity;
use meltemi_sources::lower::LowerSettings;

use super::{common, features};
use crate::{offline, render};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A file or folder of objects; may be given several times, a later one replaces objects of an earlier one.
    #[arg(short = 'f', long = "filename", required = true, value_name = "PATH")]
    filename: Vec<PathBuf>,
    /// The proxy: TYPE~IP~NAME.NAMESPACE~NAMESPACE.svc.DOMAIN.
    #[arg(long)]
    node: String,
    /// A YAML or JSON file with the node's metadata.
    #[arg(long, value_name = "FILE")]
    metadata: Option<PathBuf>,
    /// The node's cluster.
    #[arg(long, default_value = "")]
    cluster: String,
    /// The node's locality, REGION/ZONE/SUBZONE, where no Node object tells it.
    #[arg(long, default_value = "")]
    locality: String,
    /// The DNS suffix of the cluster.
    #[arg(long, default_value = "cluster.local")]
    domain: String,
    #[command(flatten)]
    features: features::FeatureArgs,
    /// The form of the output.
    #[arg(short, long, default_value = "json")]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// Proto JSON.
    Json,
    /// The same as YAML.
    Yaml,
    /// One line for each resource.
    Summary,
}

/// Runs it: resources to standard output, findings to standard error; exit 1 when one of them is an error.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = LowerSettings {
        domain: args.domain.as_str().into(),
        features: args.features.lowered(),
        ..LowerSettings::default()
    };
    let node = offline::Node {
        id: args.node.clone(),
        cluster: args.cluster.clone(),
        locality: args.locality.clone(),
        metadata: common::metadata(args.metadata.as_deref())?,
    };
    let input = offline::read(&args.filename, &settings)?;
    let answer = offline::compile(&input, &node)?;
    let text = match args.output {
        Output::Json => serde_json::to_string_pretty(&render::snapshot(&answer.snapshot))? + "\n",
        Output::Yaml => meltemi_sources::yaml::write(&render::snapshot(&answer.snapshot))?,
        Output::Summary => render::summary(&answer.snapshot, &input.world),
    };
    common::print(&text);
    for diagnostic in &answer.diagnostics {
        eprintln!("{diagnostic}");
    }
    let failed = answer
        .diagnostics
        .iter()
        .any(|d| d.severity == Severity::Error);
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
