//! Key sets (RFC 7517) as far as the control plane looks into them.

use serde_json::Value;

/// Whether a document is a key set. Anything else must not reach a proxy: whoever may write a policy could read pages of
/// other services from its configuration. Istio 1.31 does not look; later ones do.
pub fn check(text: &str) -> Result<(), String> {
    match keys(text) {
        Some(_) => Ok(()),
        None => Err("the answer is no key set (a JSON object with a list keys)".to_owned()),
    }
}

/// Whether two documents hold different keys; their order and other fields do not count. Istio 1.31:
/// `compareJWKSResponse`.
pub fn differ(one: &str, other: &str) -> bool {
    let sorted = |text: &str| {
        let mut keys: Vec<String> = keys(text)?.iter().map(canonical).collect();
        keys.sort();
        Some(keys)
    };
    one != other && sorted(one) != sorted(other)
}

/// The address of the keys in an OpenID configuration.
pub fn jwks_uri(text: &str) -> Result<String, String> {
    let read: Option<Value> = serde_json::from_str(text).ok();
    let uri = read.as_ref().and_then(|value| value["jwks_uri"].as_str());
    uri.filter(|uri| !uri.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| "the OpenID configuration names no jwks_uri".to_owned())
}

fn keys(text: &str) -> Option<Vec<Value>> {
    let mut read: Value = serde_json::from_str(text).ok()?;
    match read.get_mut("keys")?.take() {
        Value::Array(keys) => Some(keys),
        _ => None,
    }
}

/// A value as text in which the fields of objects are sorted.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut parts: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{name:?}:{}", canonical(value)))
                .collect();
            parts.sort();
            format!("{{{}}}", parts.join(","))
        }
        Value::Array(list) => {
            let parts: Vec<String> = list.iter().map(canonical).collect();
            format!("[{}]", parts.join(","))
        }
        plain => plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_key_sets_are_taken() {
        for (text, good) in [
            (r#"{"keys":[]}"#, true),
            (r#"{"keys":[{"kty":"RSA"}],"more":1}"#, true),
            ("", false),
            ("<html>", false),
            ("[]", false),
            ("{}", false),
            (r#"{"keys":{}}"#, false),
            (r#"{"keys":null}"#, false),
        ] {
            assert_eq!(check(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn order_and_spaces_make_no_difference() {
        let one = r#"{"keys":[{"kid":"a","n":"1"},{"kid":"b","n":"2"}]}"#;
        for (other, want) in [
            (one, false),
            (
                r#"{"keys": [{"n":"2","kid":"b"}, {"kid":"a","n":"1"}]}"#,
                false,
            ),
            (
                r#"{"x":1,"keys":[{"kid":"a","n":"1"},{"kid":"b","n":"2"}]}"#,
                false,
            ),
            (r#"{"keys":[{"kid":"a","n":"1"}]}"#, true),
            (
                r#"{"keys":[{"kid":"a","n":"1"},{"kid":"b","n":"3"}]}"#,
                true,
            ),
            ("<html>", true),
        ] {
            assert_eq!(differ(one, other), want, "{other}");
        }
    }

    #[test]
    fn the_openid_configuration_names_the_keys() {
        let found = jwks_uri(r#"{"issuer":"x","jwks_uri":"https://a/keys"}"#);
        assert_eq!(found.as_deref(), Ok("https://a/keys"));
        for text in ["", "{}", r#"{"jwks_uri":1}"#, r#"{"jwks_uri":""}"#] {
            assert!(jwks_uri(text).is_err(), "{text}");
        }
    }
}
