//! What ADS serves: the engine's snapshots, to who may have them.

use std::sync::Arc;

use meltemi_ca::authenticate::Caller;
use meltemi_ca::gate::Gate;
use meltemi_ca::identity::Identity;
use meltemi_model::ProxySnapshot;
use meltemi_model::proxy::Proxy;
use meltemi_xds::server::Snapshots;
use tokio::sync::watch;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Status};
use tracing::warn;

use crate::engine::Engine;

/// The engine as ADS sees it.
#[derive(Debug)]
pub(super) struct Served {
    engine: Arc<Engine>,
    /// Who calls; `None` where nobody knows identities.
    gate: Option<Gate>,
    /// Whether a proxy must be of the namespace and account of its identity (PILOT_ENABLE_XDS_IDENTITY_CHECK).
    check_identity: bool,
}

impl Served {
    pub(super) fn new(engine: Arc<Engine>, gate: Option<Gate>, check_identity: bool) -> Self {
        Self {
            engine,
            gate,
            check_identity,
        }
    }
}

impl Snapshots for Served {
    fn subscribe(&self, proxy: &Arc<Proxy>) -> watch::Receiver<Arc<ProxySnapshot>> {
        self.engine.subscribe(proxy)
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

    fn authorize(&self, proxy: &Proxy, extensions: &Extensions) -> Result<(), Status> {
        let caller = extensions.get::<Arc<Caller>>();
        match caller.filter(|_| self.check_identity) {
            Some(caller) => matches(proxy, &caller.identities),
            None => Ok(()),
        }
    }
}

/// Whether one of these identities is that of the proxy: of its namespace, and of its service account if it names one.
/// Istio 1.31: `pilot/pkg/xds/auth.go`; the trust domain was checked when the identity was.
fn matches(proxy: &Proxy, identities: &[String]) -> Result<(), Status> {
    let account = proxy.meta.text("SERVICE_ACCOUNT");
    let is_its_own = |identity: &Identity| {
        *identity.namespace == *proxy.namespace
            && (account.is_empty() || identity.service_account == account)
    };
    if identities
        .iter()
        .filter_map(|identity| identity.parse().ok())
        .any(|identity| is_its_own(&identity))
    {
        return Ok(());
    }
    let wanted = format!("{}/{account}", proxy.namespace);
    warn!(proxy = %proxy.node_id, ?identities, "identity and node do not match");
    Err(Status::permission_denied(format!(
        "authorization failed: no identities ({}) matched {wanted}",
        identities.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use meltemi_model::Locality;
    use serde_json::json;

    use super::*;

    #[test]
    fn identities_must_be_the_nodes() {
        let proxy = |metadata: serde_json::Value| {
            let id = "sidecar~10.0.0.1~a.shop~shop.svc.cluster.local";
            Proxy::parse(id, "", Locality::default(), &metadata, []).unwrap()
        };
        let own = proxy(json!({"NAMESPACE": "shop", "SERVICE_ACCOUNT": "cart"}));
        let nameless = proxy(json!({"NAMESPACE": "shop"}));
        let of = |namespace: &str, account: &str| {
            vec![format!(
                "spiffe://cluster.local/ns/{namespace}/sa/{account}"
            )]
        };
        for (proxy, identities, expected) in [
            (&own, of("shop", "cart"), true),
            (&own, of("shop", "other"), false),
            (&own, of("bank", "cart"), false),
            (&nameless, of("shop", "other"), true),
            (&nameless, of("bank", "other"), false),
            (&own, vec!["cart".to_owned()], false),
            (&own, vec![], false),
            (
                &own,
                [of("bank", "cart"), of("shop", "cart")].concat(),
                true,
            ),
        ] {
            let result = matches(proxy, &identities);
            assert_eq!(result.is_ok(), expected, "{identities:?}");
            if let Err(status) = result {
                assert_eq!(status.code(), tonic::Code::PermissionDenied);
            }
        }
    }
}
