//! What can go wrong when the API server is asked.

use std::future::Future;
use std::time::Duration;

use kube::core::Status;
use thiserror::Error;
use tokio::time::timeout;

/// How long one request may take. Longer than an API server under load needs, shorter than callers wait.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a request to the API server had no result. Never holds what was sent, nor an object that was received.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ApiError {
    /// The object, its namespace or its kind does not exist.
    #[error("not found: {0}")]
    NotFound(String),
    /// An object of that name exists.
    #[error("it exists already")]
    AlreadyExists,
    /// Somebody changed the object since it was read: read it again.
    #[error("it was changed by somebody else")]
    Conflict,
    /// The namespace is being deleted and takes no new objects.
    #[error("the namespace is being deleted")]
    NamespaceTerminating,
    /// Our account may not do this: the administrator has to grant it.
    #[error("the API server does not allow it: {0}")]
    Forbidden(String),
    /// The API server refuses what was sent; sending it again does not help.
    #[error("the API server refuses it: {0}")]
    Invalid(String),
    /// The API server is there but cannot answer now.
    #[error("the API server cannot answer now: {0}")]
    Unavailable(String),
    /// The API server could not be reached, or the connection broke.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
    /// No answer within the time limit.
    #[error("the API server did not answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// The answer is not what the API says it is.
    #[error("the answer of the API server cannot be read")]
    Unreadable,
}

impl ApiError {
    /// Whether the question has no answer because the API server is away or too busy, so that asking later may help.
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::Unreachable(_) | Self::Timeout(_)
        )
    }

    /// The reason as the API machinery spells it, for metrics labels; empty if there was no answer.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "NotFound",
            Self::AlreadyExists => "AlreadyExists",
            Self::Conflict => "Conflict",
            Self::NamespaceTerminating | Self::Forbidden(_) => "Forbidden",
            Self::Invalid(_) => "Invalid",
            Self::Unavailable(_) => "ServiceUnavailable",
            Self::Timeout(_) => "Timeout",
            Self::Unreachable(_) | Self::Unreadable => "",
        }
    }
}

impl From<kube::Error> for ApiError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => from_status(*status),
            // Its text may quote the answer, and with it a Secret.
            kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => Self::Unreadable,
            other => Self::Unreachable(chain(&other)),
        }
    }
}

fn from_status(status: Status) -> ApiError {
    let terminating = status.details.as_ref().is_some_and(|details| {
        details
            .causes
            .iter()
            .any(|cause| cause.reason == "NamespaceTerminating")
    });
    match status.code {
        _ if terminating => ApiError::NamespaceTerminating,
        _ if status.is_already_exists() => ApiError::AlreadyExists,
        _ if status.is_not_found() => ApiError::NotFound(status.message),
        _ if status.is_conflict() => ApiError::Conflict,
        401 | 403 => ApiError::Forbidden(status.message),
        429 => ApiError::Unavailable(status.message),
        400..=499 => ApiError::Invalid(status.message),
        _ => ApiError::Unavailable(status.message),
    }
}

/// The error with its causes, as "connection error: refused" says more than "connection error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

/// The answer to a request, or that there was none within `limit`.
pub(crate) async fn within<T>(
    limit: Duration,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, ApiError> {
    match timeout(limit, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(ApiError::Timeout(limit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_become_what_must_be_done() {
        let text = String::from("said so");
        let rows = [
            (404, "NotFound", ApiError::NotFound(text.clone())),
            (409, "AlreadyExists", ApiError::AlreadyExists),
            (409, "Conflict", ApiError::Conflict),
            (401, "Unauthorized", ApiError::Forbidden(text.clone())),
            (403, "Forbidden", ApiError::Forbidden(text.clone())),
            (422, "Invalid", ApiError::Invalid(text.clone())),
            (429, "TooManyRequests", ApiError::Unavailable(text.clone())),
            (
                503,
                "ServiceUnavailable",
                ApiError::Unavailable(text.clone()),
            ),
            (504, "Timeout", ApiError::Unavailable(text.clone())),
        ];
        for (code, reason, expected) in rows {
            let status = Status::failure(&text, reason).with_code(code);
            let error = ApiError::from(kube::Error::Api(status.boxed()));
            assert_eq!(error, expected, "{code} {reason}");
        }
    }

    #[test]
    fn a_namespace_that_goes_away_is_no_lack_of_rights() {
        let status = serde_json::json!({
            "status": "Failure", "code": 403, "reason": "Forbidden", "message": "it is being terminated",
            "details": {"causes": [{"reason": "NamespaceTerminating", "message": "", "field": "metadata.namespace"}]},
        });
        let error = kube::Error::Api(serde_json::from_value(status).unwrap());
        assert_eq!(ApiError::from(error), ApiError::NamespaceTerminating);
    }

    #[test]
    fn an_unreadable_answer_is_not_quoted() {
        let error = serde_json::from_str::<u32>("\"c2VjcmV0\"").unwrap_err();
        let error = ApiError::from(kube::Error::SerdeError(error));
        assert!(!format!("{error:?} {error}").contains("c2VjcmV0"));
    }

    #[tokio::test(start_paused = true)]
    async fn no_answer_is_a_timeout() {
        let limit = Duration::from_secs(10);
        let answer: Result<(), _> = within(limit, std::future::pending()).await;
        assert_eq!(answer, Err(ApiError::Timeout(limit)));
        assert!(ApiError::Timeout(limit).is_outage());
    }
}
