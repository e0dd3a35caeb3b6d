//! Whatever happened before, a world is the one that its objects make from scratch (I5, at the stages).

use std::net::IpAddr;

use meltemi_model::ObjectKey;
use meltemi_model::security::MtlsMode;
use meltemi_model::service::{KubeService, Resolution, ServiceEntry};
use meltemi_model::testing::{peer_authentication, slice_endpoint};
use meltemi_model::workload::{EndpointSlice, Pod, WorkloadEntry};

use super::*;

/// Numbers that look as if they were random.
struct Draw(u32);

impl Draw {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 16) % end
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u32) as usize]
    }

    fn one_in(&mut self, end: u32) -> bool {
        self.below(end) == 0
    }
}

const NAMES: [&str; 3] = ["a", "b", "c"];
const NAMESPACES: [&str; 2] = ["default", "other"];
const ADDRESSES: [&str; 4] = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"];
const PORTS: &[(u16, meltemi_model::port::Protocol)] = &[(80, meltemi_model::port::Protocol::Http)];

fn drawn(draw: &mut Draw) -> Object {
    let (ns, name, address) = (draw.of(&NAMESPACES), draw.of(&NAMES), draw.of(&ADDRESSES));
    let app = format!("app={}", draw.of(&NAMES));
    let host = format!("{name}.com");
    match draw.below(10) {
        0 => {
            let plain = kube_service(ns, name, PORTS);
            KubeService {
                selector: labels(draw.of(&["", &app])),
                headless: draw.one_in(3),
                meta: later(i64::from(draw.below(2)), plain.meta.clone()),
                ..plain
            }
            .into()
        }
        1 => {
            // Sometimes the host of a Service, so that their endpoints are joined.
            let own = format!("{name}.{ns}.svc.cluster.local");
            let plain = service_entry(ns, draw.of(&[&host, &own]), PORTS);
            ServiceEntry {
                resolution: draw.of(&[Resolution::ClientSideLb, Resolution::Dns]),
                workload_selector: draw.of(&[None, Some(""), Some(&*app)]).map(labels),
                endpoints: match draw.below(2) {
                    0 => Vec::new(),
                    _ => vec![meltemi_model::testing::workload(address)],
                },
                ..plain
            }
            .into()
        }
        2..=4 => {
            let plain = pod(ns, &format!("{name}-1"), address);
            Pod {
                meta: Meta {
                    labels: labels(&app),
                    ..plain.meta.clone()
                },
                node: draw.of(&["n1", "n2"]).into(),
                ready: !draw.one_in(4),
                finished: draw.one_in(5),
                host_network: draw.one_in(5),
                ..plain
            }
            .into()
        }
        5 => {
            let other = format!("{}-1", draw.of(&NAMES));
            let pod = draw.of(&[None, Some(&*other)]);
            let slice = slice(ns, name, "x", vec![slice_endpoint(address, pod)]);
            EndpointSlice {
                service: draw.of(&NAMES).into(),
                ..slice
            }
            .into()
        }
        6 => {
            let plain = workload_entry(ns, name, address);
            WorkloadEntry {
                spec: meltemi_model::workload::WorkloadEntrySpec {
                    labels: labels(&app),
                    ..plain.spec.clone()
                },
                unhealthy: draw.one_in(4),
                ..plain
            }
            .into()
        }
        7 => {
            let annotations =
                draw.of(&["", "networking.istio.io/traffic-distribution=PreferClose"]);
            let plain = meta(Kind::Namespace, "", ns);
            Namespace {
                meta: Meta {
                    annotations: labels(annotations),
                    ..plain
                },
            }
            .into()
        }
        8 => node(draw.of(&["n1", "n2"]), draw.of(&["r1", "r2"])).into(),
        _ => {
            let modes = [MtlsMode::Strict, MtlsMode::Disable, MtlsMode::Permissive];
            let mode = Some(draw.of(&modes));
            peer_authentication(ns, name, draw.of(&["", &app]), mode).into()
        }
    }
}

/// All that a stage says of services, endpoints and pods.
fn said(world: &World) -> Vec<String> {
    let services = world.services.sorted.iter().enumerate();
    let mut said: Vec<String> = services
        .map(|(place, service)| format!("{service:?} {:?}", world.services.is_contested(place)))
        .collect();
    let row = |(key, row): (&_, &crate::stages::endpoints::Row)| {
        format!("{key:?} {:?} {:?}", row.set, row.identities)
    };
    said.extend(world.endpoints.iter().map(row));
    for address in ADDRESSES {
        let ip: IpAddr = address.parse().unwrap();
        said.push(format!("{:?}", world.workloads.at(ip)));
        for ns in NAMESPACES {
            said.push(format!("{:?}", world.workloads.guess(&ns.into(), ip)));
        }
    }
    said
}

#[test]
fn the_world_is_the_one_that_its_objects_make_from_scratch() {
    for seed in 0..30 {
        let mut draw = Draw(seed * 7_919);
        let mut world = World::empty(Shared::default());
        let mut keys: Vec<ObjectKey> = Vec::new();
        for step in 0..60 {
            let count = 1 + draw.below(2);
            let changes: Vec<Change> = (0..count)
                .map(|_| {
                    if keys.len() > 5 && draw.one_in(5) {
                        Change::Delete(keys.swap_remove(draw.below(keys.len() as u32) as usize))
                    } else {
                        let object = drawn(&mut draw);
                        keys.push(object.key().clone());
                        Change::Apply(object)
                    }
                })
                .collect();
            let shown = format!("{changes:?}");
            world = after(&world, changes);
            // Made of copies of the objects, nothing of what was kept beside them is there.
            let mut copies = Store::default();
            for key in &keys {
                copies.apply(world.store.object(key).map(|o| Change::Apply(copied(o))));
            }
            let scratch = World::empty(Shared::default()).next(&copies, &Shared::default());
            let [found, want] = [&world, &scratch].map(said);
            for (found, want) in found.iter().zip(&want) {
                assert_eq!(found, want, "seed {seed} step {step}: {shown}");
            }
            assert_eq!(found.len(), want.len());
        }
    }
}

fn copied(object: Object) -> Object {
    match object {
        Object::Namespace(o) => Object::Namespace(Shared::new((*o).clone())),
        Object::Node(o) => Object::Node(Shared::new((*o).clone())),
        Object::Pod(o) => Object::Pod(Shared::new((*o).clone())),
        Object::Service(o) => Object::Service(Shared::new((*o).clone())),
        Object::EndpointSlice(o) => Object::EndpointSlice(Shared::new((*o).clone())),
        Object::ServiceEntry(o) => Object::ServiceEntry(Shared::new((*o).clone())),
        Object::WorkloadEntry(o) => Object::WorkloadEntry(Shared::new((*o).clone())),
        other => other,
    }
}
