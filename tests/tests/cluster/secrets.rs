//! Who gets which Secret of a cluster: the identity's namespace and its account's permission decide.

use meltemi_fake_api::{FakeApi, Refusal, Verb};
use serde_json::json;
use tonic::Code;

use crate::agent::Agent;
use crate::site::{Site, api, get};

const NAMES: [&str; 3] = [
    "kubernetes://web",
    "kubernetes://web-cacert",
    "kubernetes://other/web",
];

/// A Secret `web` with a certificate in two namespaces, and an account `gateway` that may list those of `default`.
fn secrets(api: &FakeApi) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["web.example.com".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let encode =
        |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    for namespace in ["default", "other"] {
        api.apply(json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": "web", "namespace": namespace},
            "data": {"tls.crt": encode(&certificate), "tls.key": encode(&key.serialize_pem()), "ca.crt": encode(&certificate)},
        }));
    }
    api.answer("subjectaccessreviews.authorization.k8s.io", |request| {
        let mut review = request.body.clone();
        let allowed = review["spec"]["user"] == "system:serviceaccount:default:gateway"
            && review["spec"]["resourceAttributes"]
                == json!({"namespace": "default", "verb": "list", "resource": "secrets"});
        review["status"] = json!({"allowed": allowed});
        Ok(review)
    });
}

fn words(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn the_account_must_be_allowed_to_list_secrets() {
    let api = api().await;
    secrets(&api);
    let site = Site::ready(&api).await;
    let address = site.addresses.secure_grpc.unwrap();
    for (account, got, not) in [
        ("gateway", &NAMES[..2], &NAMES[2..]),
        // The certificate of a CA is no secret.
        ("sleep", &NAMES[1..2], &[NAMES[2], NAMES[0]]),
        ("gateway", &NAMES[..2], &NAMES[2..]),
    ] {
        let token = format!("default/{account}");
        let agent = Agent::new(address, &api, Some(&token));
        let (found, mut missing) = agent.secrets(&NAMES, "default", account).await.unwrap();
        missing.sort();
        let mut not = words(not);
        not.sort();
        assert_eq!((found, missing), (words(got), not), "{account}");
    }
    let reviews = api.count(Verb::Create, "subjectaccessreviews.authorization.k8s.io");
    assert_eq!(reviews, 2, "an answer is remembered");
    // Nobody is asked for as somebody else.
    let agent = Agent::new(address, &api, Some("default/sleep"));
    let refused = agent.secrets(&NAMES, "default", "gateway").await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let (_, metrics) = get(site.addresses.monitoring.unwrap(), "/metrics").await;
    assert!(
        metrics.contains("pilot_sds_certificate_errors_total 4"),
        "{metrics}"
    );
    site.stop().await;
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_allows_nothing() {
    let api = api().await;
    secrets(&api);
    api.answer("subjectaccessreviews.authorization.k8s.io", |_| {
        Err(Refusal::new(503, "later"))
    });
    let site = Site::ready(&api).await;
    let agent = Agent::new(
        site.addresses.secure_grpc.unwrap(),
        &api,
        Some("default/gateway"),
    );
    let (found, _) = agent.secrets(&NAMES, "default", "gateway").await.unwrap();
    assert_eq!(found, words(&NAMES[1..2]));
    site.stop().await;
}
