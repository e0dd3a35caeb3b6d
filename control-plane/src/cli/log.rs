//! What is logged, and how: flags of several verbs.

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

/// Flags. istiod's own spellings are accepted too.
#[derive(Debug, clap::Args)]
pub(super) struct LogArgs {
    /// What is logged: a level, or tracing's filter syntax.
    #[arg(long, default_value = "info")]
    log: String,
    /// The same as istiod spells it: LEVEL, or SCOPE:LEVEL with commas; the scopes `default` and `all` are known.
    #[arg(long = "log_output_level", value_name = "LEVELS")]
    log_output_level: Option<String>,
    /// Log one JSON object a line.
    #[arg(long = "log_as_json", num_args = 0..=1, default_missing_value = "true", default_value_t = false, require_equals = true)]
    log_as_json: bool,
}

/// Starts logging to standard error.
pub(super) fn start(args: &LogArgs) -> anyhow::Result<()> {
    let text = match &args.log_output_level {
        Some(levels) => filter(levels)?,
        None => args.log.clone(),
    };
    let filter = EnvFilter::try_new(&text).with_context(|| format!("--log {text:?}"))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if args.log_as_json {
        lines.json().flatten_event(true).init();
    } else {
        lines.init();
    }
    Ok(())
}

/// Istio's levels as tracing's. Scopes that only istiod has do not count.
fn filter(levels: &str) -> anyhow::Result<String> {
    let mut chosen = "info";
    for part in levels.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (scope, level) = part.split_once(':').unwrap_or(("default", part));
        let level = match level {
            "none" => "off",
            "fatal" | "error" => "error",
            "warn" => "warn",
            "info" => "info",
            "debug" => "debug",
            _ => anyhow::bail!(
                "--log_output_level {levels:?}: {level:?} is no level; write none, error, warn, info or debug"
            ),
        };
        if matches!(scope, "default" | "all") {
            chosen = level;
        }
    }
    Ok(chosen.to_owned())
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn istios_levels_are_understood() {
        for (levels, expected) in [
            ("default:info", "info"),
            ("debug", "debug"),
            ("ads:debug,default:warn", "warn"),
            ("all:none", "off"),
            ("ads:debug", "info"),
        ] {
            assert_eq!(filter(levels).unwrap(), expected, "{levels}");
        }
        assert!(
            filter("default:loud")
                .unwrap_err()
                .to_string()
                .contains("loud")
        );
    }
}
