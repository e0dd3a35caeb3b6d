//! `cargo xtask image`: an OCI image as a file, made without a container engine.
//!
//! Same packages and same program, same digest: entries are sorted, have no age and belong to root. The file is an OCI
//! layout that `docker load` of any age reads, too (`manifest.json`).

mod pack;
mod rootfs;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::settings;

const HELP: &str = "\
cargo xtask image [--output FILE] [--binary FILE] [--tag NAME] [--root FOLDER]

Builds the program and packs it with the few libraries that it needs as an OCI image, without a container engine.

  --output FILE    where the image goes (target/image/meltemi-VERSION-ARCHITECTURE.tar)
  --binary FILE    this program instead of a release build
  --tag NAME       the image's name (meltemi/pilot:VERSION)
  --root FOLDER    write the root file system there, and no image

Debian packages come from apt-get download, once; afterwards it works offline. To try the image:
docker load -i FILE, podman load -i FILE, ctr images import FILE.
";

#[derive(Debug)]
struct Options {
    output: PathBuf,
    binary: Option<PathBuf>,
    tag: String,
    root: Option<PathBuf>,
}

pub(crate) fn image(arguments: &[String]) -> Result<ExitCode> {
    if arguments
        .iter()
        .any(|word| word == "-h" || word == "--help")
    {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let options = options(arguments)?;
    let binary = match &options.binary {
        Some(file) => file.clone(),
        None => release()?,
    };
    let packages = rootfs::packages()?;
    if let Some(root) = &options.root {
        let occupied = fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_some());
        if occupied {
            bail!("{} is not empty", root.display());
        }
        rootfs::lay_out(root, &packages, &binary)?;
        println!("{}", root.display());
        return Ok(ExitCode::SUCCESS);
    }
    let folder = settings::target().join("image/build");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    let root = folder.join("root");
    rootfs::lay_out(&root, &packages, &binary)?;
    let packed = pack::pack(&root, &folder, &options.tag, &options.output)?;
    fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    println!("image   {}", options.tag);
    println!("file    {}", options.output.display());
    println!("digest  {}", packed.digest);
    println!("size    {:.1} MB", packed.size as f64 / 1e6);
    Ok(ExitCode::SUCCESS)
}

fn options(arguments: &[String]) -> Result<Options> {
    let version = env!("CARGO_PKG_VERSION");
    let name = format!("image/meltemi-{version}-{}.tar", pack::architecture());
    let mut options = Options {
        output: settings::target().join(name),
        binary: None,
        tag: format!("meltemi/pilot:{version}"),
        root: None,
    };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        let mut value = || {
            value
                .clone()
                .or_else(|| words.next().cloned())
                .with_context(|| format!("{name} needs a value"))
        };
        match name {
            "--output" => options.output = value()?.into(),
            "--binary" => options.binary = Some(value()?.into()),
            "--tag" => options.tag = value()?,
            "--root" => options.root = Some(value()?.into()),
            _ => bail!("there is no option {word}\n{HELP}"),
        }
    }
    Ok(options)
}

/// A release build of the program.
fn release() -> Result<PathBuf> {
    let built = Command::new(settings::cargo())
        .args(["build", "--release", "--locked", "-p", "meltemi"])
        .current_dir(settings::root())
        .status()
        .context("cargo does not start")?;
    if !built.success() {
        bail!("the release build fails");
    }
    Ok(settings::target().join("release/meltemi"))
}

/// What a program writes to its output; what it complains about is part of the error.
fn said(command: &mut Command) -> Result<Vec<u8>> {
    let name: OsString = command.get_program().to_owned();
    let name = name.to_string_lossy();
    let output = command
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{name} does not start"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{name} fails: {}", complaint.trim());
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests;
