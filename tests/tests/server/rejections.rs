//! A client that refuses something is seen with its reason, is not asked again, and hurts nobody else.

use crate::ads_client::RDS;
use crate::ads_client::Variant::{self, Delta, Sotw};
use meltemi::cli::ps;

use crate::plane::{Plane, SIDECAR, WORLD};

const REASON: &str = "route: unknown cluster 'none'";

#[tokio::test]
async fn a_rejection_of_a_delta_client_is_seen() {
    a_rejection_is_seen(Delta).await;
}

#[tokio::test]
async fn a_rejection_of_a_sotw_client_is_seen() {
    a_rejection_is_seen(Sotw).await;
}

async fn a_rejection_is_seen(variant: Variant) {
    let plane = Plane::start(&WORLD).await;
    let other = SIDECAR.replace("ratings-0", "ratings-1");
    let mut client = plane.synced(SIDECAR, variant).await;
    let mut witness = plane.synced(&other, Delta).await;
    let address = plane.addresses.monitoring.to_string();
    let before = client.get(RDS, "9080").cloned();
    assert_eq!(plane.metric("pilot_total_xds_rejects").await, 0.0);

    let (name, text) = WORLD[1];
    client.refuse(RDS, "9080", REASON);
    client.take_received();
    plane.write(name, &text.replace("subset: v1", "subset: v2"));
    client.receive().await.unwrap();
    let received = client.take_received();
    assert!(
        received[0].ty == RDS && received[0].refused.is_some(),
        "{received:?}"
    );

    plane
        .eventually("/debug/syncz", |(_, page)| page.contains(REASON))
        .await;
    let syncz = plane.json("/debug/syncz").await;
    let refused = syncz
        .as_array()
        .unwrap()
        .iter()
        .find(|proxy| proxy["proxy"] == "ratings-0.default")
        .unwrap();
    let status = &refused["resources"][RDS];
    assert_eq!(status["status"], "ERROR", "{status}");
    assert_eq!(status["rejected"][0], "9080", "{status}");
    assert_ne!(refused["route_sent"], refused["route_acked"]);

    let page = ps::page(&address, "default").await.unwrap();
    let line = |id: &str| {
        page.lines()
            .find(|line| line.starts_with(id))
            .unwrap_or_else(|| panic!("{page}"))
            .to_owned()
    };
    assert!(line("ratings-0.default").contains("NACK"), "{page}");
    assert!(!line("ratings-1.default").contains("NACK"), "{page}");
    assert!(
        page.contains("RDS rejected 9080") && page.contains(REASON),
        "{page}"
    );
    assert!(
        !ps::page(&address, "other")
            .await
            .unwrap()
            .contains("ratings")
    );

    assert_eq!(plane.metric("pilot_total_xds_rejects").await, 1.0);
    assert_eq!(plane.metric("pilot_xds_rds_reject").await, 1.0);
    assert_eq!(plane.metric("pilot_xds_cds_reject").await, 0.0);

    // The other one has the change, and gets the next one; so does the client, of what it did not refuse.
    plane.follow(&mut witness, &other).await;
    plane.write(
        "world.yaml",
        &WORLD[0].1.replace("podIP: 10.1.0.2", "podIP: 10.1.0.3"),
    );
    plane.follow(&mut witness, &other).await;
    client.receive().await.unwrap();
    let received = client.take_received();
    assert!(
        received.iter().all(|received| received.ty != RDS),
        "the refused version came again: {received:?}"
    );
    assert_eq!(client.get(RDS, "9080").cloned(), before);

    // A version that it takes ends the matter.
    client.refuse(RDS, "none", "");
    plane.write(
        name,
        &text.replace("  - route:", "  - timeout: 3s\n    route:"),
    );
    plane.follow(&mut client, SIDECAR).await;
    plane
        .eventually("/debug/syncz", |(_, page)| !page.contains(REASON))
        .await;
    assert_eq!(plane.metric("pilot_xds_rds_reject").await, 0.0);
    assert_eq!(plane.metric("pilot_total_xds_rejects").await, 1.0);
    plane.stop().await;
}
