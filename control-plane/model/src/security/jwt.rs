//! Which tokens requests may carry, and where their keys come from.

use std::time::Duration;

use super::PolicyTarget;
use crate::object::Meta;
use crate::{Kind, ObjectKey, Str};

/// Keys to which nobody has the private ones, so that no token can be signed for them. They stand in for keys that cannot
/// be had: requests without a token pass, as they would, and those with one are refused. Istio 1.31: `PublicOnlyJwks`, byte
/// for byte.
pub const NO_KEYS: &str = r#"{
  "keys": [
    {
      "kty": "RSA",
      "e": "AQAB",
      "n": "0xObjM0UvS_oaazjpEYlAbwctEJ4L8pH3OuTb7qth7gUwqet-EzQB4dgFdvSdMgrLnSncQGRjpEYz3F3viIbH-3EN3TxSlPNviHxeOdyiBVfumN8dMxbLvVJUpfNOnvmMxJcl-8NNjAwcOjk4otSALaYgYYyOPyvKtgVdrQr-FoubWX4yrjxW-MJ2-7OBeepUUNOsVwGV23YX03sVkkyvY3otRflkBcY3_HKpBxJl9wk2GyOShN4_PNUF9-vwfnvOXMbCDX-w4PTef4geeb_GiT40YCKHTKMSPVanGRn5GExIWmki-mmqh94-mPTJyBR74ShspL3BxPZitDL574T1w"
    }
  ]
}"#;

/// A RequestAuthentication.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestAuthentication {
    /// Key, labels, annotations, age.
    pub meta: Meta,
    /// The workloads that it is for.
    pub target: PolicyTarget,
    /// `jwtRules`.
    pub rules: Vec<JwtRule>,
}

/// One issuer's tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct JwtRule {
    /// `issuer`; empty: any.
    pub issuer: Str,
    /// `audiences`; empty: any.
    pub audiences: Vec<Str>,
    /// `jwks`; empty: none.
    pub jwks: Str,
    /// `jwksUri`; empty: none.
    pub jwks_uri: Str,
    /// `fromHeaders`: names, and what stands before the token.
    pub from_headers: Vec<(Str, Str)>,
    /// `fromParams`.
    pub from_params: Vec<Str>,
    /// `fromCookies`.
    pub from_cookies: Vec<Str>,
    /// `forwardOriginalToken`.
    pub forward: bool,
    /// `outputPayloadToHeader`; empty: none.
    pub payload_header: Str,
    /// `outputClaimToHeaders`: headers, and the claims that they get.
    pub claim_headers: Vec<(Str, Str)>,
    /// `spaceDelimitedClaims`, with those that always are (`permission`, `scope`), sorted.
    pub space_delimited: Vec<Str>,
    /// `timeout` of one request for keys; `None`: 5 s.
    pub timeout: Option<Duration>,
}

impl JwtRule {
    /// How long one request for keys may take.
    pub fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(Duration::from_secs(5))
    }

    /// Where its keys are fetched from if the control plane has to; `None`: they stand in the rule.
    pub fn source(&self) -> Option<KeySource> {
        if !self.jwks.is_empty() {
            None
        } else if !self.jwks_uri.is_empty() {
            Some(KeySource::Uri(self.jwks_uri.clone()))
        } else {
            (!self.issuer.is_empty()).then(|| KeySource::Issuer(self.issuer.clone()))
        }
    }
}

/// Who fetches keys from a `jwksUri` (PILOT_JWT_ENABLE_REMOTE_JWKS).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum JwksFetch {
    /// `istiod`, `false`: the control plane.
    #[default]
    ControlPlane,
    /// `hybrid`, `true`: proxies where the host is a service of the mesh, else the control plane.
    Hybrid,
    /// `envoy`: proxies.
    Envoy,
}

impl JwksFetch {
    /// Reads the flag. Istio 1.31: what it does not know means the control plane.
    pub fn parse(text: &str) -> Self {
        match text {
            "hybrid" | "true" => Self::Hybrid,
            "envoy" => Self::Envoy,
            _ => Self::ControlPlane,
        }
    }
}

/// Where the control plane fetches keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeySource {
    /// The document at this address.
    Uri(Str),
    /// The document that this issuer's OpenID configuration names.
    Issuer(Str),
}

impl KeySource {
    /// The key of what was fetched from there.
    pub fn key(&self) -> ObjectKey {
        match self {
            KeySource::Uri(uri) => ObjectKey::new(Kind::Jwks, "uri", uri.clone()),
            KeySource::Issuer(issuer) => ObjectKey::new(Kind::Jwks, "issuer", issuer.clone()),
        }
    }
}

impl std::fmt::Display for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KeySource::Uri(uri) => f.write_str(uri),
            KeySource::Issuer(issuer) => write!(f, "the OpenID configuration of {issuer}"),
        }
    }
}

/// Where a proxy has keys from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Keys {
    /// It is sent them.
    Inline(Str),
    /// It fetches them.
    Remote {
        /// The address.
        uri: Str,
        /// The cluster of the address' host.
        cluster: Str,
    },
}

/// A rule with its keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JwtProvider {
    /// The rule.
    pub rule: JwtRule,
    /// Its keys.
    pub keys: Keys,
}

/// What was fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct FetchedKeys {
    /// The document (public keys), as it came; `None`: there was never one, or none for too long.
    pub keys: Option<Str>,
    /// Why the last attempt failed; empty: it did not.
    pub problem: Str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_the_address_else_the_issuer_unless_keys_are_inline() {
        let uri = KeySource::Uri("http://a/keys".into());
        let issuer = KeySource::Issuer("https://a".into());
        for (issuer_text, uri_text, jwks, want) in [
            ("https://a", "http://a/keys", "", Some(uri.clone())),
            ("https://a", "http://a/keys", "{}", None),
            ("https://a", "", "", Some(issuer)),
            ("https://a", "", "{}", None),
            ("", "http://a/keys", "", Some(uri)),
            ("", "", "", None),
        ] {
            let rule = JwtRule {
                issuer: issuer_text.into(),
                jwks_uri: uri_text.into(),
                jwks: jwks.into(),
                ..JwtRule::default()
            };
            assert_eq!(rule.source(), want, "{issuer_text} {uri_text} {jwks}");
        }
    }

    #[test]
    fn the_flag_of_who_fetches_is_read_as_istiod_does() {
        for (text, want) in [
            ("false", JwksFetch::ControlPlane),
            ("istiod", JwksFetch::ControlPlane),
            ("no such thing", JwksFetch::ControlPlane),
            ("true", JwksFetch::Hybrid),
            ("hybrid", JwksFetch::Hybrid),
            ("envoy", JwksFetch::Envoy),
        ] {
            assert_eq!(JwksFetch::parse(text), want, "{text}");
        }
    }
}
