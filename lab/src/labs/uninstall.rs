//! The end of L01: the mesh is removed, and nothing of it stays in the way.

use anyhow::{Result, ensure};

use super::l01::RELEASES;
use super::manifests;
use super::mesh::{ISTIO, PODS, pods_are};
use crate::cluster::Cluster;
use crate::report::{Step, needed, step};
use crate::run::eventually;

pub(super) const STEPS: &[Step] = &[
    needed("L01.19a", "helm uninstalls everything", uninstall),
    step(
        "L01.19b",
        "no webhook of Istio is left, and the namespace goes",
        gone,
    ),
    step(
        "L01.19c",
        "a new pod in a labelled namespace has one container",
        plain_pods,
    ),
];

/// Removes the releases and the namespace, which goes by and by.
pub(super) fn uninstall(cluster: &Cluster) -> Result<String> {
    for release in RELEASES.iter().rev() {
        cluster.helm(&[
            "uninstall",
            release,
            "-n",
            ISTIO,
            "--wait",
            "--timeout=120s",
        ])?;
    }
    cluster.kubectl(&["delete", "namespace", ISTIO, "--wait=false"])?;
    Ok(String::new())
}

fn gone(cluster: &Cluster) -> Result<String> {
    let kinds = "mutatingwebhookconfigurations,validatingwebhookconfigurations";
    let left = cluster.kubectl(&["get", kinds, "-o", "name"])?;
    ensure!(!left.contains("istio"), "{left}");
    eventually(PODS, "the namespace's end", || {
        let left = cluster.kubectl(&[
            "get",
            "namespace",
            ISTIO,
            "--ignore-not-found",
            "-o",
            "name",
        ])?;
        ensure!(left.trim().is_empty(), "it is there");
        Ok(())
    })?;
    Ok(String::new())
}

fn plain_pods(cluster: &Cluster) -> Result<String> {
    cluster.kubectl(&["create", "namespace", "afterwards"])?;
    cluster.kubectl(&[
        "label",
        "namespace",
        "afterwards",
        "istio-injection=enabled",
    ])?;
    cluster.apply_file(&["-n", "afterwards"], &manifests()?.join("apps/sleep.yaml"))?;
    pods_are(cluster, "afterwards", "app=sleep", 1, 1)
}
