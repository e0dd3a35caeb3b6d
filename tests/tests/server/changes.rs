//! What an edit of a file sends: what differs, and nothing else.

use std::collections::BTreeSet;
use std::fs;

use crate::ads_client::Variant::Delta;
use crate::ads_client::{AdsClient, RDS};

use crate::plane::{Plane, SIDECAR, WORLD};

/// What can be sent without a change of any object: a diagnostic. It shows that all edits before it were read.
const MARK: &str = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: mark}\nspec: {selector: 7}\n";

/// Type and names of everything that was sent since the last look.
fn sent(client: &mut AdsClient) -> Vec<(&'static str, BTreeSet<String>)> {
    client
        .take_received()
        .into_iter()
        .map(|received| (received.ty, received.names))
        .collect()
}

#[tokio::test]
async fn an_edit_without_effect_sends_nothing() {
    let plane = Plane::start(&WORLD).await;
    let mut client = plane.synced(SIDECAR, Delta).await;
    client.take_received();
    let pushes = plane.metric("pilot_xds_pushes").await;
    let revision = plane.metric("meltemi_revision").await;
    let misses = plane.metric("meltemi_memo_misses_total").await;

    let (name, text) = WORLD[1];
    plane.write(name, &format!("# a comment\n{text}\n# and one more\n"));
    let mut documents: Vec<&str> = WORLD[0].1.split("---\n").map(str::trim_end).collect();
    documents.reverse();
    plane.write("world.yaml", &documents.join("\n---\n"));
    plane.write("mark.yaml", MARK);
    plane.says("mark.yaml:4").await;
    assert_eq!(plane.metric("meltemi_revision").await, revision);
    assert_eq!(plane.metric("meltemi_memo_misses_total").await, misses);

    // The next thing that the client hears is a change with an effect.
    plane.write(name, &text.replace("subset: v1", "subset: v2"));
    plane.follow(&mut client, SIDECAR).await;
    assert_eq!(
        sent(&mut client),
        [(RDS, BTreeSet::from(["9080".to_owned()]))]
    );
    assert_eq!(plane.metric("pilot_xds_pushes").await, pushes + 1.0);
    plane.stop().await;
}

#[tokio::test]
async fn an_edit_of_a_virtual_service_sends_its_routes_only() {
    let plane = Plane::start(&WORLD).await;
    let mut client = plane.synced(SIDECAR, Delta).await;
    let (before, listened) = (
        client.held().clone(),
        plane.metric("meltemi_memo_misses_total").await,
    );
    client.take_received();
    let resources = plane.metric("meltemi_xds_resources_sent_total").await;

    let (name, text) = WORLD[1];
    plane.write(
        name,
        &text.replace("  - route:", "  - timeout: 3s\n    route:"),
    );
    plane.follow(&mut client, SIDECAR).await;

    assert_eq!(
        sent(&mut client),
        [(RDS, BTreeSet::from(["9080".to_owned()]))]
    );
    assert_ne!(client.get(RDS, "9080"), before[RDS].get("9080"));
    assert_eq!(
        plane.metric("meltemi_xds_resources_sent_total").await,
        resources + 1.0
    );
    assert_eq!(
        plane.metric("meltemi_memo_misses_total").await,
        listened + 1.0,
        "one resource is built"
    );
    plane.stop().await;
}

#[tokio::test]
async fn a_half_written_file_keeps_its_last_good_objects() {
    let plane = Plane::start(&WORLD).await;
    let mut client = plane.synced(SIDECAR, Delta).await;
    let (before, revision) = (
        client.held().clone(),
        plane.metric("meltemi_revision").await,
    );
    client.take_received();

    // In place: cut off between two words, then within one.
    let text = WORLD[0].1;
    for cut in [
        text.find("clusterIP: 10.2.0.3").unwrap(),
        text.find("podIP: 10.1.0.9").unwrap() + 3,
    ] {
        fs::write(plane.path("world.yaml"), &text[..cut]).unwrap();
        plane.says("of its last good objects stay").await;
        fs::write(plane.path("world.yaml"), text).unwrap();
        plane
            .eventually("/debug/diagnosticz", |(_, page)| page == "[]\n")
            .await;
    }
    fs::write(plane.path("world.yaml"), "").unwrap();
    plane.says("the file became empty").await;
    assert_eq!(
        plane.metric("meltemi_revision").await,
        revision,
        "no object changed"
    );

    // What is good beside it is read all the same.
    plane.write(WORLD[1].0, &WORLD[1].1.replace("subset: v1", "subset: v2"));
    client
        .until("the routes changed", |client| {
            client.get(RDS, "9080") != before[RDS].get("9080")
        })
        .await
        .unwrap();
    assert_eq!(
        sent(&mut client),
        [(RDS, BTreeSet::from(["9080".to_owned()]))]
    );
    plane.stop().await;
}
