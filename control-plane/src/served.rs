//! What streams are served from: the engine, kept off the runtime's threads, for those who may have it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use meltemi_ca::authenticate::Caller;
use meltemi_ca::gate::{Gate, verified_identity};
use meltemi_cluster::registration::Registrar;
use meltemi_compile::secrets::{Reader, needs_permission};
use meltemi_model::proxy::Proxy;
use meltemi_model::{ProxySnapshot, Str};
use meltemi_xds::Subscription;
use meltemi_xds::server::{Attendance, Secrets, Snapshots};
use tokio::sync::{Semaphore, watch};
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Status};
use tracing::warn;

use crate::cluster::registration;
use crate::engine::Engine;
use crate::quarantine::Ear;
use crate::vault::{Permission, Permissions, Vault};

/// The engine, as streams see it.
pub struct Served {
    engine: Arc<Engine>,
    /// How many proxies may be let in at a time: as many as there are cores. The others wait without a thread.
    doors: Arc<Semaphore>,
    /// Who calls; `None` where nobody knows identities.
    gate: Option<Gate>,
    /// Whether a proxy must be of the namespace and account of its identity.
    check_identity: bool,
    vault: Arc<Vault>,
    /// Who may read Secrets; `None` where nobody knows: then nobody whose identity must be known.
    permissions: Option<Arc<dyn Permissions>>,
    /// Who keeps the entries of workloads outside Kubernetes.
    registrar: Option<Registrar>,
    /// Who hears what proxies refuse.
    ear: Ear,
}

impl Served {
    /// For this engine. Without a gate everybody may have everything. `check_identity`: Istio's
    /// PILOT_ENABLE_XDS_IDENTITY_CHECK.
    pub fn new(engine: Arc<Engine>, gate: Option<Gate>, check_identity: bool, ear: Ear) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            engine,
            gate,
            check_identity,
            ear,
            doors: Arc::new(Semaphore::new(cores)),
            vault: Arc::default(),
            permissions: None,
            registrar: None,
        }
    }

    /// With who keeps the entries of workloads outside Kubernetes.
    #[must_use]
    pub(crate) fn with_registrar(self, registrar: Option<Registrar>) -> Self {
        Self { registrar, ..self }
    }

    /// With this vault, and for those who may read Secrets.
    #[must_use]
    pub fn with_secrets(
        self,
        vault: Arc<Vault>,
        permissions: Option<Arc<dyn Permissions>>,
    ) -> Self {
        Self {
            vault,
            permissions,
            ..self
        }
    }

    /// Who a proxy is when it asks for these secrets, and when to ask again whether it may have them. `None`: nobody
    /// whom we know. Where nobody knows identities a proxy is what it says it is: then there is no cluster.
    async fn reader(
        &self,
        proxy: &Proxy,
        extensions: &Extensions,
        names: &BTreeSet<Str>,
    ) -> Option<(Reader, Option<Duration>)> {
        if self.gate.is_none() {
            let reader = Reader {
                namespace: proxy.namespace.clone(),
                lists_secrets: true,
            };
            return Some((reader, None));
        }
        let caller = extensions.get::<Arc<Caller>>();
        let caller = caller.filter(|_| self.check_identity)?;
        let account = proxy.meta.text("SERVICE_ACCOUNT");
        let identity = verified_identity(caller, &proxy.namespace, account).ok()?;
        let asks = names
            .iter()
            .any(|name| needs_permission(name, &identity.namespace));
        let permission = match self.permissions.as_ref().filter(|_| asks) {
            Some(known) => {
                let asked = known.lists_secrets(&identity.namespace, &identity.service_account);
                asked.await
            }
            None => Permission {
                granted: false,
                again: None,
            },
        };
        let reader = Reader {
            namespace: identity.namespace.as_str().into(),
            lists_secrets: permission.granted,
        };
        Some((reader, permission.again))
    }
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served")
            .field("gate", &self.gate)
            .field("check_identity", &self.check_identity)
            .finish_non_exhaustive()
    }
}

impl Snapshots for Served {
    async fn subscribe(
        &self,
        proxy: &Arc<Proxy>,
    ) -> Result<watch::Receiver<Arc<ProxySnapshot>>, Status> {
        let gone = || Status::unavailable("the control plane is going away");
        let door = Arc::clone(&self.doors).acquire_owned().await;
        let door = door.map_err(|_| gone())?;
        let (engine, proxy) = (Arc::clone(&self.engine), Arc::clone(proxy));
        // One closure, so that a job is done even when the stream ends before.
        let opened = tokio::task::spawn_blocking(move || {
            let _door = door;
            let (subscription, job) = engine.open(&proxy);
            if let Some(job) = job {
                engine.compile(job);
            }
            subscription
        });
        let subscription = opened.await.map_err(|_| gone())?;
        subscription.filled().await.ok_or_else(gone)
    }

    fn ready(&self) -> bool {
        self.engine.is_synced()
    }

    async fn authenticate(
        &self,
        metadata: &MetadataMap,
        extensions: &mut Extensions,
    ) -> Result<(), Status> {
        if let Some(gate) = &self.gate
            && let Some(caller) = gate.for_ads(metadata, extensions).await?
        {
            extensions.insert(Arc::new(caller));
        }
        Ok(())
    }

    async fn secrets(
        &self,
        proxy: &Arc<Proxy>,
        extensions: &Extensions,
        names: BTreeSet<Str>,
        asked: bool,
    ) -> Secrets {
        let Some((reader, again)) = self.reader(proxy, extensions, &names).await else {
            if asked {
                let reason = "its identity is not known: secrets are for proxies that connect over TLS and prove who they are";
                self.vault.refuse_all(proxy, reason);
            }
            return Secrets::default();
        };
        let own = &self.engine.world().mesh.cluster_id;
        let cluster = &proxy.meta.cluster_id;
        if self.gate.is_some() && !cluster.is_empty() && cluster != own {
            self.vault.refuse_all(
                proxy,
                "it is of another cluster, whose Secrets are not read",
            );
            return Secrets::default();
        }
        let set = self.vault.open(&self.engine, proxy, &reader, &names, asked);
        Secrets { set, again }
    }

    fn secrets_changed(&self) -> Option<watch::Receiver<u64>> {
        Some(self.engine.secrets_changed())
    }

    fn authorize(&self, proxy: &Proxy, extensions: &Extensions) -> Result<(), Status> {
        let caller = extensions.get::<Arc<Caller>>();
        let Some(caller) = caller.filter(|_| self.check_identity) else {
            return Ok(());
        };
        let account = proxy.meta.text("SERVICE_ACCOUNT");
        verified_identity(caller, &proxy.namespace, account)
            .map(drop)
            .inspect_err(|status| {
                warn!(proxy = %proxy.node_id, %status, "identity and node do not match");
            })
    }

    async fn attend(
        &self,
        proxy: &Arc<Proxy>,
        extensions: &Extensions,
    ) -> Result<Option<Box<dyn Attendance>>, Status> {
        let Some(registrar) = &self.registrar else {
            return Ok(None);
        };
        let caller = extensions.get::<Arc<Caller>>();
        let identity = caller.filter(|_| self.check_identity).and_then(|caller| {
            let account = proxy.meta.text("SERVICE_ACCOUNT");
            verified_identity(caller, &proxy.namespace, account).ok()
        });
        registration::attend(registrar, proxy, identity).await
    }

    fn answered(&self, proxy: &Arc<Proxy>, subscription: &Subscription) {
        self.ear.hear(proxy, subscription);
    }
}
