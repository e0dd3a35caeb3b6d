//! Secrets (SDS). Istio 1.31: `pilot/pkg/xds/sds.go` is the reference for every value here.
//!
//! They are built without a memo: its keys would hold what must not lie about. Who serves them keeps the resources.

use std::sync::Arc;

use meltemi_model::secret::{Credential, KeyPair, Root, Sealed};
use meltemi_model::{ObjectKey, ResourceType, Shared, Str};
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3 as tls;

use crate::{Built, Input};

/// Everything that a secret is made from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecretInput {
    /// The name that the proxy asked for.
    pub name: Str,
    /// Where it stands.
    pub credential: Shared<Credential>,
    /// The certificates of its CA, rather than its own certificate and key.
    pub root: bool,
}

impl Input for SecretInput {
    const TYPE: ResourceType = ResourceType::Secret;
    type Part = ();
    type Shape = ();

    fn build(&self) -> Built {
        let root = self.credential.root.as_ref().filter(|_| self.root);
        let pair = self.credential.pair.as_ref().filter(|_| !self.root);
        let content = root.map(validation).or_else(|| pair.map(certificate));
        let message = tls::Secret {
            name: self.name.to_string(),
            r#type: content,
        };
        Built {
            name: Arc::clone(&self.name),
            body: meltemi_proto::canonical::encode(&message),
            from: vec![origin(&self.credential)],
        }
    }
}

fn origin(credential: &Credential) -> ObjectKey {
    credential.meta.key.clone()
}

fn certificate(pair: &KeyPair) -> tls::secret::Type {
    tls::secret::Type::TlsCertificate(tls::TlsCertificate {
        certificate_chain: Some(inline(&pair.chain)),
        private_key: Some(inline(&pair.key)),
        ocsp_staple: pair.staple.as_ref().map(inline),
        ..Default::default()
    })
}

fn validation(root: &Root) -> tls::secret::Type {
    tls::secret::Type::ValidationContext(tls::CertificateValidationContext {
        trusted_ca: Some(inline(&root.certificates)),
        crl: root.crl.as_ref().map(inline),
        ..Default::default()
    })
}

fn inline(bytes: &Sealed) -> core::DataSource {
    let bytes = bytes.reveal().to_vec();
    core::DataSource {
        specifier: Some(core::data_source::Specifier::InlineBytes(bytes)),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use meltemi_model::Kind;
    use meltemi_model::secret::Validity;
    use meltemi_model::testing::meta;
    use meltemi_proto::pool;
    use serde_json::{Value, json};

    use super::*;

    fn built(root: bool) -> Value {
        let valid = Validity { from: 0, until: 1 };
        let input = SecretInput {
            name: "kubernetes://c".into(),
            credential: Shared::new(Credential {
                meta: meta(Kind::Secret, "ns", "c"),
                pair: Some(KeyPair {
                    chain: Sealed::new("chain"),
                    key: Sealed::new("key"),
                    staple: Some(Sealed::new("staple")),
                    valid,
                }),
                root: Some(Root {
                    certificates: Sealed::new("ca"),
                    crl: Some(Sealed::new("crl")),
                    valid,
                }),
            }),
            root,
        };
        assert!(!format!("{input:?}").contains("key\""));
        let built = input.build();
        assert_eq!(built.from, std::slice::from_ref(&input.credential.meta.key));
        let name = "envoy.extensions.transport_sockets.tls.v3.Secret";
        pool::message_to_json(name, &built.body).unwrap()
    }

    #[test]
    fn a_pair_and_a_root_are_two_secrets() {
        let bytes = |base64: &str| json!({"inline_bytes": base64});
        let pair = json!({"name": "kubernetes://c", "tls_certificate": {
            "certificate_chain": bytes("Y2hhaW4="), "private_key": bytes("a2V5"), "ocsp_staple": bytes("c3RhcGxl"),
        }});
        assert_eq!(built(false), pair);
        let root = json!({"name": "kubernetes://c", "validation_context": {
            "trusted_ca": bytes("Y2E="), "crl": bytes("Y3Js"),
        }});
        assert_eq!(built(true), root);
    }
}
