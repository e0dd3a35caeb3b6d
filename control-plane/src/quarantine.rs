//! What is done when a proxy refuses a resource: the objects that are to blame are found and held back, so that the proxy
//! gets all that the others come to.
//!
//! Which objects a resource is made from is known; which of them a proxy cannot bear is found by trials. A trial is a copy
//! of the resource, made without some of the objects, that no traffic reaches (`trial.rs`). The proxy takes it or refuses
//! it. Objects that are found guilty are served as they were before, or not at all, until they change.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use meltemi_model::proxy::Proxy;
use meltemi_model::{ObjectKey, Resource, Str, Version};
use meltemi_xds::{Subscription, TRIAL};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::engine::{Engine, Refusal, suspects};

mod inquiry;
mod trial;

use inquiry::{Inquiry, Next};

/// How long a proxy may take to answer a trial.
const PATIENCE: Duration = Duration::from_secs(10);

/// Refusals that wait while another is looked into. What does not fit is looked into when it is refused again.
const WAITING: usize = 256;

/// What a proxy said.
#[derive(Debug)]
pub enum Said {
    /// It refuses a resource.
    Refused {
        /// The proxy.
        proxy: Arc<Proxy>,
        /// The resource.
        resource: Arc<Resource>,
        /// Its reason.
        message: String,
    },
    /// It takes a trial, or does not.
    Tried {
        /// The proxy's node id.
        node_id: Str,
        /// The version of the trial.
        version: Version,
        /// Whether it takes it.
        taken: bool,
    },
}

/// Where it is heard what proxies say.
#[derive(Debug, Clone)]
pub struct Ear(mpsc::Sender<Said>);

/// The two ends.
pub fn channel() -> (Ear, mpsc::Receiver<Said>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Ear(sender), receiver)
}

impl Ear {
    /// Hears the answer of a proxy.
    pub fn hear(&self, proxy: &Arc<Proxy>, subscription: &Subscription) {
        if let Some((version, taken)) = subscription.verdict(TRIAL) {
            let node_id = proxy.node_id.clone();
            self.tell(Said::Tried {
                node_id,
                version,
                taken,
            });
        }
        let Some(message) = &subscription.report.error else {
            return;
        };
        let refused = subscription.refused_resources();
        for resource in refused.filter(|r| *r.name != *TRIAL) {
            self.tell(Said::Refused {
                proxy: Arc::clone(proxy),
                resource: Arc::clone(resource),
                message: message.clone(),
            });
        }
    }

    fn tell(&self, said: Said) {
        if self.0.try_send(said).is_err() {
            warn!("too many refusals at a time; one is not looked into");
        }
    }
}

/// Looks into refusals, one after the other, until nobody can refuse any more.
pub async fn keep(engine: Arc<Engine>, mut said: mpsc::Receiver<Said>) {
    let mut waiting = VecDeque::new();
    loop {
        let next = match waiting.pop_front() {
            Some(next) => Some(next),
            None => said.recv().await,
        };
        match next {
            None => return,
            // The answer to a trial that nobody waits for.
            Some(Said::Tried { .. }) => {}
            Some(Said::Refused {
                proxy,
                resource,
                message,
            }) => {
                let case = Case {
                    engine: &engine,
                    refusal: Refusal {
                        proxy: proxy.id.clone(),
                        ty: resource.ty,
                        name: resource.name.clone(),
                        message,
                    },
                    proxy,
                    resource,
                };
                case.settle(&mut said, &mut waiting).await;
            }
        }
    }
}

/// One refusal.
struct Case<'a> {
    engine: &'a Arc<Engine>,
    proxy: Arc<Proxy>,
    resource: Arc<Resource>,
    refusal: Refusal,
}

impl Case<'_> {
    async fn settle(&self, said: &mut mpsc::Receiver<Said>, waiting: &mut VecDeque<Said>) {
        if !self.is_open() {
            return;
        }
        let world = self.engine.world();
        let suspects = suspects(world.written(&self.resource.from));
        let mut ways = vec![false];
        if self.engine.was_another(&suspects) {
            ways.insert(0, true);
        }
        for back in ways {
            let Some(guilty) = self.guilty(&suspects, back, said, waiting).await else {
                continue;
            };
            for key in &guilty {
                warn!(%key, proxy = %self.proxy.id, ty = self.refusal.ty.short(), resource = %self.refusal.name,
                    "held back from proxies that refuse it");
            }
            let (engine, proxy) = (Arc::clone(self.engine), Arc::clone(&self.proxy));
            let refusal = self.refusal.clone();
            let held = tokio::task::spawn_blocking(move || {
                engine.hold(&proxy, &guilty, back, &refusal);
            });
            if held.await.is_err() {
                warn!("compiling panicked");
            }
            return;
        }
        info!(proxy = %self.proxy.id, ty = self.refusal.ty.short(), resource = %self.refusal.name,
            "refused, and no object is to blame");
    }

    /// Whether the proxy is still served what it refused: otherwise there is nothing to look into.
    fn is_open(&self) -> bool {
        let served = self.engine.served_to(&self.proxy.node_id);
        served.is_some_and(|snapshot| {
            let current = snapshot.set(self.resource.ty);
            let current = current.by_name.get(&self.resource.name);
            current.is_some_and(|c| c.version == self.resource.version)
        })
    }

    /// Who is to blame, when they are taken out or, if `back`, taken back to what they were before.
    async fn guilty(
        &self,
        suspects: &BTreeSet<ObjectKey>,
        back: bool,
        said: &mut mpsc::Receiver<Said>,
        waiting: &mut VecDeque<Said>,
    ) -> Option<BTreeSet<ObjectKey>> {
        let mut known = BTreeMap::from([(self.resource.version, false)]);
        let mut inquiry = Inquiry::new(suspects.clone());
        let mut next = inquiry.begin();
        let guilty = loop {
            next = match next {
                Next::Nobody => break None,
                Next::Guilty(keys) => break Some(keys),
                Next::Try(out) => {
                    let well = self.goes_well(out, back, &mut known, said, waiting).await;
                    match well {
                        Some(well) if self.is_open() => inquiry.after(well),
                        // The proxy is gone, or has something else by now.
                        _ => break None,
                    }
                }
            };
        };
        self.engine.try_on(&self.proxy.node_id, None);
        guilty
    }

    async fn goes_well(
        &self,
        out: BTreeSet<ObjectKey>,
        back: bool,
        known: &mut BTreeMap<Version, bool>,
        said: &mut mpsc::Receiver<Said>,
        waiting: &mut VecDeque<Said>,
    ) -> Option<bool> {
        let (engine, proxy) = (Arc::clone(self.engine), Arc::clone(&self.proxy));
        let compiled =
            tokio::task::spawn_blocking(move || engine.served_without(&proxy, &out, back));
        let snapshot = compiled.await.ok()?;
        let set = snapshot.set(self.resource.ty);
        let Some(resource) = set.by_name.get(&self.resource.name) else {
            return Some(true); // There is nothing to refuse.
        };
        if let Some(well) = known.get(&resource.version) {
            return Some(*well);
        }
        let trial = Arc::new(trial::trial(resource)?);
        let version = trial.version;
        self.engine.try_on(&self.proxy.node_id, Some(trial));
        let answer = self.answer(version, said, waiting);
        let well = tokio::time::timeout(PATIENCE, answer).await.ok()??;
        known.insert(resource.version, well);
        Some(well)
    }

    async fn answer(
        &self,
        trial: Version,
        said: &mut mpsc::Receiver<Said>,
        waiting: &mut VecDeque<Said>,
    ) -> Option<bool> {
        loop {
            match said.recv().await? {
                Said::Tried {
                    node_id,
                    version,
                    taken,
                } => {
                    if node_id == self.proxy.node_id && version == trial {
                        return Some(taken);
                    }
                }
                refused if waiting.len() < WAITING => waiting.push_back(refused),
                Said::Refused { .. } => {}
            }
        }
    }
}
