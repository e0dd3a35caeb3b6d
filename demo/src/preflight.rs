//! Whether the demo can run on this machine, checked before anything is started, so that what is missing is said at once
//! and with its remedy.

use std::process::Command;

use anyhow::{Result, bail};

use crate::settings;

/// Programs, and the Debian package of each.
const PROGRAMS: [(&str, &str); 4] = [
    ("unshare", "util-linux"),
    ("mount", "mount"),
    ("ip", "iproute2"),
    ("iptables-restore", "iptables"),
];
const ROOTLESS_PROGRAMS: [(&str, &str); 2] = [("newuidmap", "uidmap"), ("newgidmap", "uidmap")];

/// How the demo gets the right to make namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// It is root.
    Root,
    /// In a user namespace with subordinate uids.
    Rootless,
}

impl Rights {
    /// The arguments of `unshare` for the node: everything in namespaces of its own, killed together with its first process.
    #[must_use]
    pub fn unshare_arguments(self) -> Vec<&'static str> {
        let mut arguments = match self {
            Self::Root => Vec::new(),
            Self::Rootless => vec!["--user", "--map-root-user", "--map-auto"],
        };
        arguments.extend([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]);
        arguments
    }
}

/// Finds out how to run here, or says what is missing.
pub fn check() -> Result<Rights> {
    let rights = if settings::uid()? == 0 {
        Rights::Root
    } else {
        Rights::Rootless
    };
    let rootless: &[_] = if rights == Rights::Rootless {
        &ROOTLESS_PROGRAMS
    } else {
        &[]
    };
    let needed = PROGRAMS.iter().chain(rootless);
    let missing: Vec<&(&str, &str)> = needed
        .filter(|(program, _)| settings::on_path(program).is_none())
        .collect();
    if !missing.is_empty() {
        let programs: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
        let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
        packages.dedup();
        bail!(
            "the demo needs {}: apt-get install {}",
            programs.join(", "),
            packages.join(" ")
        );
    }
    if rights == Rights::Rootless {
        subordinate_ids()?;
    }
    try_namespaces(rights)?;
    Ok(rights)
}

fn subordinate_ids() -> Result<()> {
    let uid = settings::uid()?.to_string();
    let user = settings::user_name().unwrap_or_else(|| uid.clone());
    for file in ["/etc/subuid", "/etc/subgid"] {
        let table = std::fs::read_to_string(file).unwrap_or_default();
        if !table.lines().any(|line| {
            line.split(':')
                .next()
                .is_some_and(|owner| owner == user || owner == uid)
        }) {
            bail!(
                "the demo runs Envoy and the applications as other users, and {file} gives {user} no subordinate ids: \
                 run it as root, or once `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}`"
            );
        }
    }
    Ok(())
}

fn try_namespaces(rights: Rights) -> Result<()> {
    let output = Command::new("unshare")
        .args(rights.unshare_arguments())
        .args(["--", "true"])
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let complaint = complaint.trim();
    match rights {
        Rights::Root => bail!(
            "this machine does not allow network, mount and process namespaces ({complaint}): \
             in a container, run it privileged"
        ),
        Rights::Rootless => bail!(
            "this machine does not allow user namespaces ({complaint}): run the demo as root, or allow them \
             (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)"
        ),
    }
}
