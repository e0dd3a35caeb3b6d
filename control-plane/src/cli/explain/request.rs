//! `meltemi explain request`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use meltemi_model::Severity;
use meltemi_simulator::simulate;
use meltemi_sources::lower::LowerSettings;

use super::question::Request;
use super::{node, text};
use crate::cli::{common, features};
use crate::{offline, simulation};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A file or folder of objects; may be given several times, a later one replaces objects of an earlier one.
    #[arg(
        short = 'f',
        long = "dir",
        visible_alias = "filename",
        value_name = "PATH",
        default_value = "."
    )]
    dir: Vec<PathBuf>,
    /// The pod whose proxy is asked, NAME or NAME.NAMESPACE.
    #[arg(
        long,
        value_name = "POD",
        conflicts_with = "node",
        required_unless_present = "node"
    )]
    proxy: Option<String>,
    /// The proxy: a file with id, cluster, locality and metadata, or TYPE~IP~NAME.NAMESPACE~NAMESPACE.svc.DOMAIN.
    #[arg(long, value_name = "FILE")]
    node: Option<String>,
    #[command(flatten)]
    request: Request,
    /// The DNS suffix of the cluster.
    #[arg(long, default_value = "cluster.local")]
    domain: String,
    #[command(flatten)]
    features: features::FeatureArgs,
    /// The form of the output.
    #[arg(short, long, default_value = "text")]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// For readers.
    Text,
    /// The same for programs.
    Json,
}

/// Runs it: the explanation to standard output, findings to standard error; exit 1 when the request goes nowhere.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = LowerSettings {
        domain: args.domain.as_str().into(),
        features: args.features.lowered(),
        ..LowerSettings::default()
    };
    let input = offline::read(&args.dir, &settings)?;
    let proxy = match (&args.proxy, &args.node) {
        (Some(pod), _) => node::of_pod(&input.world, pod, &args.domain)?,
        (None, Some(node)) => node::of_description(node)?,
        (None, None) => anyhow::bail!("--proxy or --node is missing"),
    };
    let class = offline::class_of(&input, &proxy);
    let answer = offline::compile_class(&input, &class);
    let (resources, problems) = simulation::resources(&answer.snapshot);
    for problem in problems {
        eprintln!("{problem}");
    }
    let question = args.request.question(&input.world, &class)?;
    let outcome = simulate(&resources, &question.call);
    let explained = text::Explained {
        proxy: format!("{} {}", proxy.kind.as_str(), proxy.id),
        question: &question,
        outcome: &outcome,
        resources: &resources,
        snapshot: &answer.snapshot,
        world: &input.world,
    };
    common::print(&match args.output {
        Output::Text => explained.text(),
        Output::Json => serde_json::to_string_pretty(&explained.json())? + "\n",
    });
    for diagnostic in &answer.diagnostics {
        if diagnostic.severity == Severity::Error {
            eprintln!("{diagnostic}");
        }
    }
    Ok(if outcome.miss().is_some() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
