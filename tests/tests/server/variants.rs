//! Both variants of the protocol bring the same resources, and every run the same bytes.

use crate::ads_client::Variant::{Delta, Sotw};
use crate::ads_client::{CDS, EDS, LDS, RDS};

use crate::plane::{Plane, SIDECAR, WORLD, bodies};

const ROUTER: &str = "router~10.1.0.8~edge-0.default~default.svc.cluster.local";

#[tokio::test]
async fn sotw_and_delta_bring_the_same() {
    let plane = Plane::start(&WORLD).await;
    for id in [SIDECAR, ROUTER] {
        let mut delta = plane.synced(id, Delta).await;
        let mut sotw = plane.synced(id, Sotw).await;
        assert_eq!(bodies(delta.held()), bodies(sotw.held()), "{id}");
        for ty in [CDS, EDS, LDS, RDS] {
            assert!(!delta.held()[ty].is_empty(), "{id} has no {ty}");
        }
        let (name, text) = WORLD[1];
        // A change of routes, a service that goes with its cluster and listener, and a new one.
        plane.write(name, &text.replace("subset: v1", "subset: v2"));
        plane.write(
            "world.yaml",
            &WORLD[0]
                .1
                .replace("name: mongo", "name: redis")
                .replace("27017", "6379"),
        );
        for client in [&mut delta, &mut sotw] {
            plane.follow(client, id).await;
        }
        assert!(
            delta
                .get(CDS, "outbound|27017||mongo.default.svc.cluster.local")
                .is_none()
        );
        assert!(
            delta
                .get(CDS, "outbound|6379||redis.default.svc.cluster.local")
                .is_some()
        );
        for (name, text) in WORLD {
            plane.write(name, text);
        }
        for client in [&mut delta, &mut sotw] {
            plane.follow(client, id).await;
        }
    }
    plane.stop().await;
}

#[tokio::test]
async fn two_runs_serve_the_same_bytes_and_versions() {
    let plane = Plane::start(&WORLD).await;
    let first = plane.synced(SIDECAR, Delta).await;
    let plane = plane.restart().await;
    let second = plane.synced(SIDECAR, Delta).await;
    assert_eq!(first.held(), second.held());
    plane.stop().await;
}
