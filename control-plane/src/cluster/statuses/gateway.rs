//! `status.loadBalancer` of Ingresses. Istio 1.31: `SupportedIngresses`, `runningAddresses`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use meltemi_cluster::revisions::REVISION_LABEL;
use meltemi_cluster::statuses::{Name, Seen, Statuses};
use meltemi_model::{Kind, ObjectKey, Str};
use meltemi_world::World;
use serde_json::{Value, json};

/// Where the gateway of Ingresses is reached, and which Ingresses are to say so.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Points {
    /// As `status.loadBalancer.ingress` has them: names first, each sort in order.
    points: Vec<Value>,
    ingresses: BTreeSet<Name>,
}

impl Points {
    /// What a world says. `is_default`: whether objects that name no revision are ours.
    pub(super) fn of(world: &World, revision: &str, is_default: bool) -> Self {
        let namespaces = &world.discovery.all.namespaces;
        let is_ours = |key: &&ObjectKey| {
            let ingress = world.store.ingresses.get(key);
            let named = ingress.and_then(|ingress| ingress.meta.labels.get(REVISION_LABEL));
            let namespace = ObjectKey::new(Kind::Namespace, "", key.namespace.clone());
            let named = match (named, namespaces.get(&namespace)) {
                (Some(named), _) => named,
                // Whose it is cannot be known, so it is everybody's.
                (None, None) => return true,
                (None, Some(row)) => match row.meta.labels.get(REVISION_LABEL) {
                    Some(named) => named,
                    None => return is_default,
                },
            };
            **named == *revision || (&**named == "default" && is_default)
        };
        let served = world.ingresses.served.iter().filter(is_ours);
        Self {
            points: points(&running(world)),
            ingresses: served
                .map(|key| (key.namespace.to_string(), key.name.to_string()))
                .collect(),
        }
    }
}

/// The addresses of the Service that the mesh configuration names; if it names none, those of the node of one of the
/// gateway's pods.
fn running(world: &World) -> Vec<Str> {
    let settings = &world.mesh.ingress;
    if !settings.service.is_empty() {
        let key = ObjectKey::new(
            Kind::Service,
            settings.namespace.clone(),
            settings.service.clone(),
        );
        return match world.store.services.get(&key) {
            None => Vec::new(),
            Some(service) => match &service.external_name {
                Some(name) => vec![name.0.clone()],
                None => service.external_ips.clone(),
            },
        };
    }
    let label = settings.gateway_label();
    let pods = world.store.pods.iter().map(|(_, pod)| pod);
    let mut nodes = pods
        .filter(|pod| {
            let is_gateway = pod.meta.labels.get("istio") == Some(&label);
            let runs = !pod.finished && !pod.ips.is_empty();
            pod.meta.key.namespace == settings.namespace && is_gateway && runs
        })
        .filter_map(|pod| {
            let key = ObjectKey::new(Kind::Node, "", pod.node.clone());
            world.store.nodes.get(&key)
        });
    let node = nodes.next();
    node.map(|node| node.external_addresses.clone())
        .unwrap_or_default()
}

fn points(addresses: &[Str]) -> Vec<Value> {
    let is_ip = |address: &Str| address.parse::<IpAddr>().is_ok();
    let mut sorted: Vec<&Str> = addresses.iter().collect();
    // A point without a name comes before those with one.
    sorted.sort_by_key(|address| (!is_ip(address), (*address).clone()));
    let point = |address: &Str| {
        let field = if is_ip(address) { "ip" } else { "hostname" };
        json!({field: &**address})
    };
    sorted.into_iter().map(point).collect()
}

/// What the Ingresses say.
#[derive(Debug, Default)]
pub(super) struct Ingresses {
    found: BTreeMap<Name, Vec<Value>>,
}

impl Statuses for Ingresses {
    type News = Option<Points>;

    fn seen(&mut self, name: &Name, object: Seen<'_>) -> bool {
        let found = object.status["loadBalancer"]["ingress"].as_array();
        let found = found.cloned().unwrap_or_default();
        let before = self.found.insert(name.clone(), found);
        before.as_ref() != self.found.get(name)
    }

    fn gone(&mut self, name: &Name) {
        self.found.remove(name);
    }

    fn was_changed(&mut self, _: &Name) {}

    /// An Ingress of another class keeps what it has: it is somebody else's now.
    fn wanted(&mut self, news: &Option<Points>) -> BTreeMap<Name, Value> {
        let Some(news) = news else {
            return BTreeMap::new();
        };
        let fields = if news.points.is_empty() {
            json!({"loadBalancer": {"ingress": null}})
        } else {
            json!({"loadBalancer": {"ingress": news.points}})
        };
        let found = self.found.iter();
        found
            .filter(|(name, found)| news.ingresses.contains(*name) && **found != news.points)
            .map(|(name, _)| (name.clone(), fields.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests;
