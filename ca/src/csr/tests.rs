use proptest::prelude::*;

use super::*;
use crate::testing::{self, csr, csr_with, key, p256};

#[test]
fn strong_requests_are_read() {
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_RSA_SHA256,
    ] {
        let key = key(algorithm);
        let request = read(&csr(&key)).unwrap();
        assert_eq!(
            request.public_key,
            rcgen::PublicKeyData::subject_public_key_info(&key)
        );
        assert!(!request.wants_common_name);
    }
    let named = csr_with(&p256(), |params| {
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "x");
    });
    assert!(read(&named).unwrap().wants_common_name);
}

#[test]
fn weak_and_foreign_requests_are_refused() {
    let good = csr(&p256());
    let other = csr(&p256());
    let der = crate::pem::single(&good, &LABELS).unwrap();
    let mut tail = der.clone();
    tail.push(0);
    let swapped = {
        // The signature of one request under the body of another.
        let other = crate::pem::single(&other, &LABELS).unwrap();
        let keep = der.len().min(other.len()) - 60;
        [&der[..keep], &other[other.len() - (der.len() - keep)..]].concat()
    };
    let pem = |der: &[u8]| crate::pem::block("CERTIFICATE REQUEST", der);
    let padded = format!("{good}{}", " ".repeat(MAX_BYTES));
    let cases: Vec<(&str, String, &str)> = vec![
        (
            "RSA 1024",
            testing::WEAK_RSA.to_owned(),
            "RSA with 1024 bits",
        ),
        (
            "P-521",
            testing::P521.to_owned(),
            "other than P-256 and P-384",
        ),
        (
            "Ed25519",
            testing::ED25519.to_owned(),
            "neither RSA nor ECDSA",
        ),
        ("SHA-1", testing::SHA1.to_owned(), "signature"),
        ("oversized", padded, "at most 16384"),
        ("two blocks", format!("{good}{other}"), "something follows"),
        ("text after", format!("{good}x"), "something follows"),
        ("bytes after", pem(&tail), "cannot be parsed"),
        ("other signature", pem(&swapped), "signature"),
        (
            "a certificate",
            testing::root("x", &rcgen::PKCS_ECDSA_P256_SHA256).certificate,
            "label",
        ),
        ("nothing", String::new(), "does not begin"),
    ];
    for (case, text, why) in cases {
        let error = read(&text).expect_err(case).to_string();
        assert!(error.contains(why), "{case}: {error}");
    }
}

#[test]
fn key_bits_are_counted() {
    for (number, count) in [
        (&[0x80_u8][..], 8),
        (&[0, 0x80], 8),
        (&[1], 1),
        (&[], 0),
        (&[0], 0),
        (&[0x7f, 0], 15),
    ] {
        assert_eq!(bits(number), count, "{number:?}");
    }
}

proptest! {
    /// Whatever is changed in a request, it is refused or it says the same as before.
    #[test]
    fn a_changed_request_is_refused(at in 0_usize..2000, flip in 1_u8..=255, rsa in any::<bool>()) {
        use std::sync::OnceLock;
        static ONE: OnceLock<[String; 2]> = OnceLock::new();
        let requests = ONE.get_or_init(|| [csr(&p256()), csr(&key(&rcgen::PKCS_RSA_SHA256))]);
        let good = &requests[usize::from(rsa)];
        let mut der = crate::pem::single(good, &LABELS).unwrap();
        let at = at % der.len();
        der[at] ^= flip;
        if let Ok(request) = read(&crate::pem::block("CERTIFICATE REQUEST", &der)) {
            prop_assert_eq!(Ok(request), read(good));
        }
    }

    /// Whatever text comes, nothing panics.
    #[test]
    fn any_text_is_survived(text in ".{0,300}", der in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(read(&text).is_err());
        prop_assert!(read(&crate::pem::block("CERTIFICATE REQUEST", &der)).is_err());
    }
}
