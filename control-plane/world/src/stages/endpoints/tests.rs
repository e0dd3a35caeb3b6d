use meltemi_model::object::{Meta, Object};
use meltemi_model::port::Protocol;
use meltemi_model::service::TargetPort;
use meltemi_model::testing::{
    kube_service, labels, node, pod, service_entry, slice, slice_endpoint, workload, workload_entry,
};
use meltemi_model::workload::{
    Endpoint, Health, SliceEndpoint, SlicePort, WorkloadEntry, WorkloadEntrySpec,
};
use meltemi_model::{Hostname, Kind, Labels};

use super::*;
use crate::fixtures::{after, endpoints, key, world};
use crate::{Change, World};

mod entries;
mod kubernetes;
mod reuse;

const HTTP: &[(u16, Protocol)] = &[(80, Protocol::Http)];

/// `port address:port health` of each endpoint of a service.
fn shown(world: &World, name: &str) -> Vec<String> {
    endpoints(world, name)
        .iter()
        .map(|(port, e)| format!("{port} {}:{} {:?}", e.address, e.port, e.health))
        .collect()
}

fn labelled(pod: Pod, text: &str) -> Pod {
    Pod {
        meta: Meta {
            labels: labels(text),
            ..pod.meta.clone()
        },
        ..pod
    }
}

/// The only endpoint of a service.
fn only<'a>(world: &'a World, name: &str) -> &'a Endpoint {
    let [(_, endpoint)] = endpoints(world, name)[..] else {
        panic!("{name} has {} endpoints", endpoints(world, name).len());
    };
    endpoint
}
