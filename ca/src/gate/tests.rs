use std::sync::Arc;

use parking_lot::Mutex;
use tonic::body::Body;
use tonic::codegen::Service as _;

use super::*;
use crate::authenticate::{Clusters, Source};
use crate::settings::Callers;
use crate::system_clock;
use crate::testing::{Log, Table, review};

fn gate(settings: Callers) -> Gate {
    let table = Table::with(&[("good", review("default", "sleep", "sleep-1"))]);
    let clusters = Clusters::new(table, Vec::new());
    let callers = Authenticators::new(settings, Some(clusters), system_clock());
    Gate::new(Arc::new(callers))
}

/// Remembers who called.
#[derive(Clone, Default)]
struct Inner(Arc<Mutex<Vec<Option<Source>>>>);

impl NamedService for Inner {
    const NAME: &'static str = "inner";
}

impl Service<http::Request<Body>> for Inner {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let caller = request.extensions().get::<Arc<Caller>>();
        self.0.lock().push(caller.map(|caller| caller.by));
        std::future::ready(Ok(http::Response::new(Body::empty())))
    }
}

fn peer(identities: &[&str]) -> Peer {
    Peer {
        remote: "127.0.0.1:7".parse().unwrap(),
        identities: identities.iter().map(|id| (*id).to_owned()).collect(),
    }
}

const ID: &str = "spiffe://cluster.local/ns/a/sa/b";

/// What the inner service sees; `Err`: it was not called.
async fn seen(
    settings: Callers,
    peer: Option<Peer>,
    token: Option<&str>,
) -> Result<Option<Source>, String> {
    let inner = Inner::default();
    let mut gated = gate(settings).before(inner.clone());
    let mut request = http::Request::new(Body::empty());
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer);
    }
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", value);
    }
    // Something that claims to be a caller already is not believed.
    request.extensions_mut().insert(Arc::new(Caller {
        identities: vec![ID.to_owned()],
        pod: None,
        by: Source::Gateway,
    }));
    let answer = gated.call(request).await.unwrap();
    match inner.0.lock().pop() {
        Some(caller) => Ok(caller),
        None => {
            let status = Status::from_header_map(answer.headers()).unwrap();
            Err(format!("{:?}: {}", status.code(), status.message()))
        }
    }
}

#[tokio::test]
async fn the_rule_of_ads_is_that_of_istio() {
    let refused = || Err("Unauthenticated: authentication failure".to_owned());
    let usual = Callers::default;
    let off = || Callers {
        xds_auth: false,
        ..usual()
    };
    let plaintext = || Callers {
        plaintext: true,
        ..usual()
    };
    let cases = [
        ("no TLS", usual(), None, None, Ok(None)),
        ("no TLS, a token", usual(), None, Some("good"), Ok(None)),
        ("no TLS, asked", plaintext(), None, None, refused()),
        (
            "no TLS, asked, a token",
            plaintext(),
            None,
            Some("good"),
            Ok(Some(Source::Token)),
        ),
        ("TLS", usual(), Some(peer(&[])), None, refused()),
        (
            "TLS, a bad token",
            usual(),
            Some(peer(&[])),
            Some("bad"),
            refused(),
        ),
        (
            "TLS, a token",
            usual(),
            Some(peer(&[])),
            Some("good"),
            Ok(Some(Source::Token)),
        ),
        (
            "TLS, a certificate",
            usual(),
            Some(peer(&[ID])),
            None,
            Ok(Some(Source::Certificate)),
        ),
        (
            "both",
            usual(),
            Some(peer(&[ID])),
            Some("bad"),
            Ok(Some(Source::Certificate)),
        ),
        ("off", off(), Some(peer(&[])), None, Ok(None)),
        (
            "off, a certificate",
            off(),
            Some(peer(&[ID])),
            None,
            Ok(None),
        ),
    ];
    for (case, settings, peer, token, expected) in cases {
        let (log, _guard) = Log::start();
        assert_eq!(seen(settings, peer, token).await, expected, "{case}");
        let told = log.text();
        assert_eq!(
            told.contains("authentication failed"),
            expected.is_err(),
            "{case}: {told}"
        );
    }
}

#[test]
fn the_gate_keeps_the_services_name() {
    assert_eq!(<Gated<Inner> as NamedService>::NAME, "inner");
}

#[test]
fn a_proxy_is_whom_its_caller_may_be() {
    let caller = Caller {
        identities: vec!["nonsense".to_owned(), ID.to_owned()],
        pod: None,
        by: Source::Token,
    };
    for (namespace, account, fits) in [
        ("a", "b", true),
        ("a", "", true),
        ("a", "c", false),
        ("c", "b", false),
        ("c", "", false),
        ("", "", false),
    ] {
        let answer = verified_identity(&caller, namespace, account);
        assert_eq!(answer.is_ok(), fits, "{namespace}/{account}");
        if let Err(status) = answer {
            let told = format!(
                "authorization failed: no identities ([nonsense {ID}]) matched {namespace}/{account}"
            );
            assert_eq!(
                (status.code(), status.message()),
                (tonic::Code::PermissionDenied, &*told)
            );
        }
    }
}
