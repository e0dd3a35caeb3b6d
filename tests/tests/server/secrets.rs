//! Secrets over the aggregated stream: who gets which, what a rotation sends, and what a removal does.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meltemi_proto::envoy::config::core::v3::data_source::Specifier;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::{Secret, secret};
use prost::Message as _;
use rcgen::{CertificateParams, KeyPair};

use crate::ads_client::Variant::{Delta, Sotw};
use crate::ads_client::{AdsClient, SDS};
use crate::plane::{Plane, SIDECAR, WORLD};

const ROUTER: &str = "router~10.1.0.8~edge-0.default~default.svc.cluster.local";
const CERT: &str = "kubernetes://web-cert";
const CA: &str = "kubernetes://web-cert-cacert";

const GATEWAY: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: secure, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [web.example.com]
    tls: {mode: MUTUAL, credentialName: web-cert}
";

/// A Secret with a new certificate, which is its own CA, and the certificate.
fn credential(namespace: &str, name: &str) -> (String, String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["web.example.com".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let key = key.serialize_pem();
    let [chain, secret] = [&certificate, &key].map(|pem| STANDARD.encode(pem));
    let text = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\ntype: kubernetes.io/tls\n\
         data: {{tls.crt: {chain}, tls.key: {secret}, ca.crt: {chain}}}\n"
    );
    (text, certificate, key)
}

/// The certificate that a client holds under a name.
fn certificate(client: &AdsClient, name: &str) -> Option<String> {
    let held = client.get(SDS, name)?;
    let secret = Secret::decode(held.body.as_ref()).unwrap();
    let source = match secret.r#type? {
        secret::Type::TlsCertificate(pair) => {
            assert!(pair.private_key.is_some());
            pair.certificate_chain
        }
        secret::Type::ValidationContext(root) => root.trusted_ca,
        other => panic!("{other:?}"),
    };
    match source?.specifier? {
        Specifier::InlineBytes(bytes) => Some(String::from_utf8(bytes).unwrap()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_rotated_certificate_is_sent_and_nothing_else() {
    let (text, first, _) = credential("default", "web-cert");
    let files: Vec<_> = WORLD
        .into_iter()
        .chain([("gateway.yaml", GATEWAY), ("secret.yaml", &text)])
        .collect();
    let plane = Plane::start(&files).await;
    for variant in [Delta, Sotw] {
        plane.write("secret.yaml", &text);
        let mut client = plane.synced(ROUTER, variant).await;
        client.ask_secrets(&[CERT, CA]).await;
        let has = |client: &AdsClient, pem: &str| {
            [CERT, CA].map(|name| certificate(client, name).as_deref() == Some(pem)) == [true, true]
        };
        client
            .until("it has the certificate", |client| has(client, &first))
            .await
            .unwrap();
        client
            .until("it has its listener", |client| {
                client
                    .held()
                    .values()
                    .any(|set| set.contains_key("0.0.0.0_443"))
            })
            .await
            .unwrap();
        client.take_received();

        let (rotated, second, _) = credential("default", "web-cert");
        plane.write("secret.yaml", &rotated);
        client
            .until("it has the new one", |client| has(client, &second))
            .await
            .unwrap();
        for received in client.take_received() {
            assert_eq!(received.ty, SDS, "nothing else is sent");
            assert!(received.removed.is_empty() && received.refused.is_none());
        }
        // A mistake changes nothing for the proxy, and is told.
        plane.write(
            "secret.yaml",
            &rotated.replace("tls.key: ", "tls.key: AAAA"),
        );
        plane.says("tls.key").await;
        let mark = "kubernetes://none";
        client.ask_secrets(&[CERT, CA, mark]).await;
        plane.write("secret.yaml", &text);
        client
            .until("it has the first again", |client| has(client, &first))
            .await
            .unwrap();
    }
    plane.stop().await;
}

#[tokio::test]
async fn what_there_is_not_is_said_and_comes_later() {
    let (text, pem, _) = credential("default", "web-cert");
    let plane = Plane::start(&WORLD).await;
    let mut client = plane.synced(ROUTER, Delta).await;
    client.take_received();
    client.ask_secrets(&[CERT]).await;
    client.receive().await.unwrap();
    let received = client.take_received();
    let missing = BTreeSet::from([CERT.to_owned()]);
    assert_eq!((received[0].ty, &received[0].removed), (SDS, &missing));
    assert!(plane.metric("pilot_sds_certificate_errors_total").await >= 1.0);
    plane.write("secret.yaml", &text);
    client
        .until("it came", |client| {
            certificate(client, CERT).as_deref() == Some(&pem)
        })
        .await
        .unwrap();
    // A Secret that goes: in this variant it is said; Envoy goes on with what it has.
    plane.write("secret.yaml", "# nothing\n");
    client
        .until("it went", |client| client.get(SDS, CERT).is_none())
        .await
        .unwrap();
    plane.stop().await;
}

#[tokio::test]
async fn secrets_of_other_namespaces_are_not_served() {
    let (own, pem, key) = credential("default", "web-cert");
    let (other, ..) = credential("other", "their-cert");
    let world: Vec<_> = WORLD
        .into_iter()
        .chain([("own.yaml", &*own), ("other.yaml", &*other)])
        .collect();
    let plane = Plane::start(&world).await;
    for (variant, id) in [(Delta, ROUTER), (Sotw, ROUTER), (Delta, SIDECAR)] {
        let mut client = plane.synced(id, variant).await;
        client
            .ask_secrets(&[
                CERT,
                "kubernetes://other/their-cert",
                "kubernetes://their-cert",
            ])
            .await;
        client
            .until("it has its own", |client| {
                certificate(client, CERT).as_deref() == Some(&pem)
            })
            .await
            .unwrap();
        let held: Vec<&String> = client.held()[SDS].keys().collect();
        assert_eq!(held, [CERT], "{id}");
    }
    // The debug pages show the certificate and hide the key.
    let mut client = plane.synced(ROUTER, Delta).await;
    client.ask_secrets(&[CERT]).await;
    client
        .until("it is there", |client| client.get(SDS, CERT).is_some())
        .await
        .unwrap();
    let (_, page) = plane.get("/debug/config_dump?proxyID=edge-0.default").await;
    assert!(page.contains(CERT), "{page}");
    let (_, syncz) = plane.get("/debug/syncz").await;
    for (what, page) in [("the dump", page), ("syncz", syncz)] {
        for line in key.lines().filter(|line| !line.starts_with('-')) {
            assert!(!page.contains(line), "{what} shows the key");
        }
        assert!(
            !page.contains(&STANDARD.encode(&key)),
            "{what} shows the key"
        );
    }
    plane.stop().await;
}
