//! The TLS of our own ports: 15012 (ADS and certificates) and 15017 (webhooks).
//!
//! [`Tls`] holds the serving certificate and the roots of client certificates; [`Tls::follow`] exchanges both while
//! connections come in, so no listener is ever dropped. [`listen`] makes connections out of sockets.

mod clients;
mod listener;
mod serving;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::Clock;
use crate::authority::Authority;
use crate::roots::Live;
use crate::settings::Serving;

pub use listener::{Connection, Incoming, Peer, listen};
pub use serving::TlsError;

/// What our ports show and whom they believe.
#[derive(Debug)]
pub struct Tls {
    certificate: Arc<Resolver>,
    clients: Arc<clients::Clients>,
    settings: Serving,
}

#[derive(Debug)]
struct Resolver {
    current: ArcSwap<CertifiedKey>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl Tls {
    /// Issues the serving certificate, or reads it.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn new(
        authority: &Authority,
        trust_domain: &str,
        settings: Serving,
        clock: &Clock,
    ) -> Result<Self, TlsError> {
        let made = serving::make(authority, &settings, clock())?;
        let clients = clients::Clients::new(trust_domain, &made.roots)?;
        let current = ArcSwap::from(made.key);
        Ok(Self {
            certificate: Arc::new(Resolver { current }),
            clients: Arc::new(clients),
            settings,
        })
    }

    /// The configuration of 15012: a client may show a certificate; one that it shows must be good.
    ///
    /// # Errors
    /// The cryptography of this build lacks TLS 1.2 and 1.3, which cannot be.
    pub fn for_agents(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(self.clients.clone());
        let mut config = builder.with_cert_resolver(self.certificate.clone());
        // A resumed session would carry a client certificate past its end, and past a change of roots.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }

    /// The configuration of 15017: the API server shows no certificate.
    ///
    /// # Errors
    /// As of [`Tls::for_agents`].
    pub fn for_webhooks(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth();
        let mut config = builder.with_cert_resolver(self.certificate.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Makes certificate and roots anew from this authority, or from the files.
    ///
    /// # Errors
    /// See [`TlsError`]; the old ones stay.
    pub fn renew(&self, authority: &Authority, clock: &Clock) -> Result<(), TlsError> {
        let made = serving::make(authority, &self.settings, clock())?;
        self.clients.set_roots(&made.roots)?;
        self.certificate.current.store(made.key);
        Ok(())
    }

    /// Follows the authority and the files until it is told to stop; renews our certificate at half of its life.
    pub async fn follow(&self, live: Arc<Live>, clock: Clock, stop: CancellationToken) {
        let mut authorities: watch::Receiver<Arc<Authority>> = live.subscribe();
        // The authority may have changed between the first certificate and now.
        authorities.mark_changed();
        let mut seen = serving::Seen::now(&self.settings);
        let mut retry = false;
        loop {
            let wait = self.wait(&clock, retry);
            let look = tokio::select! {
                () = stop.cancelled() => return,
                changed = authorities.changed() => match changed {
                    Ok(()) => true,
                    Err(_) => return,
                },
                () = tokio::time::sleep(wait) => retry || serving::is_due(&self.certificate.current.load(), clock()),
            };
            let files = serving::Seen::now(&self.settings);
            if !look && files == seen {
                continue;
            }
            seen = files;
            let authority = authorities.borrow_and_update().clone();
            match self.renew(&authority, &clock) {
                Ok(()) => {
                    retry = false;
                    info!("renewed the serving certificate");
                }
                Err(error) => {
                    // Files are looked at again when they change; an authority may be tried again.
                    retry = self.settings.files.is_none();
                    error!(%error, "the serving certificate could not be renewed; the old one stays in use");
                }
            }
        }
    }

    fn wait(&self, clock: &Clock, retry: bool) -> std::time::Duration {
        if retry || self.settings.files.is_some() {
            return self.settings.poll_interval;
        }
        serving::until_due(&self.certificate.current.load(), clock())
    }
}

/// The cryptography that is used everywhere here; not the process-wide default, which a program may set to another.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
