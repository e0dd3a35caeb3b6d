//! Statuses that are written for users by the leader: the addresses of ServiceEntries that have none, and those of the
//! gateway of Ingresses. What is decided here is pure; `meltemi-cluster` reads and writes.

mod addresses;
mod gateway;

use std::collections::BTreeSet;
use std::sync::Arc;

use meltemi_cluster::leader::locks;
use meltemi_cluster::revisions::revision_or_default;
use meltemi_cluster::statuses::{INGRESSES, SERVICE_ENTRIES, keep};
use meltemi_cluster::{Client, Metrics};
use meltemi_model::Str;
use meltemi_model::allocation::Prefixes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::writers::Posts;
use crate::engine::Engine;

use addresses::Addresses;
use gateway::{Ingresses, Points};

/// The namespaces that are looked at; `None`: all.
type Chosen = Option<BTreeSet<Str>>;

/// Starts the writers.
pub(super) fn start(
    posts: &Posts<'_>,
    client: &Client,
    engine: Arc<Engine>,
    prefixes: Option<Prefixes>,
    metrics: &Metrics,
) {
    // Nothing is known before all was read, so nothing is written before.
    let (chosen, chosen_now) = watch::channel(None);
    let (points, points_now) = watch::channel(None);
    let revision = revision_or_default(&posts.cluster.revision).to_owned();
    let (default_revision, stop) = (posts.default_revision.clone(), posts.stop.clone());
    posts.tasks.spawn(async move {
        let follow = follow(engine, default_revision, revision, chosen, points);
        stop.run_until_cancelled(follow).await;
    });
    if let Some(prefixes) = prefixes {
        let (client, metrics) = (client.clone(), metrics.clone());
        posts.hold(locks::IP_AUTOALLOCATE, move |lead: CancellationToken| {
            let (client, metrics) = (client.clone(), metrics.clone());
            let addresses = Addresses::new(prefixes);
            let news = chosen_now.clone();
            keep(client, SERVICE_ENTRIES, addresses, news, metrics, lead)
        });
    }
    let (client, metrics) = (client.clone(), metrics.clone());
    posts.hold(locks::INGRESS, move |lead: CancellationToken| {
        let (client, metrics) = (client.clone(), metrics.clone());
        let (ingresses, news) = (Ingresses::default(), points_now.clone());
        keep(client, INGRESSES, ingresses, news, metrics, lead)
    });
}

/// Tells the writers what the newest world says, once everything was read.
async fn follow(
    engine: Arc<Engine>,
    mut default_revision: watch::Receiver<String>,
    revision: String,
    chosen: watch::Sender<Option<Chosen>>,
    points: watch::Sender<Option<Points>>,
) {
    let (mut told, mut synced) = (engine.told(), engine.synced());
    loop {
        let is_default = {
            let default = default_revision.borrow_and_update();
            revision == "default" || *default == revision
        };
        let is_synced = *synced.borrow_and_update();
        told.mark_unchanged();
        if is_synced {
            let world = engine.world();
            update(&chosen, world.discovery.chosen.clone());
            update(&points, Points::of(&world, &revision, is_default));
        }
        tokio::select! {
            Ok(()) = told.changed() => {}
            Ok(()) = synced.changed() => {}
            Ok(()) = default_revision.changed() => {}
            else => return,
        }
    }
}

fn update<T: PartialEq>(sender: &watch::Sender<Option<T>>, now: T) {
    sender.send_if_modified(|before| {
        let changed = before.as_ref() != Some(&now);
        if changed {
            *before = Some(now);
        }
        changed
    });
}
