//! Rotation of a self-signed root, as Istio 1.31 does it: in the last fifth of its life it gets a new certificate for the
//! same key, so that nothing signed before loses its trust. Whoever writes the Secret first wins; the others take over
//! what they find there.

use std::sync::Arc;
use std::time::SystemTime;

use tracing::info;

use super::{Live, RootsError, SecretStore, StoreError, accept, root, store_error};
use crate::settings::{Lifetimes, Roots};

/// How often a race with other replicas is run again before it waits for the next look.
const RACES: usize = 3;

/// Looks once.
pub(super) async fn check(
    live: &Live,
    settings: &Roots,
    lifetimes: Lifetimes,
    store: &Arc<dyn SecretStore>,
    name: &str,
    now: SystemTime,
) -> Result<(), RootsError> {
    for _ in 0..RACES {
        let read = store.read(name).await;
        let Some(secret) = read.map_err(|error| store_error(name, error))? else {
            let error = StoreError::Other("it is gone; the root in memory stays in use".to_owned());
            return Err(store_error(name, error));
        };
        let place = format!("the Secret {name}");
        let found = root::from_secret(&secret, name, settings)?;
        if !root::is_due(&found.certificate, settings, now) {
            if *live.authority().material() != found {
                live.replace(accept(found, lifetimes, &place)?);
                info!(secret = name, "took over a root that changed in the Secret");
            }
            return Ok(());
        }
        let certificate = root::renewed(&found, settings, now)?;
        let mut material = found;
        material.roots = root::with_extra_roots(&certificate, settings)?;
        material.certificate = certificate;
        // Nothing is written that could not be used.
        let renewed = root::renewed_secret(&secret, &material.certificate);
        let authority = accept(material, lifetimes, &place)?;
        match store.update(name, &renewed).await {
            Ok(()) => {
                live.replace(authority);
                info!(secret = name, "rotated the root certificate; its key stays");
                return Ok(());
            }
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(store_error(name, error)),
        }
    }
    Err(store_error(name, StoreError::Conflict))
}
