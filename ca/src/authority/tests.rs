use std::process::Command;
use std::time::Duration;

use x509_parser::extensions::{GeneralName, ParsedExtension};

use super::*;
use crate::testing::{authority, csr, csr_with, intermediate, key, noon, p256, root, root_with};

const ID: &str = "spiffe://cluster.local/ns/default/sa/sleep";

fn ids() -> Vec<String> {
    vec![ID.to_owned()]
}

fn first(chain: &[String]) -> CertificateDer<'static> {
    pem::certificates(&chain[0]).unwrap().remove(0)
}

/// Whether rustls takes the leaf for a client and a server of this identity's host.
fn rustls_verifies(authority: &Authority, chain: &[String]) {
    let mut roots = rustls::RootCertStore::empty();
    for root in authority.roots() {
        roots.add(root.clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
    let between: Vec<_> = chain[1..chain.len() - 1]
        .iter()
        .flat_map(|text| pem::certificates(text).unwrap())
        .collect();
    let now = rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(
        u64::try_from(unix(noon())).unwrap(),
    ));
    verifier
        .verify_client_cert(&first(chain), &between, now)
        .unwrap();
}

#[test]
fn every_kind_of_signer_signs_every_kind_of_request() {
    let kinds = [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_RSA_SHA256,
    ];
    let requests: Vec<String> = kinds.iter().map(|kind| csr(&key(kind))).collect();
    for kind in kinds {
        for (authority, elements) in [
            (authority(root("a", kind)), 2),
            (authority(intermediate(kind)), 3),
        ] {
            for request in &requests {
                let chain = authority.issue(request, &ids(), 0, noon()).unwrap();
                assert_eq!(chain.len(), elements);
                assert!(
                    chain
                        .iter()
                        .all(|element| element.ends_with("-----END CERTIFICATE-----\n"))
                );
                rustls_verifies(&authority, &chain);
            }
        }
    }
}

#[test]
fn a_leaf_is_as_istio_makes_it() {
    let authority = authority(root("cluster.local", &rcgen::PKCS_ECDSA_P256_SHA256));
    let key = p256();
    let chain = authority.issue(&csr(&key), &ids(), 3600, noon()).unwrap();
    let der = first(&chain);
    let leaf = parse(&der).unwrap();
    assert_eq!(
        leaf.public_key().raw,
        rcgen::PublicKeyData::subject_public_key_info(&key)
    );
    assert_eq!(leaf.subject().iter().count(), 0);
    assert_eq!(unix(noon()) - leaf.validity().not_before.timestamp(), 120);
    assert_eq!(leaf.validity().not_after.timestamp() - unix(noon()), 3600);
    assert!(leaf.raw_serial().len() > 8);
    let mut seen = Vec::new();
    for extension in leaf.extensions() {
        let what = match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                assert_eq!(names.general_names, [GeneralName::URI(ID)]);
                "names"
            }
            ParsedExtension::KeyUsage(usage) => {
                assert_eq!(usage.flags, 0b101, "digitalSignature, keyEncipherment");
                "usage"
            }
            ParsedExtension::ExtendedKeyUsage(usage) => {
                assert!(usage.server_auth && usage.client_auth && !usage.any);
                "extended usage"
            }
            ParsedExtension::BasicConstraints(basic) => {
                assert!(!basic.ca);
                "basic"
            }
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                let id = id.key_identifier.as_ref().unwrap().0;
                assert_eq!(id, authority.key_id.as_deref().unwrap());
                "issuer's key"
            }
            other => panic!("{other:?}"),
        };
        seen.push((what, extension.critical));
    }
    seen.sort_unstable();
    let expected = [
        ("basic", true),
        ("extended usage", false),
        ("issuer's key", false),
        ("names", true),
        ("usage", true),
    ];
    assert_eq!(seen, expected);
    let again = authority.issue(&csr(&key), &ids(), 3600, noon()).unwrap();
    assert_ne!(
        parse(&first(&again)).unwrap().raw_serial(),
        leaf.raw_serial()
    );
}

#[test]
fn a_common_name_is_made_from_the_identity() {
    let authority = authority(root("x", &rcgen::PKCS_ECDSA_P256_SHA256));
    let request = csr_with(&p256(), |params| {
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "admin");
    });
    let subject = |id: &str| {
        let chain = authority
            .issue(&request, &[id.to_owned()], 0, noon())
            .unwrap();
        let der = first(&chain);
        let subject = parse(&der).unwrap().subject().to_string();
        let critical = parse(&der)
            .unwrap()
            .subject_alternative_name()
            .unwrap()
            .unwrap()
            .critical;
        assert!(critical);
        subject
    };
    assert_eq!(subject(ID), format!("CN={ID}"));
    assert_eq!(subject(&format!("{ID}{}", "a".repeat(60))), "");
}

#[test]
fn lifetimes_follow_the_policy() {
    let material = root_with("x", p256(), |params| {
        // Ends 30 days after noon.
        params.not_after =
            rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(1_800_000_000 + 30 * 24 * 3600);
    });
    let authority = authority(material);
    let request = csr(&p256());
    const DAY: i64 = 24 * 3600;
    for (wished, lives) in [
        (0, DAY),
        (-5, DAY),
        (i64::MIN, DAY),
        (60, 60),
        (DAY, DAY),
        (90 * DAY, 30 * DAY),
    ] {
        let chain = authority.issue(&request, &ids(), wished, noon()).unwrap();
        let end = parse(&first(&chain))
            .unwrap()
            .validity()
            .not_after
            .timestamp();
        assert_eq!(end - unix(noon()), lives, "{wished}");
    }
    for wished in [90 * DAY + 1, i64::MAX] {
        let error = authority
            .issue(&request, &ids(), wished, noon())
            .unwrap_err();
        assert!(matches!(error, IssueError::Lifetime { .. }), "{error}");
    }
    let error = authority
        .issue(&request, &ids(), 2161 * 3600, noon())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "requested TTL 2161h0m0s is greater than the max allowed TTL 2160h0m0s"
    );
    let late = noon() + Duration::from_secs(31 * 24 * 3600);
    assert_eq!(
        authority.issue(&request, &ids(), 0, late),
        Err(IssueError::Expired)
    );
}

#[test]
fn only_identities_become_names() {
    let authority = authority(root("x", &rcgen::PKCS_ECDSA_P256_SHA256));
    for wrong in [
        "",
        "example.com",
        "spiffe://td/ns/a/sa/b\n",
        "spiffe://td/x",
    ] {
        let ids = [ID.to_owned(), wrong.to_owned()];
        let issued = authority.issue(&csr(&p256()), &ids, 0, noon());
        assert_eq!(issued, Err(IssueError::Identity), "{wrong:?}");
    }
    assert_eq!(
        authority.issue(&csr(&p256()), &[], 0, noon()),
        Err(IssueError::Identity)
    );
}

/// A name with two attributes of one kind, as `DC=example, DC=com` has.
#[test]
fn the_issuer_is_the_signers_name_byte_for_byte() {
    let Some(dir) = with_openssl() else { return };
    let path = dir.path();
    run(
        path,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 20000 -keyout key.pem -out cert.pem -subj /DC=com/DC=example/OU=a/OU=b/CN=root -addext keyUsage=critical,keyCertSign",
    );
    let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();
    let authority = authority(Material {
        certificate: read("cert.pem"),
        key: read("key.pem"),
        chain: String::new(),
        roots: read("cert.pem"),
    });
    let now = SystemTime::now();
    let chain = authority.issue(&csr(&p256()), &ids(), 0, now).unwrap();
    let der = first(&chain);
    assert_eq!(parse(&der).unwrap().issuer().as_raw(), authority.subject);
    std::fs::write(path.join("leaf.pem"), &chain[0]).unwrap();
    let told = run(
        path,
        "verify -x509_strict -purpose sslclient -CAfile cert.pem leaf.pem",
    );
    assert!(told.contains("leaf.pem: OK"), "{told}");
    let told = run(
        path,
        "verify -x509_strict -purpose sslserver -CAfile cert.pem leaf.pem",
    );
    assert!(told.contains("leaf.pem: OK"), "{told}");
    let told = run(path, "x509 -in leaf.pem -noout -ext subjectAltName");
    assert!(
        told.contains("Subject Alternative Name: critical") && told.contains(ID),
        "{told}"
    );
}

/// PKCS #8, PKCS #1 and SEC 1, as operators have them.
#[test]
fn keys_are_read_in_every_usual_form() {
    let Some(dir) = with_openssl() else { return };
    let path = dir.path();
    let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();
    let cases = [
        ("rsa:2048", "rsa -traditional", "BEGIN RSA PRIVATE KEY"),
        (
            "ec -pkeyopt ec_paramgen_curve:P-256",
            "ec",
            "BEGIN EC PRIVATE KEY",
        ),
        (
            "ec -pkeyopt ec_paramgen_curve:P-384",
            "ec",
            "BEGIN EC PRIVATE KEY",
        ),
    ];
    for (kind, convert, header) in cases {
        run(
            path,
            &format!(
                "req -x509 -newkey {kind} -nodes -days 20000 -keyout p8.pem -out cert.pem -subj /O=x -addext keyUsage=critical,keyCertSign"
            ),
        );
        run(path, &format!("{convert} -in p8.pem -out old.pem"));
        assert!(read("p8.pem").contains("BEGIN PRIVATE KEY"));
        assert!(read("old.pem").contains(header), "{kind}");
        for name in ["p8.pem", "old.pem"] {
            let authority = authority(Material {
                certificate: read("cert.pem"),
                key: read(name),
                chain: String::new(),
                roots: read("cert.pem"),
            });
            let chain = authority
                .issue(&csr(&p256()), &ids(), 0, SystemTime::now())
                .unwrap();
            std::fs::write(path.join("leaf.pem"), &chain[0]).unwrap();
            let told = run(path, "verify -x509_strict -CAfile cert.pem leaf.pem");
            assert!(told.contains("leaf.pem: OK"), "{kind} {name}: {told}");
        }
    }
}

fn with_openssl() -> Option<tempfile::TempDir> {
    if Command::new("openssl").arg("version").output().is_err() {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "skipped: no openssl");
        return None;
    }
    Some(tempfile::tempdir().unwrap())
}

fn run(dir: &std::path::Path, arguments: &str) -> String {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(dir)
        .output()
        .unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(output.status.success(), "openssl {arguments}: {told}");
    told
}

#[test]
fn material_that_cannot_sign_is_refused() {
    let kind = &rcgen::PKCS_ECDSA_P256_SHA256;
    let good = root("x", kind);
    let other = root("x", kind);
    let no_ca = root_with("x", p256(), |params| params.is_ca = rcgen::IsCa::NoCa);
    let no_sign = root_with("x", p256(), |params| {
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    });
    let below = intermediate(kind);
    let with = |change: &dyn Fn(&mut Material)| {
        let mut material = good.clone();
        change(&mut material);
        material
    };
    let cases: Vec<(&str, Material, &str)> = vec![
        (
            "other key",
            with(&|m| m.key.clone_from(&other.key)),
            "does not belong",
        ),
        ("no key", with(&|m| m.key.clear()), "no private key"),
        (
            "no certificate",
            with(&|m| m.certificate.clear()),
            "no certificate",
        ),
        ("no root", with(&|m| m.roots.clear()), "root certificate"),
        (
            "other root",
            with(&|m| m.roots.clone_from(&other.roots)),
            "does not lead",
        ),
        ("no authority", no_ca, "not authorized"),
        ("no signer", no_sign, "not authorized"),
        (
            "foreign root",
            Material {
                roots: good.roots.clone(),
                ..below
            },
            "does not lead",
        ),
    ];
    for (case, material, why) in cases {
        let secret = material.key.clone();
        let error = Authority::new(material, Lifetimes::default())
            .expect_err(case)
            .to_string();
        assert!(error.contains(why), "{case}: {error}");
        assert!(secret.is_empty() || !error.contains(secret.lines().nth(1).unwrap()));
    }
}

#[test]
fn i9_keys_are_never_shown() {
    let material = root("x", &rcgen::PKCS_RSA_SHA256);
    let line = material.key.lines().nth(2).unwrap().to_owned();
    let shown = format!("{material:?} {:?}", authority(material.clone()));
    assert!(
        !shown.contains(&line) && !shown.contains("PRIVATE"),
        "{shown}"
    );
}
