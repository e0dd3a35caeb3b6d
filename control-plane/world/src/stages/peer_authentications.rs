//! Which connections workloads take: PeerAuthentications of the mesh, of namespaces and of workloads, joined.
//! Istio 1.31: `addPeerAuthentication`, `ComposePeerAuthentication`.

use std::collections::BTreeMap;

use meltemi_model::mesh::Mesh;
use meltemi_model::security::{MtlsMode, PeerAuthentication};
use meltemi_model::shared::{Fingerprint, fingerprint};
use meltemi_model::{Labels, ObjectKey, Shared, Str};

use crate::store::Table;

/// The policies in order of precedence.
#[derive(Debug, Default)]
pub struct PeerAuthentications {
    /// The mesh's: the oldest one of the root namespace without a selector.
    mesh: Option<Shared<PeerAuthentication>>,
    namespaces: BTreeMap<Str, Namespace>,
}

/// The policies of one namespace.
#[derive(Debug, Default)]
struct Namespace {
    /// The oldest one without a selector.
    all: Option<Shared<PeerAuthentication>>,
    /// Those with a selector, oldest first.
    selecting: Vec<Shared<PeerAuthentication>>,
    /// What `disabling` answers, made once.
    disabling: Option<Fingerprint>,
}

/// What holds for one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modes {
    /// Where no port is named.
    pub mode: MtlsMode,
    /// By the workload's port.
    pub ports: BTreeMap<u16, MtlsMode>,
    /// The policies that apply, widest first.
    pub from: Vec<ObjectKey>,
}

impl Modes {
    /// The mode of a port of the workload.
    pub fn at(&self, port: u16) -> MtlsMode {
        self.ports.get(&port).copied().unwrap_or(self.mode)
    }
}

/// Sorts the policies. One with a selector in the root namespace applies to nothing, as in Istio.
pub fn peer_authentications(table: &Table<PeerAuthentication>, mesh: &Mesh) -> PeerAuthentications {
    let mut sorted: Vec<_> = table.iter().map(|(_, policy)| policy).collect();
    sorted.sort_by(|a, b| a.meta.age_order().cmp(&b.meta.age_order()));
    let mut out = PeerAuthentications::default();
    for policy in sorted {
        let namespace = &policy.meta.key.namespace;
        if *namespace == mesh.root_namespace {
            if policy.selector.is_empty() {
                out.mesh.get_or_insert_with(|| policy.clone());
            }
            continue;
        }
        let row = out.namespaces.entry(namespace.clone()).or_default();
        if policy.selector.is_empty() {
            row.all.get_or_insert_with(|| policy.clone());
        } else {
            row.selecting.push(policy.clone());
        }
    }
    let inherited = out.mesh_mode();
    for row in out.namespaces.values_mut() {
        row.disabling = row.disabling(inherited);
    }
    out
}

impl Namespace {
    fn mode(&self, inherited: MtlsMode) -> MtlsMode {
        self.all.as_ref().and_then(|p| p.mode).unwrap_or(inherited)
    }

    fn disabling(&self, inherited: MtlsMode) -> Option<Fingerprint> {
        let mode = self.mode(inherited);
        let disables = mode == MtlsMode::Disable || self.selecting.iter().any(|p| p.disables());
        disables.then(|| fingerprint(&(mode, &self.selecting)))
    }
}

impl PeerAuthentications {
    /// Without a policy both are taken.
    fn mesh_mode(&self) -> MtlsMode {
        let said = self.mesh.as_ref().and_then(|policy| policy.mode);
        said.unwrap_or(MtlsMode::Permissive)
    }

    /// The mode of a namespace, without regard to policies that select workloads.
    /// Istio 1.31: `GetNamespaceMutualTLSMode`.
    pub fn namespace(&self, namespace: &str) -> MtlsMode {
        let inherited = self.mesh_mode();
        let row = self.namespaces.get(namespace);
        row.map_or(inherited, |row| row.mode(inherited))
    }

    /// The policy that selects a workload; of several the oldest, with its ports.
    fn selecting(&self, namespace: &str, labels: &Labels) -> Option<&Shared<PeerAuthentication>> {
        let mut selecting = self.namespaces.get(namespace)?.selecting.iter();
        selecting.find(|policy| labels.satisfies(&policy.selector))
    }

    /// What holds for a workload.
    pub fn workload(&self, namespace: &str, labels: &Labels) -> Modes {
        let selected = self.selecting(namespace, labels);
        let row = self.namespaces.get(namespace);
        let wider = self.mesh.iter().chain(row.and_then(|row| row.all.as_ref()));
        let mode = selected
            .and_then(|policy| policy.mode)
            .unwrap_or_else(|| self.namespace(namespace));
        let ports = selected.into_iter().flat_map(|policy| &policy.ports);
        Modes {
            mode,
            ports: ports
                .map(|(port, own)| (*port, own.unwrap_or(mode)))
                .collect(),
            from: wider
                .chain(selected)
                .map(|policy| policy.meta.key.clone())
                .collect(),
        }
    }

    /// What holds for one port of a workload.
    pub fn port(&self, namespace: &str, labels: &Labels, port: u16) -> MtlsMode {
        let selected = self.selecting(namespace, labels);
        let own = selected.and_then(|policy| policy.ports.get(&port).copied().flatten());
        own.or_else(|| selected.and_then(|policy| policy.mode))
            .unwrap_or_else(|| self.namespace(namespace))
    }

    /// Tells one state of a namespace's policies from another as far as they can disable mutual TLS; `None` while
    /// nothing does. Endpoints say no more than that of them, so the switch from PERMISSIVE to STRICT is none of theirs.
    pub fn disabling(&self, namespace: &str) -> Option<Fingerprint> {
        match self.namespaces.get(namespace) {
            Some(row) => row.disabling,
            None => {
                (self.mesh_mode() == MtlsMode::Disable).then(|| fingerprint(&MtlsMode::Disable))
            }
        }
    }

    /// Whether mutual TLS is disabled for the same workloads as with `other`, as far as can be told cheaply.
    pub fn disable_as(&self, other: &Self) -> bool {
        let disabled = |peers: &Self| peers.mesh_mode() == MtlsMode::Disable;
        let namespaces = || self.namespaces.keys().chain(other.namespaces.keys());
        std::ptr::eq(self, other)
            || disabled(self) == disabled(other)
                && namespaces().all(|ns| self.disabling(ns) == other.disabling(ns))
    }
}

#[cfg(test)]
mod tests;
