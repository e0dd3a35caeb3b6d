//! A CA bundle as the API server wants it.

use k8s_openapi::ByteString;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

/// The bundle in the form of `caBundle` (base64 of the PEM text), if it has certificates and nothing that looks like
/// one but is none.
pub(super) fn encoded(pem: &str) -> Result<Value, &'static str> {
    let mut certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).peekable();
    if certificates.peek().is_none() {
        return Err("it has no certificate");
    }
    // An X.509 certificate is a SEQUENCE; the API server checks the rest.
    let whole =
        certificates.all(|certificate| certificate.is_ok_and(|der| der.first() == Some(&0x30)));
    if !whole {
        return Err("a certificate in it cannot be read");
    }
    serde_json::to_value(ByteString(pem.as_bytes().to_vec())).map_err(|_| "it cannot be encoded")
}

/// Whether a webhook has this bundle.
pub(super) fn has(webhook: &Value, bundle: &Value) -> bool {
    webhook["clientConfig"].get("caBundle") == Some(bundle)
}

/// Gives a webhook the bundle.
pub(super) fn set(webhook: &mut Value, bundle: &Value) {
    if let Some(client) = webhook
        .get_mut("clientConfig")
        .and_then(Value::as_object_mut)
    {
        client.insert("caBundle".into(), bundle.clone());
    } else {
        webhook["clientConfig"] = json!({ "caBundle": bundle });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";

    #[test]
    fn only_certificates_are_a_bundle() {
        let rows = [
            ("", false),
            ("text", false),
            (GOOD, true),
            (
                "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
                false,
            ),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                false,
            ),
        ];
        for (pem, good) in rows {
            assert_eq!(encoded(pem).is_ok(), good, "{pem:?}");
        }
        assert!(encoded(&GOOD.repeat(2)).is_ok());
    }

    #[test]
    fn a_bundle_is_base64() {
        let bundle = encoded(GOOD).unwrap();
        assert!(
            bundle
                .as_str()
                .unwrap()
                .starts_with("LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1B")
        );
        let mut webhook = json!({"name": "a", "clientConfig": {"service": {"name": "istiod"}}});
        assert!(!has(&webhook, &bundle));
        set(&mut webhook, &bundle);
        assert!(has(&webhook, &bundle));
        assert_eq!(webhook["clientConfig"]["service"]["name"], "istiod");
    }
}
