//! Which settings of a rule apply to one port and subset.

use meltemi_model::mesh::Mesh;
use meltemi_model::traffic::{MergedRule, PortPolicy, RetryBudget, TrafficPolicy};

/// The settings that apply after the rule's, the port's, the subset's and the mesh's were laid over one another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Effective {
    /// Load balancing, pool, outlier detection and TLS.
    pub port: PortPolicy,
    /// PROXY protocol version.
    pub proxy_protocol: Option<u8>,
    /// Retry budget.
    pub retry_budget: Option<RetryBudget>,
}

/// Istio 1.31: `GetPortLevelTrafficPolicy`, `MergeSubsetTrafficPolicy`, `applyDefaultTrafficPolicy`.
pub fn effective(rule: Option<&MergedRule>, subset: &str, port: u16, mesh: &Mesh) -> Effective {
    let mut all = rule
        .and_then(|r| r.policy.as_ref())
        .map(|p| for_port(p, port).0)
        .unwrap_or_default();
    // The mesh's defaults lie under the rule's, the subset's over both.
    if all.port.connection_pool.is_none() {
        all.port
            .connection_pool
            .clone_from(&mesh.default_connection_pool);
    }
    if all.port.outlier_detection.is_none() {
        all.port
            .outlier_detection
            .clone_from(&mesh.default_outlier_detection);
    }
    let subset = rule.and_then(|r| {
        r.subsets
            .iter()
            .find(|s| !subset.is_empty() && *s.name == *subset)
    });
    if let Some(policy) = subset.and_then(|s| s.policy.as_ref()) {
        overlay(&mut all, policy, port);
    }
    all
}

/// The policy of a port, and whether it has settings of its own. Those replace all blocks of the whole: nothing is
/// inherited.
fn for_port(policy: &TrafficPolicy, port: u16) -> (Effective, bool) {
    match policy.ports.iter().find(|(number, _)| *number == port) {
        Some((_, own)) => (
            Effective {
                port: own.clone(),
                ..Effective::default()
            },
            true,
        ),
        None => {
            let effective = Effective {
                port: policy.all.clone(),
                proxy_protocol: policy.proxy_protocol,
                retry_budget: policy.retry_budget.clone(),
            };
            (effective, false)
        }
    }
}

fn overlay(under: &mut Effective, over: &TrafficPolicy, port: u16) {
    let (over, own_port) = for_port(over, port);
    let port = &mut under.port;
    replace(&mut port.load_balancer, over.port.load_balancer, own_port);
    replace(
        &mut port.connection_pool,
        over.port.connection_pool,
        own_port,
    );
    replace(
        &mut port.outlier_detection,
        over.port.outlier_detection,
        own_port,
    );
    replace(&mut port.tls, over.port.tls, own_port);
    replace(&mut under.proxy_protocol, over.proxy_protocol, false);
    replace(&mut under.retry_budget, over.retry_budget, false);
}

fn replace<T>(under: &mut Option<T>, over: Option<T>, always: bool) {
    if over.is_some() || always {
        *under = over;
    }
}
