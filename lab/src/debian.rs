//! Debian packages: what the machine must have, and a root file system for images, packed without installing anything.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::layer::{self, Layer, Writer, merged};
use crate::run::said;
use crate::settings;

/// Programs that the machine must have, and the Debian package of each.
const PROGRAMS: [(&str, &str); 14] = [
    ("apt-get", "apt"),
    ("conntrack", "conntrack"),
    ("containerd", "containerd"),
    ("curl", "curl"),
    ("dpkg-deb", "dpkg"),
    ("etcd", "etcd-server"),
    ("ethtool", "ethtool"),
    ("ip", "iproute2"),
    ("ipset", "ipset"),
    ("iptables", "iptables"),
    ("nsenter", "util-linux"),
    ("openssl", "openssl"),
    ("runc", "runc"),
    ("socat", "socat"),
];
/// A CNI plugin's place; its package is not on the PATH.
const CNI: &str = "/usr/lib/cni/bridge";

/// What is in the images' common root, with all that it depends on.
const ROOT: [&str; 6] = ["busybox", "curl", "ipset", "iptables", "nftables", "procps"];
/// Needed to install packages, not to run their programs.
const LEFT_OUT: [&str; 2] = ["debconf", "perl"];
const NO_FILES_OF: [&str; 6] = [
    "usr/share/bash-completion",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
];
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
const USERS: &str = "root:x:0:0:root:/root:/bin/sh\n\
                     istio-proxy:x:1337:1337:istio-proxy:/:/bin/sh\n\
                     nobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUPS: &str = "root:x:0:\nistio-proxy:x:1337:\nnogroup:x:65534:\n";

/// Packages that the machine lacks.
pub(crate) fn missing() -> Vec<&'static str> {
    let absent = PROGRAMS
        .iter()
        .filter(|(program, _)| settings::on_path(program).is_none())
        .map(|(_, package)| *package);
    let mut missing: Vec<&str> = absent.collect();
    if !Path::new(CNI).is_file() {
        missing.push("containernetworking-plugins");
    }
    missing
}

/// The files that every image needs: users, name service, certificates.
pub(crate) fn accounts(writer: &mut Writer<'_>) -> Result<()> {
    writer.folder(Path::new("tmp"), 0o1777)?;
    for folder in ["root", "proc", "sys", "dev"] {
        writer.folder(Path::new(folder), 0o755)?;
    }
    writer.file("etc/passwd", 0o644, USERS.as_bytes())?;
    writer.file("etc/group", 0o644, GROUPS.as_bytes())?;
    writer.file("etc/nsswitch.conf", 0o644, b"hosts: files dns\n")?;
    if let Ok(certificates) = fs::read(CERTIFICATES) {
        writer.file("etc/ssl/certs/ca-certificates.crt", 0o644, &certificates)?;
    }
    Ok(())
}

/// The common root of the images, from the cache or packed anew. `say` hears what takes long.
pub(crate) fn root(say: &dyn Fn(&str)) -> Result<Layer> {
    let cache = settings::cache()?;
    let packages = closure(&ROOT)?;
    let name = layer::digest(format!("1 {}", packages.join(" ")).as_bytes());
    let name = name
        .trim_start_matches("sha256:")
        .get(..16)
        .unwrap_or_default()
        .to_owned();
    let notes = cache.join(format!("root-{name}.json"));
    if let Ok(text) = fs::read_to_string(&notes) {
        let layer: Layer = serde_json::from_str(&text).context("the cached root")?;
        if layer.file.is_file() {
            return Ok(layer);
        }
    }
    say(&format!(
        "packing the images' root from {} Debian packages",
        packages.len()
    ));
    let files = download(&packages, &cache.join("packages"))?;
    let layer = layer::write(cache.join(format!("root-{name}.tar")), |writer| {
        for (path, target) in [
            ("bin", "usr/bin"),
            ("sbin", "usr/sbin"),
            ("lib", "usr/lib"),
            ("lib64", "usr/lib64"),
        ] {
            writer.link(path, target)?;
        }
        accounts(writer)?;
        let mut present = BTreeSet::new();
        for file in &files {
            unpack(file, writer, &mut present)
                .with_context(|| format!("unpacking {}", file.display()))?;
        }
        applets(writer, &present)
    })?;
    fs::write(&notes, serde_json::to_string(&layer)?).context("the cached root")?;
    Ok(layer)
}

/// The packages and all that they depend on, sorted.
fn closure(packages: &[&str]) -> Result<Vec<String>> {
    let found = said(
        Command::new("apt-cache")
            .args([
                "depends",
                "--recurse",
                "--no-recommends",
                "--no-suggests",
                "--no-conflicts",
                "--no-breaks",
                "--no-replaces",
                "--no-enhances",
            ])
            .args(packages),
    )?;
    let names: BTreeSet<&str> = found
        .lines()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()))
        .filter(|name| !LEFT_OUT.iter().any(|left| name.starts_with(left)))
        .collect();
    for package in packages {
        if !names.contains(package) {
            bail!("apt knows no package {package} (apt-get update?)");
        }
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// The packages' files; those that are in the folder already are not fetched again.
fn download(packages: &[String], folder: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let find = |package: &String| -> Option<PathBuf> {
        let prefix = format!("{package}_");
        let mut files: Vec<PathBuf> = fs::read_dir(folder)
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
            })
            .collect();
        files.sort();
        files.pop()
    };
    let absent: Vec<&String> = packages
        .iter()
        .filter(|name| find(name).is_none())
        .collect();
    if !absent.is_empty() {
        said(
            Command::new("apt-get")
                .args(["download", "-q"])
                .args(&absent)
                .current_dir(folder),
        )
        .context("downloading Debian packages")?;
    }
    packages
        .iter()
        .map(|name| find(name).with_context(|| format!("apt-get download left no {name}")))
        .collect()
}

/// Copies a package's files into the layer, at their places in a merged root.
fn unpack(file: &Path, writer: &mut Writer<'_>, present: &mut BTreeSet<PathBuf>) -> Result<()> {
    let mut tool = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("dpkg-deb")?;
    let stream = tool.stdout.take().context("dpkg-deb has no output")?;
    let mut archive = tar::Archive::new(stream);
    for entry in archive.entries().context("the package's files")? {
        let mut entry = entry.context("the package's files")?;
        let path = merged(&entry.path().context("a path")?);
        if path.as_os_str().is_empty() || NO_FILES_OF.iter().any(|none| path.starts_with(none)) {
            continue;
        }
        if !entry.header().entry_type().is_dir() && !present.insert(path.clone()) {
            continue;
        }
        writer.copied(&path, &mut entry)?;
    }
    // The padding at the end must be read, or dpkg-deb fails to write it.
    let mut rest = Vec::new();
    archive
        .into_inner()
        .read_to_end(&mut rest)
        .context("the package's end")?;
    if !tool.wait().context("dpkg-deb")?.success() {
        bail!("dpkg-deb fails");
    }
    Ok(())
}

/// Links for busybox's applets, where no package brings the program itself. Its own list is asked for: Debian and we run
/// on the same machine.
fn applets(writer: &mut Writer<'_>, present: &BTreeSet<PathBuf>) -> Result<()> {
    let folder = tempfile::tempdir().context("a folder")?;
    let package = closure(&["busybox"])?
        .into_iter()
        .find(|name| name == "busybox")
        .context("busybox")?;
    let file = download(&[package], &settings::cache()?.join("packages"))?;
    said(
        Command::new("dpkg-deb")
            .arg("-x")
            .args(&file)
            .arg(folder.path()),
    )?;
    let program = ["bin/busybox", "usr/bin/busybox"]
        .map(|path| folder.path().join(path))
        .into_iter()
        .find(|path| path.is_file())
        .context("the package busybox has no busybox")?;
    for applet in said(Command::new(program).arg("--list"))?.lines() {
        let places = ["usr/bin", "usr/sbin"].map(|folder| Path::new(folder).join(applet));
        if applet != "busybox" && places.iter().all(|place| !present.contains(place)) {
            writer.link(&format!("usr/bin/{applet}"), "busybox")?;
        }
    }
    Ok(())
}
