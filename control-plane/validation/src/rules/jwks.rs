//! Key sets of tokens (RFC 7517), as the library that Istio uses reads them (`lestrrat-go/jwx`).

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

/// Base64 for URLs, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Reads a key set, or one key. The answer says of each key whether it holds private parts.
pub fn key_set(text: &str) -> Result<Vec<bool>, String> {
    let wrong = |why: String| format!("jwks parse error: failed to unmarshal JWK set: {why}");
    let value: Value = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let Value::Object(fields) = value else {
        return Err(wrong("it is not an object".to_owned()));
    };
    let keys = match fields.get("keys") {
        None => vec![key(&fields).map_err(wrong)?],
        Some(Value::Array(keys)) => {
            let read = keys.iter().enumerate().map(|(i, value)| {
                let fields = value.as_object().ok_or("it is not an object".to_owned());
                fields
                    .and_then(key)
                    .map_err(|why| wrong(format!("key at index {i}: {why}")))
            });
            read.collect::<Result<_, _>>()?
        }
        Some(_) => return Err(wrong("keys is not a list".to_owned())),
    };
    Ok(keys)
}

/// Reads one key: whether it is private.
fn key(fields: &Map<String, Value>) -> Result<bool, String> {
    let kind = fields.get("kty").and_then(Value::as_str).unwrap_or("");
    let private = fields.contains_key("d");
    let (names, required): (&[&str], &[&str]) = match kind {
        "RSA" => (&["n", "e", "d", "p", "q", "dp", "dq", "qi"], &["n", "e"]),
        "EC" => (&["x", "y", "d"], &["crv", "x", "y"]),
        "OKP" => (&["x", "d"], &["crv", "x"]),
        "oct" => (&["k"], &["k"]),
        other => return Err(format!("unknown key type {other:?}")),
    };
    for name in required {
        if !fields.contains_key(*name) {
            return Err(format!("required field {name} is missing"));
        }
    }
    for name in names {
        let Some(value) = fields.get(*name) else {
            continue;
        };
        let bytes = value.as_str().and_then(|text| BASE64.decode(text).ok());
        if bytes.is_none() {
            return Err(format!("failed to decode value for key {name}"));
        }
    }
    if let Some(curve) = fields.get("crv") {
        const CURVES: [&str; 8] = [
            "P-256",
            "P-384",
            "P-521",
            "secp256k1",
            "Ed25519",
            "Ed448",
            "X25519",
            "X448",
        ];
        if !curve.as_str().is_some_and(|curve| CURVES.contains(&curve)) {
            return Err(format!("invalid curve {curve}"));
        }
    }
    Ok(private || kind == "oct")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read() {
        for (text, want) in [
            (r#"{"keys":[]}"#, Ok(&[][..])),
            (r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#, Ok(&[false])),
            (
                r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","d":"AQAB"},{"kty":"oct","k":"AQAB"}]}"#,
                Ok(&[true, true]),
            ),
            (
                r#"{"kty":"EC","crv":"P-256","x":"AQAB"}"#,
                Err("y is missing"),
            ),
            (r#"{"kty":"XX"}"#, Err("unknown key type")),
            (
                r#"{"kty":"RSA","n":"?","e":"AQAB"}"#,
                Err("failed to decode"),
            ),
            (r#"{}"#, Err("unknown key type")),
            ("[]", Err("not an object")),
            ("foo", Err("expected")),
        ] {
            match (key_set(text), want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{text}"),
                (Err(got), Err(want)) => assert!(got.contains(want), "{text}: {got}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }
}
