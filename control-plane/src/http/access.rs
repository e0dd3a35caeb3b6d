//! Who may read the debug pages. Istio 1.31: `allowAuthenticatedOrLocalhost` in `pilot/pkg/xds/debug.go`.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::serve::IncomingStream;
use futures::Future;
use tokio::net::TcpListener;

use crate::settings::DebugAccess;

/// Says who sent a request: the SPIFFE identities, or nothing when it proves none.
pub type Identify = Arc<
    dyn Fn(HeaderMap, SocketAddr) -> Pin<Box<dyn Future<Output = Vec<String>> + Send>>
        + Send
        + Sync,
>;

/// The rules, and who knows identities.
#[derive(Clone)]
pub struct Access {
    settings: DebugAccess,
    root_namespace: String,
    identify: Option<Identify>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("settings", &self.settings)
            .field("root_namespace", &self.root_namespace)
            .finish_non_exhaustive()
    }
}

impl Access {
    /// Nobody knows identities: only this machine may read.
    pub fn local(settings: DebugAccess) -> Self {
        Self {
            settings,
            root_namespace: String::new(),
            identify: None,
        }
    }

    /// Identities are known, and those of the root namespace may read everything.
    pub fn identified(settings: DebugAccess, root_namespace: String, identify: Identify) -> Self {
        Self {
            settings,
            root_namespace,
            identify: Some(identify),
        }
    }

    fn scope(&self, identities: &[String]) -> Option<Scope> {
        let mut namespaces = identities.iter().filter_map(|identity| namespace(identity));
        let first = namespaces.clone().next();
        let may_read_all = |namespace: &str| {
            self.settings.open
                || namespace == self.root_namespace
                || self
                    .settings
                    .namespaces
                    .iter()
                    .any(|other| other == namespace)
        };
        if namespaces.any(may_read_all) {
            return Some(Scope::Everything);
        }
        Some(Scope::Namespace(first?.to_owned()))
    }
}

/// What a caller may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    Everything,
    /// Some pages, of the proxies of this namespace.
    Namespace(String),
}

impl Scope {
    pub(super) fn includes(&self, namespace: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Namespace(own) => own == namespace,
        }
    }
}

/// Pages that show a namespace what is its own.
const OWN_PAGES: [&str; 3] = ["/debug/config_dump", "/debug/ndsz", "/debug/edsz"];

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    remote: SocketAddr,
    /// `None`: the connection is gone already.
    local: Option<SocketAddr>,
}

impl Connected<IncomingStream<'_, TcpListener>> for Ends {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self {
            remote: *stream.remote_addr(),
            local: stream.io().local_addr().ok(),
        }
    }
}

impl Ends {
    /// Whether both are on this machine: by loopback, or by an address of its own, which nobody else can have.
    fn are_here(&self) -> bool {
        let remote = self.remote.ip().to_canonical();
        let local = self.local.map(|local| local.ip().to_canonical());
        remote.is_loopback() || local == Some(remote)
    }
}

/// Lets a request to a debug page through, with its scope, or answers it.
pub(super) async fn check(
    State(access): State<Access>,
    ConnectInfo(ends): ConnectInfo<Ends>,
    mut request: Request,
    next: Next,
) -> Response {
    let scope = if ends.are_here() {
        Some(Scope::Everything)
    } else {
        match &access.identify {
            Some(identify) => {
                let identities = identify(request.headers().clone(), ends.remote).await;
                access.scope(&identities)
            }
            None => None,
        }
    };
    match scope {
        None => StatusCode::UNAUTHORIZED.into_response(),
        Some(Scope::Namespace(_)) if !OWN_PAGES.contains(&request.uri().path()) => {
            StatusCode::FORBIDDEN.into_response()
        }
        Some(scope) => {
            request.extensions_mut().insert(scope);
            next.run(request).await
        }
    }
}

/// The namespace of `spiffe://<trust domain>/ns/<namespace>/sa/<account>`.
fn namespace(identity: &str) -> Option<&str> {
    let (_, path) = identity.strip_prefix("spiffe://")?.split_once('/')?;
    let mut parts = path.split('/');
    match (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ) {
        (Some("ns"), Some(namespace), Some("sa"), Some(_), None) => Some(namespace),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_on_this_machine_is_known_by_both_ends() {
        for (remote, local, expected) in [
            ("127.0.0.1:9", "127.0.0.1:8080", true),
            ("[::ffff:127.0.0.1]:9", "[::ffff:127.0.0.1]:8080", true),
            ("[::1]:9", "[::1]:8080", true),
            ("10.0.0.1:9", "10.0.0.1:8080", true),
            ("[::ffff:10.0.0.1]:9", "10.0.0.1:8080", true),
            ("10.0.0.2:9", "10.0.0.1:8080", false),
        ] {
            let ends = Ends {
                remote: remote.parse().unwrap(),
                local: Some(local.parse().unwrap()),
            };
            assert_eq!(ends.are_here(), expected, "{remote} to {local}");
        }
    }

    #[test]
    fn the_root_namespace_reads_all_and_others_their_own() {
        let access = |open, namespaces: &[&str]| Access {
            settings: DebugAccess {
                open,
                namespaces: namespaces.iter().map(ToString::to_string).collect(),
            },
            root_namespace: "istio-system".to_owned(),
            identify: None,
        };
        let of = |namespace: &str| vec![format!("spiffe://cluster.local/ns/{namespace}/sa/a")];
        let own = Some(Scope::Namespace("shop".to_owned()));
        for (access, identities, expected) in [
            (
                access(false, &[]),
                of("istio-system"),
                Some(Scope::Everything),
            ),
            (access(false, &[]), of("shop"), own),
            (
                access(false, &["shop"]),
                of("shop"),
                Some(Scope::Everything),
            ),
            (access(true, &[]), of("shop"), Some(Scope::Everything)),
            (access(false, &[]), vec![], None),
            (access(true, &[]), vec!["spiffe://x/other".to_owned()], None),
        ] {
            assert_eq!(
                access.scope(&identities),
                expected,
                "{access:?} {identities:?}"
            );
        }
    }
}
