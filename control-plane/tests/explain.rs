//! `meltemi explain` as a user reads it: `explain/NAME.txt` holds what it says about `explain/world.yaml`.
//!
//! `MELTEMI_UPDATE_GOLDEN=1 cargo test -p meltemi --test explain` writes the files again; the diff is then to be read.

// A helper of a test may panic as the test may; clippy knows only the tests themselves.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Name, exit code and arguments of each case.
const CASES: [(&str, i32, &[&str]); 18] = [
    ("weights", 0, &["--proxy", "client-0", "http://web/"]),
    (
        "weights-other-side",
        0,
        &["--proxy", "client-0", "http://web/", "--random", "95"],
    ),
    (
        "header-and-rewrite",
        0,
        &[
            "--proxy",
            "client-0.shop",
            "http://web.shop/beta/x?y=1",
            "-H",
            "x-user: jason",
        ],
    ),
    ("fault", 0, &["--proxy", "client-0", "http://web/broken"]),
    (
        "external-tls",
        0,
        &["--proxy", "client-0", "https://api.outside.test/"],
    ),
    (
        "unknown-host",
        0,
        &["--proxy", "client-0", "http://nowhere.test/"],
    ),
    (
        "inbound",
        0,
        &[
            "--proxy",
            "web-v1",
            "--inbound",
            "--tls",
            "mtls",
            "http://10.1.0.11:8080/",
        ],
    ),
    (
        "authorization-allowed",
        0,
        &[
            "--proxy",
            "vault-0",
            "--inbound",
            "--tls",
            "mtls",
            "--principal",
            "shop/client",
            "http://10.1.0.21:8080/public/x",
        ],
    ),
    (
        "authorization-denied",
        1,
        &[
            "--proxy",
            "vault-0",
            "--inbound",
            "--tls",
            "mtls",
            "--principal",
            "shop/client",
            "-X",
            "DELETE",
            "http://10.1.0.21:8080/public/x",
        ],
    ),
    (
        "authorization-not-allowed",
        1,
        &[
            "--proxy",
            "vault-0",
            "--inbound",
            "--tls",
            "mtls",
            "http://10.1.0.21:8080/public/x",
        ],
    ),
    (
        "authorization-tcp",
        1,
        &["--proxy", "vault-0", "--inbound", "tcp://10.1.0.21:5432"],
    ),
    (
        "inbound-plaintext",
        0,
        &["--proxy", "web-v1", "--inbound", "http://10.1.0.11:8080/"],
    ),
    (
        "inbound-by-name",
        0,
        &["--proxy", "web-v1", "--inbound", "http://web.shop:8080/"],
    ),
    (
        "gateway",
        0,
        &["--proxy", "gateway-0", "http://shop.example.com/api/x"],
    ),
    (
        "gateway-redirect",
        0,
        &["--proxy", "gateway-0", "http://shop.example.com/old"],
    ),
    (
        "gateway-wrong-host",
        1,
        &["--proxy", "gateway-0", "http://stop.example.com/api"],
    ),
    (
        "gateway-wrong-path",
        1,
        &["--proxy", "gateway-0", "http://shop.example.com/nothing"],
    ),
    (
        "gateway-wrong-port",
        1,
        &["--proxy", "gateway-0", "http://shop.example.com:81/api"],
    ),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain")
}

fn explain(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_meltemi"))
        .args(["explain", "request", "--dir"])
        .arg(folder().join("world.yaml"))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn every_request_is_explained_as_its_golden_says() {
    let update = std::env::var_os("MELTEMI_UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for (name, code, arguments) in CASES {
        let output = explain(arguments);
        let said = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{name}: {said}{errors}");
        let golden = folder().join(format!("{name}.txt"));
        let got = format!("$ meltemi explain request {}\n{said}", arguments.join(" "));
        if update {
            fs::write(&golden, got).unwrap();
            continue;
        }
        let want = fs::read_to_string(&golden).unwrap_or_default();
        if got != want {
            wrong.push(format!("{name}.txt says\n{want}\nnow it is\n{got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn programs_read_the_same_as_json() {
    let output = explain(&["--proxy", "client-0", "http://web/", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["cluster"], "outbound|80|v1|web.shop.svc.cluster.local");
    assert_eq!(json["end"]["kind"], "forwarded");
    assert_eq!(json["destination"]["endpoints"][0]["address"], "10.1.0.11");
    let steps = json["steps"].as_array().unwrap();
    let route = steps.iter().find(|step| step["stage"] == "route").unwrap();
    assert_eq!(route["objects"][0], "VirtualService shop/web spec.http[2]");
}

#[test]
fn what_cannot_be_asked_is_told() {
    for (arguments, wanted) in [
        (
            vec!["--proxy", "clint", "http://web/"],
            "there is no pod clint; there are client-0.shop, ",
        ),
        (
            vec!["--proxy", "web", "http://web/"],
            "several pods begin with web: web-v1.shop, web-v2.shop",
        ),
        (
            vec!["--proxy", "client-0", "ftp://web/"],
            "the scheme ftp is none of",
        ),
        (
            vec!["--proxy", "client-0", "tcp://web"],
            "the port is missing",
        ),
        (
            vec!["--proxy", "client-0", "http://web/", "-H", "x"],
            "must be `name: value`",
        ),
        (
            vec!["--node", "nobody", "http://web/"],
            "neither a file nor a node id",
        ),
    ] {
        let output = explain(&arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(wanted), "{arguments:?}: {errors}");
    }
}
