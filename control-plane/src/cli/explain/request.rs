//! `meltemi explain request`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser as _, ValueEnum};
use meltemi_model::{ProxySnapshot, Severity, Shared};
use meltemi_simulator::simulate;
use meltemi_sources::lower::LowerSettings;
use meltemi_world::World;

use super::question::{Place, Request};
use super::{live, node, text};
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
    /// Ask a running control plane (its monitoring address) for what the proxy is served, instead of compiling files.
    #[arg(
        long,
        value_name = "ADDRESS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "127.0.0.1:15014",
        conflicts_with_all = ["dir", "node"]
    )]
    control_plane: Option<String>,
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
    let Some(address) = &args.control_plane else {
        return of_objects(args, &settings);
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (text, code) = runtime.block_on(of_control_plane(args, address, &settings))?;
    common::print(&text);
    Ok(code)
}

/// What `meltemi explain request` prints about a running control plane, with its flags and the URL.
pub(super) async fn said(words: &[&str]) -> anyhow::Result<String> {
    let args = Words::try_parse_from(words)?.args;
    let address = args.control_plane.as_deref();
    let address = address.context("--control-plane is missing")?;
    let (text, _) = of_control_plane(&args, address, &LowerSettings::default()).await?;
    Ok(text)
}

#[derive(Debug, clap::Parser)]
#[command(no_binary_name = true)]
struct Words {
    #[command(flatten)]
    args: Args,
}

fn of_objects(args: &Args, settings: &LowerSettings) -> anyhow::Result<ExitCode> {
    let input = offline::read(&args.dir, settings)?;
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
    let place = Place::Objects(&input.world, &proxy, &class);
    let mut question = args.request.question(&place)?;
    let outcome = simulate(&resources, &question.call);
    question.assume(&outcome);
    let explained = text::Explained {
        proxy: format!("{} {}", proxy.kind.as_str(), proxy.id),
        question: &question,
        outcome: &outcome,
        resources: &resources,
        snapshot: &answer.snapshot,
        world: &input.world,
    };
    let (text, code) = told(&explained, args.output)?;
    common::print(&text);
    for diagnostic in &answer.diagnostics {
        if diagnostic.severity == Severity::Error {
            eprintln!("{diagnostic}");
        }
    }
    Ok(code)
}

/// What is served is all that is known: which objects it was made from is told as far as the resources name them.
async fn of_control_plane(
    args: &Args,
    address: &str,
    settings: &LowerSettings,
) -> anyhow::Result<(String, ExitCode)> {
    let wanted = args.proxy.as_deref().context("--proxy is missing")?;
    let served = live::served(address, wanted).await?;
    for problem in &served.problems {
        eprintln!("{problem}");
    }
    let mut question = args.request.question(&Place::Served(&served))?;
    let outcome = simulate(&served.resources, &question.call);
    question.assume(&outcome);
    let explained = text::Explained {
        proxy: format!("{} {}", served.kind, served.proxy),
        question: &question,
        outcome: &outcome,
        resources: &served.resources,
        snapshot: &ProxySnapshot::empty(),
        world: &World::empty(Shared::new(offline::default_mesh(settings))),
    };
    told(&explained, args.output)
}

fn told(explained: &text::Explained<'_>, output: Output) -> anyhow::Result<(String, ExitCode)> {
    let text = match output {
        Output::Text => explained.text(),
        Output::Json => serde_json::to_string_pretty(&explained.json())? + "\n",
    };
    let code = if explained.outcome.miss().is_some() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    };
    Ok((text, code))
}
