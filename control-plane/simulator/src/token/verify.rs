//! Whether a token is what it says: form, issuer, audience, time and signature.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meltemi_proto::envoy::extensions::filters::http::jwt_authn::v3::JwtProvider;
use serde_json::Value;

use super::Claims;

/// How far clocks may differ, in seconds. Envoy: a minute.
const SKEW: u64 = 60;

/// Why a token is refused, in Envoy's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    Missing,
    UnknownIssuer,
    Form,
    Header,
    Payload,
    Expired,
    NotYet,
    Audience,
    NoKey,
    Signature,
    /// Nothing of the token's.
    NotFollowed(&'static str),
}

impl Problem {
    /// Whether it says more than another one. Envoy: that a token is missing says nothing, that its issuer is another
    /// one little.
    pub(super) fn outweighs(self, other: &Problem) -> bool {
        match other {
            Problem::Missing => true,
            Problem::UnknownIssuer => self != Problem::Missing,
            _ => false,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Problem::Missing => "Jwt is missing",
            Problem::UnknownIssuer => "Jwt issuer is not configured",
            Problem::Form => {
                "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"
            }
            Problem::Header => "Jwt header is an invalid Base64url encoded or JSON",
            Problem::Payload => "Jwt payload is an invalid Base64 or JSON",
            Problem::Expired => "Jwt is expired",
            Problem::NotYet => "Jwt not yet valid",
            Problem::Audience => "Audiences in Jwt are not allowed",
            Problem::NoKey => "Jwks doesn't have key to match kid or alg from Jwt",
            Problem::Signature => "Jwt verification fails",
            Problem::NotFollowed(why) => why,
        })
    }
}

/// A token that can be read.
#[derive(Debug)]
pub(super) struct Token {
    algorithm: String,
    key: Option<String>,
    /// As it is written.
    pub(super) payload: String,
    pub(super) claims: Claims,
    /// What is signed.
    signed: String,
    signature: Vec<u8>,
}

impl Token {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let parts: Vec<&str> = text.split('.').collect();
        let [head, payload, signature] = parts[..] else {
            return Err(Problem::Form);
        };
        let header = object(head).ok_or(Problem::Header)?;
        let field = |name: &str| header.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            algorithm: field("alg").ok_or(Problem::Header)?,
            key: field("kid"),
            claims: object(payload).ok_or(Problem::Payload)?,
            payload: payload.to_owned(),
            signed: format!("{head}.{payload}"),
            signature: decoded(signature).ok_or(Problem::Signature)?,
        })
    }

    fn time(&self, name: &str) -> Option<u64> {
        let value = self.claims.get(name)?;
        // A time may have a fraction.
        value.as_u64().or_else(|| value.as_f64().map(|t| t as u64))
    }
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

fn object(text: &str) -> Option<Claims> {
    match serde_json::from_slice(&decoded(text)?).ok()? {
        Value::Object(fields) => Some(fields),
        _ => None,
    }
}

/// Checks a token for a provider, whose key set is `keys`. Without `now`, times are not looked at.
pub(super) fn verify(
    token: &Token,
    provider: &JwtProvider,
    keys: &str,
    now: Option<u64>,
) -> Result<(), Problem> {
    let issuer = token.claims.get("iss").and_then(Value::as_str);
    if !provider.issuer.is_empty() && issuer != Some(&*provider.issuer) {
        return Err(Problem::UnknownIssuer);
    }
    if let Some(now) = now {
        if token.time("nbf").is_some_and(|from| from > now + SKEW) {
            return Err(Problem::NotYet);
        }
        if token.time("exp").is_some_and(|end| end + SKEW < now) {
            return Err(Problem::Expired);
        }
    }
    if !provider.audiences.is_empty() && !is_for(token, &provider.audiences) {
        return Err(Problem::Audience);
    }
    signature(token, keys)
}

/// Envoy: the scheme of an audience and a slash at its end do not count.
fn is_for(token: &Token, audiences: &[String]) -> bool {
    fn bare(text: &str) -> &str {
        let text = text.trim_end_matches('/');
        let without = text.strip_prefix("https://");
        without.or(text.strip_prefix("http://")).unwrap_or(text)
    }
    let own: Vec<&str> = match token.claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let mut own = own.into_iter().map(bare);
    own.any(|own| audiences.iter().any(|wanted| bare(wanted) == own))
}

/// Whether one of the keys that may be meant has signed it.
fn signature(token: &Token, keys: &str) -> Result<(), Problem> {
    let set: Value = serde_json::from_str(keys).map_err(|_| Problem::NoKey)?;
    let all = set["keys"].as_array().into_iter().flatten();
    let is_meant = |key: &&Value| {
        let named = key["kid"].as_str();
        let same_name = token.key.is_none() || named.is_none() || token.key.as_deref() == named;
        let algorithm = key["alg"].as_str();
        same_name && algorithm.is_none_or(|algorithm| algorithm == token.algorithm)
    };
    let mut found = Problem::NoKey;
    for key in all.filter(is_meant) {
        match signed_by(token, key) {
            Some(true) => return Ok(()),
            Some(false) => found = Problem::Signature,
            None => {}
        }
    }
    Err(found)
}

/// `None`: the key is of another kind.
fn signed_by(token: &Token, key: &Value) -> Option<bool> {
    let part = |name: &str| decoded(key[name].as_str()?);
    let (message, signature) = (token.signed.as_bytes(), token.signature.as_slice());
    let verified = match (key["kty"].as_str()?, &*token.algorithm) {
        ("RSA", algorithm) => {
            let parameters = match algorithm {
                "RS256" => &RSA_PKCS1_2048_8192_SHA256,
                "RS384" => &RSA_PKCS1_2048_8192_SHA384,
                "RS512" => &RSA_PKCS1_2048_8192_SHA512,
                _ => return None,
            };
            let (n, e) = (part("n")?, part("e")?);
            RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
        }
        ("EC", "ES256") => {
            let point = [vec![4], part("x")?, part("y")?].concat();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
        }
        ("OKP", "EdDSA") => UnparsedPublicKey::new(&ED25519, part("x")?).verify(message, signature),
        _ => return None,
    };
    Some(verified.is_ok())
}
