//! Which CustomResourceDefinitions there are.

use std::collections::BTreeSet;

use kube::api::{DynamicObject, PartialObjectMeta};
use kube::runtime::watcher::{Config, Event};
use kube::{Api, Client};
use tokio::sync::watch::Sender;

use super::Patience;
use super::feed::{Feed, Streaming};
use super::kinds::definitions;

/// The definitions of ours that are installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Installed(Option<BTreeSet<String>>);

impl Installed {
    /// `None`: not known, since the definitions cannot be listed (yet).
    pub(super) fn has(&self, resource: &str) -> Option<bool> {
        Some(self.0.as_ref()?.contains(resource))
    }
}

/// Follows them. Every change to a definition of ours is told, even if it was there before: it may be served only now.
pub(super) async fn follow(
    client: Client,
    ours: BTreeSet<String>,
    patience: Patience,
    streaming: Streaming,
    installed: Sender<Installed>,
) {
    let api = Api::<PartialObjectMeta<DynamicObject>>::all_with(
        client,
        &definitions().api_resource("v1"),
    );
    let mut feed = Feed::new(api, Config::default(), streaming, patience);
    let mut listed = BTreeSet::new();
    let of_ours = |object: PartialObjectMeta<DynamicObject>| {
        object.metadata.name.filter(|name| ours.contains(name))
    };
    loop {
        match feed.next().await {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(object)) => listed.extend(of_ours(object)),
            Ok(Event::InitDone) => {
                installed.send_replace(Installed(Some(std::mem::take(&mut listed))));
            }
            Ok(Event::Apply(object)) => {
                if let Some(name) = of_ours(object) {
                    installed.send_modify(|known| {
                        known.0.get_or_insert_default().insert(name);
                    });
                }
            }
            Ok(Event::Delete(object)) => {
                if let Some(name) = of_ours(object) {
                    installed.send_modify(|known| {
                        known.0.get_or_insert_default().remove(&name);
                    });
                }
            }
            // What was known stays.
            Err(_) => {}
        }
    }
}
