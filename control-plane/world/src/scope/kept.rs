//! Scopes that are kept from world to world while all that they were chosen from is the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use meltemi_model::Shared;
use meltemi_model::mesh::Mesh;
use meltemi_model::routing::MESH_GATEWAY;
use parking_lot::Mutex;

use super::select::{each_destination, joined, select};
use super::{Scope, ScopeKey};
use crate::World;
use crate::stages::destination_rules::DestinationRules;
use crate::stages::endpoints::Endpoints;
use crate::stages::services::Services;
use crate::stages::virtual_services::VirtualServices;

/// The scopes of a world and of those before it. Each is compared with what a world has, so it does not matter which worlds
/// share them.
#[derive(Debug, Clone, Default)]
pub struct KeptScopes(Arc<Mutex<BTreeMap<ScopeKey, Kept>>>);

/// For how many revisions a scope is kept that nobody asks for.
const REVISIONS: u64 = 2;

#[derive(Debug)]
struct Kept {
    scope: Scope,
    /// Whether VirtualServices route to services that no listener shows.
    added: bool,
    from: From,
    /// When it was asked for last.
    revision: u64,
}

/// What a scope was chosen from, besides its key and the VirtualServices.
#[derive(Debug)]
struct From {
    mesh: Shared<Mesh>,
    services: Arc<Services>,
    endpoints: Arc<Endpoints>,
    destination_rules: Arc<DestinationRules>,
    virtual_services: Arc<VirtualServices>,
}

impl From {
    fn of(world: &World) -> Self {
        Self {
            mesh: world.mesh.clone(),
            services: Arc::clone(&world.services),
            endpoints: Arc::clone(&world.endpoints),
            destination_rules: Arc::clone(&world.destination_rules),
            virtual_services: Arc::clone(&world.virtual_services),
        }
    }

    /// Whether a world has the very same, but for VirtualServices.
    fn fits(&self, world: &World) -> bool {
        self.mesh.same(&world.mesh)
            && Arc::ptr_eq(&self.services, &world.services)
            && Arc::ptr_eq(&self.endpoints, &world.endpoints)
            && Arc::ptr_eq(&self.destination_rules, &world.destination_rules)
    }
}

/// What the proxies of a key may see.
pub fn scope(world: &World, key: &ScopeKey) -> Scope {
    let old = world.scopes.0.lock().remove(key);
    let (mut scope, added) = match old.filter(|old| old.from.fits(world)) {
        Some(old) if Arc::ptr_eq(&old.from.virtual_services, &world.virtual_services) => {
            (old.scope, old.added)
        }
        Some(old) => match routed_otherwise(world, key, old) {
            Some(scope) => (scope, false),
            None => select(world, key),
        },
        None => select(world, key),
    };
    // Scopes do not look at them, they only hand them on.
    scope.peer_authentications = Arc::clone(&world.peer_authentications);
    scope.request_authentications = Arc::clone(&world.request_authentications);
    scope.authorizations = Arc::clone(&world.authorizations);
    let kept = Kept {
        scope: scope.clone(),
        added,
        from: From::of(world),
        revision: world.revision,
    };
    let mut all = world.scopes.0.lock();
    all.insert(key.clone(), kept);
    all.retain(|_, kept| kept.revision + REVISIONS >= world.revision);
    scope
}

/// The scope with the VirtualServices of now. `None`: services may come or go with them, or listeners choose among them.
fn routed_otherwise(world: &World, key: &ScopeKey, old: Kept) -> Option<Scope> {
    let mut scope = old.scope;
    let [egress] = scope.egress.as_mut_slice() else {
        return None;
    };
    if old.added || egress.listener.is_some() {
        return None;
    }
    let visible = world
        .virtual_services
        .visible(MESH_GATEWAY, &key.namespace, &world.mesh);
    let mut all_shown = true;
    if !key.gateway {
        each_destination(world, key, &visible, None, |seen| {
            let known = scope.by_host.get(&seen.service.key.host);
            let known = known.and_then(|place| scope.services.get(*place));
            all_shown &= known.is_some_and(|known| joined(&known.service, &seen.service).is_none());
        });
    }
    egress.virtual_services = visible.into();
    all_shown.then_some(scope)
}

#[cfg(test)]
mod tests;
