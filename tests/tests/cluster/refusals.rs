//! Who may not connect, and what it learns of it. The CA's own refusals are tested with the CA, case by case.

use tonic::Code;

use crate::agent::{Agent, csr};
use crate::site::{Site, api};

#[tokio::test]
async fn a_certificate_needs_a_good_token() {
    let api = api().await;
    let site = Site::ready(&api).await;
    let address = site.addresses.secure_grpc.unwrap();
    for token in [None, Some("expired"), Some("other-audience:default/sleep")] {
        let agent = Agent::new(address, &api, token);
        let refused = agent.certificate(&csr().1).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{token:?}");
        assert_eq!(
            refused.message(),
            "request authenticate failure",
            "{token:?}"
        );
        let refused = agent.clusters("default", "sleep").await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{token:?}");
        assert_eq!(refused.message(), "authentication failure", "{token:?}");
    }
    site.stop().await;
}

#[tokio::test]
async fn a_node_must_be_its_identitys() {
    let api = api().await;
    let site = Site::ready(&api).await;
    let address = site.addresses.secure_grpc.unwrap();
    for (namespace, account) in [("default", "sleep"), ("shop", "cart")] {
        let agent = Agent::new(address, &api, Some("bank/cart"));
        let refused = agent.clusters(namespace, account).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        let message = "no identities ([spiffe://cluster.local/ns/bank/sa/cart]) matched";
        assert!(refused.message().contains(message), "{}", refused.message());
    }
    let agent = Agent::new(address, &api, Some("bank/cart"));
    assert_eq!(
        agent.clusters("bank", "clerk").await.unwrap_err().code(),
        Code::PermissionDenied,
        "another account"
    );
    agent.clusters("bank", "cart").await.unwrap();
    site.stop().await;
}

/// The handshake fails: a certificate that is shown must be ours.
#[tokio::test]
async fn a_foreign_certificate_is_refused() {
    let api = api().await;
    let site = Site::ready(&api).await;
    let (key, _) = csr();
    let mut params = rcgen::CertificateParams::default();
    let name = "spiffe://cluster.local/ns/default/sa/sleep";
    params.subject_alt_names = vec![rcgen::SanType::URI(name.try_into().unwrap())];
    let foreign = params.self_signed(&key).unwrap().pem();
    let address = site.addresses.secure_grpc.unwrap();
    let agent = Agent::new(address, &api, Some("default/sleep")).showing(&foreign, &key);
    let refused = agent.clusters("default", "sleep").await.unwrap_err();
    assert!(
        matches!(refused.code(), Code::Unavailable | Code::Unknown),
        "{refused:?}"
    );
    site.stop().await;
}
