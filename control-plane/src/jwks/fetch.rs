//! From a source to its document: OpenID discovery where there is no address.

use std::sync::Arc;
use std::time::Duration;

use meltemi_model::security::KeySource;

use super::document;
use super::http::Client;
use super::metrics::Metrics;

/// Below an issuer (OpenID Connect Discovery 1.0).
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// The document of a source. Each of the requests may take `timeout`. The error says what is wrong without quoting what a
/// server answered.
pub async fn fetch(
    client: Arc<Client>,
    metrics: Arc<Metrics>,
    source: KeySource,
    timeout: Duration,
) -> Result<String, String> {
    let uri = match source {
        KeySource::Uri(uri) => uri.to_string(),
        KeySource::Issuer(issuer) => {
            let issuer = issuer.strip_suffix('/').unwrap_or(&issuer);
            let found = get(&client, &metrics, &format!("{issuer}{DISCOVERY}"), timeout).await?;
            document::jwks_uri(&found)?
        }
    };
    get(&client, &metrics, &uri, timeout).await
}

async fn get(
    client: &Client,
    metrics: &Metrics,
    uri: &str,
    timeout: Duration,
) -> Result<String, String> {
    let answer = match tokio::time::timeout(timeout, client.get(uri)).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {timeout:?}")),
    };
    let text = answer.and_then(|bytes| {
        String::from_utf8(bytes.into()).map_err(|_| "the answer is no text".to_owned())
    });
    metrics.count(text.is_ok());
    text.map_err(|problem| format!("{uri}: {problem}"))
}
