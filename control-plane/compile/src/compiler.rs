//! The class compiler: World and class in, snapshot out.
//!
//! It rebuilds the list of Inputs of a class at every revision and lets the memo do the rest (C1 of the design). The
//! snapshot of a class whose resources are all the same as before is the same snapshot, so nobody is woken.

use std::collections::BTreeMap;
use std::sync::Arc;

use meltemi_builders::cluster::ClusterInput;
use meltemi_builders::endpoint::EndpointInput;
use meltemi_builders::listener::ListenerInput;
use meltemi_builders::name_table::NameTableInput;
use meltemi_builders::route::RouteInput;
use meltemi_model::proxy::{ProxyClass, ProxyKind};
use meltemi_model::{Diagnostic, Diagnostics, ProxySnapshot, Resource, ResourceSet, ResourceType};
use meltemi_world::scope::{scope, scope_key};
use meltemi_world::{Scope, ScopeKey, World};

use crate::memo::{Counts, Memo};
use crate::patched::{self, Chosen, PatchMemo, Patches, Served};
use crate::plan::{self, Planned};

/// All memos.
#[derive(Debug, Default)]
pub struct Compiler {
    clusters: Memo<ClusterInput>,
    endpoints: Memo<EndpointInput>,
    listeners: Memo<ListenerInput>,
    routes: Memo<RouteInput>,
    patches: PatchMemo,
    name_tables: Memo<NameTableInput>,
}

/// The scopes of one World that were needed so far.
#[derive(Debug, Default)]
pub struct Scopes(BTreeMap<ScopeKey, Scope>);

/// What a class is served, and what is wrong with the objects that it was made from.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The resources.
    pub snapshot: Arc<ProxySnapshot>,
    /// Findings that only show once objects are put together for a proxy.
    pub diagnostics: Diagnostics,
    /// What became of the patches of EnvoyFilters.
    pub patches: Patches,
}

/// Findings about objects that were made of Ingresses, as findings about those. Their fields are not the Ingress's.
fn of_users(diagnostics: Diagnostics, world: &World) -> Diagnostics {
    let authors = &world.ingresses.authors;
    if authors.is_empty() {
        return diagnostics;
    }
    let mut out = Diagnostics::with_capacity(diagnostics.len());
    for diagnostic in diagnostics {
        match diagnostic.object.as_ref().and_then(|key| authors.get(key)) {
            None => out.push(diagnostic),
            Some(authors) => out.extend(authors.iter().map(|key| Diagnostic {
                object: Some(key.clone()),
                path: String::new(),
                ..diagnostic.clone()
            })),
        }
    }
    out
}

impl Compiler {
    /// Compiles one class. `previous` is what the class had before; sets that did not change are taken over.
    pub fn compile(
        &self,
        world: &World,
        class: &ProxyClass,
        previous: Option<&ProxySnapshot>,
    ) -> Compiled {
        self.compile_among(world, &mut Scopes::default(), class, previous)
    }

    /// The same for one of several classes: classes of equal scope (one namespace and Sidecar) share it through `scopes`,
    /// which belongs to this one World.
    pub fn compile_among(
        &self,
        world: &World,
        scopes: &mut Scopes,
        class: &ProxyClass,
        previous: Option<&ProxySnapshot>,
    ) -> Compiled {
        let gateway = class.kind == ProxyKind::Router;
        let key = scope_key(world, gateway, &class.namespace, &class.labels);
        let scope = scopes
            .0
            .entry(key)
            .or_insert_with_key(|key| scope(world, key));
        let mut planned = plan::plan(world, scope, class);
        let mut served = match patched::chosen(world, class) {
            Some(chosen) => self.patched(&chosen, &mut planned),
            None => self.built(&mut planned),
        };
        let endpoints = planned.endpoints.into_iter();
        let endpoints = endpoints.map(|i| self.endpoints.get(i)).collect();
        let names = planned.name_table.into_iter();
        let names = names.map(|i| self.name_tables.get(i)).collect();
        let mut diagnostics = planned.diagnostics;
        diagnostics.append(&mut served.diagnostics);
        let mut diagnostics = of_users(diagnostics, world);
        diagnostics.sort();
        diagnostics.dedup();
        let set =
            |ty, resources: Vec<Arc<Resource>>| reuse(previous, ResourceSet::new(ty, resources));
        let sets = [
            set(ResourceType::Cluster, served.clusters),
            set(ResourceType::Endpoint, endpoints),
            set(ResourceType::Listener, served.listeners),
            set(ResourceType::Route, served.routes),
            set(ResourceType::Extension, served.extensions),
            set(ResourceType::NameTable, names),
        ];
        let snapshot = Arc::new(ProxySnapshot::new(world.revision, sets));
        Compiled {
            snapshot,
            diagnostics,
            patches: served.patches,
        }
    }

    /// Resources as their builders make them.
    fn built(&self, planned: &mut Planned) -> Served {
        let clusters = planned.clusters.drain(..);
        let listeners = planned.listeners.drain(..);
        let routes = planned.routes.drain(..);
        Served {
            clusters: clusters.map(|i| self.clusters.get(i)).collect(),
            listeners: listeners.map(|i| self.listeners.get(i)).collect(),
            routes: routes.map(|i| self.routes.get(i)).collect(),
            ..Served::default()
        }
    }

    /// The same with the patches of EnvoyFilters. Endpoints and routes follow what is left of clusters and listeners (I7).
    fn patched(&self, chosen: &Chosen, planned: &mut Planned) -> Served {
        let mut served = Served {
            extensions: chosen.extensions(),
            diagnostics: chosen.diagnostics.clone(),
            patches: chosen.untried(),
            ..Served::default()
        };
        let clusters = planned.clusters.drain(..);
        let clusters = clusters.map(|i| (chosen.cluster_place(&i), self.clusters.get(i)));
        let fetched = chosen.clusters(&self.patches, clusters.collect(), &mut served);
        patched::fetched_endpoints(&mut planned.endpoints, fetched);
        let listeners = planned.listeners.drain(..);
        let listeners = listeners.map(|i| (chosen.listener_place(&i), self.listeners.get(i)));
        let fetched = chosen.listeners(&self.patches, listeners.collect(), &mut served);
        let routes = patched::fetched_routes(planned, fetched).into_iter();
        let routes = routes.map(|i| self.routes.get(i)).collect();
        chosen.routes(&self.patches, routes, &mut served);
        served
    }

    /// Forgets resources that nobody has asked for since the sweep before the last. Called once for each revision.
    pub fn sweep(&self) {
        self.clusters.sweep();
        self.endpoints.sweep();
        self.listeners.sweep();
        self.routes.sweep();
        self.patches.sweep();
        self.name_tables.sweep();
    }

    /// Lookups and misses by type, exported as metrics: I5 and I6 are asserted on them.
    pub fn counts(&self) -> BTreeMap<ResourceType, Counts> {
        BTreeMap::from([
            (ResourceType::Cluster, self.clusters.counts()),
            (ResourceType::Endpoint, self.endpoints.counts()),
            (ResourceType::Listener, self.listeners.counts()),
            (ResourceType::Route, self.routes.counts()),
            (ResourceType::NameTable, self.name_tables.counts()),
        ])
    }

    /// Lookups and misses of resources that EnvoyFilters patch.
    pub fn patch_counts(&self) -> Counts {
        self.patches.counts()
    }
}

/// The previous set, when it is equal.
fn reuse(previous: Option<&ProxySnapshot>, set: ResourceSet) -> Arc<ResourceSet> {
    match previous.map(|p| p.set(set.ty)) {
        Some(old) if old.version == set.version => Arc::clone(old),
        _ => Arc::new(set),
    }
}

#[cfg(test)]
mod tests;
