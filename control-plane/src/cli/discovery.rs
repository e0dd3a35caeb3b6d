//! `pilot-discovery discovery …`: what istiod's image is started with, so that Istio's own charts start Meltemi.

use std::ffi::OsString;
use std::path::Path;

use clap::{ArgAction, Command};

/// The arguments of `meltemi` that mean the same; the rest is what was left out. `None`: not called as istiod.
///
/// Istio 1.31 ignores flags that it does not know; so do we, and their values, by cobra's rule: the word after an
/// unknown `--flag` is its value unless it begins with `-`.
pub(super) fn translate(
    arguments: &[OsString],
    serve: &Command,
) -> Option<(Vec<OsString>, Vec<String>)> {
    let (program, rest) = arguments.split_first()?;
    if Path::new(program).file_name()? != "pilot-discovery" {
        return None;
    }
    let mut out = vec![OsString::from("meltemi")];
    let mut words = rest.iter().peekable();
    match words.peek().and_then(|word| word.to_str()) {
        Some("discovery") => {
            words.next();
            out.push("serve".into());
        }
        // `pilot-discovery version`, `--help` and the like are the program's own.
        _ => {
            out.extend(rest.iter().cloned());
            return Some((out, Vec::new()));
        }
    }
    let mut ignored = Vec::new();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        let Some(flag) = text.strip_prefix('-') else {
            out.push(word.clone());
            continue;
        };
        let flag = flag.strip_prefix('-').unwrap_or(flag);
        let (name, with_value) = flag
            .split_once('=')
            .map_or((flag, false), |(name, _)| (name, true));
        match takes_value(serve, name) {
            Some(takes) => {
                out.push(word.clone());
                if takes && !with_value {
                    out.extend(words.next().cloned());
                }
            }
            None => {
                ignored.push(format!("{}{name}", &text[..text.len() - flag.len()]));
                if !with_value {
                    words.next_if(|next| !next.to_string_lossy().starts_with('-'));
                }
            }
        }
    }
    Some((out, ignored))
}

/// Whether a flag that `serve` knows takes the next word as its value; `None`: not known.
fn takes_value(serve: &Command, name: &str) -> Option<bool> {
    if matches!(name, "help" | "h" | "version" | "V") {
        return Some(false);
    }
    let argument = serve.get_arguments().find(|argument| {
        let is_short = argument
            .get_short()
            .is_some_and(|short| name.len() == 1 && name.starts_with(short));
        argument.get_long() == Some(name)
            || is_short
            || argument
                .get_all_aliases()
                .is_some_and(|aliases| aliases.contains(&name))
    })?;
    let sets = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    Some(sets && !argument.is_require_equals_set())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::Cli;
    use super::*;

    fn translated(line: &str) -> Option<(String, Vec<String>)> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let command = Cli::command();
        let serve = command.find_subcommand("serve").unwrap();
        let (out, ignored) = translate(&words, serve)?;
        let out: Vec<String> = out
            .iter()
            .map(|w| w.to_string_lossy().into_owned())
            .collect();
        Some((out.join(" "), ignored))
    }

    #[test]
    fn the_charts_command_line_starts_the_control_plane() {
        let chart = "/usr/local/bin/pilot-discovery discovery --monitoringAddr=:15014 --log_output_level=default:info \
                     --log_as_json --domain cluster.local --keepaliveMaxServerConnectionAge 30m";
        let expected = "meltemi serve --monitoringAddr=:15014 --log_output_level=default:info --log_as_json --domain \
                        cluster.local --keepaliveMaxServerConnectionAge 30m";
        assert_eq!(translated(chart), Some((expected.to_owned(), vec![])));
    }

    #[test]
    fn unknown_flags_are_left_out_with_their_values() {
        let (line, ignored) = translated(
            "pilot-discovery discovery --profile --ctrlz_port 9876 -n here --a=b --registries=x",
        )
        .unwrap();
        assert_eq!(line, "meltemi serve -n here");
        assert_eq!(
            ignored,
            ["--profile", "--ctrlz_port", "--a", "--registries"]
        );
    }

    #[test]
    fn other_names_and_verbs_are_left_alone() {
        assert_eq!(translated("meltemi serve --nonsense"), None);
        assert_eq!(
            translated("pilot-discovery --version"),
            Some(("meltemi --version".to_owned(), vec![]))
        );
    }
}
