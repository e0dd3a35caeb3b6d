//! `meltemi analyze` as a user starts it: what it prints, and how it ends. `MELTEMI_UPDATE_GOLDEN=1` writes the files
//! again.

// A helper of a test may panic as the test may; clippy knows only the tests themselves.
#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const MELTEMI: &str = env!("CARGO_BIN_EXE_meltemi");

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/analyze")
}

/// The program, started in the directory of the worlds.
fn analyze(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(MELTEMI)
        .arg("analyze")
        .args(arguments)
        .current_dir(directory())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that reads no input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn shown(arguments: &[&str], output: &Output) -> String {
    format!(
        "$ meltemi analyze {}\n{}--- stderr\n{}--- exit code {}\n",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        output.status.code().unwrap(),
    )
}

#[test]
fn output_is_that_of_the_files() {
    let cases: &[(&str, &[&str])] = &[
        ("log", &["-n", "shop", "-f", "world"]),
        (
            "json",
            &[
                "-n",
                "shop",
                "world",
                "-o",
                "json",
                "--output-threshold",
                "Error",
            ],
        ),
        (
            "yaml",
            &[
                "-n",
                "shop",
                "world",
                "-o",
                "yaml",
                "--output-threshold",
                "Error",
                "--analyzer",
                "gateway.ConflictingGatewayAnalyzer",
            ],
        ),
        (
            "color",
            &[
                "-A",
                "world",
                "--color",
                "--analyzer",
                "schema.ValidationAnalyzer.VirtualService",
            ],
        ),
        (
            "verbose",
            &[
                "-v",
                "world",
                "--analyzer",
                "gateway.SecretAnalyzer",
                "--analyzer",
                "virtualservice.GatewayAnalyzer",
            ],
        ),
        ("clean", &["clean"]),
        ("clean-files", &["clean", "clean/clean.yaml"]),
        ("clean-json", &["clean", "-o", "JSON"]),
        ("list", &["-L"]),
    ];
    let update = std::env::var_os("MELTEMI_UPDATE_GOLDEN").is_some();
    for (name, arguments) in cases {
        let file = directory().join(format!("{name}.out"));
        let ours = shown(arguments, &analyze(arguments, ""));
        if update {
            std::fs::write(&file, &ours).unwrap();
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(ours, expected, "{name}");
    }
}

#[test]
fn it_ends_with_istioctls_codes() {
    let broken = "apiVersion: v1\nkind: Service\nmetadata: {name: a\n";
    let unnamed = "a: b\n";
    let cases: &[(&[&str], &str, i32, &str)] = &[
        (
            &["-n", "shop", "world"],
            "",
            79,
            "Error: Analyzers found issues when analyzing namespace: shop.",
        ),
        (
            &["-A", "world"],
            "",
            79,
            "Error: Analyzers found issues when analyzing all namespaces.",
        ),
        (&["-n", "shop", "world", "-o", "json"], "", 0, ""),
        (
            &["world"],
            "",
            0,
            "14 more about other namespaces; -A shows them.",
        ),
        (
            &[
                "world",
                "-n",
                "shop",
                "--analyzer",
                "service.PortNameAnalyzer",
            ],
            "",
            0,
            "",
        ),
        (
            &[
                "world",
                "-n",
                "shop",
                "--analyzer",
                "service.PortNameAnalyzer",
                "--failure-threshold",
                "info",
            ],
            "",
            79,
            "See https://istio.io/v1.31/docs/reference/config/analysis for more",
        ),
        (
            &[
                "world",
                "-n",
                "shop",
                "--analyzer",
                "gateway.ConflictingGatewayAnalyzer",
                "-S",
                "IST0145=Gateway *.shop",
            ],
            "",
            0,
            "No validation issues found",
        ),
        (
            &[
                "world",
                "-n",
                "shop",
                "--analyzer",
                "gateway.ConflictingGatewayAnalyzer",
                "-S",
                "IST0145=Gateway shop/*",
            ],
            "",
            0,
            "No validation issues found",
        ),
        (
            &["clean", "-S", "IST9999=Pod a.b"],
            "",
            0,
            "Warning: Supplied message code 'IST9999' is an unknown message code and will not have any effect.",
        ),
        (
            &["clean", "-S", "IST0145"],
            "",
            1,
            "IST0145 is not a valid suppression value",
        ),
        (&["-"], broken, 65, "Error: Some files couldn't be parsed."),
        (&["-"], unnamed, 65, "(but 1 file could not be parsed)."),
        (
            &["-", "--ignore-unknown"],
            broken,
            0,
            "Error(s) adding files: 1 error occurred:",
        ),
        (
            &["-", "-o", "json"],
            broken,
            0,
            "errors parsing content \"-\"",
        ),
        (
            &["-"],
            "",
            0,
            "No validation issues found when analyzing -.",
        ),
        (&["missing.yaml"], "", 1, "missing.yaml"),
        (&[], "", 64, "name files, directories or -"),
        (
            &["--use-kube", "clean"],
            "",
            64,
            "a live cluster cannot be analyzed yet",
        ),
        (
            &["--use-kube=false", "-r", "canary", "-R", "clean"],
            "",
            0,
            "No validation issues found",
        ),
        (
            &["clean", "--failure-threshold", "bad"],
            "",
            2,
            "Error, Warning and Info",
        ),
    ];
    for (arguments, input, code, told) in cases {
        let output = analyze(arguments, input);
        let all = shown(arguments, &output);
        assert_eq!(output.status.code(), Some(*code), "{all}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(told), "{told}\n{all}");
    }
}
