//! Tokens at a real Envoy, whose keys the control plane fetches: without keys every token is refused and nothing else, then
//! those count that the issuer serves, also after it exchanged them. Routes ask for claims.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use meltemi_tests::ports::unused;
use meltemi_tests::shared::skipped;
use parking_lot::Mutex;
use rcgen::{KeyPair, PKCS_ED25519, SigningKey as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::process;
use crate::quarantine::{Mesh, gateway, object};

const ISSUER: &str = "https://issuer.example.com";

/// A key of an issuer.
struct Key(KeyPair);

impl Key {
    fn new() -> Self {
        Self(KeyPair::generate_for(&PKCS_ED25519).expect("a key"))
    }

    /// What the issuer publishes.
    fn document(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.0.public_key_raw());
        let key = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": x});
        json!({"keys": [key]}).to_string()
    }

    fn token(&self, issuer: &str, subject: &str, expires: u64) -> String {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = part(json!({"alg": "EdDSA", "typ": "JWT"}));
        let claims = part(json!({"iss": issuer, "sub": subject, "exp": expires}));
        let signed = format!("{head}.{claims}");
        let signature = self.0.sign(signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Serves a document that can be exchanged.
async fn serve(port: u16, document: Arc<Mutex<String>>) -> JoinSet<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let listener = listener.expect("a port of ours");
    let mut task = JoinSet::new();
    task.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 2048];
            let _ = stream.read(&mut request).await;
            let body = document.lock().clone();
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    task
}

/// Status and body of an answer.
async fn ask(port: u16, token: Option<&str>) -> anyhow::Result<(u16, String)> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut request = http::Request::get(format!("http://{address}/")).header("host", "a.com");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let asked = async {
        let answer = client.request(request.body(Empty::new())?).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    tokio::time::timeout(Duration::from_secs(10), asked).await?
}

fn world(port: u16, keys: u16) -> [Value; 3] {
    let claim = json!({"headers": {"@request.auth.claims.sub": {"exact": "alice"}}});
    let answer = |text: &str| json!({"status": 200, "body": {"string": text}});
    let host = object(
        "VirtualService",
        "a",
        &json!({"hosts": ["a.com"], "gateways": ["edge"], "http": [
            {"match": [claim], "directResponse": answer("alice")},
            {"directResponse": answer("anybody")},
        ]}),
    );
    let policy = json!({
        "apiVersion": "security.istio.io/v1",
        "kind": "RequestAuthentication",
        "metadata": {"name": "tokens", "namespace": "default"},
        "spec": {"jwtRules": [{
            "issuer": ISSUER,
            "jwksUri": format!("http://127.0.0.1:{keys}/keys"),
        }]},
    });
    [gateway("edge", port), host, policy]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_taken_with_the_keys_that_their_issuer_serves_now() {
    let Some(program) = process::find() else {
        skipped("no envoy");
        return;
    };
    let (port, keys) = (unused(), unused());
    let settings = meltemi::jwks::Settings {
        refresh: Duration::from_secs(1),
        ..Default::default()
    };
    let mesh = Mesh::start_with(&program, &world(port, keys), settings).await;
    let answers = async |token: Option<&str>, status: u16, part: &str| {
        mesh.until(part, async || {
            let (found, body) = ask(port, token).await?;
            let good = found == status && body.contains(part);
            anyhow::ensure!(good, "{found} {body}");
            Ok(())
        })
        .await;
    };
    let later = 4_102_444_800;
    let (first, second) = (Key::new(), Key::new());
    let alice = first.token(ISSUER, "alice", later);

    // Nobody serves keys.
    answers(None, 200, "anybody").await;
    answers(Some(&alice), 401, "").await;
    mesh.until("it is said", async || {
        let said = mesh.page("/debug/diagnosticz").await;
        anyhow::ensure!(said.contains("the keys are not fetched"), "{said}");
        Ok(())
    })
    .await;

    let document = Arc::new(Mutex::new(first.document()));
    let _served = serve(keys, Arc::clone(&document)).await;
    answers(Some(&alice), 200, "alice").await;
    for (token, status, part) in [
        (None, 200, "anybody"),
        (Some(first.token(ISSUER, "bob", later)), 200, "anybody"),
        (
            Some("no-token".to_owned()),
            401,
            "Jwt is not in the form of Header.Payload.Signature",
        ),
        (
            Some(second.token(ISSUER, "alice", later)),
            401,
            "Jwt verification fails",
        ),
        (
            Some(first.token("https://other", "alice", later)),
            401,
            "Jwt issuer is not configured",
        ),
        (Some(first.token(ISSUER, "alice", 1)), 401, "Jwt is expired"),
    ] {
        let (found, body) = ask(port, token.as_deref()).await.expect("an answer");
        assert!(
            found == status && body.contains(part),
            "{part}: {found} {body}"
        );
    }

    // The issuer exchanges its key.
    *document.lock() = second.document();
    answers(Some(&second.token(ISSUER, "alice", later)), 200, "alice").await;
    answers(Some(&alice), 401, "Jwt verification fails").await;
    answers(None, 200, "anybody").await;
    let rejected = "listener_manager.lds.update_rejected";
    assert_eq!(mesh.rejected(rejected).await, 0);
    mesh.is_well().await;
    mesh.end().await;
}
