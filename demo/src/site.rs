//! Where the parts of one run are: its folder, its programs, its addresses. Fixed at the start and shared by all.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::address::NODE;
use crate::check::{MetricNames, Section};

/// What a run shall do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Mode {
    /// Run until it is stopped.
    Demo,
    /// Run these checks and end.
    Check(Vec<Section>),
}

/// One run, as the process outside hands it to the node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Site {
    /// The run's own folder, which goes away with it.
    pub(crate) run: PathBuf,
    /// The folder of the user's manifests.
    pub(crate) manifests: PathBuf,
    /// The executable of Meltemi, where it lies on the machine.
    pub(crate) executable: PathBuf,
    /// Envoy, where it lies on the machine.
    pub(crate) envoy: PathBuf,
    /// The ingress gateway on the machine's loopback.
    pub(crate) ingress: SocketAddr,
    /// The control plane's metrics and debug interface on the machine's loopback.
    pub(crate) monitoring: SocketAddr,
    /// What to do.
    pub(crate) mode: Mode,
    /// The control plane's names for what a check reads.
    pub(crate) metrics: MetricNames,
}

impl Site {
    /// Programs as the pods see them: mounted into the run's folder, since another user may not enter the folder where
    /// they really are.
    pub(crate) fn pod_executable(&self) -> PathBuf {
        self.run.join("bin/meltemi")
    }

    pub(crate) fn pod_envoy(&self) -> PathBuf {
        self.run.join("bin/envoy")
    }

    /// The folder that the control plane reads.
    pub(crate) fn config(&self) -> PathBuf {
        self.run.join("config")
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.run.join("scratch")
    }

    pub(crate) fn pods(&self) -> PathBuf {
        self.run.join("pods")
    }

    pub(crate) fn report(&self) -> PathBuf {
        self.run.join("report.json")
    }

    pub(crate) fn control_plane_log(&self) -> PathBuf {
        self.run.join("control-plane.log")
    }

    /// The node listens here for what arrives at the ingress on the loopback.
    pub(crate) fn ingress_socket(&self) -> PathBuf {
        socket(&self.run, "ingress")
    }

    pub(crate) fn monitoring_socket(&self) -> PathBuf {
        socket(&self.run, "monitoring")
    }

    /// The process outside listens here, so that checks inside can go the way of a user: through the machine's loopback.
    pub(crate) fn loopback_socket(&self) -> PathBuf {
        socket(&self.run, "loopback")
    }

    /// The folders to make before anything starts.
    pub(crate) fn folders(&self) -> [PathBuf; 5] {
        [
            self.run.join("bin"),
            self.config(),
            self.scratch(),
            self.pods(),
            self.run.join("sockets"),
        ]
    }
}

fn socket(run: &Path, name: &str) -> PathBuf {
    run.join("sockets").join(name)
}

/// A port of the node.
pub(crate) fn node_address(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(NODE), port)
}

/// The last lines of a log, for an error message.
pub(crate) fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
