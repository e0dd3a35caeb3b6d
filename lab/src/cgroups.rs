//! The node's control groups: v1 with one hierarchy for each controller, or v2.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Of the node: the kubelet's `cgroupRoot`.
pub(crate) const GROUP: &str = "meltemi-lab";
/// Of the node's own programs.
pub(crate) const PROGRAMS: &str = "meltemi-lab/programs";

const PLACE: &str = "/sys/fs/cgroup";
/// What a kubelet needs of v1.
const NEEDED: [&str; 8] = [
    "blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids",
];
const REMOVAL_LIMIT: Duration = Duration::from_secs(10);

/// Why this machine's control groups do not do.
pub(crate) fn check() -> Result<()> {
    if is_v2() {
        return Ok(());
    }
    let absent: Vec<&str> = NEEDED
        .into_iter()
        .filter(|name| !Path::new(PLACE).join(name).join("cgroup.procs").exists())
        .collect();
    if !absent.is_empty() {
        bail!("there are no control groups for {}", absent.join(", "));
    }
    Ok(())
}

fn is_v2() -> bool {
    Path::new(PLACE).join("cgroup.controllers").exists()
}

/// The roots of the hierarchies.
fn hierarchies() -> Vec<PathBuf> {
    if is_v2() {
        return vec![PathBuf::from(PLACE)];
    }
    let entries = fs::read_dir(PLACE).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.join("cgroup.procs").exists())
        .collect()
}

/// Makes the groups in every hierarchy: the kubelet does not make its own root.
pub(crate) fn make() -> Result<()> {
    for hierarchy in hierarchies() {
        for group in [GROUP, PROGRAMS] {
            let folder = hierarchy.join(group);
            fs::create_dir_all(&folder)
                .with_context(|| format!("creating {}", folder.display()))?;
            // Nothing can be put into a new cpuset group before it has processors and memory.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if !is_v2() && hierarchy.join(file).exists() {
                    let all = fs::read_to_string(hierarchy.join(file)).context("cpuset")?;
                    fs::write(folder.join(file), all.trim()).context("cpuset")?;
                }
            }
        }
        if is_v2() {
            for folder in [hierarchy.clone(), hierarchy.join(GROUP)] {
                fs::write(
                    folder.join("cgroup.subtree_control"),
                    "+cpu +cpuset +io +memory +pids",
                )
                .with_context(|| format!("delegating controllers of {}", folder.display()))?;
            }
        }
    }
    Ok(())
}

/// Removes the groups; those of processes that end just now take a moment.
pub(crate) fn remove() -> Result<()> {
    let deadline = Instant::now() + REMOVAL_LIMIT;
    loop {
        let left: Vec<PathBuf> = hierarchies()
            .into_iter()
            .map(|hierarchy| hierarchy.join(GROUP))
            .filter(|group| group.exists() && !removed(group))
            .collect();
        let Some(first) = left.first() else {
            return Ok(());
        };
        if Instant::now() >= deadline {
            bail!("{} still holds processes", first.display());
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Children first; a folder of cgroupfs is removed with its files.
fn removed(group: &Path) -> bool {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    for entry in entries {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            removed(&entry.path());
        }
    }
    fs::remove_dir(group).is_ok()
}

/// Anonymous memory of all that runs in the node, in bytes; none where the kernel does not tell.
pub(crate) fn memory() -> Option<u64> {
    let (file, field) = if is_v2() {
        (Path::new(PLACE).join(GROUP), "anon")
    } else {
        (Path::new(PLACE).join("memory").join(GROUP), "total_rss")
    };
    let text = fs::read_to_string(file.join("memory.stat")).ok()?;
    let line = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        (name == field).then(|| value.trim().parse().ok())?
    };
    text.lines().find_map(line)
}
