//! CLUSTER.

use std::collections::BTreeSet;

use meltemi_model::Str;
use meltemi_model::envoy_filter::{ApplyTo, Operation, Patch};
use meltemi_proto::envoy::config::cluster::v3 as pb;
use meltemi_proto::envoy::config::core::v3::TransportSocket;
use meltemi_proto::envoy::config::core::v3::transport_socket::ConfigType;
use meltemi_proto::merge::merge_any;

use super::names::cluster_name;
use super::{Named, Run, value};

impl Named for pb::Cluster {
    fn name(&self) -> &str {
        &self.name
    }
}

/// Whether a patch can change a cluster of this name.
pub fn may_touch_cluster(patch: &Patch, name: &str, hosts: &[Str]) -> bool {
    let Some(wanted) = patch.condition.cluster() else {
        return true;
    };
    if !wanted.name.is_empty() {
        return *wanted.name == *name;
    }
    let parts = cluster_name(name);
    // The name of an inbound cluster has no host.
    let is_host = if parts.inbound && !hosts.is_empty() {
        hosts.contains(&wanted.service)
    } else {
        *wanted.service == *parts.host
    };
    (wanted.subset.is_empty() || *wanted.subset == *parts.subset)
        && (wanted.service.is_empty() || is_host)
        && (wanted.port == 0 || wanted.port == parts.port)
}

/// Removes it (false), or merges into it.
pub(super) fn patch(run: &mut Run<'_>, cluster: &mut pb::Cluster) -> bool {
    for (n, patch) in run.of(ApplyTo::Cluster) {
        if !may_touch_cluster(patch, &cluster.name, run.hosts) {
            continue;
        }
        if patch.operation == Operation::Remove {
            run.note(n, true);
            return false;
        }
        if patch.operation.is_merge() && !socket(run, n, patch, cluster) {
            run.merge(n, patch, cluster);
        }
    }
    true
}

/// Handles a patch with a transport socket, and says whether it was one: then nothing else of it counts. The socket is
/// merged with the one of its name, be it the cluster's or the first among its matches; else it takes the place of the
/// cluster's, unless there are matches, beside which no socket may stand. Istio 1.31: `mergeTransportSocketCluster`.
fn socket(run: &mut Run<'_>, n: usize, patch: &Patch, cluster: &mut pb::Cluster) -> bool {
    let Some(wanted) = value::<pb::Cluster>(patch).and_then(|c| c.transport_socket) else {
        return false;
    };
    let is_it = |socket: &&mut TransportSocket| socket.name == wanted.name;
    let target = if cluster.transport_socket_matches.is_empty() {
        cluster.transport_socket.as_mut().filter(is_it)
    } else {
        let mut sockets = cluster
            .transport_socket_matches
            .iter_mut()
            .filter_map(|m| m.transport_socket.as_mut());
        let found = sockets.find(is_it);
        if found.is_none() {
            return true;
        }
        found
    };
    let Some(target) = target else {
        cluster.transport_socket = Some(wanted);
        run.note(n, true);
        return true;
    };
    merge_socket(run, n, patch, target, &wanted);
    true
}

/// Merges the configuration of a transport socket into that of another with the same name.
pub(super) fn merge_socket(
    run: &mut Run<'_>,
    n: usize,
    patch: &Patch,
    target: &mut TransportSocket,
    wanted: &TransportSocket,
) {
    let (Some(ConfigType::TypedConfig(target)), Some(ConfigType::TypedConfig(wanted))) =
        (&mut target.config_type, &wanted.config_type)
    else {
        return;
    };
    match merge_any(target, wanted) {
        Ok(()) => run.note(n, true),
        Err(error) => run.problem(patch, &error),
    }
}

/// The endpoints that it fetches.
pub(super) fn references(cluster: &pb::Cluster) -> BTreeSet<Str> {
    let eds = pb::cluster::DiscoveryType::Eds as i32;
    if cluster.cluster_discovery_type != Some(pb::cluster::ClusterDiscoveryType::Type(eds)) {
        return BTreeSet::new();
    }
    let named = cluster.eds_cluster_config.as_ref();
    let name = named
        .map(|eds| eds.service_name.as_str())
        .filter(|name| !name.is_empty());
    BTreeSet::from([name.unwrap_or(&cluster.name).into()])
}
