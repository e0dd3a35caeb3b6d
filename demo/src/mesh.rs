//! The pods of a run: one task that brings what runs to what the manifests say, and writes what the cluster shows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::sync::{mpsc, watch};

use crate::address::{OUTSIDE, PodAddresses, cluster_ips};
use crate::agent::{Agent, Ended};
use crate::cluster::{self, PodState, describe};
use crate::dns::Zone;
use crate::gateway;
use crate::manifest::{self, Key, Manifests, documents};
use crate::plan::{PodPlan, pods};
use crate::pod::{self, Node, Running};
use crate::say::say;

/// What happens to the mesh.
#[derive(Debug)]
pub(crate) enum Event {
    /// The user's folder changed.
    Edited,
    /// A pod's programs run.
    Started(Key, Running),
    /// A pod answers its probes.
    Ready(Key),
    /// A pod cannot start.
    Failed(Key, String),
    /// A pod has no more requests.
    Drained(Key),
    /// A program of a pod has ended by itself.
    Ended(Key, Ended),
}

/// A pod in the view.
#[derive(Clone, Debug)]
pub(crate) struct PodView {
    pub(crate) state: PodState,
    pub(crate) agent: Option<Agent>,
    pub(crate) failure: Option<String>,
}

/// What others may know of the mesh.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) pods: Vec<PodView>,
}

impl View {
    /// Whether everything that should run is ready and nothing is on its way out.
    pub(crate) fn settled(&self) -> bool {
        self.pods
            .iter()
            .all(|pod| pod.state.ready && !pod.state.terminating)
    }

    /// The ready pods with a label.
    pub(crate) fn with_label(&self, label: &str, value: &str) -> Vec<&PodView> {
        let has = |pod: &&PodView| {
            pod.state.ready
                && pod
                    .state
                    .plan
                    .labels
                    .get(label)
                    .is_some_and(|found| found == value)
        };
        self.pods.iter().filter(has).collect()
    }
}

#[derive(Debug)]
struct Pod {
    state: PodState,
    running: Option<Running>,
    failure: Option<String>,
}

/// The state of the task.
#[derive(Debug)]
pub(crate) struct Mesh {
    node: Arc<Node>,
    events: mpsc::Sender<Event>,
    view: watch::Sender<Arc<View>>,
    zone: watch::Sender<Arc<Zone>>,
    user: BTreeMap<PathBuf, Vec<manifest::Document>>,
    earlier: BTreeMap<PathBuf, Manifests>,
    manifests: Manifests,
    cluster_ips: BTreeMap<Key, Ipv4Addr>,
    addresses: PodAddresses,
    wanted: BTreeMap<Key, PodPlan>,
    pods: BTreeMap<Key, Pod>,
    written: BTreeMap<PathBuf, String>,
    started: u32,
}

impl Mesh {
    pub(crate) fn new(
        node: Arc<Node>,
        events: mpsc::Sender<Event>,
        zone: watch::Sender<Arc<Zone>>,
    ) -> Self {
        Self {
            node,
            events,
            view: watch::Sender::default(),
            zone,
            user: BTreeMap::new(),
            earlier: BTreeMap::new(),
            manifests: Manifests::default(),
            cluster_ips: BTreeMap::new(),
            addresses: PodAddresses::default(),
            wanted: BTreeMap::new(),
            pods: BTreeMap::new(),
            written: BTreeMap::new(),
            started: 0,
        }
    }

    pub(crate) fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    /// Takes up one event.
    pub(crate) async fn handle(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Edited => self.read()?,
            Event::Started(key, running) => {
                self.await_ready(&key, running.agent.clone());
                if let Some(pod) = self.pods.get_mut(&key) {
                    pod.running = Some(running);
                }
            }
            Event::Ready(key) => {
                if let Some(pod) = self.pods.get_mut(&key).filter(|pod| !pod.state.terminating) {
                    pod.state.ready = true;
                    let all = self.pods.len();
                    let ready = self.pods.values().filter(|pod| pod.state.ready).count();
                    say(&format!(
                        "  {} is ready ({ready} of {all})",
                        self.pods[&key].state.plan.key.1
                    ));
                }
            }
            Event::Failed(key, reason) => {
                if let Some(pod) = self.pods.get_mut(&key) {
                    say(&format!(
                        "  {} does not start: {reason}",
                        describe(&pod.state.plan)
                    ));
                    pod.failure = Some(reason);
                }
            }
            Event::Drained(key) => {
                if let Some(pod) = self.pods.remove(&key) {
                    say(&format!("  {} is gone", key.1));
                    if let Some(running) = pod.running {
                        tokio::spawn(pod::stop(running));
                    }
                }
            }
            Event::Ended(key, ended) => {
                if let Some(pod) = self.pods.get_mut(&key) {
                    pod.state.ready = false;
                    let folder = pod::folder(&self.node.site, &pod.state.plan);
                    let log = crate::site::tail(&folder.join(format!("{}.log", ended.name)));
                    let reason = format!(
                        "{} ended ({}); the end of its log:\n{log}",
                        ended.name, ended.status
                    );
                    say(&format!("  {}: {reason}", describe(&pod.state.plan)));
                    pod.failure = Some(reason);
                }
            }
        }
        self.reconcile()?;
        self.publish()
    }

    /// Reads the user's folder.
    fn read(&mut self) -> Result<()> {
        self.user = manifest::documents_in(&self.node.site.manifests)?;
        let mut manifests = manifest::read(&self.user, &mut self.earlier);
        for missing in gateway::defaults(&manifests) {
            let own = BTreeMap::from([(PathBuf::from(missing.0), documents(missing.1))]);
            let read = manifest::read(&own, &mut BTreeMap::new());
            manifests.workloads.extend(read.workloads);
            manifests.services.extend(read.services);
            manifests.namespaces.extend(read.namespaces);
            self.user.extend(own);
        }
        for problem in &manifests.problems {
            if !self.manifests.problems.contains(problem) {
                say(&format!("  {problem}"));
            }
        }
        self.cluster_ips = cluster_ips(&manifests.services, &self.cluster_ips);
        self.wanted = pods(&manifests);
        self.manifests = manifests;
        Ok(())
    }

    /// Starts what is missing and takes out what is too much.
    fn reconcile(&mut self) -> Result<()> {
        let wanted = self.wanted.clone();
        for (key, plan) in &wanted {
            if !self.pods.contains_key(key) {
                self.start(plan.clone())?;
            }
        }
        let leaving: Vec<Key> = self
            .pods
            .values()
            .filter(|pod| self.leaves(pod))
            .map(|pod| pod.state.plan.key.clone())
            .collect();
        for key in leaving {
            self.retire(&key);
        }
        Ok(())
    }

    /// Whether a pod's way out begins now. One that another template replaces stays until its successors are ready, as in
    /// a rolling update; one that still starts is first let finish.
    fn leaves(&self, pod: &Pod) -> bool {
        let plan = &pod.state.plan;
        let unwanted = self
            .wanted
            .get(&plan.key)
            .is_none_or(|wanted| wanted != plan);
        if pod.state.terminating || !unwanted || (!pod.state.ready && pod.failure.is_none()) {
            return false;
        }
        let mut successors = self
            .wanted
            .values()
            .filter(|wanted| wanted.owner == plan.owner && wanted.revision != plan.revision);
        successors.all(|wanted| {
            self.pods
                .get(&wanted.key)
                .is_some_and(|pod| pod.state.ready || pod.state.plan != *wanted)
        })
    }

    fn start(&mut self, plan: PodPlan) -> Result<()> {
        let used: BTreeSet<Ipv4Addr> = self.pods.values().map(|pod| pod.state.address).collect();
        let address = self.addresses.take(&used)?;
        self.started += 1;
        let number = self.started;
        let key = plan.key.clone();
        let state = PodState {
            plan: plan.clone(),
            address,
            ready: false,
            terminating: false,
        };
        self.pods.insert(
            key.clone(),
            Pod {
                state,
                running: None,
                failure: None,
            },
        );
        let node = Arc::clone(&self.node);
        let events = self.events.clone();
        tokio::spawn(async move {
            let (sender, mut ended) = mpsc::channel(4);
            let event = match pod::start(&node, &plan, address, number, sender).await {
                Ok(running) => Event::Started(key.clone(), running),
                Err(error) => Event::Failed(key.clone(), format!("{error:#}")),
            };
            let _closing = events.send(event).await;
            while let Some(program) = ended.recv().await {
                let _closing = events.send(Event::Ended(key.clone(), program)).await;
            }
        });
        Ok(())
    }

    fn await_ready(&self, key: &Key, agent: Agent) {
        let Some(pod) = self.pods.get(key) else {
            return;
        };
        let plan = pod.state.plan.clone();
        let node = Arc::clone(&self.node);
        let events = self.events.clone();
        tokio::spawn(async move {
            let event = match pod::ready(&node, &plan, &agent).await {
                Ok(()) => Event::Ready(plan.key),
                Err(error) => Event::Failed(plan.key, format!("{error:#}")),
            };
            let _closing = events.send(event).await;
        });
    }

    fn retire(&mut self, key: &Key) {
        let Some(pod) = self.pods.get_mut(key) else {
            return;
        };
        pod.state.terminating = true;
        pod.state.ready = false;
        let plan = pod.state.plan.clone();
        let address = pod.state.address;
        let agent = pod.running.as_ref().map(|running| running.agent.clone());
        let view = self.view.subscribe();
        let events = self.events.clone();
        tokio::spawn(async move {
            pod::drain(&plan, address, agent.as_ref(), &view).await;
            let _closing = events.send(Event::Drained(plan.key)).await;
        });
    }

    /// Shows the world what is: files for the control plane, names for the resolvers, the view for the rest.
    fn publish(&mut self) -> Result<()> {
        let states: Vec<PodState> = self.pods.values().map(|pod| pod.state.clone()).collect();
        let files = cluster::files(&self.user, &self.manifests, &self.cluster_ips, &states);
        let site = &self.node.site;
        cluster::write(&site.config(), &site.scratch(), &files, &mut self.written)
            .context("the cluster's objects")?;
        self.zone.send_replace(Arc::new(cluster::zone(
            &self.manifests,
            &self.cluster_ips,
            &states,
            Some(OUTSIDE),
        )));
        let view = |pod: &Pod| PodView {
            state: pod.state.clone(),
            agent: pod.running.as_ref().map(|running| running.agent.clone()),
            failure: pod.failure.clone(),
        };
        self.view.send_replace(Arc::new(View {
            pods: self.pods.values().map(view).collect(),
        }));
        Ok(())
    }
}
