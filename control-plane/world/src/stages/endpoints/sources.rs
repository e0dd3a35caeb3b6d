//! What the endpoints of a service are made of.

use super::selected::{Wish, selected};
use super::*;
use crate::stages::services::Declared;
use crate::stages::workloads::pod_key;
use meltemi_model::workload::SliceEndpoint;

/// One source of a service's endpoints.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    /// A slice; the pods of its endpoints begin at this place in [`Sources::pods`].
    Slice(&'a Shared<EndpointSlice>, usize),
    /// A pod, by its place, that the selector of a Service without slices selects.
    Pod(&'a Shared<KubeService>, usize),
    /// A workload entry, for a Kubernetes Service.
    KubeEntry(&'a Shared<KubeService>, &'a Shared<WorkloadEntry>),
    /// Inline endpoints of a ServiceEntry.
    Inline(&'a Shared<ServiceEntry>),
    /// A pod, by its place, that a ServiceEntry selects.
    EntryPod(&'a Shared<ServiceEntry>, usize),
    /// A WorkloadEntry that a ServiceEntry selects.
    EntryWorkload(&'a Shared<ServiceEntry>, &'a Shared<WorkloadEntry>),
}

#[derive(Debug, Clone)]
pub(super) struct PodPlace<'a> {
    pub(super) pod: &'a Shared<Pod>,
    pub(super) locality: Locality,
}

/// All sources of one service; filled anew for each.
#[derive(Debug, Default)]
pub(super) struct Sources<'a> {
    pub(super) all: Vec<Source<'a>>,
    /// The pods among them; `None`: one that was not read yet.
    pub(super) pods: Vec<Option<PodPlace<'a>>>,
    pub(super) selects: Selects,
}

/// What the objects of some services find for them.
#[derive(Debug)]
pub(super) struct Owners<'a> {
    /// By namespace and service, in the order of their names.
    slices: Vec<(&'a Str, &'a Str, &'a Shared<EndpointSlice>)>,
    /// What selectors select, by the service's place.
    pods: BTreeMap<usize, Vec<&'a Shared<Pod>>>,
    workload_entries: BTreeMap<usize, Vec<&'a Shared<WorkloadEntry>>>,
}

impl<'a> Owners<'a> {
    /// Of the services at these places.
    pub(super) fn of<'p>(
        places: impl Iterator<Item = &'p usize> + Clone,
        tables: &Tables<'a>,
    ) -> Self {
        let mut owners = Self {
            slices: slices(places.clone(), tables),
            pods: BTreeMap::new(),
            workload_entries: BTreeMap::new(),
        };
        if !tables.workload_entries.is_empty() {
            let wishes = wishes(places.clone(), tables, |_| true);
            owners.workload_entries =
                selected(wishes, tables.workload_entries, |entry| &entry.spec.labels);
        }
        if !tables.pods.is_empty() {
            let wishes = wishes(places, tables, |kube| owners.slices_of(kube).is_empty());
            owners.pods = selected(wishes, tables.pods, |pod| &pod.meta.labels);
        }
        owners
    }

    fn slices_of(&self, kube: &KubeService) -> &[(&'a Str, &'a Str, &'a Shared<EndpointSlice>)] {
        let key = (&kube.meta.key.namespace, &kube.meta.key.name);
        let start = self
            .slices
            .partition_point(|(ns, name, _)| (*ns, *name) < key);
        let rest = &self.slices[start..];
        &rest[..rest.partition_point(|(ns, name, _)| (*ns, *name) == key)]
    }
}

/// What the selectors of ServiceEntries, and of those Services that want to, look for.
fn wishes<'a, 'p>(
    places: impl Iterator<Item = &'p usize>,
    tables: &Tables<'a>,
    wants: impl Fn(&KubeService) -> bool,
) -> Vec<Wish<'a>> {
    let wishes = places.filter_map(|place| {
        let (key, selector) = match tables.services.object(*place) {
            Declared::Kube(kube) if !kube.selector.is_empty() && wants(kube) => {
                (&kube.meta.key, &kube.selector)
            }
            Declared::Entry(entry) => (&entry.meta.key, entry.workload_selector.as_ref()?),
            Declared::Kube(_) => return None,
        };
        Some(Wish {
            place: *place,
            namespace: &key.namespace,
            selector,
        })
    });
    wishes.collect()
}

/// The slices of the Services among some services.
fn slices<'a, 'p>(
    places: impl Iterator<Item = &'p usize>,
    tables: &Tables<'a>,
) -> Vec<(&'a Str, &'a Str, &'a Shared<EndpointSlice>)> {
    if tables.slices.is_empty() {
        return Vec::new();
    }
    let mut names: Vec<(&Str, &Str)> = places
        .filter_map(|place| match tables.services.object(*place) {
            Declared::Kube(kube) => Some((&kube.meta.key.namespace, &kube.meta.key.name)),
            Declared::Entry(_) => None,
        })
        .collect();
    names.sort();
    let mut found = Vec::new();
    for names in names.chunk_by(|(a, _), (b, _)| a == b) {
        let Some((namespace, _)) = names.first() else {
            continue;
        };
        let own = tables.slices.in_namespace(namespace).filter(|slice| {
            !slice.fqdn
                && !slice.service.is_empty()
                && names
                    .binary_search_by(|(_, name)| (*name).cmp(&slice.service))
                    .is_ok()
        });
        let first = found.len();
        found.extend(own.map(|slice| (&slice.meta.key.namespace, &slice.service, slice)));
        found[first..].sort_by_key(|(_, name, _)| *name);
    }
    found
}

impl<'a> Sources<'a> {
    /// Those of the services of one key. A Kubernetes Service and ServiceEntries may declare the same host in one namespace:
    /// their endpoints are joined.
    pub(super) fn collect(&mut self, places: &[usize], owners: &Owners<'a>, tables: &Tables<'a>) {
        self.all.clear();
        self.pods.clear();
        self.selects = Selects::default();
        for place in places {
            match tables.services.object(*place) {
                Declared::Kube(kube) => self.add_service(*place, kube, owners, tables),
                Declared::Entry(entry) => self.add_entry(*place, entry, owners, tables),
            }
        }
    }

    fn add_pod(&mut self, pod: &'a Shared<Pod>, tables: &Tables<'a>) -> usize {
        self.pods.push(Some(PodPlace {
            pod,
            locality: tables.workloads.locality(pod),
        }));
        self.pods.len() - 1
    }

    fn add_service(
        &mut self,
        place: usize,
        kube: &'a Shared<KubeService>,
        owners: &Owners<'a>,
        tables: &Tables<'a>,
    ) {
        let slices = owners.slices_of(kube);
        for (_, _, slice) in slices {
            self.all.push(Source::Slice(slice, self.pods.len()));
            for endpoint in &slice.endpoints {
                match pod_of(endpoint, &kube.meta.key.namespace, tables) {
                    Some(pod) => {
                        self.add_pod(pod, tables);
                    }
                    None => self.pods.push(None),
                }
            }
        }
        if slices.is_empty() && !kube.selector.is_empty() {
            self.selects.pods = true;
            for pod in owners.pods.get(&place).into_iter().flatten() {
                if !pod.ips.is_empty() && !pod.finished {
                    let at = self.add_pod(pod, tables);
                    self.all.push(Source::Pod(kube, at));
                }
            }
        }
        self.selects.entries |= !kube.selector.is_empty();
        let entries = owners.workload_entries.get(&place).into_iter().flatten();
        let entries = entries.filter(|e| !e.unhealthy);
        self.all.extend(entries.map(|e| Source::KubeEntry(kube, e)));
    }

    fn add_entry(
        &mut self,
        place: usize,
        entry: &'a Shared<ServiceEntry>,
        owners: &Owners<'a>,
        tables: &Tables<'a>,
    ) {
        if entry.workload_selector.is_none() {
            self.all.push(Source::Inline(entry));
            return;
        }
        self.selects = Selects {
            pods: true,
            entries: true,
        };
        for pod in owners.pods.get(&place).into_iter().flatten() {
            if !pod.ips.is_empty() && !pod.finished && pod.ready {
                let at = self.add_pod(pod, tables);
                self.all.push(Source::EntryPod(entry, at));
            }
        }
        let workloads = owners.workload_entries.get(&place).into_iter().flatten();
        let workloads = workloads.filter(|e| !e.unhealthy);
        self.all
            .extend(workloads.map(|e| Source::EntryWorkload(entry, e)));
    }

    /// The same by content: equal parts make equal endpoints.
    pub(super) fn parts(&self, parts: &mut Vec<Part>) {
        parts.clear();
        let part = |pod: &Option<PodPlace<'_>>| match pod {
            Some(place) => Part::Pod(place.pod.fingerprint(), place.locality.clone()),
            None => Part::Unknown,
        };
        for source in &self.all {
            match source {
                Source::Slice(slice, first) => {
                    parts.push(Part::Row(slice.fingerprint()));
                    let pods = &self.pods[*first..first + slice.endpoints.len()];
                    parts.extend(pods.iter().map(part));
                }
                Source::Pod(kube, at) => {
                    parts.push(Part::Row(kube.fingerprint()));
                    parts.push(part(&self.pods[*at]));
                }
                Source::KubeEntry(kube, entry) => {
                    parts.push(Part::Row(kube.fingerprint()));
                    parts.push(Part::Row(entry.fingerprint()));
                }
                Source::Inline(entry) => parts.push(Part::Row(entry.fingerprint())),
                Source::EntryPod(entry, at) => {
                    parts.push(Part::Row(entry.fingerprint()));
                    parts.push(part(&self.pods[*at]));
                }
                Source::EntryWorkload(entry, workload) => {
                    parts.push(Part::Row(entry.fingerprint()));
                    parts.push(Part::Row(workload.fingerprint()));
                }
            }
        }
    }
}

/// The pod of a slice's endpoint: by reference, else by address. Without a reference somebody wrote the slice by hand;
/// then a pod of the same namespace is the best guess, even one of the host network. Istio 1.31: `getPod`.
fn pod_of<'a>(
    endpoint: &SliceEndpoint,
    namespace: &Str,
    tables: &Tables<'a>,
) -> Option<&'a Shared<Pod>> {
    match &endpoint.pod {
        Some(name) => tables.pods.get(&pod_key(namespace, name)),
        None => {
            let address = endpoint.addresses.first()?.parse().ok()?;
            tables.workloads.guess(namespace, address)
        }
    }
}
