//! Which services the changes of tables may have touched.

use std::collections::{BTreeMap, BTreeSet};

use std::sync::Arc;

use meltemi_model::{ObjectKey, Str};

use super::{Before, Row, Tables};
use crate::stages::services::Services;

/// What changed since another moment, by what finds services.
#[derive(Debug, Default)]
pub(super) struct Touched<'a> {
    /// Namespace and name of Services of which a slice changed, or a pod of one of their slices.
    services: BTreeSet<(&'a Str, &'a Str)>,
    /// Namespaces with changed pods.
    pods: BTreeSet<&'a Str>,
    /// Namespaces with changed WorkloadEntries.
    entries: BTreeSet<&'a Str>,
}

impl<'a> Touched<'a> {
    pub(super) fn since(before: &Before<'a>, now: &Tables<'a>) -> Self {
        let mut touched = Self::default();
        if !before.comparable {
            return touched;
        }
        let before = before.store;
        for (key, old, new) in now.slices.changes(&before.endpoint_slices) {
            let services = [old, new].into_iter().flatten().map(|slice| &slice.service);
            touched
                .services
                .extend(services.map(|service| (&key.namespace, service)));
        }
        for (key, _, _) in now.workload_entries.changes(&before.workload_entries) {
            touched.entries.insert(&key.namespace);
        }
        let mut pods: BTreeMap<&Str, BTreeSet<&Str>> = BTreeMap::new();
        for (
            ObjectKey {
                namespace, name, ..
            },
            _,
            _,
        ) in now.pods.changes(&before.pods)
        {
            pods.entry(namespace).or_default().insert(name);
        }
        for (namespace, names) in pods {
            touched.pods.insert(namespace);
            for slice in now.slices.in_namespace(namespace) {
                // One that names no pod takes that of its address.
                let mut pods = slice.endpoints.iter().map(|endpoint| endpoint.pod.as_ref());
                if pods.any(|pod| pod.is_none_or(|name| names.contains(name))) {
                    touched.services.insert((namespace, &slice.service));
                }
            }
        }
        touched
    }

    /// Whether the endpoints of the services of a key may be others than the row says.
    pub(super) fn touches(
        &self,
        places: &[usize],
        services: &Services,
        row: Option<&Arc<Row>>,
    ) -> bool {
        let selects = row.map(|row| row.inputs.selects).unwrap_or_default();
        places.iter().any(|place| {
            let service = &services.sorted[*place];
            let object = &service.object;
            (service.kubernetes && self.services.contains(&(&object.namespace, &object.name)))
                || (selects.entries && self.entries.contains(&object.namespace))
                || (selects.pods && self.pods.contains(&object.namespace))
        })
    }
}
