//! The webhooks as the API server calls them: with the bundle that we wrote into their configuration.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use meltemi_fake_api::{FakeApi, Type};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::agent::{HOST, certificates};
use crate::site::{Site, api};

fn configuration(kind: &str, name: &str, webhook: &str, path: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "labels": {"istio.io/rev": "default"}},
        "webhooks": [{
            "name": webhook,
            "failurePolicy": "Ignore",
            "clientConfig": {"service": {"name": "istiod", "namespace": "istio-system", "path": path}},
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
        }],
    })
}

/// The bundle that a configuration has got, in PEM.
async fn bundle(api: &FakeApi, resource: &str, name: &str) -> String {
    let text = |object: &Value| {
        let bundle = &object["webhooks"][0]["clientConfig"]["caBundle"];
        bundle.as_str().map(str::to_owned)
    };
    api.until(resource, "", name, |found| found.and_then(text).is_some())
        .await;
    let text = text(&api.get(resource, "", name).unwrap()).unwrap();
    String::from_utf8(BASE64_STANDARD.decode(text).unwrap()).unwrap()
}

/// Posts a review as the API server does.
async fn post(site: &Site, bundle: &str, path: &str, review: &Value) -> (u16, String) {
    let mut roots = RootCertStore::empty();
    for root in certificates(bundle) {
        roots.add(root).unwrap();
    }
    let provider = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(site.addresses.https.unwrap())
        .await
        .unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(HOST).unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    let body = review.to_string();
    let request = format!(
        "POST {path}?timeout=10s HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The end without a close_notify is an end, too.
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn objects_are_validated_over_the_bundle_that_we_wrote() {
    let api = api().await;
    let (resource, name) = (
        "validatingwebhookconfigurations",
        "istio-validator-istio-system",
    );
    api.apply(configuration(
        "ValidatingWebhookConfiguration",
        name,
        "rev.validation.istio.io",
        "/validate",
    ));
    let site = Site::ready(&api).await;
    let bundle = bundle(&api, resource, name).await;
    let review = |weight: i64| {
        json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {"uid": "1", "operation": "CREATE", "object": {
                "apiVersion": "networking.istio.io/v1",
                "kind": "VirtualService",
                "metadata": {"name": "a", "namespace": "default"},
                "spec": {"hosts": ["a"], "http": [{"route": [{"destination": {"host": "a"}, "weight": weight}]}]},
            }},
        })
    };
    for (weight, allowed) in [(1, true), (-1, false)] {
        let (status, body) = post(&site, &bundle, "/validate", &review(weight)).await;
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["response"]["allowed"], json!(allowed), "{body}");
        assert_eq!(answer["response"]["uid"], json!("1"));
    }
    let (status, _) = post(&site, &bundle, "/nowhere", &json!({})).await;
    assert_eq!(status, 404);
    site.stop().await;
}

/// A template that shows what became of the settings.
const TEMPLATE: &str = r#"
policy: enabled
defaultTemplates: [sidecar]
templates:
  sidecar: |
    spec:
      containers:
      - name: istio-proxy
        image: "{{ .ProxyImage }}"
        {{- with .ProxyConfig.ProxyMetadata }}
        env:
        {{- range $key, $value := . }}
        - name: {{ $key }}
          value: "{{ $value }}"
        {{- end }}
        {{- end }}
"#;

/// The container that a pod gets, once it is this one: image and variables.
async fn injected_until(site: &Site, bundle: &str, expected: (&str, &[(&str, &str)])) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "a", "namespace": "default", "labels": {"app": "a"}},
        "spec": {"containers": [{"name": "app", "image": "app"}]},
    });
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {"uid": "1", "operation": "CREATE", "namespace": "default", "object": pod},
    });
    let begun = std::time::Instant::now();
    loop {
        let (status, body) = post(site, bundle, "/inject", &review).await;
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        let patch = answer["response"]["patch"].as_str().expect(&body);
        let patch = BASE64_STANDARD.decode(patch).unwrap();
        let mut injected = pod.clone();
        let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
        json_patch::patch(&mut injected, &patch).unwrap();
        let containers = injected["spec"]["containers"].as_array().unwrap();
        let proxy = containers.iter().find(|c| c["name"] == "istio-proxy");
        let proxy = proxy.unwrap();
        let env = proxy["env"].as_array().cloned().unwrap_or_default();
        let env: Vec<_> = env
            .iter()
            .map(|v| (v["name"].as_str().unwrap(), v["value"].as_str().unwrap()))
            .collect();
        if (proxy["image"].as_str().unwrap(), &*env) == expected {
            return;
        }
        assert!(
            begun.elapsed() < crate::site::PATIENCE,
            "{proxy} is not {expected:?}"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn injection_follows_proxy_configs_at_once() {
    let api = api().await;
    let group = "networking.istio.io";
    let kind = Type::new(group, &["v1beta1"], "proxyconfigs", "ProxyConfig", true);
    api.install(&kind);
    api.apply(json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio-sidecar-injector", "namespace": "istio-system"},
        "data": {"config": TEMPLATE, "values": json!({
            "global": {"hub": "hub.example.com", "tag": "1.31.0", "proxy": {"image": "proxyv2"}},
        }).to_string()},
    }));
    let proxy_config = |namespace: &str, spec: Value| {
        json!({
            "apiVersion": "networking.istio.io/v1beta1",
            "kind": "ProxyConfig",
            "metadata": {"name": "x", "namespace": namespace},
            "spec": spec,
        })
    };
    api.apply(proxy_config(
        "istio-system",
        json!({"environmentVariables": {"A": "root", "B": "root"}}),
    ));
    let (resource, name) = ("mutatingwebhookconfigurations", "istio-sidecar-injector");
    api.apply(configuration(
        "MutatingWebhookConfiguration",
        name,
        "rev.namespace.sidecar-injector.istio.io",
        "/inject",
    ));
    let site = Site::ready(&api).await;
    let bundle = bundle(&api, resource, name).await;
    let image = "hub.example.com/proxyv2:1.31.0";
    injected_until(&site, &bundle, (image, &[("A", "root"), ("B", "root")])).await;
    api.apply(proxy_config(
        "default",
        json!({"environmentVariables": {"A": "own"}, "image": {"imageType": "distroless"}}),
    ));
    let distroless = "hub.example.com/proxyv2:1.31.0-distroless";
    injected_until(&site, &bundle, (distroless, &[("A", "own"), ("B", "root")])).await;
    // One that selects other workloads is not this one's, and what is left holds.
    api.apply(proxy_config(
        "default",
        json!({"selector": {"matchLabels": {"app": "b"}}, "environmentVariables": {"A": "b"}}),
    ));
    injected_until(&site, &bundle, (image, &[("A", "root"), ("B", "root")])).await;
    api.delete("proxyconfigs", "istio-system", "x");
    injected_until(&site, &bundle, (image, &[])).await;
    site.stop().await;
}
