//! What is known of networks besides the objects: the file of `--networks-config`, and the addresses of gateways that are
//! named by host name. Istio 1.31: `initMeshNetworks`, `networkGatewayNameCache`.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use meltemi_model::network::NetworkFact;
use meltemi_model::{Diagnostics, Object, ObjectKey, Shared, Str};
use meltemi_sources::files;
use meltemi_world::stages::networks::resolved_key;
use tokio::sync::mpsc;
use tracing::warn;

/// How often the file is read, and the world asked for names.
const LOOK: Duration = Duration::from_secs(2);

/// How long addresses of a name are used before it is resolved again. The system's resolver does not tell how long an
/// answer holds, so it is the least that istiod waits (`MinGatewayTTL`).
const FRESH: Duration = Duration::from_secs(30);

/// Changes of what is known.
#[derive(Debug, Default)]
pub struct Facts {
    /// New facts; `None`: it is one no more.
    pub changes: Vec<(ObjectKey, Option<Object>)>,
    /// What is to be said of the file now; `None`: what was said before.
    pub diagnostics: Option<Diagnostics>,
}

/// The file with the networks of the mesh.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    object: Option<Object>,
    diagnostics: Diagnostics,
}

impl File {
    /// Reads it.
    pub fn new(path: PathBuf) -> Self {
        let (object, diagnostics) = files::load_networks(&path);
        Self {
            path,
            object,
            diagnostics,
        }
    }

    /// What it says.
    pub fn facts(&self) -> Facts {
        let object = self.object.clone();
        Facts {
            changes: object
                .map(|object| (object.key().clone(), Some(object)))
                .into_iter()
                .collect(),
            diagnostics: Some(self.diagnostics.clone()),
        }
    }

    /// Reads it again; whether there is anything new. What can be read no more stays.
    fn refresh(&mut self) -> bool {
        let (object, diagnostics) = files::load_networks(&self.path);
        let is_new = diagnostics != self.diagnostics
            || object.as_ref().is_some_and(|_| object != self.object);
        self.diagnostics = diagnostics;
        if object.is_some() {
            self.object = object;
        }
        is_new
    }
}

/// Hands over what becomes of the file, until nobody takes it.
pub async fn follow(mut file: File, out: mpsc::Sender<Facts>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let read = tokio::task::spawn_blocking(move || {
            let is_new = file.refresh();
            (file, is_new)
        });
        let Ok((read, is_new)) = read.await else {
            return;
        };
        file = read;
        if is_new && out.send(file.facts()).await.is_err() {
            return;
        }
    }
}

/// The addresses of a host, from the system's resolver.
pub async fn system_resolver(host: Str) -> std::io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((&*host, 0)).await?;
    Ok(found.map(|address| address.ip()).collect())
}

/// Resolves the names that `names` tells, and again when they are no longer fresh, until nobody takes the answers.
pub async fn resolve<R>(
    names: impl Fn() -> Vec<Str>,
    resolver: impl Fn(Str) -> R,
    out: mpsc::Sender<Facts>,
) where
    R: Future<Output = std::io::Result<Vec<IpAddr>>>,
{
    let mut known = Known::default();
    loop {
        let facts = known.round(&names(), Instant::now(), &resolver).await;
        if !facts.changes.is_empty() && out.send(facts).await.is_err() {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The addresses of each name, and since when they are known.
#[derive(Debug, Default)]
struct Known(BTreeMap<Str, (Vec<IpAddr>, Instant)>);

impl Known {
    /// Forgets names that nobody wants, resolves those that are new or no longer fresh, and tells what changed. A name that
    /// cannot be resolved any more keeps its addresses.
    async fn round<R>(
        &mut self,
        wanted: &[Str],
        now: Instant,
        resolver: &impl Fn(Str) -> R,
    ) -> Facts
    where
        R: Future<Output = std::io::Result<Vec<IpAddr>>>,
    {
        let mut facts = Facts::default();
        self.0.retain(|name, _| {
            let stays = wanted.contains(name);
            if !stays {
                facts.changes.push((resolved_key(name), None));
            }
            stays
        });
        for name in wanted {
            let before = match self.0.get(name) {
                Some((_, since)) if now.duration_since(*since) < FRESH => continue,
                Some((addresses, _)) => Some(addresses.clone()),
                None => None,
            };
            let mut addresses = match resolver(name.clone()).await {
                Ok(addresses) => addresses,
                Err(error) => {
                    warn!(%name, %error, "gateway of a network not resolved");
                    before.clone().unwrap_or_default()
                }
            };
            addresses.sort_unstable();
            addresses.dedup();
            if before.as_ref() != Some(&addresses) {
                let key = resolved_key(name);
                let fact = Shared::new(NetworkFact::Resolved(addresses.clone()));
                let object = Object::Network(key.clone(), fact);
                facts.changes.push((key, Some(object)));
            }
            self.0.insert(name.clone(), (addresses, now));
        }
        facts
    }
}

#[cfg(test)]
mod tests;
