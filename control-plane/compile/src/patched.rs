//! Resources with the patches of EnvoyFilters: chosen for a class, applied at most once per resource.
//!
//! A class that no EnvoyFilter selects does none of this. For the others the resources are built as ever, and those that a
//! patch can touch are looked up in a memo of their own; its key is the finished resource with the patches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use dashmap::DashMap;
use meltemi_builders::cluster::ClusterInput;
use meltemi_builders::endpoint::EndpointInput;
use meltemi_builders::listener::ListenerInput;
use meltemi_builders::patch::{
    PatchInput, Patched, may_touch_cluster, may_touch_listener, may_touch_route,
};
use meltemi_model::envoy_filter::{ApplyTo, Context, Operation, Patch};
use meltemi_model::proxy::{ProxyClass, ProxyKind};
use meltemi_model::{Diagnostic, Diagnostics, ObjectKey, Resource, ResourceType, Shared, Str};
use meltemi_world::World;

use crate::memo::Counts;
use crate::plan::{Planned, routes::empty_route};

/// What was patched so far. The key is the whole argument, so an entry cannot be stale.
#[derive(Debug, Default)]
pub(crate) struct PatchMemo {
    made: DashMap<PatchInput, Entry, RandomState>,
    lookups: AtomicU64,
    misses: AtomicU64,
    /// The number of sweeps so far.
    generation: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    patched: Arc<Patched>,
    /// The generation in which it was asked for last.
    asked: AtomicU64,
}

impl PatchMemo {
    fn get(&self, input: PatchInput) -> Arc<Patched> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        let generation = self.generation.load(Ordering::Relaxed);
        if let Some(entry) = self.made.get(&input) {
            entry.asked.store(generation, Ordering::Relaxed);
            return Arc::clone(&entry.patched);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let patched = Arc::new(input.build());
        let entry = Entry {
            patched: Arc::clone(&patched),
            asked: AtomicU64::new(generation),
        };
        self.made.insert(input, entry);
        patched
    }

    /// As [`crate::memo::Memo::sweep`].
    pub(crate) fn sweep(&self) {
        let now = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
        self.made
            .retain(|_, entry| entry.asked.load(Ordering::Relaxed) + 2 > now);
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            lookups: self.lookups.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }
}

/// The patches that select a class, in the order in which they are applied.
#[derive(Debug)]
pub(crate) struct Chosen {
    all: Vec<Shared<Patch>>,
    router: bool,
    sides: BTreeMap<Context, Side>,
    /// Service ports by the gateway's own port that they lead to.
    service_ports: BTreeMap<u16, Vec<u16>>,
    pub(crate) diagnostics: Diagnostics,
}

/// The patches for one side of a proxy.
#[derive(Debug, Default)]
struct Side {
    clusters: Shared<Vec<Shared<Patch>>>,
    /// With those of routes on the inbound side, whose listeners hold their routes.
    listeners: Shared<Vec<Shared<Patch>>>,
    routes: Shared<Vec<Shared<Patch>>>,
}

/// The patches for a class; `None`: there are none.
pub(crate) fn chosen(world: &World, class: &ProxyClass) -> Option<Chosen> {
    let filters = world
        .envoy_filters
        .selecting(&class.namespace, &class.labels, &world.mesh);
    let mut diagnostics = Diagnostics::new();
    let mut all = Vec::new();
    for patch in filters.iter().flat_map(|filter| &filter.patches) {
        if patch
            .proxy
            .as_ref()
            .is_some_and(|p| class.unmet.contains(p))
        {
            continue;
        }
        match lacks(class, patch) {
            Some(diagnostic) => diagnostics.push(diagnostic),
            None => all.push(patch.clone()),
        }
    }
    if all.is_empty() && diagnostics.is_empty() {
        return None;
    }
    let router = class.kind == ProxyKind::Router;
    let contexts: &[Context] = if router {
        &[Context::Gateway]
    } else {
        &[Context::SidecarInbound, Context::SidecarOutbound]
    };
    let sides = contexts.iter().map(|context| {
        let of = |wanted: &dyn Fn(ApplyTo) -> bool| {
            let those = all
                .iter()
                .filter(|p| p.context.covers(*context) && wanted(p.apply_to));
            Shared::new(those.cloned().collect::<Vec<_>>())
        };
        let inbound = *context == Context::SidecarInbound;
        let side = Side {
            clusters: of(&|kind| kind == ApplyTo::Cluster),
            listeners: of(&|kind| kind.is_of_listener() || (inbound && kind.is_of_route())),
            routes: of(&|kind| kind.is_of_route()),
        };
        (*context, side)
    });
    let mut service_ports: BTreeMap<u16, Vec<u16>> = BTreeMap::new();
    for (port, targets) in &class.gateway_ports {
        for target in targets {
            service_ports.entry(*target).or_default().push(*port);
        }
    }
    Some(Chosen {
        sides: sides.collect(),
        all,
        router,
        service_ports,
        diagnostics,
    })
}

/// A filter that the proxy does not have is never sent to it.
fn lacks(class: &ProxyClass, patch: &Patch) -> Option<Diagnostic> {
    let category = match patch.apply_to {
        ApplyTo::HttpFilter => "envoy.filters.http",
        ApplyTo::NetworkFilter => "envoy.filters.network",
        _ => return None,
    };
    if !class.capabilities.lack(category, &patch.extension) {
        return None;
    }
    let path = format!(
        "spec.configPatches[{}].patch.value.typed_config",
        patch.index
    );
    let message = format!(
        "an Envoy without {} is served without this patch; Istio's own proxy has it",
        patch.extension
    );
    Some(Diagnostic::warning(&patch.from, path, message))
}

/// What a class is served, patched.
#[derive(Debug, Default)]
pub(crate) struct Served {
    pub(crate) clusters: Vec<Arc<Resource>>,
    pub(crate) listeners: Vec<Arc<Resource>>,
    pub(crate) routes: Vec<Arc<Resource>>,
    pub(crate) extensions: Vec<Arc<Resource>>,
    pub(crate) diagnostics: Diagnostics,
    pub(crate) patches: Patches,
}

/// For each EnvoyFilter and kind of patch ([`ApplyTo::counted_as`]) whether any of its patches changed anything.
pub type Patches = BTreeMap<(ObjectKey, &'static str), bool>;

/// Where a cluster belongs, before it is built.
#[derive(Debug)]
pub(crate) struct ClusterPlace {
    context: Context,
    hosts: Vec<Str>,
}

/// Where a listener belongs, and what it fetches, before it is built.
#[derive(Debug)]
pub(crate) struct ListenerPlace {
    context: Context,
    port: u16,
    routes: Vec<Str>,
}

impl Chosen {
    /// The patches of the class, none of which changed anything yet.
    pub(crate) fn untried(&self) -> Patches {
        let patches = self.all.iter();
        patches
            .filter_map(|p| Some(((p.from.clone(), p.apply_to.counted_as()?), false)))
            .collect()
    }

    pub(crate) fn cluster_place(&self, input: &ClusterInput) -> ClusterPlace {
        let (inbound, hosts) = match input {
            ClusterInput::Inbound(cluster) => {
                let hosts = cluster.services.iter().map(|(s, _)| s.key.host.0.clone());
                (true, hosts.collect())
            }
            ClusterInput::InboundPassthrough(..) => (true, Vec::new()),
            _ => (false, Vec::new()),
        };
        ClusterPlace {
            context: self.context(inbound),
            hosts,
        }
    }

    pub(crate) fn listener_place(&self, input: &ListenerInput) -> ListenerPlace {
        ListenerPlace {
            context: self.context(input.kind.is_inbound()),
            port: input.port,
            routes: input.route_names().cloned().collect(),
        }
    }

    fn context(&self, inbound: bool) -> Context {
        match (self.router, inbound) {
            (true, _) => Context::Gateway,
            (false, true) => Context::SidecarInbound,
            (false, false) => Context::SidecarOutbound,
        }
    }

    fn side(&self, context: Context) -> &Side {
        &self.sides[&context]
    }

    /// Patches clusters; gives the names of the endpoints that they fetch.
    pub(crate) fn clusters(
        &self,
        memo: &PatchMemo,
        built: Vec<(ClusterPlace, Arc<Resource>)>,
        served: &mut Served,
    ) -> FetchedEndpoints {
        let mut fetched = FetchedEndpoints::default();
        for (place, resource) in built {
            let patches = touching(&self.side(place.context).clusters, |p| {
                !adds_whole(p) && may_touch_cluster(p, &resource.name, &place.hosts)
            });
            let Some(patches) = patches else {
                fetched.by_unpatched.insert(resource.name.clone());
                served.clusters.push(resource);
                continue;
            };
            let patched = memo.get(PatchInput {
                resource,
                context: place.context,
                hosts: place.hosts,
                service_ports: Vec::new(),
                patches: patches.clone(),
            });
            fetched
                .by_patched
                .extend(patched.references.iter().cloned());
            served.clusters.extend(patched.resource.clone());
            served.say(&patched, &patches);
        }
        for added in self.added(memo, ApplyTo::Cluster, ResourceType::Cluster, served) {
            fetched.by_patched.extend(added.references.iter().cloned());
            served.clusters.extend(added.resource.clone());
        }
        fetched
    }

    /// Patches listeners; gives the names of the route configurations that they fetch.
    pub(crate) fn listeners(
        &self,
        memo: &PatchMemo,
        built: Vec<(ListenerPlace, Arc<Resource>)>,
        served: &mut Served,
    ) -> BTreeSet<Str> {
        let mut fetched = BTreeSet::new();
        for (place, resource) in built {
            let port = u32::from(place.port);
            let patches = touching(&self.side(place.context).listeners, |p| {
                !adds_whole(p) && may_touch_listener(p, &resource.name, port)
            });
            let Some(patches) = patches else {
                fetched.extend(place.routes);
                served.listeners.push(resource);
                continue;
            };
            let patched = memo.get(PatchInput {
                resource,
                context: place.context,
                hosts: Vec::new(),
                service_ports: Vec::new(),
                patches: patches.clone(),
            });
            fetched.extend(patched.references.iter().cloned());
            served.listeners.extend(patched.resource.clone());
            served.say(&patched, &patches);
        }
        for added in self.added(memo, ApplyTo::Listener, ResourceType::Listener, served) {
            fetched.extend(added.references.iter().cloned());
            served.listeners.extend(added.resource.clone());
        }
        fetched
    }

    /// Patches the route configurations.
    pub(crate) fn routes(&self, memo: &PatchMemo, built: Vec<Arc<Resource>>, served: &mut Served) {
        let context = self.context(false);
        let patches = &self.side(context).routes;
        for resource in built {
            let port = route_port(&resource.name);
            let ports = port.and_then(|p| self.service_ports.get(&p)).cloned();
            let ports = ports.unwrap_or_default();
            let patches = touching(patches, |p| {
                may_touch_route(p, context, &resource.name, &ports)
            });
            let Some(patches) = patches else {
                served.routes.push(resource);
                continue;
            };
            let patched = memo.get(PatchInput {
                resource,
                context,
                hosts: Vec::new(),
                service_ports: ports,
                patches: patches.clone(),
            });
            served.routes.extend(patched.resource.clone());
            served.say(&patched, &patches);
        }
    }

    /// The extension configurations; of those with one name the last counts.
    pub(crate) fn extensions(&self) -> Vec<Arc<Resource>> {
        let added = self
            .all
            .iter()
            .filter(|p| p.apply_to == ApplyTo::ExtensionConfig);
        added
            .filter_map(|p| resource(p, ResourceType::Extension))
            .collect()
    }

    /// What is added as a whole. A name that is taken stays with who has it: Envoy would refuse both.
    fn added(
        &self,
        memo: &PatchMemo,
        apply_to: ApplyTo,
        ty: ResourceType,
        served: &mut Served,
    ) -> Vec<Arc<Patched>> {
        let taken = match ty {
            ResourceType::Cluster => &served.clusters,
            _ => &served.listeners,
        };
        let mut taken: BTreeSet<Str> = taken.iter().map(|r| r.name.clone()).collect();
        let adds = self.all.iter().filter(|p| {
            let outbound = self.context(false);
            p.apply_to == apply_to
                && p.operation == Operation::Add
                && (p.context.covers(outbound) || p.context.covers(self.context(true)))
        });
        let mut added = Vec::new();
        for patch in adds {
            let Some(resource) = resource(patch, ty) else {
                continue;
            };
            if !taken.insert(resource.name.clone()) {
                let path = format!("spec.configPatches[{}].patch.value.name", patch.index);
                let message = format!(
                    "{:?} is taken: the patch is left out; use MERGE to change what is there",
                    resource.name
                );
                let found = Diagnostic::warning(&patch.from, path, message);
                served.diagnostics.push(found);
                continue;
            }
            served.applied(patch);
            // It is patched by nothing, but what it fetches must be known.
            added.push(memo.get(PatchInput {
                resource,
                context: patch.context,
                hosts: Vec::new(),
                service_ports: Vec::new(),
                patches: Shared::default(),
            }));
        }
        added
    }
}

impl Served {
    fn applied(&mut self, patch: &Patch) {
        if let Some(kind) = patch.apply_to.counted_as() {
            self.patches.insert((patch.from.clone(), kind), true);
        }
    }

    fn say(&mut self, patched: &Patched, patches: &[Shared<Patch>]) {
        for n in &patched.applied {
            self.applied(&patches[*n]);
        }
        let found = patched.problems.iter().map(|problem| {
            let path = format!("spec.configPatches[{}].patch.value", problem.index);
            let message = format!("{}: the patch is left out there", problem.message);
            Diagnostic::warning(&problem.from, path, message)
        });
        self.diagnostics.extend(found);
    }
}

fn resource(patch: &Patch, ty: ResourceType) -> Option<Arc<Resource>> {
    let body = patch.value.clone()?;
    let name = meltemi_builders::patch::name_of(patch)?;
    let from = Arc::from([patch.from.clone()]);
    Some(Arc::new(Resource::new(ty, name, body, from)))
}

/// The port in the name of a gateway's route configuration.
fn route_port(name: &str) -> Option<u16> {
    let rest = name
        .strip_prefix("http.")
        .or_else(|| name.strip_prefix("https."))?;
    rest.split('.').next()?.parse().ok()
}

/// Whether it adds a cluster or a listener, and so leaves those that are there alone.
fn adds_whole(patch: &Patch) -> bool {
    patch.operation == Operation::Add
        && matches!(patch.apply_to, ApplyTo::Cluster | ApplyTo::Listener)
}

/// Those of the patches that may touch a resource; `None`: there are none. A resource is patched again only when one of
/// them changes.
fn touching(
    patches: &Shared<Vec<Shared<Patch>>>,
    may_touch: impl Fn(&Patch) -> bool,
) -> Option<Shared<Vec<Shared<Patch>>>> {
    let those: Vec<&Shared<Patch>> = patches.iter().filter(|p| may_touch(p)).collect();
    match those.len() {
        0 => None,
        all if all == patches.len() => Some(patches.clone()),
        _ => Some(Shared::new(those.into_iter().cloned().collect())),
    }
}

/// The names of the endpoints that clusters fetch.
#[derive(Debug, Default)]
pub(crate) struct FetchedEndpoints {
    /// Clusters as they were built, which name their endpoints as themselves where they fetch any.
    by_unpatched: BTreeSet<Str>,
    /// Endpoints that the others ask for.
    by_patched: BTreeSet<Str>,
}

/// The endpoints that are fetched, from what was planned; where there are none they are empty (I7).
pub(crate) fn fetched_endpoints(planned: &mut Vec<EndpointInput>, fetched: FetchedEndpoints) {
    let FetchedEndpoints {
        by_unpatched,
        mut by_patched,
    } = fetched;
    planned.retain(|i| by_patched.remove(&i.cluster) || by_unpatched.contains(&i.cluster));
    planned.extend(by_patched.iter().map(EndpointInput::none));
}

/// The route configurations that are fetched, from what was planned; one that nothing yields is empty (I7).
pub(crate) fn fetched_routes(
    planned: &mut Planned,
    names: BTreeSet<Str>,
) -> Vec<meltemi_builders::route::RouteInput> {
    let known = planned
        .routes
        .drain(..)
        .chain(planned.spare_routes.drain(..));
    let mut known: BTreeMap<Str, _> = known.map(|r| (r.name.clone(), r)).collect();
    names
        .into_iter()
        .map(|name| known.remove(&name).unwrap_or_else(|| empty_route(&name)))
        .collect()
}

#[cfg(test)]
mod tests;
