//! What a caller sends to say who it is: token, cluster, `x-forwarded-client-cert`. The API server finds every token good,
//! so that what follows the review is reached, too.

#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use meltemi_ca::authenticate::{Authenticators, Clusters, Credentials, Review, TokenReviewer};
use meltemi_ca::identity::Identity;
use meltemi_ca::settings::Callers;
use meltemi_ca::system_clock;
use tonic::metadata::{MetadataMap, MetadataValue};

/// Says what the token says: user name, then audience, in lines.
struct Echo;

#[tonic::async_trait]
impl TokenReviewer for Echo {
    async fn review(&self, token: &str, _: &[String]) -> Result<Review, String> {
        let mut parts = token.split('\t').map(str::to_owned);
        Ok(Review {
            authenticated: true,
            username: parts.next().unwrap_or_default(),
            audiences: parts.next().into_iter().collect(),
            groups: vec!["system:serviceaccounts".to_owned()],
            ..Review::default()
        })
    }
}

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers needs nothing")
});

static CALLERS: LazyLock<Authenticators> = LazyLock::new(|| {
    let settings = Callers {
        trusted_gateways: vec!["0.0.0.0/0".parse().expect("a network")],
        ..Callers::default()
    };
    let clusters = Clusters::new(Arc::new(Echo), Vec::new());
    Authenticators::new(settings, Some(clusters), system_clock())
});

fuzz_target!(|parts: (&[u8], &[u8], &[u8])| {
    let mut metadata = MetadataMap::new();
    let names = ["authorization", "clusterid", "x-forwarded-client-cert"];
    for (name, bytes) in names.into_iter().zip([parts.0, parts.1, parts.2]) {
        if let Ok(value) = MetadataValue::try_from(bytes) {
            metadata.insert(name, value);
        }
    }
    let credentials = Credentials {
        peer: None,
        remote: "10.0.0.1:1".parse().ok(),
        metadata: &metadata,
    };
    if let Ok(caller) = RUNTIME.block_on(CALLERS.caller(credentials)) {
        for identity in caller.identities {
            let parsed: Identity = identity
                .parse()
                .expect("an identity that can be read again");
            assert_eq!(parsed.trust_domain, "cluster.local");
        }
    }
});
