//! What several verbs need.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

/// Prints to standard output. A reader that went away (`| head`) is no error.
pub(super) fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Reads node metadata from a YAML or JSON file.
pub(super) fn metadata(path: Option<&Path>) -> anyhow::Result<Value> {
    let Some(path) = path else {
        return Ok(Value::Object(serde_json::Map::new()));
    };
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let value: Value = meltemi_sources::yaml::read_one(&text)
        .map_err(|p| anyhow::anyhow!("{}:{}: {}", path.display(), p.line, p.message))?;
    anyhow::ensure!(
        value.is_object(),
        "{}: node metadata must be a map",
        path.display()
    );
    Ok(value)
}

/// Asks a control plane for one of its pages.
pub(super) async fn get(address: &str, path: &str) -> anyhow::Result<Vec<u8>> {
    use http_body_util::{BodyExt as _, Empty};
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;

    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
    let uri = format!("http://{address}{path}")
        .parse()
        .with_context(|| format!("address {address:?}"))?;
    let answer = client.get(uri).await.with_context(|| {
        format!("no control plane answers at {address}; is `meltemi serve` running?")
    })?;
    let status = answer.status();
    let body = answer
        .into_body()
        .collect()
        .await
        .context("reading the answer")?
        .to_bytes();
    anyhow::ensure!(
        status.is_success(),
        "{address}{path}: {status}: {}",
        String::from_utf8_lossy(&body).trim()
    );
    Ok(body.to_vec())
}
