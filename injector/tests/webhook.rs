//! The webhook over loopback: what it accepts, what it refuses, and that a broken template refuses a pod and nothing else.

use std::sync::Arc;

use meltemi_injector::{
    Config, Environment, Injector, MAX_BODY_BYTES, MeshConfig, Metrics, Settings, Values, builtin,
    router,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// An answer: its status and its body.
type Answer = (u16, String);

async fn served(injector: Arc<Injector>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router(injector)).await });
    address
}

async fn post(address: std::net::SocketAddr, path: &str, kind: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("a request");
    // A server that refuses may close before it has read everything.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).expect("text");
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .expect("a status");
    let body = answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned())
        .unwrap_or_default();
    (status, body)
}

async fn reviewed(address: std::net::SocketAddr, path: &str, review: &Value) -> Value {
    let (status, body) = post(
        address,
        path,
        "application/json",
        review.to_string().as_bytes(),
    )
    .await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

fn settings(config: Config) -> Arc<Settings> {
    Arc::new(Settings {
        config,
        values: Values::parse(builtin::VALUES).expect("the values"),
        mesh: MeshConfig::default(),
        revision: "default".to_owned(),
        compliance_policy: String::new(),
    })
}

fn own_settings() -> Arc<Settings> {
    settings(builtin::config(&Environment::new()).expect("our templates"))
}

fn broken(template: &str) -> Arc<Settings> {
    let config = json!({"policy": "enabled", "templates": {"sidecar": template}});
    settings(Config::parse(&config.to_string(), &Environment::new()).expect("a configuration"))
}

fn review(version: &str, pod: &Value) -> Value {
    json!({"apiVersion": format!("admission.k8s.io/{version}"), "kind": "AdmissionReview",
        "request": {"uid": "some-uid", "namespace": "ns", "object": pod}})
}

fn pod() -> Value {
    json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "app", "image": "i"}]}})
}

fn patched(answer: &Value, mut pod: Value) -> Value {
    use base64::Engine as _;
    let patch = answer["response"]["patch"].as_str().expect("a patch");
    let patch = base64::engine::general_purpose::STANDARD
        .decode(patch)
        .expect("base64");
    let patch: json_patch::Patch = serde_json::from_slice(&patch).expect("operations");
    json_patch::patch(&mut pod, &patch).expect("a patch that applies");
    pod
}

fn proxy(pod: &Value) -> &Value {
    let all = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array());
    let mut all = all.into_iter().flatten().flatten();
    all.find(|container| container["name"] == "istio-proxy")
        .expect("a proxy")
}

#[tokio::test]
async fn reviews_of_both_versions_are_answered() {
    let injector = Arc::new(Injector::default());
    injector.set(own_settings());
    let address = served(injector).await;
    for version in ["v1", "v1beta1"] {
        let answer = reviewed(address, "/inject?timeout=10s", &review(version, &pod())).await;
        assert_eq!(answer["apiVersion"], format!("admission.k8s.io/{version}"));
        assert_eq!(answer["kind"], "AdmissionReview");
        assert_eq!(answer["response"]["uid"], "some-uid");
        assert_eq!(answer["response"]["patchType"], "JSONPatch");
        assert_eq!(
            proxy(&patched(&answer, pod()))["image"],
            "istio/proxyv2:1.31.1"
        );
    }
    // As kube-inject posts it: no uid, no operation, no namespace.
    let bare = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"object": pod()}});
    let answer = reviewed(address, "/inject", &bare).await;
    assert_eq!(
        (&answer["response"]["uid"], &answer["response"]["allowed"]),
        (&json!(""), &json!(true))
    );
}

#[tokio::test]
async fn the_path_sets_the_proxys_environment() {
    let injector = Arc::new(Injector::default());
    injector.set(own_settings());
    let address = served(injector).await;
    let answer = reviewed(
        address,
        "/inject/cluster/c1/net/n1/my_key/a--slash--b",
        &review("v1", &pod()),
    )
    .await;
    let pod = patched(&answer, pod());
    let env = proxy(&pod)["env"].as_array().expect("variables").clone();
    let value = |name: &str| {
        env.iter()
            .find(|v| v["name"] == name)
            .map(|v| v["value"].clone())
    };
    assert_eq!(value("ISTIO_META_CLUSTER_ID"), Some(json!("c1")));
    assert_eq!(value("ISTIO_META_NETWORK"), Some(json!("n1")));
    assert_eq!(value("MY_KEY"), Some(json!("a/b")));
    assert_eq!(pod["metadata"]["labels"]["topology.istio.io/network"], "n1");
}

#[tokio::test]
async fn requests_that_are_no_reviews_are_refused() {
    let injector = Arc::new(Injector::default());
    injector.set(own_settings());
    let address = served(injector).await;
    let kind = "application/json";
    assert_eq!(
        post(address, "/inject", kind, b"").await,
        (400, "no body found\n".to_owned())
    );
    assert_eq!(
        post(address, "/inject", "application/json; charset=utf-8", b"{}").await,
        (
            415,
            "invalid Content-Type, want `application/json`\n".to_owned()
        )
    );
    let (status, _) = post(address, "/inject", kind, &vec![b' '; MAX_BODY_BYTES + 1]).await;
    assert_eq!(status, 400);
    for body in ["{", "[]", "{\"apiVersion\": \"v1\", \"kind\": \"Pod\"}"] {
        let (status, body) = post(address, "/inject", kind, body.as_bytes()).await;
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(
            (status, &answer["response"]["allowed"]),
            (200, &json!(false))
        );
    }
    // A pod that is no pod.
    let answer = reviewed(
        address,
        "/inject",
        &review("v1", &json!({"spec": {"containers": "none"}})),
    )
    .await;
    assert_eq!(answer["response"]["allowed"], false);
}

#[tokio::test]
async fn pods_that_refuse_are_let_through() {
    let injector = Arc::new(Injector::default());
    injector.set(own_settings());
    let address = served(injector).await;
    for pod in [
        json!({"metadata": {"labels": {"sidecar.istio.io/inject": "false"}}, "spec": {"containers": [{"name": "a"}]}}),
        json!({"metadata": {}, "spec": {"hostNetwork": true, "containers": [{"name": "a"}]}}),
        json!({"metadata": {"namespace": "kube-system"}, "spec": {"containers": [{"name": "a"}]}}),
    ] {
        let answer = reviewed(address, "/inject", &review("v1", &pod)).await;
        assert_eq!(
            answer["response"],
            json!({"allowed": true, "uid": "some-uid"}),
            "{pod}"
        );
    }
}

#[tokio::test]
async fn what_is_broken_refuses_the_pod_and_names_the_place() {
    let mut registry = prometheus_client::registry::Registry::default();
    let injector = Arc::new(Injector::new(Metrics::new(&mut registry)));
    let address = served(injector.clone()).await;
    let message = async || {
        let answer = reviewed(address, "/inject", &review("v1", &pod())).await;
        assert_eq!(answer["response"]["allowed"], false);
        answer["response"]["status"]["message"]
            .as_str()
            .expect("a message")
            .to_owned()
    };
    assert_eq!(message().await, "the injector has no configuration yet");
    for (template, parts) in [
        (
            "metadata: {}\nspec: {{ .Spec.NoSuchField }}",
            &["template: sidecar:2:", "failed to run injection template"][..],
        ),
        ("spec: [", &["template \"sidecar\"", "line 2"]),
        ("just text", &["template \"sidecar\"", "it is no map"]),
        (
            "spec: {containers: [{image: x}]}",
            &["does not contain declared merge key: name"],
        ),
        (
            "spec: {containers: [{name: istio-proxy, env: [{name: A, value: 1}]}]}",
            &["env", "number", "string"],
        ),
        ("{{ fail `no` }}", &["template: sidecar:1:", "no"]),
        (
            "{{ range $i := until 1000000000 }}{{ end }}",
            &["template: sidecar:1:"],
        ),
    ] {
        injector.set(broken(template));
        let message = message().await;
        assert!(
            parts.iter().all(|part| message.contains(part)),
            "{template}: {message}"
        );
    }
    injector.set(own_settings());
    let answer = reviewed(address, "/inject", &review("v1", &pod())).await;
    assert_eq!(answer["response"]["allowed"], true);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
    for line in [
        "sidecar_injection_requests_total 9",
        "sidecar_injection_failure_total 8",
        "sidecar_injection_success_total 9",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn configurations_that_do_not_parse_name_template_and_line() {
    for (config, parts) in [
        (
            "policy: enabled\ntemplates:\n  mine: |\n    a\n    {{ nosuch }}",
            &["template: mine:2: function \"nosuch\" not defined"][..],
        ),
        (
            "policy: [",
            &["failed to unmarshal injection template", "line"],
        ),
        ("templates: 1", &["templates must be a map"]),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio-sidecar-injector}",
            &["whole ConfigMap", "\"config\"", "jsonpath"],
        ),
    ] {
        let error = Config::parse(config, &Environment::new())
            .expect_err("an error")
            .to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
}
