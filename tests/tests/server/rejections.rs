//! A client that refuses something is seen with its reason, is not asked again, and hurts nobody else.

use crate::ads_client::Variant::{self, Delta, Sotw};
use crate::ads_client::{AdsClient, LDS, RDS, Refused};
use meltemi::cli::ps;
use meltemi_xds::TRIAL;

use crate::plane::{Plane, SIDECAR, WORLD, bodies};

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
    client.refuse(Refused::Named(RDS, "9080".into()), REASON);
    // Nor in another form, so no object is to blame.
    client.refuse(Refused::Named(LDS, TRIAL.into()), REASON);
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
    client.refuse_nothing();
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

/// Two hosts of the route configuration of port 9080: one that the client cannot bear, and a good one.
const POISON: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bad, namespace: default}
spec:
  hosts: [ratings]
  http:
  - match: [{headers: {x: {exact: poison}}}]
    route: [{destination: {host: ratings}}]
";

#[tokio::test]
async fn an_object_that_a_delta_client_refuses_is_held_back() {
    an_object_is_held_back(Delta).await;
}

#[tokio::test]
async fn an_object_that_a_sotw_client_refuses_is_held_back() {
    an_object_is_held_back(Sotw).await;
}

async fn an_object_is_held_back(variant: Variant) {
    let plane = Plane::start(&WORLD).await;
    let address = plane.addresses.monitoring.to_string();
    let mut client = plane.synced(SIDECAR, variant).await;
    client.refuse(Refused::Holding("poison".into()), REASON);
    let (name, text) = WORLD[1];
    let good = plane.expected(SIDECAR);

    // A new object: it is left out, and said so everywhere.
    plane.write("bad.yaml", POISON);
    client.until("it refuses", refused).await.unwrap();
    drive(&plane, &mut client, |page| page.contains("heldBack")).await;
    plane
        .says("VirtualService default/bad: ratings-0.default refuses what it comes to (RDS 9080:")
        .await;
    let page = ps::page(&address, "default").await.unwrap();
    assert!(
        page.contains("held back VirtualService default/bad"),
        "{page}"
    );
    assert_eq!(plane.metric("meltemi_objects_held_back").await, 1.0);
    assert_eq!(plane.metric("pilot_total_xds_rejects").await, 1.0);
    client
        .until("it has the good ones", |c| bodies(c.held()) == good)
        .await
        .unwrap();

    // Changes of others arrive in the very resource that was refused.
    plane.write(name, &text.replace("subset: v1", "subset: v2"));
    client
        .until("it has v2", |c| holds(c, "|v2|"))
        .await
        .unwrap();
    assert!(!holds(&client, "poison"));

    // Changed to something that it takes, the object is served; changed to something that it does not, it stays so.
    plane.write("bad.yaml", &POISON.replace("poison", "honey"));
    client
        .until("it has the object", |c| holds(c, "honey"))
        .await
        .unwrap();
    plane
        .eventually("/debug/syncz", |(_, page)| !page.contains("heldBack"))
        .await;
    plane.write("bad.yaml", &POISON.replace("poison", "more poison"));
    drive(&plane, &mut client, |page| page.contains("heldBack")).await;
    plane.says("served as it was before until it changes").await;
    client
        .until("it has the object of before", |c| holds(c, "honey"))
        .await
        .unwrap();
    plane.stop().await;
}

fn refused(client: &AdsClient) -> bool {
    client
        .received()
        .iter()
        .any(|received| received.refused.is_some())
}

fn holds(client: &AdsClient, words: &str) -> bool {
    let route = client
        .get(RDS, "9080")
        .expect("the route configuration of the port");
    route
        .body
        .windows(words.len())
        .any(|w| w == words.as_bytes())
}

/// Answers whatever comes until the page of streams is as it should be.
async fn drive(plane: &Plane, client: &mut AdsClient, is_so: impl Fn(&str) -> bool) {
    let seen = plane.eventually("/debug/syncz", |(_, page)| is_so(page));
    tokio::pin!(seen);
    loop {
        tokio::select! {
            // An answer that was begun is given, before anything else is looked at.
            biased;
            more = client.receive() => assert!(more.unwrap(), "the server ended the stream"),
            () = &mut seen => return,
        }
    }
}
