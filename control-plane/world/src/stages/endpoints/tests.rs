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

#[test]
fn worlds_of_many_objects_miss_none() {
    let name = |n: usize| format!("s{n:03}");
    let address = |n: usize| format!("10.0.{}.{}", n / 200, n % 200);
    let of = |n: usize, address: &str| -> [Object; 3] {
        let pod_name = format!("{}-pod", name(n));
        [
            kube_service("ns", &name(n), HTTP).into(),
            pod("ns", &pod_name, address).into(),
            slice(
                "ns",
                &name(n),
                "x",
                vec![slice_endpoint(address, Some(&pod_name))],
            )
            .into(),
        ]
    };
    let mut now = world((0..700).flat_map(|n| of(n, &address(n))));
    let mut want: Vec<String> = (0..700).map(address).collect();
    for changed in [0, 1, 127, 128, 350, 699] {
        want[changed] = format!("10.1.{}.{}", changed / 200, changed % 200);
        let objects = of(changed, &want[changed]);
        now = after(&now, objects.into_iter().map(Change::Apply));
        for (n, want) in want.iter().enumerate() {
            let service = format!("{}.ns", name(n));
            assert_eq!(*only(&now, &service).address, **want, "{n}");
        }
    }
}
