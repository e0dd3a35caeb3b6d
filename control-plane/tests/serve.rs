//! `meltemi serve` and `meltemi ps` as a user starts them: the program itself, its streams and its exit code.

// A helper of a test may panic as the test may; clippy knows only the tests themselves.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const MELTEMI: &str = env!("CARGO_BIN_EXE_meltemi");

/// A program that has not done it after so long will not do it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running `meltemi serve`; killed if a test fails.
struct Serving {
    child: Child,
    /// The monitoring address.
    monitoring: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It is gone already when the test has ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(directory: &Path) -> Serving {
    let any = "127.0.0.1:0";
    let mut child = Command::new(MELTEMI)
        .args([
            "serve",
            "--grpc-addr",
            any,
            "--http-addr",
            any,
            "--monitoring-addr",
            any,
        ])
        .arg("--config-dir")
        .arg(directory)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = lines.find_map(|line| line.ok().filter(|line| line.contains("listening")));
    let line = line.expect("it says where it listens");
    // The monitoring address is the last one; colours may follow it.
    let at = line.rfind("127.0.0.1:");
    let monitoring: String = line[at.expect("an address")..]
        .chars()
        .take_while(|c| c.is_ascii_digit() || ".:".contains(*c))
        .collect();
    // Its log must be read, or it would wait for a reader.
    std::thread::spawn(move || lines.count());
    Serving { child, monitoring }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not seen: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn ps(address: &str) -> Output {
    Command::new(MELTEMI)
        .args(["ps", "--address", address])
        .output()
        .unwrap()
}

#[test]
fn sigterm_ends_a_server_without_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut serving = serve(directory.path());
    until("/ready", || {
        get(&serving.monitoring, "/ready").starts_with("HTTP/1.1 200")
    });

    let shown = ps(&serving.monitoring);
    assert!(shown.status.success(), "{shown:?}");
    assert_eq!(
        String::from_utf8_lossy(&shown.stdout),
        "NAME  CDS  EDS  LDS  RDS  VERSION\n"
    );

    let pid = serving.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    let mut status = None;
    until("its end", || {
        status = serving.child.try_wait().unwrap();
        status.is_some()
    });
    assert!(status.unwrap().success(), "{status:?}");

    let shown = ps(&serving.monitoring);
    assert_eq!(shown.status.code(), Some(1));
    let error = String::from_utf8_lossy(&shown.stderr).into_owned();
    assert!(error.contains("is `meltemi serve` running?"), "{error}");
}

#[test]
fn a_wrong_flag_is_said_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    for (flag, value, words) in [
        (
            "--config-dir",
            missing.to_str().unwrap(),
            "no such directory",
        ),
        ("--mesh-config", missing.to_str().unwrap(), "no such file"),
        (
            "--grpc-addr",
            "192.0.2.1:15010",
            "--grpc-addr 192.0.2.1:15010",
        ),
    ] {
        let mut command = Command::new(MELTEMI);
        command.arg("serve").args([flag, value]).args([
            "--http-addr",
            "127.0.0.1:0",
            "--monitoring-addr",
            "127.0.0.1:0",
        ]);
        if flag != "--config-dir" {
            command.arg("--config-dir").arg(directory.path());
        }
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{flag}: {error}");
        assert!(error.contains(words), "{flag}: {error}");
    }
}
