//! What the demo takes from its environment: where programs and the cache are, who runs it. Read here and nowhere else.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// A program on the PATH; the system's own folders count even when an unprivileged user's PATH leaves them out.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut candidates = std::env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join(program));
    candidates.find(|file| {
        file.metadata()
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    })
}

/// A PATH on which `ip` and `iptables` are found.
pub(crate) fn path_with_system_folders() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    format!(
        "{}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin",
        path.to_string_lossy()
    )
}

/// The user's cache folder for Meltemi (XDG base directories).
pub(crate) fn cache_folder() -> Result<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    Ok(cache
        .context("neither XDG_CACHE_HOME nor HOME is set")?
        .join("meltemi"))
}

/// The user's name, for /etc/subuid.
pub(crate) fn user_name() -> Option<String> {
    std::env::var_os("USER")
        .or_else(|| std::env::var_os("LOGNAME"))
        .map(|name| name.to_string_lossy().into_owned())
}

/// The uid of this process: the owner of its own folder under /proc.
pub(crate) fn uid() -> Result<u32> {
    Ok(std::fs::metadata("/proc/self")
        .context("/proc is not mounted")?
        .uid())
}
