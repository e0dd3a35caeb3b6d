//! The endpoints of every service, and the identities that they may have.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::ops::Index;
use std::sync::Arc;

use meltemi_model::mesh::Mesh;
use meltemi_model::network::Places;
use meltemi_model::service::{KubeService, Resolution, Service, ServiceEntry, ServiceKey};
use meltemi_model::shared::Fingerprint;
use meltemi_model::workload::{EndpointSet, EndpointSlice, Pod, WorkloadEntry};
use meltemi_model::{Locality, Shared, Str};

use crate::stages::peer_authentications::PeerAuthentications;
use crate::stages::services::Services;
use crate::stages::workloads::Workloads;
use crate::store::{Store, Table};

mod build;
mod selected;
mod sources;
mod touched;

use build::build;
use sources::{Owners, Sources};
use touched::Touched;

/// The endpoints of one service.
#[derive(Debug)]
pub struct Row {
    inputs: Inputs,
    /// The endpoints.
    pub set: Shared<EndpointSet>,
    /// Per port name, the sorted identities of its endpoints and of the service.
    pub identities: Shared<Vec<(Str, Vec<Str>)>>,
    /// The addresses of all of them, sorted.
    addresses: Vec<Str>,
}

/// What the objects of a service look for by themselves, so that any such row of their namespace may be one of theirs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Selects {
    /// Pods: ServiceEntries with a selector, and Services with one but without slices.
    pods: bool,
    /// WorkloadEntries.
    entries: bool,
}

impl Row {
    /// Whether any endpoint has this address.
    pub fn is_at(&self, address: &str) -> bool {
        let found = self.addresses.binary_search_by(|own| (**own).cmp(address));
        found.is_ok()
    }
}

/// Endpoints by service.
#[derive(Debug, Default)]
pub struct Endpoints {
    services: Arc<Services>,
    /// In the order of the services; those of one key have one row.
    rows: Vec<Option<Arc<Row>>>,
}

impl Endpoints {
    /// The row of a key.
    pub fn get(&self, key: &ServiceKey) -> Option<&Row> {
        self.at(*self.services.sharing(key).first()?)
    }

    /// The row of the service at a place.
    pub fn at(&self, place: usize) -> Option<&Row> {
        self.rows.get(place)?.as_deref()
    }

    /// All rows, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&ServiceKey, &Row)> {
        self.services.by_key().filter_map(|places| {
            let place = *places.first()?;
            Some((&self.services.sorted[place].key, self.at(place)?))
        })
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl Index<&ServiceKey> for Endpoints {
    type Output = Row;
    fn index(&self, key: &ServiceKey) -> &Row {
        self.get(key)
            .expect("the caller knows that the service has a row")
    }
}

/// The tables that endpoints are made from.
#[derive(Debug, Clone, Copy)]
pub struct Tables<'a> {
    /// The joined services.
    pub services: &'a Arc<Services>,
    /// EndpointSlices.
    pub slices: &'a Table<EndpointSlice>,
    /// Pods.
    pub pods: &'a Table<Pod>,
    /// WorkloadEntries.
    pub workload_entries: &'a Table<WorkloadEntry>,
    /// Pods by address, nodes.
    pub workloads: &'a Workloads,
    /// Which of them take no mutual TLS.
    pub peers: &'a PeerAuthentications,
    /// The mesh configuration.
    pub mesh: &'a Shared<Mesh>,
    /// How their networks are found.
    pub places: &'a Shared<Places>,
}

/// Another moment.
#[derive(Debug, Clone, Copy)]
pub struct Before<'a> {
    /// Its endpoints.
    pub endpoints: &'a Endpoints,
    /// Its tables.
    pub store: &'a Store,
    /// Whether the mesh, its networks, its nodes and the policies that disable mutual TLS were those of now, so that rows can
    /// only differ by what changed in tables and services.
    pub comparable: bool,
}

/// What a row was made of besides the service; equal ones make equal rows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Inputs {
    mesh: Fingerprint,
    places: Fingerprint,
    /// What disables mutual TLS in the namespace.
    disabling: Option<Fingerprint>,
    parts: Vec<Part>,
    selects: Selects,
}

/// A source by its content.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Row(Fingerprint),
    /// A pod, and where it is.
    Pod(Fingerprint, Locality),
    /// A pod that was not read yet.
    Unknown,
}

/// Services of one key whose sources have to be looked at.
struct Open<'a> {
    places: &'a [usize],
    /// The row of before, if it was made of the same services.
    old: Option<&'a Arc<Row>>,
}

/// Makes the endpoints of every service. A service that nothing touched since `before` keeps its row without a look at its
/// sources, and one whose sources are those that its row was made of keeps it too: one pod costs the services it belongs to
/// and no other. The newest row is also kept beside its service, so that another world of the same objects finds it there.
pub fn endpoints(tables: Tables<'_>, before: Before<'_>) -> Endpoints {
    let services = tables.services;
    let mut rows: Vec<Option<Arc<Row>>> = vec![None; services.sorted.len()];
    let mut open: Vec<Open<'_>> = Vec::new();
    let touched = Touched::since(&before, &tables);
    let mut olds = before.endpoints.services.by_key().peekable();
    for places in services.by_key() {
        match old_row(places, services, before.endpoints, &mut olds) {
            Some(row) if before.comparable && !touched.touches(places, services, row) => {
                set(&mut rows, places, row);
            }
            old => open.push(Open {
                places,
                old: old.flatten(),
            }),
        }
    }
    let owners = Owners::of(open.iter().flat_map(|open| open.places), &tables);
    let mut sources = Sources::default();
    let mut inputs = Inputs {
        mesh: tables.mesh.fingerprint(),
        places: tables.places.fingerprint(),
        disabling: None,
        parts: Vec::new(),
        selects: Selects::default(),
    };
    for Open { places, old } in open {
        // An ExternalName has no endpoints of its own.
        let sorted = &services.sorted;
        let concrete = |place: &&usize| sorted[**place].resolution != Resolution::Alias;
        let Some(service) = places.iter().find(concrete).map(|place| &sorted[*place]) else {
            continue;
        };
        sources.collect(places, &owners, &tables);
        inputs.disabling = tables.peers.disabling(&service.key.namespace);
        sources.parts(&mut inputs.parts);
        inputs.selects = sources.selects;
        let make = |service: &Shared<Service>| build(service, &sources, inputs.clone(), &tables);
        let row = match old.filter(|old| old.inputs == inputs) {
            Some(old) => Arc::clone(old),
            None => service.made(|row: &Row| row.inputs == inputs, make),
        };
        match places {
            &[place] => rows[place] = Some(row),
            _ => set(&mut rows, places, Some(&row)),
        }
    }
    Endpoints {
        services: Arc::clone(services),
        rows,
    }
}

fn set(rows: &mut [Option<Arc<Row>>], places: &[usize], row: Option<&Arc<Row>>) {
    for place in places {
        rows[*place] = row.cloned();
    }
}

/// The row of before, if the services of the key are the very same ones. Such are declared by the same objects, since each
/// object keeps its own. Both worlds are walked in the order of keys.
fn old_row<'a>(
    places: &[usize],
    services: &Services,
    before: &'a Endpoints,
    olds: &mut Peekable<impl Iterator<Item = &'a [usize]>>,
) -> Option<Option<&'a Arc<Row>>> {
    let (new, old) = (&services.sorted, &before.services.sorted);
    let first = &new[*places.first()?];
    let others = loop {
        let others = *olds.peek()?;
        let other = &old[*others.first()?];
        if other.same(first) {
            break others;
        }
        match other.key.cmp(&first.key) {
            Ordering::Less => olds.next(),
            Ordering::Equal => break others,
            Ordering::Greater => return None,
        };
    };
    let mut pairs = places.iter().zip(others);
    let same = places.len() == others.len() && pairs.all(|(a, b)| new[*a].same(&old[*b]));
    let row = before.rows.get(*others.first()?)?.as_ref();
    same.then_some(row)
}

#[cfg(test)]
mod tests;
