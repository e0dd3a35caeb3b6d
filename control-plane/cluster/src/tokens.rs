//! Is this token good, and whose is it? Asked of the API server with a TokenReview.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::{Api, Client};

use crate::error::{ApiError, within};

/// The audience of the tokens that workloads show (Istio 1.31: `TOKEN_AUDIENCES`).
pub const ISTIO_CA: &str = "istio-ca";

const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";

/// What the API server says of a token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Review {
    /// Whether the token is good for one of the audiences that were asked for. If not, the rest says nothing.
    pub authenticated: bool,
    /// Such as `system:serviceaccount:<namespace>:<name>`.
    pub username: String,
    /// The UID of the user; of a service account that of the object.
    pub uid: String,
    /// The groups of the user.
    pub groups: Vec<String>,
    /// The audiences for which the token is good, of those that were asked for.
    pub audiences: Vec<String>,
    /// The pod that the token is bound to; empty if it is bound to none.
    pub pod_name: String,
    /// The UID of that pod.
    pub pod_uid: String,
    /// The node of that pod; empty if the API server is too old to say.
    pub node_name: String,
    /// Why the token is not good; for the log, not for the client.
    pub error: String,
}

impl Review {
    /// Namespace and name of the service account whose token it is; `None` if it is not good or of somebody else.
    ///
    /// Istio 1.31: the user must be in the group `system:serviceaccounts`, and its name must have four parts.
    pub fn service_account(&self) -> Option<(&str, &str)> {
        let in_group = self.groups.iter().any(|g| g == "system:serviceaccounts");
        if !self.authenticated || !in_group {
            return None;
        }
        let (namespace, name) = self
            .username
            .strip_prefix("system:serviceaccount:")?
            .split_once(':')?;
        let whole = !namespace.is_empty() && !name.is_empty() && !name.contains(':');
        whole.then_some((namespace, name))
    }
}

/// A token in the request, so that it cannot be printed by mistake.
#[derive(Clone, Copy)]
pub struct Token<'a>(pub &'a str);

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Asks the API server about a token. `Err` says that there is no answer (the API server is away, or does not let us
/// ask); a token that is not good is an answer.
///
/// Without audiences the token must be good for the API server itself.
pub async fn review(
    client: &Client,
    token: Token<'_>,
    audiences: &[String],
    limit: Duration,
) -> Result<Review, ApiError> {
    let request = TokenReview {
        spec: TokenReviewSpec {
            token: token.0.to_owned(),
            audiences: (!audiences.is_empty()).then(|| audiences.to_vec()),
        },
        ..TokenReview::default()
    };
    let api: Api<TokenReview> = Api::all(client.clone());
    let params = PostParams::default();
    let answer = within(limit, api.create(&params, &request)).await;
    let answer = answer.map_err(|error| hide(error, token))?;
    Ok(judge(answer.status.unwrap_or_default(), audiences))
}

/// An API server that repeats the request in its refusal must not bring the token into a log.
fn hide(error: ApiError, token: Token<'_>) -> ApiError {
    let clean = |text: String| {
        if token.0.is_empty() {
            text
        } else {
            text.replace(token.0, "…")
        }
    };
    match error {
        ApiError::NotFound(text) => ApiError::NotFound(clean(text)),
        ApiError::Forbidden(text) => ApiError::Forbidden(clean(text)),
        ApiError::Invalid(text) => ApiError::Invalid(clean(text)),
        ApiError::Unavailable(text) => ApiError::Unavailable(clean(text)),
        ApiError::Unreachable(text) => ApiError::Unreachable(clean(text)),
        other => other,
    }
}

fn judge(status: TokenReviewStatus, wanted: &[String]) -> Review {
    let user = status.user.unwrap_or_default();
    let extra = user.extra.unwrap_or_default();
    let first = |key: &str| {
        let values = extra.get(key).map(Vec::as_slice).unwrap_or_default();
        values.first().cloned().unwrap_or_default()
    };
    let mut review = Review {
        authenticated: status.authenticated.unwrap_or_default(),
        username: user.username.unwrap_or_default(),
        uid: user.uid.unwrap_or_default(),
        groups: user.groups.unwrap_or_default(),
        audiences: status.audiences.unwrap_or_default(),
        pod_name: first(POD_NAME),
        pod_uid: first(POD_UID),
        node_name: first(NODE_NAME),
        error: status.error.unwrap_or_default(),
    };
    // An API server that ignores audiences names none: then the token is good for the API server, not for us.
    // The comment of `TokenReviewStatus.audiences` asks every client to check this.
    let ours = review.audiences.iter().any(|a| wanted.contains(a));
    if review.authenticated && !review.error.is_empty() {
        review.authenticated = false;
    } else if review.authenticated && !wanted.is_empty() && !ours {
        review.authenticated = false;
        review.error = format!("the token is not for the audience {}", wanted.join(" or "));
    } else if !review.authenticated && review.error.is_empty() {
        review.error = "the token is not authenticated".into();
    }
    review
}

#[cfg(test)]
mod tests;
