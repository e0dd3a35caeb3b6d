//! The root file system: the program and what it needs of Debian, and nothing else; no shell, no package manager.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::said;
use crate::settings;

/// Debian packages, and which of their files are taken (a prefix of the file's name).
const PACKAGES: [(&str, &[&str]); 3] = [
    (
        "libc6",
        // The loader, and what glibc loads by itself to resolve names.
        &["ld-linux", "libc.so", "libm.so", "libnss_", "libresolv.so"],
    ),
    ("libgcc-s1", &["libgcc_s.so"]),
    ("ca-certificates", &[]),
];
/// Where TLS libraries look for trusted roots first.
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";
/// The user of istiod's image, whom Istio's charts expect.
const ACCOUNTS: [(&str, &str); 3] = [
    (
        "etc/passwd",
        "root:x:0:0:root:/:/sbin/nologin\nistio-proxy:x:1337:1337:istio-proxy:/:/sbin/nologin\n",
    ),
    ("etc/group", "root:x:0:\nistio-proxy:x:1337:\n"),
    (
        "etc/nsswitch.conf",
        "passwd: files\ngroup: files\nhosts: files dns\n",
    ),
];

/// A package's name, which of its files are taken, and where its archive lies.
#[derive(Debug)]
pub(super) struct Package {
    name: &'static str,
    files: &'static [&'static str],
    archive: PathBuf,
}

/// The packages, fetched if they are not in the cache.
pub(super) fn packages() -> Result<Vec<Package>> {
    let folder = settings::cache()?.join("packages");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    PACKAGES
        .into_iter()
        .map(|(name, files)| {
            if cached(&folder, name)?.is_none() {
                println!("fetching the Debian package {name}");
                said(
                    Command::new("apt-get")
                        .args(["download", "-q", name])
                        .current_dir(&folder),
                )
                .context("the image consists of Debian packages; build it on Debian or Ubuntu, or use the Containerfile")?;
            }
            let archive = cached(&folder, name)?
                .with_context(|| format!("apt-get download left no package {name}"))?;
            Ok(Package { name, files, archive })
        })
        .collect()
}

/// The newest archive of a package in the cache.
fn cached(folder: &Path, name: &str) -> Result<Option<PathBuf>> {
    let prefix = format!("{name}_");
    let mut found = names(folder)?;
    found.retain(|file| file.starts_with(&prefix) && file.ends_with(".deb"));
    Ok(found.pop().map(|file| folder.join(file)))
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Lays the file system out in a folder.
pub(super) fn lay_out(root: &Path, packages: &[Package], binary: &Path) -> Result<()> {
    fs::create_dir_all(root).with_context(|| format!("creating {}", root.display()))?;
    for link in ["bin", "lib", "sbin"] {
        fs::create_dir_all(root.join("usr").join(link))?;
        symlink(format!("usr/{link}"), root.join(link))?;
    }
    for package in packages {
        add(root, package).with_context(|| format!("the package {}", package.name))?;
    }
    for (path, text) in ACCOUNTS {
        write(&root.join(path), text.as_bytes())?;
    }
    // Scanners learn from it whose packages these are.
    if let Ok(release) = fs::read("/etc/os-release") {
        write(&root.join("etc/os-release"), &release)?;
    }
    let programs = root.join("usr/local/bin");
    fs::create_dir_all(&programs)?;
    let program = programs.join("meltemi");
    fs::copy(binary, &program).with_context(|| format!("the program {}", binary.display()))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    // Istio's charts start it by this name.
    symlink("meltemi", programs.join("pilot-discovery"))?;
    Ok(())
}

fn add(root: &Path, package: &Package) -> Result<()> {
    let unpacked = root.with_extension(package.name);
    said(
        Command::new("dpkg-deb")
            .arg("-x")
            .arg(&package.archive)
            .arg(&unpacked),
    )?;
    let taken = take(root, &unpacked, package);
    fs::remove_dir_all(&unpacked).with_context(|| format!("removing {}", unpacked.display()))?;
    taken?;
    let about = said(Command::new("dpkg-deb").arg("-f").arg(&package.archive))?;
    write(
        &root.join("var/lib/dpkg/status.d").join(package.name),
        &about,
    )
}

fn take(root: &Path, unpacked: &Path, package: &Package) -> Result<()> {
    let copyright = format!("usr/share/doc/{}/copyright", package.name);
    if unpacked.join(&copyright).is_file() {
        copy(&unpacked.join(&copyright), &root.join(&copyright))?;
    }
    let roots = unpacked.join("usr/share/ca-certificates/mozilla");
    if roots.is_dir() {
        let mut bundle = Vec::new();
        for name in names(&roots)? {
            let certificate = fs::read(roots.join(&name))?;
            bundle.extend_from_slice(&certificate);
            if !certificate.ends_with(b"\n") {
                bundle.push(b'\n');
            }
        }
        write(&root.join(BUNDLE), &bundle)?;
    }
    for folder in ["lib", "lib64", "usr/lib", "usr/lib64"] {
        libraries(root, unpacked, Path::new(folder), package.files)?;
    }
    Ok(())
}

/// Copies the libraries of a folder and of the one below it for the machine's architecture.
fn libraries(root: &Path, unpacked: &Path, folder: &Path, wanted: &[&str]) -> Result<()> {
    if !unpacked.join(folder).is_dir() {
        return Ok(());
    }
    for name in names(&unpacked.join(folder))? {
        let path = folder.join(&name);
        let source = unpacked.join(&path);
        if source.is_dir() && name.ends_with("-linux-gnu") {
            libraries(root, unpacked, &path, wanted)?;
        } else if wanted.iter().any(|prefix| name.starts_with(prefix)) {
            // The loader's place in /lib64 is part of every program; /lib is a link to /usr/lib.
            copy(&source, &root.join(&path))?;
        }
    }
    Ok(())
}

fn copy(source: &Path, target: &Path) -> Result<()> {
    parents(target)?;
    match fs::read_link(source) {
        Ok(link) => symlink(link, target),
        Err(_) => fs::copy(source, target).map(|_| ()),
    }
    .with_context(|| format!("copying {}", source.display()))
}

fn write(file: &Path, content: &[u8]) -> Result<()> {
    parents(file)?;
    if file.exists() {
        bail!("{} is there already", file.display());
    }
    fs::write(file, content).with_context(|| format!("writing {}", file.display()))
}

fn parents(file: &Path) -> Result<()> {
    match file.parent() {
        Some(parent) => {
            fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))
        }
        None => Ok(()),
    }
}
