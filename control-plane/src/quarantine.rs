//! What is done when a proxy refuses a resource: the objects that are to blame are found and held back, so that the proxy
//! gets all that the others come to.
//!
//! Which objects a resource is made from is known; which of them a proxy cannot bear is found by trials. A trial is a copy
//! of the resource, made without some of the objects, that no traffic reaches (`trial.rs`). The proxy takes it or refuses
//! it. Objects that are found guilty are served as they were before, or not at all, until they change. Those that want an
//! address which is taken are guilty of nothing, and are tried again by themselves (`taken.rs`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use meltemi_model::proxy::Proxy;
use meltemi_model::{ObjectKey, ProxySnapshot, Resource, Str, Version};
use meltemi_xds::{Subscription, TRIAL};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::engine::{Engine, Held, Refusal, suspects};

mod inquiry;
mod taken;
mod trial;

use inquiry::{Inquiry, Next};
use taken::Retries;

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
    let mut retries = Retries::default();
    loop {
        let due = retries.next();
        let due = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let next = match waiting.pop_front() {
            Some(next) => Some(next),
            None => tokio::select! {
                next = said.recv() => next,
                () = due => {
                    try_again(&engine, &mut retries).await;
                    continue;
                }
            },
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
                case.settle(&mut said, &mut waiting, &mut retries).await;
            }
        }
    }
}

/// Serves objects again whose address may be free by now.
async fn try_again(engine: &Arc<Engine>, retries: &mut Retries) {
    let is_of = |held: &Held, key: &ObjectKey| {
        held.key() == key && taken::is_taken(held.refusal.ty, &held.refusal.message)
    };
    let held = engine.held();
    let is_held = |key: &ObjectKey| held.iter().any(|held| is_of(held, key));
    let due = retries.take_due(Instant::now(), is_held);
    if due.is_empty() {
        return;
    }
    let engine = Arc::clone(engine);
    let served = tokio::task::spawn_blocking(move || {
        engine.hold_no_longer(|held| due.iter().any(|key| is_of(held, key)));
    });
    if served.await.is_err() {
        warn!("compiling panicked");
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
    async fn settle(
        &self,
        said: &mut mpsc::Receiver<Said>,
        waiting: &mut VecDeque<Said>,
        retries: &mut Retries,
    ) {
        let Some(served) = self.served() else {
            return;
        };
        let world = self.engine.world();
        let beside = match self.is_taken() {
            true => taken::neighbours(&served, &self.resource),
            false => Vec::new(),
        };
        let beside: Vec<ObjectKey> = world.written(&beside).into_iter().cloned().collect();
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
            if self.is_taken() {
                retries.note(&guilty, Instant::now());
            }
            let (engine, proxy) = (Arc::clone(self.engine), Arc::clone(&self.proxy));
            let refusal = self.refusal.clone();
            let held = tokio::task::spawn_blocking(move || {
                engine.hold(&proxy, &guilty, back, &refusal, &beside);
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
        self.served().is_some()
    }

    /// What the proxy is served, with what it refused in it.
    fn served(&self) -> Option<Arc<ProxySnapshot>> {
        let served = self.engine.served_to(&self.proxy.node_id)?;
        let current = served.set(self.resource.ty);
        let current = current.by_name.get(&self.resource.name)?;
        (current.version == self.resource.version).then_some(served)
    }

    /// Whether the proxy takes all of it but the address.
    fn is_taken(&self) -> bool {
        taken::is_taken(self.refusal.ty, &self.refusal.message)
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
        if self.is_taken() {
            // A trial has an address of its own, so it would go well whoever wants this one.
            return Some(!taken::has_address_of(resource, &self.resource));
        }
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
