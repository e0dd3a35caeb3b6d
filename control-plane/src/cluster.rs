//! What only a cluster has: identities, certificates, TLS ports, webhooks, and what is written into the cluster.
//!
//! Everything here is glue: `ca` and `injector` know no Kubernetes, `meltemi-cluster` knows no certificates.

mod authority;
mod config_map;
mod injection;
mod kubernetes;
mod mesh;
mod metrics;
mod permissions;
pub(crate) mod registration;
mod statuses;
mod writers;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use meltemi_ca::authenticate::{Authenticators, Clusters, Credentials};
use meltemi_ca::gate::Gate;
use meltemi_ca::roots::{self, Live};
use meltemi_ca::service::CertificateService;
use meltemi_ca::settings::{Handshakes, Signing};
use meltemi_ca::signing::Pool;
use meltemi_ca::system_clock;
use meltemi_ca::tls::{self, Incoming, Tls};
use meltemi_cluster::Client;
use meltemi_cluster::config_maps::State;
use meltemi_cluster::registration::Registrar;
use meltemi_injector::Injector;
use meltemi_proto::ca::istio_certificate_service_server::IstioCertificateServiceServer;
use meltemi_sources::kube::Counts;
use meltemi_sources::lower::LowerSettings;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::metadata::MetadataMap;
use tracing::{info, warn};

use crate::engine::Engine;
use crate::http::{Identify, Probe};
use crate::settings::Cluster;
use crate::vault::Permissions;
use crate::webhooks::validate::{self, ValidationMetrics};

/// How long writers may take to give their locks back.
const FAREWELL: Duration = Duration::from_secs(6);

/// Where we are.
pub(crate) struct Surroundings {
    /// The API server.
    pub(crate) client: Client,
    /// What we were told about it.
    pub(crate) cluster: Box<Cluster>,
    /// What the source counts.
    pub(crate) counts: Arc<Counts>,
}

/// Our place in the cluster.
pub(crate) struct Site {
    client: Client,
    cluster: Box<Cluster>,
    lowering: LowerSettings,
    engine: Arc<Engine>,
    metrics: Metrics,
    tasks: TaskTracker,
    leaving: CancellationToken,
    /// The authority, once there is one.
    live: Arc<OnceLock<Arc<Live>>>,
    gate: Arc<OnceLock<Gate>>,
    /// `None`: injection is switched off.
    injector: Option<Arc<Injector>>,
    injection_ready: watch::Sender<bool>,
    member: Option<Member>,
}

struct Metrics {
    ca: meltemi_ca::metrics::Metrics,
    cluster: meltemi_cluster::Metrics,
    validation: ValidationMetrics,
    registrations: meltemi_cluster::Registrations,
}

/// What joining gave us.
struct Member {
    certificates: Option<CertificateService>,
    tls: Arc<Tls>,
    trust_domain: String,
    meshes: watch::Receiver<State>,
}

impl Site {
    /// A place that was not taken yet.
    pub(crate) fn new(
        around: Surroundings,
        lowering: LowerSettings,
        engine: Arc<Engine>,
        registry: &mut Registry,
    ) -> anyhow::Result<Self> {
        metrics::register(registry, around.counts);
        let injects = around.cluster.variables.switch("INJECT_ENABLED", true)?;
        let injector =
            injects.then(|| Arc::new(Injector::new(meltemi_injector::Metrics::new(registry))));
        let live = Arc::<OnceLock<Arc<Live>>>::default();
        Ok(Self {
            client: around.client,
            cluster: around.cluster,
            lowering,
            engine,
            metrics: Metrics {
                ca: meltemi_ca::metrics::Metrics::new(registry, Arc::clone(&live), system_clock()),
                cluster: meltemi_cluster::Metrics::new(registry),
                validation: ValidationMetrics::new(registry),
                registrations: meltemi_cluster::Registrations::new(registry),
            },
            tasks: TaskTracker::new(),
            leaving: CancellationToken::new(),
            live,
            gate: Arc::default(),
            injection_ready: watch::Sender::new(injector.is_none()),
            injector,
            member: None,
        })
    }

    /// The control plane's namespace.
    pub(crate) fn namespace(&self) -> String {
        self.cluster.namespace.clone()
    }

    /// What must be so before we are ready.
    pub(crate) fn probes(&self) -> Vec<Probe> {
        let injection = self.injection_ready.subscribe();
        vec![Probe::new("sidecar injector", injection)]
    }

    /// Reads the mesh configuration, finds the signing key or makes one, and starts what keeps them and writes.
    pub(crate) async fn join(&mut self) -> anyhow::Result<()> {
        let variables = &self.cluster.variables;
        let clock = system_clock();
        let name = self.lowering.mesh_config_map();
        let mut meshes = config_map::follow(
            &self.client,
            &self.cluster,
            name,
            &self.tasks,
            &self.leaving,
        );
        let (mesh, discovery_address) = mesh::first(&mut meshes, &self.lowering).await?;
        info!(
            trust_domain = &*mesh.trust_domain,
            "read the mesh configuration"
        );

        let store = Arc::new(kubernetes::Secrets {
            client: self.client.clone(),
            namespace: self.cluster.namespace.clone(),
        });
        let (settings, lifetimes) = authority::roots(variables, &mesh)?;
        let (live, upkeep) = roots::open(settings, lifetimes, Some(store), clock.clone())
            .await
            .context("the certificate authority has no signing key")?;
        let live = Arc::clone(self.live.get_or_init(|| live));
        self.tasks.spawn(upkeep.run(self.leaving.clone()));

        let callers = authority::callers(variables, &mesh)?;
        let trust_domain = callers.trust_domain.clone();
        let reviewer = Arc::new(kubernetes::Tokens {
            client: self.client.clone(),
        });
        let clusters = Clusters::new(reviewer, vec![self.lowering.cluster_id.to_string()]);
        let authenticators = Authenticators::new(callers, Some(clusters), clock.clone());
        let gate = Gate::new(Arc::new(authenticators));
        let gate = self.gate.get_or_init(|| gate);

        let serving = authority::serving(&self.cluster, &discovery_address)?;
        let tls = Tls::new(&live.authority(), &trust_domain, serving, &clock)
            .context("the certificate of ports 15012 and 15017")?;
        let tls = Arc::new(tls);
        let (own, signer) = (Arc::clone(&tls), live.clone());
        let (until, ticking) = (self.leaving.clone(), clock.clone());
        self.tasks
            .spawn(async move { own.follow(signer, ticking, until).await });

        let certificates = variables.switch("ENABLE_CA_SERVER", true)?.then(|| {
            let pool = Pool::new(Signing::default(), self.metrics.ca.clone());
            let pods = kubernetes::Pods {
                client: self.client.clone(),
            };
            CertificateService::new(
                live.clone(),
                gate.clone(),
                Some(Arc::new(pods)),
                pool,
                self.metrics.ca.clone(),
                clock.clone(),
            )
        });
        self.write(&live, &meshes)?;
        if let Some(injector) = &self.injector {
            injection::start(
                &self.client,
                &self.cluster,
                (Arc::clone(injector), Arc::clone(&self.engine)),
                self.injection_ready.clone(),
                meshes.clone(),
                &self.tasks,
                &self.leaving,
            )?;
        }
        self.member = Some(Member {
            certificates,
            tls,
            trust_domain,
            meshes,
        });
        Ok(())
    }

    fn write(&self, live: &Live, meshes: &watch::Receiver<State>) -> anyhow::Result<()> {
        let (sender, selectors) = watch::channel(Vec::new());
        let (meshes, leaving) = (meshes.clone(), self.leaving.clone());
        self.tasks.spawn(async move {
            let follow = mesh::follow_selectors(meshes, sender);
            leaving.run_until_cancelled(follow).await;
        });
        let features = &self.lowering.features;
        let writings = writers::Writings {
            client: self.client.clone(),
            bundle: live.root_bundle(),
            selectors,
            metrics: self.metrics.cluster.clone(),
            engine: Arc::clone(&self.engine),
            prefixes: features.ip_autoallocate.then_some(features.ip_prefixes),
        };
        writers::start(&self.cluster, writings, &self.tasks, &self.leaving)
    }

    /// Who calls; known after joining.
    pub(crate) fn gate(&self) -> Option<Gate> {
        self.gate.get().cloned()
    }

    /// Who may read Secrets.
    pub(crate) fn permissions(&self) -> Arc<dyn Permissions> {
        Arc::new(permissions::Accounts::new(self.client.clone()))
    }

    /// Who keeps the entries of workloads outside Kubernetes, unless it is switched off.
    pub(crate) fn registrar(
        &self,
        max_connection_age: Option<Duration>,
    ) -> anyhow::Result<Option<Registrar>> {
        registration::start(
            &self.client,
            &self.cluster,
            &self.engine,
            max_connection_age,
            self.metrics.registrations.clone(),
            (&self.tasks, &self.leaving),
        )
    }

    /// The CA's service, unless it is switched off.
    pub(crate) fn certificates(&self) -> Option<IstioCertificateServiceServer<CertificateService>> {
        let service = self.member.as_ref()?.certificates.clone()?;
        Some(service.into_service())
    }

    /// Connections of agents: a client certificate is optional, and verified when given.
    pub(crate) fn agents(&self, listener: TcpListener) -> anyhow::Result<Incoming> {
        let config = self.tls()?.for_agents()?;
        Ok(tls::listen(listener, config, Handshakes::default()))
    }

    /// Connections of the API server.
    pub(crate) fn webhooks(&self, listener: TcpListener) -> anyhow::Result<Incoming> {
        let config = self.tls()?.for_webhooks()?;
        Ok(tls::listen(listener, config, Handshakes::default()))
    }

    fn tls(&self) -> anyhow::Result<&Tls> {
        let member = self.member.as_ref();
        Ok(&member.context("not a member of the cluster yet")?.tls)
    }

    /// The pages of the webhooks.
    pub(crate) fn pages(&self) -> Router {
        let validation = validate::router(self.metrics.validation.clone());
        match &self.injector {
            Some(injector) => validation.merge(meltemi_injector::router(Arc::clone(injector))),
            None => validation,
        }
    }

    /// Waits for what only a new start can follow.
    pub(crate) fn watch(&self) -> impl Future<Output = anyhow::Result<()>> + Send + 'static {
        let watched = self
            .member
            .as_ref()
            .map(|member| (member.meshes.clone(), member.trust_domain.clone()));
        let lowering = self.lowering.clone();
        async move {
            if let Some((meshes, trust_domain)) = watched {
                mesh::other_trust_domain(meshes, &lowering, &trust_domain).await?;
            }
            std::future::pending().await
        }
    }

    /// Ends what was started; who leads gives its locks back.
    pub(crate) async fn leave(self) {
        self.leaving.cancel();
        self.tasks.close();
        if tokio::time::timeout(FAREWELL, self.tasks.wait())
            .await
            .is_err()
        {
            warn!("some writers did not end in time");
        }
    }

    /// Who sends a request to the debug pages, by the rules of the gate; nobody before we have joined.
    pub(crate) fn identify(&self) -> Identify {
        let gate = Arc::clone(&self.gate);
        Arc::new(move |headers, remote| {
            let gate = gate.get().cloned();
            Box::pin(async move {
                let Some(gate) = gate else {
                    return Vec::new();
                };
                let metadata = MetadataMap::from_headers(headers);
                let credentials = Credentials {
                    peer: None,
                    remote: Some(remote),
                    metadata: &metadata,
                };
                match gate.authenticators().caller(credentials).await {
                    Ok(caller) => caller.identities,
                    Err(failures) => {
                        let reasons: Vec<String> =
                            failures.iter().map(ToString::to_string).collect();
                        warn!(%remote, reasons = reasons.join("; "), "a debug page was refused");
                        Vec::new()
                    }
                }
            })
        })
    }
}
