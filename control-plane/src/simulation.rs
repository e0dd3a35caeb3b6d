//! What a snapshot does with requests: hands its resources to the simulator.

use meltemi_model::{ProxySnapshot, ResourceType};
use meltemi_simulator::{Kind, Resources, Undecoded};

/// The resources of a snapshot, decoded; what cannot be decoded is told.
pub fn resources(snapshot: &ProxySnapshot) -> (Resources, Vec<Undecoded>) {
    let kinds = [
        (ResourceType::Listener, Kind::Listener),
        (ResourceType::Route, Kind::Route),
        (ResourceType::Cluster, Kind::Cluster),
        (ResourceType::Endpoint, Kind::Endpoint),
    ];
    Resources::decode(kinds.iter().flat_map(|(ty, kind)| {
        let resources = snapshot.set(*ty).by_name.values();
        resources.map(move |resource| (*kind, resource.body.as_ref()))
    }))
}
