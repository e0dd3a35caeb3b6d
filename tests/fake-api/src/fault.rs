//! What can go wrong, scripted.

use crate::status::Refusal;
use crate::types::named;

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Reads one object.
    Get,
    /// Reads many.
    List,
    /// Opens a watch.
    Watch,
    /// POST.
    Create,
    /// PUT.
    Update,
    /// PATCH.
    Patch,
    /// DELETE of one object.
    Delete,
}

/// Which requests a fault meets.
#[derive(Debug, Clone, Default)]
pub struct On {
    /// Only this verb.
    pub verb: Option<Verb>,
    /// Only this type: `pods`, `gateways.networking.istio.io` or just `gateways`.
    pub resource: Option<String>,
}

impl On {
    /// Every request.
    pub fn all() -> Self {
        Self::default()
    }

    /// Requests with this verb.
    pub fn verb(verb: Verb) -> Self {
        Self {
            verb: Some(verb),
            resource: None,
        }
    }

    /// Only those for this type.
    #[must_use]
    pub fn of(self, resource: &str) -> Self {
        Self {
            resource: Some(resource.to_owned()),
            ..self
        }
    }

    pub(crate) fn meets(&self, verb: Verb, resource: &str) -> bool {
        self.verb.is_none_or(|v| v == verb)
            && self
                .resource
                .as_deref()
                .is_none_or(|name| named(resource, name))
    }
}

/// What happens instead of an answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This Status.
    Refuse(Refusal),
    /// A watch opens with 200, and its first event is ERROR with this Status (410 when the history is gone).
    ErrorEvent(Refusal),
    /// The connection is closed without an answer.
    CutOff,
    /// No answer until [`release`](crate::FakeApi::release); then the usual one.
    Stall,
}

impl Fault {
    /// 410 Gone as the HTTP status.
    pub fn gone() -> Self {
        Self::Refuse(Refusal::new(410, "too old resource version"))
    }

    /// 410 Gone as an event in the stream, as most servers say it.
    pub fn gone_event() -> Self {
        Self::ErrorEvent(Refusal::new(410, "too old resource version"))
    }

    /// 500.
    pub fn internal() -> Self {
        Self::Refuse(Refusal::new(500, "etcdserver: request timed out"))
    }

    /// 429 with `Retry-After`, in seconds.
    pub fn too_many_requests(retry_after: u32) -> Self {
        Self::Refuse(Refusal {
            retry_after: Some(retry_after),
            ..Refusal::new(429, "the server is busy")
        })
    }

    /// 403.
    pub fn forbidden() -> Self {
        Self::Refuse(Refusal::new(403, "forbidden"))
    }
}

/// A fault, the requests that it meets, and how many more of them.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) on: On,
    pub(crate) fault: Fault,
    pub(crate) left: usize,
}
