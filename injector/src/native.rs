//! Native sidecars: the proxy as an init container that stays (Kubernetes 1.33 and later).

/// What `ENABLE_NATIVE_SIDECARS` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NativeSidecars {
    /// Where all nodes can.
    #[default]
    Auto,
    /// Always.
    Enabled,
    /// Never.
    Disabled,
}

/// A node: its name and the version of its kubelet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The name.
    pub name: String,
    /// `status.nodeInfo.kubeletVersion`, such as `v1.33.0`.
    pub kubelet_version: String,
}

/// The minor version since which native sidecars are stable.
const MINOR: u64 = 33;

/// Whether a pod gets a native sidecar, given the nodes of its cluster (none known: as far as those are concerned, yes).
pub(crate) fn detected(setting: NativeSidecars, nodes: &[Node], pod_node: &str) -> bool {
    match setting {
        NativeSidecars::Enabled => true,
        NativeSidecars::Disabled => false,
        NativeSidecars::Auto => {
            if !pod_node.is_empty() {
                if let Some(node) = nodes.iter().find(|node| node.name == pod_node) {
                    return able(&node.kubelet_version);
                }
                tracing::warn!(node = pod_node, "the pod's node is not known");
            }
            nodes.iter().all(|node| able(&node.kubelet_version))
        }
    }
}

fn able(version: &str) -> bool {
    let version = version.strip_prefix('v').unwrap_or(version);
    let mut parts = version.split(['.', '-', '+']);
    let major = parts.next().and_then(|part| part.parse::<u64>().ok());
    let minor = parts.next().and_then(|part| part.parse::<u64>().ok());
    match (major, minor) {
        (Some(_), Some(minor)) => minor >= MINOR,
        _ => {
            tracing::warn!(version, "the node's version cannot be read");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(setting: NativeSidecars, versions: &[&str], pod_node: &str, expected: bool) {
        let nodes: Vec<Node> = versions
            .iter()
            .enumerate()
            .map(|(i, version)| Node {
                name: format!("n{i}"),
                kubelet_version: (*version).to_owned(),
            })
            .collect();
        assert_eq!(
            detected(setting, &nodes, pod_node),
            expected,
            "{versions:?} {pod_node}"
        );
    }

    #[test]
    fn all_nodes_must_be_able() {
        use NativeSidecars::{Auto, Disabled, Enabled};
        check(Auto, &["v1.33.0", "v1.34.1-gke.1+k"], "", true);
        check(Auto, &["v1.33.0", "v1.28.0"], "", false);
        check(Auto, &["v1.33.0", "v1.28.0"], "n0", true);
        check(Auto, &["v1.33.0", "v1.28.0"], "n1", false);
        check(Auto, &["v1.33.0"], "other", true);
        check(Auto, &["unknown"], "", false);
        check(Auto, &[], "", true);
        check(Enabled, &["v1.1.0"], "", true);
        check(Disabled, &["v1.40.0"], "", false);
    }
}
