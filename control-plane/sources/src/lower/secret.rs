//! core/v1 Secret, and ConfigMap with the certificates of a CA. Istio 1.31: `pilot/pkg/credentials/kube/secrets.go`.
//!
//! Of a Secret only what a proxy may be served is kept: the certificate, its key, the CA. No value ever stands in a
//! Diagnostic.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meltemi_model::secret::{Credential, KeyPair, Root, Sealed};
use meltemi_model::{Object, Shared};
use serde_json::Value;

use super::findings::Findings;
use super::meta::Raw;

mod pem;
#[cfg(test)]
mod tests;

/// Where a certificate and its key stand, in order of precedence: (certificate, key, OCSP answer).
const PAIRS: [(&str, &str, &str); 2] = [
    ("cert", "key", ""),
    ("tls.crt", "tls.key", "tls.ocsp-staple"),
];

/// Where the certificates of a CA stand, in order of precedence: (certificates, revoked ones).
const ROOTS: [(&str, &str); 2] = [("cacert", "crl"), ("ca.crt", "ca.crl")];

/// Types of Secrets that hold no certificates for proxies; API servers are not even asked for the first two.
const OTHER_TYPES: [&str; 5] = [
    "helm.sh/release.v1",
    "kubernetes.io/service-account-token",
    "kubernetes.io/dockercfg",
    "kubernetes.io/dockerconfigjson",
    "bootstrap.kubernetes.io/token",
];

pub(super) fn lower(raw: &Raw<'_>, findings: &mut Findings) -> Option<Object> {
    let kind = raw.part("type").as_str().unwrap_or_default();
    if OTHER_TYPES.contains(&kind) {
        return None;
    }
    let mut values = Values::default();
    read(raw, "data", findings, &mut values, |text| {
        // Wrapped lines are tolerated in files, which people write.
        let text: String = text.split_ascii_whitespace().collect();
        STANDARD.decode(text).ok()
    });
    // What a user writes here the API server moves to `data`.
    read(raw, "stringData", findings, &mut values, |text| {
        Some(text.as_bytes().to_vec())
    });
    let is_tls = kind == "kubernetes.io/tls";
    let pair = pair(&values, is_tls, findings);
    let root = root(&values, findings);
    credential(raw, pair, root).map(Object::Secret)
}

pub(super) fn lower_config_map(raw: &Raw<'_>, findings: &mut Findings) -> Option<Object> {
    let mut values = Values::default();
    read(raw, "data", findings, &mut values, |text| {
        Some(text.as_bytes().to_vec())
    });
    let root = root(&values, findings);
    credential(raw, None, root).map(Object::CaConfigMap)
}

fn credential(
    raw: &Raw<'_>,
    pair: Option<KeyPair>,
    root: Option<Root>,
) -> Option<Shared<Credential>> {
    (pair.is_some() || root.is_some()).then(|| {
        Shared::new(Credential {
            meta: raw.meta.clone(),
            pair,
            root,
        })
    })
}

/// The values that may matter, decoded, with the field each came from.
#[derive(Default)]
struct Values(BTreeMap<&'static str, (&'static str, Vec<u8>)>);

impl Values {
    /// The value of a key; `None` where it is missing or empty.
    fn get(&self, key: &str) -> Option<&[u8]> {
        let (_, value) = self.0.get(key)?;
        (!value.is_empty()).then_some(value)
    }

    /// `data.KEY`, with the field that it stands in.
    fn path(&self, key: &str) -> String {
        let field = self.0.get(key).map_or("data", |(field, _)| field);
        format!("{field}[{key:?}]")
    }

    fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }
}

fn read(
    raw: &Raw<'_>,
    field: &'static str,
    findings: &mut Findings,
    values: &mut Values,
    decode: impl Fn(&str) -> Option<Vec<u8>>,
) {
    let map = match raw.part(field) {
        Value::Null => return,
        Value::Object(map) => map,
        _ => {
            findings.error(field, "this is not a map of names to values");
            return;
        }
    };
    let keys = PAIRS
        .iter()
        .flat_map(|(certificate, key, staple)| [*certificate, *key, *staple])
        .chain(ROOTS.iter().flat_map(|(ca, crl)| [*ca, *crl]));
    for key in keys.filter(|key| !key.is_empty()) {
        let text: Cow<'_, str> = match map.get(key) {
            None => continue,
            Some(Value::Null) => Cow::Borrowed(""),
            Some(Value::String(text)) => Cow::Borrowed(text),
            Some(_) => {
                findings.error(format!("{field}[{key:?}]"), "the value is not a string");
                continue;
            }
        };
        match decode(&text) {
            Some(bytes) => {
                values.0.insert(key, (field, bytes));
            }
            None => {
                let message = "the value is not base64; write it so, or plainly in stringData";
                findings.error(format!("{field}[{key:?}]"), message);
            }
        }
    }
}

/// The certificate and its key. Of a Secret that is made for a certificate it is said when it has none.
fn pair(values: &Values, is_tls: bool, findings: &mut Findings) -> Option<KeyPair> {
    let found = PAIRS.iter().find_map(|(certificate, key, staple)| {
        let both = (values.get(certificate)?, values.get(key)?);
        Some((certificate, key, staple, both))
    });
    let Some((chain_key, key_key, staple, (chain, key))) = found else {
        let there: Vec<&str> = ["tls.crt", "tls.key"]
            .into_iter()
            .filter(|key| values.has(key))
            .collect();
        if is_tls && !there.is_empty() {
            let message = "a certificate and its key are needed, and one of them is missing or empty: tls.crt, tls.key";
            findings.error("data", message);
        }
        return None;
    };
    let valid = pem::certificates(chain).map_err(|message| {
        findings.error(values.path(chain_key), message);
    });
    let fits = pem::key_of(chain, key).map_err(|message| {
        findings.error(values.path(key_key), message);
    });
    let (valid, ()) = (valid.ok()?, fits.ok()?);
    Some(KeyPair {
        chain: Sealed::new(chain.to_vec()),
        key: Sealed::new(key.to_vec()),
        staple: values
            .get(staple)
            .map(|staple| Sealed::new(staple.to_vec())),
        valid,
    })
}

fn root(values: &Values, findings: &mut Findings) -> Option<Root> {
    let found = ROOTS
        .iter()
        .find_map(|(ca, crl)| Some((*ca, *crl, values.get(ca)?)));
    let (ca, crl, certificates) = found?;
    let valid = pem::certificates(certificates).map_err(|message| {
        findings.error(values.path(ca), message);
    });
    let revoked = match values.get(crl) {
        None => None,
        Some(list) => match pem::revocations(list) {
            Ok(()) => Some(Sealed::new(list.to_vec())),
            Err(message) => {
                findings.error(values.path(crl), message);
                return None;
            }
        },
    };
    Some(Root {
        certificates: Sealed::new(certificates.to_vec()),
        crl: revoked,
        valid: valid.ok()?,
    })
}
