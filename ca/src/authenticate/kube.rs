//! Tokens of Kubernetes service accounts, reviewed by the API server.

use std::collections::BTreeMap;

use super::{Caller, CallerPod, Source};
use crate::identity::Identity;
use crate::settings::Callers;

/// What the API server says about a token (`TokenReview.status`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Review {
    /// Whether the token is good.
    pub authenticated: bool,
    /// Why it could not be checked; empty: it could.
    pub error: String,
    /// `system:serviceaccount:<namespace>:<name>`.
    pub username: String,
    /// The groups of the user.
    pub groups: Vec<String>,
    /// For whom the token is, of those that were asked for.
    pub audiences: Vec<String>,
    /// More about the user: its pod.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Asks an API server about tokens. The binary implements it. An implementation never logs the token.
#[tonic::async_trait]
pub trait TokenReviewer: Send + Sync + 'static {
    /// Reviews a token for these audiences.
    ///
    /// # Errors
    /// The API server could not be asked, with the reason for people.
    async fn review(&self, token: &str, audiences: &[String]) -> Result<Review, String>;
}

const GROUP: &str = "system:serviceaccounts";
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

pub(super) async fn review(
    settings: &Callers,
    reviewer: &dyn TokenReviewer,
    cluster: &str,
    token: &str,
) -> Result<Caller, String> {
    let review = reviewer
        .review(token, &settings.audiences)
        .await
        .map_err(|error| format!("the review of the token failed: {error}"))?;
    judge(settings, cluster, &review)
}

/// Istio 1.31 (kubeauth): authenticated, of the group of service accounts, a user name of four parts. That the audience
/// was really returned is checked as well: an API server that does not know audiences would accept any token.
fn judge(settings: &Callers, cluster: &str, review: &Review) -> Result<Caller, String> {
    if !review.error.is_empty() {
        return Err(format!("the API server refuses it: {}", review.error));
    }
    if !review.authenticated {
        return Err("the API server does not authenticate it".to_owned());
    }
    let wanted = &settings.audiences;
    if !wanted.is_empty() && !review.audiences.iter().any(|a| wanted.contains(a)) {
        return Err(format!(
            "it is for the audiences {:?}, not for {wanted:?}",
            review.audiences
        ));
    }
    if !review.groups.iter().any(|group| group == GROUP) {
        return Err(format!("{:?} is no service account", review.username));
    }
    let parts: Vec<&str> = review.username.split(':').collect();
    let ["system", "serviceaccount", namespace, service_account] = parts[..] else {
        return Err(format!("invalid username {:?}", review.username));
    };
    let identity = Identity {
        trust_domain: settings.trust_domain.clone(),
        namespace: namespace.to_owned(),
        service_account: service_account.to_owned(),
    };
    let identity = identity.to_string();
    if identity.parse::<Identity>().is_err() {
        return Err(format!("{identity:?} is no identity"));
    }
    let extra = |key: &str| {
        let values = review.extra.get(key);
        values.and_then(|v| v.first()).cloned().unwrap_or_default()
    };
    Ok(Caller {
        identities: vec![identity],
        pod: Some(CallerPod {
            cluster: cluster.to_owned(),
            namespace: namespace.to_owned(),
            name: extra(POD_NAME),
            uid: extra(POD_UID),
            service_account: service_account.to_owned(),
        }),
        by: Source::Token,
    })
}
