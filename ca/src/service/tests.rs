use std::collections::BTreeSet;
use std::time::Duration;

use meltemi_proto::google::protobuf::Value;
use tonic::Code;
use tonic::metadata::MetadataValue;

use super::*;
use crate::authenticate::{Review, TokenReviewer};
use crate::node::Pod;
use crate::pem;
use crate::settings::Callers;
use crate::testing::wire::{Client, Server};
use crate::testing::{
    self, Log, Table, authority, csr, csr_with, intermediate, p256, review, root,
};

const SLEEP: &str = "spiffe://cluster.local/ns/default/sa/sleep";

fn request(csr: String, token: Option<&str>) -> Request<IstioCertificateRequest> {
    let mut request = Request::new(IstioCertificateRequest {
        csr,
        validity_duration: 3600,
        metadata: None,
    });
    if let Some(token) = token {
        let value = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    request
}

fn with_metadata(
    mut request: Request<IstioCertificateRequest>,
    name: &str,
    value: &str,
) -> Request<IstioCertificateRequest> {
    let value = Value {
        kind: Some(Kind::StringValue(value.to_owned())),
    };
    request.get_mut().metadata = Some(Struct {
        fields: [(name.to_owned(), value)].into_iter().collect(),
    });
    request
}

async fn start(tokens: &[(&str, Review)]) -> Server {
    let authority = authority(root("cluster.local", &rcgen::PKCS_ECDSA_P256_SHA256));
    Server::start(authority, Callers::default(), Table::with(tokens), None).await
}

async fn ask(
    client: &Client,
    request: Request<IstioCertificateRequest>,
) -> Result<Vec<String>, Status> {
    let mut agent = client.agent().await.unwrap();
    let answer = agent.create_certificate(request).await?;
    Ok(answer.into_inner().cert_chain)
}

fn names(chain: &[String]) -> Vec<String> {
    let leaf = pem::certificates(&chain[0]).unwrap().remove(0);
    let leaf = crate::authority::parse(&leaf).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap().value;
    names
        .general_names
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[tokio::test]
async fn an_agent_gets_a_certificate_with_its_token_and_comes_back_with_the_certificate() {
    for material in [
        root("cluster.local", &rcgen::PKCS_RSA_SHA256),
        intermediate(&rcgen::PKCS_ECDSA_P256_SHA256),
    ] {
        let tokens = Table::with(&[("good", review("default", "sleep", "sleep-1"))]);
        let server = Server::start(authority(material), Callers::default(), tokens, None).await;
        let key = p256();
        let chain = ask(&server.client(), request(csr(&key), Some("good")))
            .await
            .unwrap();
        assert_eq!(names(&chain), [format!("URI({SLEEP})")]);
        assert_eq!(
            chain.last().unwrap().as_str(),
            &*server.live.authority().root_pem()
        );

        let again = server.client().showing(&chain, &key);
        let chain = ask(&again, request(csr(&p256()), None)).await.unwrap();
        assert_eq!(names(&chain), [format!("URI({SLEEP})")]);
        assert_eq!(server.metrics.issued.get(), 2);
        assert_eq!(server.metrics.requests.get(), 2);
    }
}

/// Issue 4, section 6.6: each refusal has an opaque answer, and the log says all.
#[tokio::test]
async fn callers_are_refused_with_an_opaque_answer_and_a_full_log_line() {
    let changed = |change: &dyn Fn(&mut Review)| {
        let mut review = review("default", "sleep", "sleep-1");
        change(&mut review);
        review
    };
    let table = Table::with(&[
        (
            "secret-wrong-audience",
            changed(&|r| r.audiences = vec!["vault".to_owned()]),
        ),
        (
            "secret-expired",
            changed(&|r| {
                r.authenticated = false;
                r.error = "service account token has expired".to_owned();
            }),
        ),
        (
            "secret-user",
            changed(&|r| r.groups = vec!["system:authenticated".to_owned()]),
        ),
        (
            "secret-name",
            changed(&|r| r.username = "system:serviceaccount:a".to_owned()),
        ),
    ]);
    let authority = authority(root("cluster.local", &rcgen::PKCS_ECDSA_P256_SHA256));
    let server = Server::start(authority, Callers::default(), table, None).await;
    let cases = [
        (Some("secret-wrong-audience"), "audiences do not match"),
        (Some("secret-expired"), "service account token has expired"),
        (Some("secret-unknown"), "does not authenticate it"),
        (Some("secret-user"), "is no service account"),
        (Some("secret-name"), "invalid username"),
        (Some("secret-unreachable"), "connection refused"),
        (None, "no HTTP authorization header exists"),
    ];
    let count = cases.len();
    for (token, why) in cases {
        let (log, _guard) = Log::start();
        let refused = ask(&server.client(), request(csr(&p256()), token))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert_eq!(refused.message(), "request authenticate failure");
        let text = log.text();
        assert!(text.contains("WARN") && text.contains(why), "{why}: {text}");
        assert!(text.contains("127.0.0.1:"), "{text}");
        assert!(!text.contains("secret-"), "the token is in the log: {text}");
    }
    let refusals = i64::try_from(count).unwrap();
    assert_eq!(server.metrics.authentication_failures.get(), refusals);
    assert_eq!(server.metrics.issued.get(), 0);
}

#[tokio::test]
async fn an_unknown_cluster_is_refused_and_ours_has_all_its_names() {
    let server = start(&[("good", review("default", "sleep", "sleep-1"))]).await;
    for (cluster, why) in [("", None), ("Kubernetes", None), ("other", Some("other"))] {
        let (log, _guard) = Log::start();
        let mut request = request(csr(&p256()), Some("good"));
        request
            .metadata_mut()
            .insert("clusterid", MetadataValue::try_from(cluster).unwrap());
        let answer = ask(&server.client(), request).await;
        match why {
            None => assert_eq!(answer.unwrap().len(), 2),
            Some(why) => {
                assert_eq!(answer.unwrap_err().code(), Code::Unauthenticated);
                assert!(
                    log.text()
                        .contains(&format!("could not get cluster \"{why}\""))
                );
            }
        }
    }
}

/// What is in the request does not matter: the names are those of the caller.
#[tokio::test]
async fn forged_names_are_not_read() {
    let server = start(&[("good", review("other", "account", "x"))]).await;
    let forged = csr_with(&p256(), |params| {
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, SLEEP);
    });
    let chain = ask(&server.client(), request(forged, Some("good")))
        .await
        .unwrap();
    assert_eq!(
        names(&chain),
        ["URI(spiffe://cluster.local/ns/other/sa/account)"]
    );
    let leaf = pem::certificates(&chain[0]).unwrap().remove(0);
    let subject = crate::authority::parse(&leaf)
        .unwrap()
        .subject()
        .to_string();
    assert_eq!(subject, "CN=spiffe://cluster.local/ns/other/sa/account");
}

#[tokio::test]
async fn bad_requests_are_refused_with_a_reason() {
    let server = start(&[("good", review("default", "sleep", "sleep-1"))]).await;
    let long = format!("{}{}", csr(&p256()), " ".repeat(crate::csr::MAX_BYTES));
    let cases = [
        (testing::WEAK_RSA.to_owned(), "RSA with 1024 bits"),
        (long, "at most 16384 are read"),
        ("hello".to_owned(), "not properly encoded"),
    ];
    for (csr, why) in cases {
        let (log, _guard) = Log::start();
        let refused = ask(&server.client(), request(csr, Some("good")))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(
            refused.message().starts_with("CSR signing error ("),
            "{refused}"
        );
        assert!(refused.message().contains(why), "{refused}");
        let text = log.text();
        assert!(text.contains(why) && text.contains(SLEEP) && text.contains("127.0.0.1:"));
    }
    let mut wish = request(csr(&p256()), Some("good"));
    wish.get_mut().validity_duration = i64::MAX;
    let refused = ask(&server.client(), wish).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(
        refused
            .message()
            .contains("greater than the max allowed TTL 2160h0m0s")
    );
    let count = |error| {
        server
            .metrics
            .sign_errors
            .get_or_create(&ErrorLabel { error })
            .get()
    };
    assert_eq!(
        (count(SignError::CSR_ERROR), count(SignError::TTL_ERROR)),
        (3, 1)
    );
    assert_eq!(server.metrics.unreadable.get(), 2);
    // Far too long for the transport, too.
    let huge = request("x".repeat(MAX_REQUEST), Some("good"));
    assert_eq!(
        ask(&server.client(), huge).await.unwrap_err().code(),
        Code::OutOfRange
    );
}

/// A mesh with one node's ztunnel.
#[derive(Clone)]
struct Mesh;

#[tonic::async_trait]
impl Pods for Mesh {
    async fn pod(&self, cluster: &str, namespace: &str, name: &str) -> Result<Option<Pod>, String> {
        let known = (cluster, namespace, name) == ("", "istio-system", "ztunnel-1");
        Ok(known.then(|| Pod {
            uid: "uid-ztunnel-1".to_owned(),
            service_account: "ztunnel".to_owned(),
            node: "node-1".to_owned(),
            failed: false,
        }))
    }

    async fn on_node(
        &self,
        cluster: &str,
        node: &str,
        namespace: &str,
        account: &str,
    ) -> Result<Vec<Pod>, String> {
        let here = (cluster, node, namespace, account) == ("", "node-1", "default", "sleep");
        Ok(here.then(Pod::default).into_iter().collect())
    }
}

#[tokio::test]
async fn a_node_gets_certificates_for_its_pods_only() {
    let callers = Callers {
        node_accounts: BTreeSet::from([("istio-system".to_owned(), "ztunnel".to_owned())]),
        ..Callers::default()
    };
    let tokens: Arc<dyn TokenReviewer> = Table::with(&[
        ("node", review("istio-system", "ztunnel", "ztunnel-1")),
        ("sleep", review("default", "sleep", "sleep-1")),
    ]);
    let authority = authority(root("cluster.local", &rcgen::PKCS_ECDSA_P256_SHA256));
    let server = Server::start(authority, callers, tokens, Some(Arc::new(Mesh))).await;
    let ask_for = async |token: &str, id: &str| {
        let request = with_metadata(request(csr(&p256()), Some(token)), IMPERSONATED, id);
        ask(&server.client(), request).await
    };
    let chain = ask_for("node", SLEEP).await.unwrap();
    assert_eq!(names(&chain), [format!("URI({SLEEP})")]);
    for (token, id, why) in [
        (
            "node",
            "spiffe://cluster.local/ns/default/sa/elsewhere",
            "no pod of default/elsewhere",
        ),
        ("node", "spiffe://other/ns/default/sa/sleep", "is not ours"),
        ("sleep", SLEEP, "not in CA_TRUSTED_NODE_ACCOUNTS"),
        ("node", "nonsense", "is not of the form"),
    ] {
        let (log, _guard) = Log::start();
        let refused = ask_for(token, id).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert_eq!(
            refused.message(),
            "request impersonation authentication failure"
        );
        assert!(log.text().contains(why), "{}", log.text());
    }
}

#[tokio::test]
async fn without_tls_nobody_gets_a_certificate() {
    let server = start(&[]).await;
    let settings = Callers::default();
    let callers = crate::authenticate::Authenticators::new(settings, None, crate::system_clock());
    let metrics = Metrics::default();
    let gate = Gate::new(Arc::new(callers));
    let pool = Pool::new(crate::settings::Signing::default(), metrics.clone());
    let live = server.live.clone();
    let service = CertificateService::new(live, gate, None, pool, metrics, crate::system_clock());
    let refused = service
        .create_certificate(request(csr(&p256()), Some("good")))
        .await
        .unwrap_err();
    assert_eq!(refused.message(), "request authenticate failure");
}

/// A reconnecting mesh asks the API server once for each token, not once for each call.
#[tokio::test]
async fn a_review_is_remembered_for_a_moment_only() {
    use base64::Engine as _;
    let hand = testing::Hand::at_noon();
    let token = |exp: i64| {
        let claims = format!("{{\"exp\":{exp}}}");
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims);
        format!("h.{claims}.s")
    };
    let now = 1_800_000_000;
    let (long, short, opaque) = (token(now + 3600), token(now + 4), "opaque".to_owned());
    let good = review("default", "sleep", "sleep-1");
    let table = Table::with(&[
        (&long, good.clone()),
        (&short, good.clone()),
        (&opaque, good),
    ]);
    let clusters = crate::authenticate::Clusters::new(table.clone(), Vec::new());
    let settings = Callers::default();
    let callers = crate::authenticate::Authenticators::new(settings, Some(clusters), hand.clock());
    let calls = || table.calls.load(std::sync::atomic::Ordering::SeqCst);
    let ask = async |token: &str| {
        let request = request(String::new(), Some(token));
        let credentials = crate::authenticate::Credentials {
            peer: None,
            remote: None,
            metadata: request.metadata(),
        };
        callers.caller(credentials).await.is_ok()
    };
    for token in [&long, &long, &short, &short] {
        assert!(ask(token).await);
    }
    assert_eq!(calls(), 2);
    assert!(ask(&opaque).await && ask(&opaque).await);
    assert_eq!(calls(), 4);
    hand.forward(Duration::from_secs(4));
    table.reviews.lock().clear();
    assert!(ask(&long).await, "still remembered");
    assert!(!ask(&short).await, "never past its own end");
    hand.forward(Duration::from_secs(6));
    assert!(!ask(&long).await, "for ten seconds");
    assert!(!format!("{callers:?}").contains(&long));
}
