//! `meltemi analyze`: what is wrong with objects. Flags, output and exit codes are those of `istioctl analyze` 1.31.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ValueEnum;
use meltemi_analysis::{ALL, Level, Message, Options, Report, Suppression, TYPES};
use serde_json::{Value, json};

use super::common;
use crate::analyze::{EXTENSIONS, Gathered, Objects, Surroundings, gather, run as analyze};

/// Istio's exit codes. Istio 1.31: `sysexits.go`.
const FOUND_ISSUES: u8 = 79;
const UNREADABLE: u8 = 65;
const WRONG_USAGE: u8 = 64;

const REFERENCE: &str = "https://istio.io/v1.31/docs/reference/config/analysis";

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files, directories (with all below them), or `-` for standard input.
    #[arg(value_name = "FILE|DIR|-")]
    files: Vec<PathBuf>,
    /// The same as a flag; may be given several times.
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-")]
    filenames: Vec<PathBuf>,
    /// The namespace that is analyzed, and that of objects that name none. `default` unless `-A` is given.
    #[arg(short, long, default_value = "")]
    namespace: String,
    /// Analyze all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// How messages are written.
    #[arg(short, long, default_value = "log", ignore_case = true)]
    output: Format,
    /// How bad a message must be to end with exit code 79 (with `-o log`): Error, Warning or Info.
    #[arg(long, default_value = "Error", value_parser = level)]
    failure_threshold: Level,
    /// How bad a message must be to be printed: Error, Warning or Info.
    #[arg(long, default_value = "Info", value_parser = level)]
    output_threshold: Level,
    /// Messages that are not reported, as `CODE=Kind name.namespace` with `*` for any text; may be given several times.
    #[arg(short = 'S', long, value_name = "CODE=RESOURCE")]
    suppress: Vec<String>,
    /// A file with the mesh configuration.
    #[arg(
        long = "meshConfigFile",
        visible_alias = "mesh-config-file",
        value_name = "FILE"
    )]
    mesh_config_file: Option<PathBuf>,
    /// The namespace of the control plane.
    #[arg(short = 'i', long = "istioNamespace", default_value = "istio-system")]
    istio_namespace: String,
    /// List the analyzers and do nothing else.
    #[arg(short = 'L', long)]
    list_analyzers: bool,
    /// Run only this analyzer; may be given several times.
    #[arg(long, value_name = "NAME")]
    analyzer: Vec<String>,
    /// Files that cannot be read do not change the exit code.
    #[arg(long)]
    ignore_unknown: bool,
    /// Color the levels; by default where a terminal reads.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    color: Option<bool>,
    /// Say which analyzers ran and which did not.
    #[arg(short, long)]
    verbose: bool,
    /// Accepted for istioctl's sake: revisions exist in clusters only.
    #[arg(short, long, default_value = "default")]
    revision: String,
    /// Accepted for istioctl's sake: directories are always read with all below them.
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Analyze a live cluster, too. Not supported yet: only `false` is accepted (istioctl's default is true).
    #[arg(short = 'k', long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true")]
    use_kube: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One line for each message.
    Log,
    /// A JSON array.
    Json,
    /// The same as YAML.
    Yaml,
}

fn level(text: &str) -> Result<Level, String> {
    let mut levels = Level::ALL.into_iter();
    let found = levels.find(|level| level.to_string().eq_ignore_ascii_case(text));
    found.ok_or_else(|| "it is one of Error, Warning and Info".to_owned())
}

/// Runs it: messages to standard output, everything else to standard error.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.list_analyzers {
        common::print(&list());
        return Ok(ExitCode::SUCCESS);
    }
    let paths = [&args.files[..], &args.filenames].concat();
    if args.use_kube || paths.is_empty() {
        let why = match args.use_kube {
            true => "a live cluster cannot be analyzed yet; leave --use-kube out",
            false => "nothing to analyze (a live cluster cannot be analyzed yet)",
        };
        eprintln!("Error: {why} and name files, directories or -");
        return Ok(ExitCode::from(WRONG_USAGE));
    }
    let options = options(args)?;
    let surroundings = surroundings(args)?;
    let gathered = gather(&paths)?;
    for name in &gathered.skipped {
        let known = EXTENSIONS
            .map(|extension| format!(".{extension}"))
            .join(" ");
        eprintln!("Skipping file {name}, recognized file extensions are: [{known}]");
    }
    let objects = Objects::read(&gathered.sources, &options.namespace);
    complain(&objects);
    Ok(analyze(&objects, &surroundings, &options, |report| {
        conclude(args, &options, &gathered, &objects, report)
    }))
}

fn options(args: &Args) -> anyhow::Result<Options> {
    let suppressions = args.suppress.iter().map(|text| suppression(text));
    let namespace = match &*args.namespace {
        _ if args.all_namespaces => "",
        "" => "default",
        namespace => namespace,
    };
    Ok(Options {
        analyzers: args.analyzer.clone(),
        namespace: namespace.to_owned(),
        suppressions: suppressions.collect::<anyhow::Result<_>>()?,
        is_whole_mesh: false,
    })
}

fn suppression(text: &str) -> anyhow::Result<Suppression> {
    let parts = text.split_once('=').filter(|(_, rest)| !rest.contains('='));
    let (code, resource) = parts.with_context(|| {
        format!("{text} is not a valid suppression value, as IST0103=Pod *.default is one")
    })?;
    if !TYPES.iter().any(|known| known.code == code) {
        eprintln!(
            "Warning: Supplied message code '{code}' is an unknown message code and will not have any effect."
        );
    }
    Ok(Suppression {
        code: code.to_owned(),
        resource: resource.to_owned(),
    })
}

fn surroundings(args: &Args) -> anyhow::Result<Surroundings> {
    let mesh = match &args.mesh_config_file {
        None => Value::Null,
        Some(path) => {
            let name = path.display();
            let text = std::fs::read_to_string(path).with_context(|| format!("reading {name}"))?;
            let value = meltemi_sources::yaml::read_one(&text);
            value.map_err(|p| anyhow::anyhow!("{name}:{}: {}", p.line, p.message))?
        }
    };
    Ok(Surroundings {
        mesh,
        networks: Value::Null,
        istio_namespace: args.istio_namespace.clone(),
    })
}

/// Says which files cannot be read, and why.
fn complain(objects: &Objects) {
    let count = objects.problems.len();
    if count == 0 {
        return;
    }
    let noun = if count == 1 { "error" } else { "errors" };
    eprintln!("Error(s) adding files: {count} {noun} occurred:");
    for (file, problems) in &objects.problems {
        eprintln!(
            "\t* errors parsing content {file:?}: {}",
            problems.join("; ")
        );
    }
    eprintln!();
}

fn conclude(
    args: &Args,
    options: &Options,
    gathered: &Gathered,
    objects: &Objects,
    report: &Report<'_>,
) -> ExitCode {
    let target = match &*options.namespace {
        "" => "all namespaces".to_owned(),
        namespace => format!("namespace: {namespace}"),
    };
    if args.verbose {
        eprint!("{}", about(report, &target));
    }
    let shown: Vec<_> = report
        .messages
        .iter()
        .filter(|message| message.kind.level <= args.output_threshold)
        .collect();
    let color = args
        .color
        .unwrap_or_else(|| std::io::stdout().is_terminal());
    common::print(&output(&shown, args.output, color));
    let unreadable = objects.problems.len();
    if shown.is_empty() {
        eprintln!("{}", all_clear(gathered, &target, unreadable));
    }
    if args.output != Format::Log {
        return ExitCode::SUCCESS;
    }
    if report.elsewhere > 0 {
        let count = report.elsewhere;
        eprintln!("{count} more about other namespaces; -A shows them.");
    }
    if report.reaches(args.failure_threshold) {
        eprintln!("Error: Analyzers found issues when analyzing {target}.");
        eprintln!("See {REFERENCE} for more information about causes and resolutions.");
        return ExitCode::from(FOUND_ISSUES);
    }
    if unreadable > 0 && !args.ignore_unknown {
        eprintln!("Error: Some files couldn't be parsed.");
        return ExitCode::from(UNREADABLE);
    }
    ExitCode::SUCCESS
}

fn all_clear(gathered: &Gathered, target: &str, unreadable: usize) -> String {
    let names: Vec<_> = gathered.sources.iter().map(|s| s.name.as_str()).collect();
    if unreadable > 0 {
        let noun = if unreadable == 1 { "file" } else { "files" };
        return format!(
            "No validation issues found when analyzing {target} (but {unreadable} {noun} could not be parsed)."
        );
    }
    let what = match &names[..] {
        [] => format!(" {target}."),
        [name] => format!(" {name}."),
        names => format!(":\n  - {}", names.join("\n  - ")),
    };
    format!("\u{2714} No validation issues found when analyzing{what}")
}

fn about(report: &Report<'_>, target: &str) -> String {
    let mut out = format!("Analyzed resources in {target}\n");
    for (title, names) in [("Skipped", &report.skipped), ("Executed", &report.executed)] {
        if !names.is_empty() {
            let _ = writeln!(out, "{title} analyzers:");
        }
        for name in names {
            let _ = writeln!(out, "\t {name}");
        }
    }
    out + "\n"
}

fn list() -> String {
    let mut analyzers: Vec<_> = ALL.iter().collect();
    analyzers.sort_by_key(|analyzer| analyzer.name);
    let shown = analyzers
        .iter()
        .map(|analyzer| format!("* {}:\n    {}\n", analyzer.name, analyzer.description));
    shown.collect()
}

fn output(messages: &[&Message<'_>], format: Format, color: bool) -> String {
    let values = || Value::from(messages.iter().map(|m| value(m)).collect::<Vec<_>>());
    let text = match format {
        Format::Log => {
            let lines: Vec<_> = messages.iter().map(|m| line(m, color)).collect();
            lines.join("\n")
        }
        Format::Json => as_go_writes(&values()),
        Format::Yaml => meltemi_sources::yaml::write(&values()).unwrap_or_default(),
    };
    text + "\n"
}

fn line(message: &Message<'_>, color: bool) -> String {
    let text = message.to_string();
    if !color {
        return text;
    }
    let level = message.kind.level.to_string();
    let prefix = match message.kind.level {
        Level::Error => "\u{1b}[1;31m",
        Level::Warning => "\u{1b}[33m",
        Level::Info => "",
    };
    let rest = text.strip_prefix(&level).unwrap_or(&text);
    format!("{prefix}{level}\u{1b}[0m{rest}")
}

/// A message as an object, keys sorted.
fn value(message: &Message<'_>) -> Value {
    let kind = message.kind;
    let code = kind.code.to_lowercase();
    let mut value = json!({
        "code": kind.code,
        "documentationUrl": format!("{REFERENCE}/{code}/?ref=istioctl-analyze"),
        "level": kind.level.to_string(),
        "message": message.text,
        "origin": message.object.origin(),
    });
    if let Some(reference) = message.reference() {
        value["reference"] = reference.into();
    }
    value
}

/// JSON with tabs, and with the characters escaped that mean something in HTML.
fn as_go_writes(value: &Value) -> String {
    use serde::Serialize as _;

    let mut bytes = Vec::new();
    let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut writer = serde_json::Serializer::with_formatter(&mut bytes, tabs);
    // A value of texts only, written to memory.
    let _ = value.serialize(&mut writer);
    let text = String::from_utf8_lossy(&bytes);
    text.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}
