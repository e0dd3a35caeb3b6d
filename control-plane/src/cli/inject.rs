//! `meltemi inject`: resources with a sidecar, on standard output. Flags have kube-inject's spellings as aliases.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;
use meltemi_injector::{
    Config, Environment, MeshConfig, NativeSidecars, Node, Settings, Surroundings, Values, builtin,
    into_resource,
};

use super::common;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file with the resources; `-` is standard input.
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    filename: PathBuf,
    /// Where the result goes; standard output if it is not given.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The text of the key `config` of the ConfigMap istio-sidecar-injector. Without it Meltemi's own templates are taken.
    #[arg(long, visible_alias = "injectConfigFile", value_name = "FILE")]
    inject_config_file: Option<PathBuf>,
    /// The text of the key `mesh` of the ConfigMap istio.
    #[arg(long, visible_alias = "meshConfigFile", value_name = "FILE")]
    mesh_config_file: Option<PathBuf>,
    /// The text of the key `values` of the ConfigMap istio-sidecar-injector. Without it the chart's defaults are taken.
    #[arg(long, visible_alias = "valuesFile", value_name = "FILE")]
    values_file: Option<PathBuf>,
    /// The version of a node, such as v1.33.0; may be given several times. With `--native-sidecars auto` all of them must be able.
    #[arg(long, value_name = "VERSION")]
    node_version: Vec<String>,
    /// Whether the proxy is a native sidecar. `auto` without any `--node-version` is `false`, as for kube-inject without a cluster.
    #[arg(long, default_value = "auto")]
    native_sidecars: Native,
    /// The control plane's revision.
    #[arg(short = 'r', long, default_value = "")]
    revision: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Native {
    /// If all nodes can.
    Auto,
    /// Always.
    True,
    /// Never.
    False,
}

/// Runs it: the resources to the output, why some are skipped to standard error.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = settings(args)?;
    let (name, text) = input(&args.filename)?;
    let injected = into_resource(&settings, &surroundings(args), &text).map_err(|error| {
        let (line, object, problem) = (error.line, &error.object, error.problem.trim_end());
        anyhow::anyhow!("{name}:{line}: {object}{problem}")
    })?;
    match &args.output {
        None => common::print(&injected.text),
        Some(path) => std::fs::write(path, &injected.text)
            .with_context(|| format!("writing {}", path.display()))?,
    }
    for warning in &injected.warnings {
        eprintln!("{}", warning.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

fn settings(args: &Args) -> anyhow::Result<Settings> {
    let environment = Environment::new();
    let config = match text(args.inject_config_file.as_deref())? {
        Some((name, text)) => Config::parse(&text, &environment).context(name)?,
        None => builtin::config(&environment)?,
    };
    let values = match text(args.values_file.as_deref())? {
        Some((name, text)) => Values::parse(&text).context(name)?,
        None => Values::parse(builtin::VALUES)?,
    };
    let mesh = match text(args.mesh_config_file.as_deref())? {
        Some((name, text)) => MeshConfig::parse(&text).context(name)?,
        None => MeshConfig::default(),
    };
    Ok(Settings {
        config,
        values,
        mesh,
        revision: args.revision.clone(),
        compliance_policy: String::new(),
    })
}

fn surroundings(args: &Args) -> Surroundings {
    let nodes = args.node_version.iter().enumerate();
    Surroundings {
        native_sidecars: match args.native_sidecars {
            Native::True => NativeSidecars::Enabled,
            Native::False => NativeSidecars::Disabled,
            Native::Auto if args.node_version.is_empty() => NativeSidecars::Disabled,
            Native::Auto => NativeSidecars::Auto,
        },
        nodes: nodes
            .map(|(i, version)| Node {
                name: format!("node-{i}"),
                kubelet_version: version.clone(),
            })
            .collect(),
        ..Surroundings::default()
    }
}

fn input(path: &Path) -> anyhow::Result<(String, String)> {
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("reading standard input")?;
        return Ok(("standard input".to_owned(), text));
    }
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {name}"))?;
    Ok((name, text))
}

fn text(path: Option<&Path>) -> anyhow::Result<Option<(String, String)>> {
    path.map(|path| {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {name}"))?;
        Ok((name, text))
    })
    .transpose()
}
