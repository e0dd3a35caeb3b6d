//! Which service accounts may list Secrets, asked of the API server and remembered for a while.
//! Istio 1.31: `CredentialsController.Authorize`.

use std::collections::HashMap;
use std::time::Duration;

use meltemi_cluster::{Client, access};
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::warn;

use crate::vault::{Permission, Permissions};

/// A permission is believed for so long. Istio 1.31: there is no need to revoke it quickly.
const GRANTED: Duration = Duration::from_secs(5 * 60);

/// Its absence is believed for so long; who waits for it is looked at again then.
const DENIED: Duration = Duration::from_secs(60);

/// The API server is asked again after so long when it gave no answer.
const UNANSWERED: Duration = Duration::from_secs(10);

/// A stream waits no longer for the answer.
const LIMIT: Duration = Duration::from_secs(5);

/// What the API server said of the accounts that asked.
pub(super) struct Accounts {
    client: Client,
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    granted: bool,
    until: Instant,
}

impl Accounts {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            known: Mutex::default(),
        }
    }

    fn remember(&self, user: String, granted: bool) {
        let now = Instant::now();
        let keep = if granted { GRANTED } else { DENIED };
        let mut known = self.known.lock();
        // A permission that is no longer believed is still the best answer while the API server gives none.
        known.retain(|_, known| known.until + GRANTED > now);
        let until = now + keep;
        known.insert(user, Known { granted, until });
    }
}

#[tonic::async_trait]
impl Permissions for Accounts {
    async fn lists_secrets(&self, namespace: &str, account: &str) -> Permission {
        let user = format!("system:serviceaccount:{namespace}:{account}");
        let known = self.known.lock().get(&user).copied();
        let now = Instant::now();
        if let Some(known) = known.filter(|known| known.until > now) {
            return Permission {
                granted: known.granted,
                again: (!known.granted).then(|| known.until - now),
            };
        }
        match access::lists_secrets(&self.client, &user, namespace, LIMIT).await {
            Ok(granted) => {
                self.remember(user, granted);
                Permission {
                    granted,
                    again: (!granted).then_some(DENIED),
                }
            }
            Err(error) => {
                warn!(%user, %error, "the API server does not say whether an account may list Secrets");
                Permission {
                    granted: known.is_some_and(|known| known.granted),
                    again: Some(UNANSWERED),
                }
            }
        }
    }
}
