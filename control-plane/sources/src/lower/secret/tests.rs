//! Secrets as users write them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meltemi_model::secret::Credential;
use meltemi_model::{Object, Shared};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, date_time_ymd};
use serde_json::{Value, json};

use crate::lower::{LowerSettings, lower};

struct Pem {
    certificate: String,
    key: String,
}

fn pem() -> Pem {
    let key = KeyPair::generate().unwrap();
    signed(&key)
}

fn signed(key: &KeyPair) -> Pem {
    let mut params = CertificateParams::new(["a.example.com".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2034, 1, 1);
    Pem {
        certificate: params.self_signed(key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

fn encoded(text: &str) -> Value {
    STANDARD.encode(text).into()
}

/// What became of it, and what was said.
fn read(object: &Value) -> (Option<Shared<Credential>>, String) {
    let lowered = lower(object, &LowerSettings::default());
    let words: Vec<String> = lowered
        .diagnostics
        .iter()
        .map(ToString::to_string)
        .collect();
    let found = lowered.object.map(|object| match object {
        Object::Secret(found) | Object::CaConfigMap(found) => found,
        other => panic!("{other:?}"),
    });
    (found, words.join("\n"))
}

fn secret(kind: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "c", "namespace": "ns"}, "type": kind, "data": data})
}

#[test]
fn the_names_under_which_things_stand() {
    let (a, b) = (pem(), pem());
    let (cert, key) = (encoded(&a.certificate), encoded(&a.key));
    let other = encoded(&b.certificate);
    for (what, data, pair, root) in [
        (
            "tls",
            json!({"tls.crt": cert, "tls.key": key}),
            Some(&a),
            None,
        ),
        (
            "tls with a CA",
            json!({"tls.crt": cert, "tls.key": key, "ca.crt": other}),
            Some(&a),
            Some(&b),
        ),
        (
            "generic",
            json!({"cert": cert, "key": key, "cacert": other}),
            Some(&a),
            Some(&b),
        ),
        (
            "generic comes first",
            json!({"cert": cert, "key": key, "tls.crt": other, "tls.key": key}),
            Some(&a),
            None,
        ),
        (
            "half a generic one",
            json!({"cert": cert, "tls.crt": cert, "tls.key": key}),
            Some(&a),
            None,
        ),
        ("a CA only", json!({"ca.crt": other}), None, Some(&b)),
        (
            "cacert comes first",
            json!({"cacert": other, "ca.crt": cert}),
            None,
            Some(&b),
        ),
        (
            "empty ones",
            json!({"cacert": "", "ca.crt": other, "key": "", "cert": ""}),
            None,
            Some(&b),
        ),
    ] {
        let (found, words) = read(&secret("Opaque", &data));
        assert_eq!(words, "", "{what}");
        let found = found.expect(what);
        let of = |pem: &Option<&Pem>| pem.map(|pem| pem.certificate.clone().into_bytes());
        let chain = found.pair.as_ref().map(|pair| pair.chain.reveal().to_vec());
        assert_eq!(chain, of(&pair), "{what}");
        let ca = found
            .root
            .as_ref()
            .map(|root| root.certificates.reveal().to_vec());
        assert_eq!(ca, of(&root), "{what}");
        for valid in [
            found.pair.as_ref().map(|p| p.valid),
            found.root.as_ref().map(|r| r.valid),
        ]
        .into_iter()
        .flatten()
        {
            assert_eq!((valid.from, valid.until), (1_704_067_200, 2_019_686_400));
        }
    }
}

#[test]
fn what_is_none_of_ours_is_not_kept() {
    let Pem { certificate, key } = pem();
    let data = json!({"tls.crt": encoded(&certificate), "tls.key": encoded(&key)});
    for (kind, data) in [
        ("Opaque", json!({"password": "c2VjcmV0"})),
        ("Opaque", Value::Null),
        ("helm.sh/release.v1", data.clone()),
        (
            "kubernetes.io/service-account-token",
            json!({"ca.crt": encoded(&certificate), "token": "eA=="}),
        ),
    ] {
        let (found, words) = read(&secret(kind, &data));
        assert!(found.is_none() && words.is_empty(), "{kind} {words}");
    }
}

#[test]
fn mistakes_name_the_field_and_no_value() {
    let (a, b) = (pem(), pem());
    let text = |text: &str| encoded(text);
    let cases = [
        (
            json!({"tls.crt": text(&a.certificate), "tls.key": text(&b.key)}),
            "data[\"tls.key\"]",
            "not that of the first certificate",
        ),
        (
            json!({"tls.crt": text("ThisIsTheKey"), "tls.key": text(&a.key)}),
            "data[\"tls.crt\"]",
            "no certificate in PEM",
        ),
        (
            json!({"tls.crt": text(&a.certificate), "tls.key": text("ThisIsTheKey")}),
            "data[\"tls.key\"]",
            "no private key in PEM",
        ),
        (
            json!({"tls.crt": text(&a.certificate), "tls.key": text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nThisIsTheKey\n-----END ENCRYPTED PRIVATE KEY-----\n")}),
            "data[\"tls.key\"]",
            "encrypted",
        ),
        (
            json!({"tls.crt": text(&a.certificate), "tls.key": ""}),
            "data",
            "missing or empty",
        ),
        (
            json!({"tls.crt": "ThisIsTheKey!", "tls.key": text(&a.key)}),
            "data[\"tls.crt\"]",
            "base64",
        ),
        (
            json!({"ca.crt": text("-----BEGIN CERTIFICATE-----\nThisIsTheKey\n-----END CERTIFICATE-----\n")}),
            "data[\"ca.crt\"]",
            "cannot be read",
        ),
        (
            json!({"ca.crt": text(&a.certificate), "ca.crl": text("ThisIsTheKey")}),
            "data[\"ca.crl\"]",
            "BEGIN X509 CRL",
        ),
        (
            json!({"ca.crt": ["ThisIsTheKey"]}),
            "data[\"ca.crt\"]",
            "not a string",
        ),
        (json!(["ThisIsTheKey"]), "data", "not a map"),
    ];
    for (data, path, says) in cases {
        let (found, words) = read(&secret("kubernetes.io/tls", &data));
        assert!(found.is_none(), "{words}");
        assert!(
            words.contains("error: Secret ns/c") && words.contains(path) && words.contains(says),
            "{words}"
        );
        assert!(
            !words.contains("ThisIsTheKey") && !words.contains("VGhpc0lz"),
            "{words}"
        );
    }
}

#[test]
fn every_kind_of_key() {
    for algorithm in [
        &PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
    ] {
        let pem = signed(&KeyPair::generate_for(algorithm).unwrap());
        let data = json!({"tls.crt": encoded(&pem.certificate), "tls.key": encoded(&pem.key)});
        assert_eq!(
            read(&secret("kubernetes.io/tls", &data)).1,
            "",
            "{algorithm:?}"
        );
    }
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let (rsa, other) = (signed(&rsa), pem());
    let with = |key: &str| json!({"tls.crt": encoded(&rsa.certificate), "tls.key": encoded(key)});
    assert_eq!(read(&secret("kubernetes.io/tls", &with(&rsa.key))).1, "");
    let (_, words) = read(&secret("kubernetes.io/tls", &with(&other.key)));
    assert!(
        words.contains("not that of the first certificate"),
        "{words}"
    );
}

#[test]
fn files_may_hold_plain_text() {
    let Pem { certificate, key } = pem();
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "c", "namespace": "ns"},
        "stringData": {"tls.crt": certificate, "tls.key": key}});
    let (found, words) = read(&object);
    assert_eq!(words, "");
    assert_eq!(
        found.unwrap().pair.as_ref().unwrap().key.reveal(),
        key.as_bytes()
    );
}

#[test]
fn config_maps_may_hold_a_ca() {
    let Pem { certificate, .. } = pem();
    let map = |name: &str, data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "ns"}, "data": data});
    let (found, words) = read(&map("ca", json!({"ca.crt": certificate, "other": "x"})));
    let found = found.expect(&words);
    assert_eq!((words.as_str(), found.pair.is_none()), ("", true));
    assert_eq!(found.meta.key.to_string(), "ConfigMap ns/ca");
    let (found, words) = read(&map("x", json!({"a": "b"})));
    assert!(found.is_none() && words.is_empty(), "{words}");
    let (found, words) = read(&map("x", json!({"cacert": "x"})));
    assert!(
        found.is_none() && words.contains("error: ConfigMap ns/x"),
        "{words}"
    );
}
