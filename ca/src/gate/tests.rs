use std::sync::Arc;

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

fn peer(identities: &[&str]) -> Peer {
    Peer {
        remote: "127.0.0.1:7".parse().unwrap(),
        identities: identities.iter().map(|id| (*id).to_owned()).collect(),
    }
}

const ID: &str = "spiffe://cluster.local/ns/a/sa/b";

/// How the caller was recognised; `None`: nobody was asked.
async fn seen(
    settings: Callers,
    peer: Option<Peer>,
    token: Option<&str>,
) -> Result<Option<Source>, String> {
    let mut extensions = Extensions::default();
    if let Some(peer) = peer {
        extensions.insert(peer);
    }
    let mut metadata = MetadataMap::new();
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        metadata.insert("authorization", value);
    }
    match gate(settings).for_ads(&metadata, &extensions).await {
        Ok(caller) => Ok(caller.map(|caller| caller.by)),
        Err(status) => Err(format!("{:?}: {}", status.code(), status.message())),
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
