//! From the start of a server to its end: what is served before everything was read (nothing), what a proxy that comes
//! back is sent (what differs), and how streams end.

use std::fs;

use crate::ads_client::Variant::{Delta, Sotw};
use crate::ads_client::{AdsClient, CDS, Held, RDS};
use meltemi_sources::files::{Batch, load};
use meltemi_sources::lower::LowerSettings;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::plane::{
    Plane, SIDECAR, WORLD, addresses, bodies, bound, describe, directory, eventually, get,
};

#[tokio::test]
async fn i10_nothing_is_served_before_sync() {
    let directory = directory(&WORLD);
    let bound = bound(&directory).await;
    let addresses = addresses(&bound);
    let (batches, received) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let served = tokio::spawn(bound.serve_batches(received, stop.clone()));
    let refused = async || {
        for address in [addresses.http, addresses.monitoring] {
            assert_eq!(get(address, "/ready").await.0, 503);
        }
        for variant in [Delta, Sotw] {
            let error = AdsClient::connect(addresses.grpc, describe(SIDECAR), variant, Held::new())
                .await
                .err();
            assert_eq!(error.map(|status| status.code()), Some(Code::Unavailable));
        }
        assert_eq!(
            get(addresses.monitoring, "/debug/syncz").await,
            (200, "[]\n".to_owned())
        );
    };
    refused().await;

    // Half of the objects are there, and one source has not spoken.
    let loaded = load(&directory.path().join("config"), &LowerSettings::default());
    let mut changes: Vec<_> = loaded
        .objects
        .into_iter()
        .map(|(key, object)| (key, Some(object)))
        .collect();
    let rest = changes.split_off(changes.len() / 2);
    batches
        .send(Batch {
            changes,
            diagnostics: Vec::new(),
            synced: false,
        })
        .await
        .unwrap();
    eventually(addresses.monitoring, "/metrics", |(_, page)| {
        page.contains("meltemi_revision 1\n")
    })
    .await;
    refused().await;

    batches
        .send(Batch {
            changes: rest,
            diagnostics: Vec::new(),
            synced: true,
        })
        .await
        .unwrap();
    for address in [addresses.http, addresses.monitoring] {
        eventually(address, "/ready", |(status, _)| *status == 200).await;
    }
    let mut client = AdsClient::connect(addresses.grpc, describe(SIDECAR), Delta, Held::new())
        .await
        .unwrap();
    let cluster = "outbound|9080|v1|reviews.default.svc.cluster.local";
    client
        .until("it has the cluster", |client| {
            client.get(CDS, cluster).is_some()
        })
        .await
        .unwrap();
    stop.cancel();
    served.await.unwrap().unwrap();
}

#[tokio::test]
async fn i10_a_directory_that_goes_away_keeps_what_it_held() {
    let plane = Plane::start(&WORLD).await;
    let mut client = plane.synced(SIDECAR, Delta).await;
    let before = client.held().clone();
    let (revision, pushes) = (
        plane.metric("meltemi_revision").await,
        plane.metric("pilot_xds_pushes").await,
    );
    client.take_received();

    let (here, away) = (plane.path(""), plane.directory.path().join("away"));
    fs::rename(&here, &away).unwrap();
    plane.says("cannot be read").await;
    assert_eq!(plane.get("/ready").await.0, 200);
    assert_eq!(plane.metric("meltemi_revision").await, revision);
    assert_eq!(plane.metric("pilot_xds_pushes").await, pushes);
    // Who comes now gets what was there last.
    let mut late = plane
        .connect(&SIDECAR.replace("ratings-0", "ratings-1"), Delta)
        .await;
    let names =
        |held: &Held| -> Vec<String> { bodies(held).into_iter().map(|(name, _)| name).collect() };
    late.until("it has everything", |late| {
        names(late.held()) == names(&before)
    })
    .await
    .unwrap();

    // Another directory takes its place.
    let (name, text) = WORLD[1];
    fs::write(away.join(name), text.replace("subset: v1", "subset: v2")).unwrap();
    fs::rename(&away, &here).unwrap();
    client
        .until("the routes changed", |client| {
            client.get(RDS, "9080") != before[RDS].get("9080")
        })
        .await
        .unwrap();
    let sent: Vec<_> = client
        .take_received()
        .into_iter()
        .map(|received| received.ty)
        .collect();
    assert_eq!(sent, [RDS], "nothing was taken away in between");
    plane.stop().await;
}

#[tokio::test]
async fn a_client_that_comes_back_is_sent_what_differs() {
    let plane = Plane::start(&WORLD).await;
    let held = plane.synced(SIDECAR, Delta).await.held().clone();
    let plane = plane.restart().await;

    let mut client = plane.reconnect(SIDECAR, Delta, held.clone()).await;
    // It has everything, which the next change shows: until then nothing was sent but empty answers.
    plane
        .eventually("/metrics", |(_, page)| page.contains("\npilot_xds{"))
        .await;
    let (name, text) = WORLD[1];
    plane.write(name, &text.replace("subset: v1", "subset: v2"));
    plane.follow(&mut client, SIDECAR).await;
    let names: Vec<_> = client
        .take_received()
        .into_iter()
        .flat_map(|r| r.names.into_iter().map(move |name| (r.ty, name)))
        .collect();
    assert_eq!(names, [(RDS, "9080".to_owned())]);
    assert_eq!(plane.metric("meltemi_xds_resources_sent_total").await, 1.0);

    // One that was away during a change is sent that change; one that lost a cluster, that cluster.
    let mut stale = held;
    let lost = "outbound|9080|v2|reviews.default.svc.cluster.local";
    stale.get_mut(CDS).unwrap().remove(lost).unwrap();
    let mut client = plane.reconnect(SIDECAR, Delta, stale).await;
    plane.follow(&mut client, SIDECAR).await;
    let sent = client.take_received();
    let of = |ty| {
        sent.iter()
            .filter(|r| r.ty == ty)
            .flat_map(|r| r.names.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(of(CDS), [lost]);
    assert_eq!(of(RDS), ["9080"]);
    plane.stop().await;
}

#[tokio::test]
async fn a_drain_ends_streams_without_an_error() {
    let plane = Plane::start(&WORLD).await;
    let mut delta = plane.synced(SIDECAR, Delta).await;
    let mut sotw = plane.synced(SIDECAR, Sotw).await;
    let grpc = plane.addresses.grpc;
    plane.begin_to_stop();
    delta.ended().await.unwrap();
    sotw.ended().await.unwrap();
    plane.stop().await;
    let error = AdsClient::connect(grpc, describe(SIDECAR), Delta, Held::new())
        .await
        .err();
    assert_eq!(error.map(|status| status.code()), Some(Code::Unavailable));
}
