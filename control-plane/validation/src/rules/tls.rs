//! TLS of servers and of clients.

use meltemi_api::destination_rule::{ClientTlsMode, ClientTlsSettings};
use meltemi_api::gateway::{ServerTlsMode, ServerTlsSettings, TlsProtocol};

use super::cipher::{is_suite, printed, sort_out};
use crate::{Check, Findings};

/// `tls` of a Gateway's server or a Sidecar's ingress. Istio 1.31: `validateTLSOptions`.
pub fn server(found: &mut Findings, at: &str, tls: Option<&ServerTlsSettings>) {
    let Some(tls) = tls else { return };
    let old = matches!(
        tls.min_protocol_version,
        TlsProtocol::V1_0 | TlsProtocol::V1_1
    );
    if old && tls.cipher_suites.is_empty() {
        found.warning(
            format!("{at}.minProtocolVersion"),
            "TLS version below TLSV1_2 require setting compatible ciphers as by default they no longer include compatible ciphers.",
        );
    }
    let (unknown, twice) = sort_out(&tls.cipher_suites, is_suite);
    for (suites, what) in [(unknown, "invalid"), (twice, "duplicate")] {
        if !suites.is_empty() {
            let message = format!("ignoring {what} cipher suites: {}", printed(&suites));
            found.warning(format!("{at}.cipherSuites"), message);
        }
    }
    let credentials = !tls.credential_name.is_empty() || !tls.credential_names.is_empty();
    match tls.mode {
        ServerTlsMode::IstioMutual => return istio_mutual(found, at, tls),
        ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough => {
            if holds_certificates(tls) || credentials {
                let mode = tls.mode.as_str();
                let message =
                    format!("{mode} mode does not use certificates, they will be ignored");
                found.warning(at, message);
            }
        }
        ServerTlsMode::Simple | ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual => {}
    }
    let sources = [
        !tls.server_certificate.is_empty() && !tls.private_key.is_empty(),
        !tls.credential_name.is_empty(),
        !tls.credential_names.is_empty(),
        !tls.tls_certificates.is_empty(),
    ];
    if sources.into_iter().filter(|source| *source).count() > 1 {
        found.error(
            at,
            "only one of credential_name, credential_names, server_certificate/private_key, tls_certificates should be specified",
        );
    }
    let prefix = match tls.mode {
        ServerTlsMode::Simple => "SIMPLE TLS",
        ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual => "MUTUAL TLS",
        _ => return revocation(found, at, tls),
    };
    // Credentials bring everything with them.
    if credentials {
        return;
    }
    certificates(found, at, tls, prefix);
    revocation(found, at, tls);
}

fn holds_certificates(tls: &ServerTlsSettings) -> bool {
    !tls.ca_crl.is_empty()
        || !tls.server_certificate.is_empty()
        || !tls.private_key.is_empty()
        || !tls.ca_certificates.is_empty()
        || !tls.tls_certificates.is_empty()
}

/// Istio's own certificates need no other.
fn istio_mutual(found: &mut Findings, at: &str, tls: &ServerTlsSettings) {
    for (set, field, what) in [
        (
            !tls.server_certificate.is_empty(),
            "serverCertificate",
            "server certificate",
        ),
        (!tls.private_key.is_empty(), "privateKey", "private key"),
        (
            !tls.ca_certificates.is_empty(),
            "caCertificates",
            "CA bundle",
        ),
        (
            !tls.tls_certificates.is_empty(),
            "tlsCertificates",
            "tlsCertificates",
        ),
        (
            !tls.credential_name.is_empty(),
            "credentialName",
            "credentialName",
        ),
        (
            !tls.credential_names.is_empty(),
            "credentialNames",
            "credentialNames",
        ),
    ] {
        if set {
            let message = format!("ISTIO_MUTUAL TLS cannot have associated {what}");
            found.error(format!("{at}.{field}"), message);
        }
    }
}

fn certificates(found: &mut Findings, at: &str, tls: &ServerTlsSettings, prefix: &str) {
    if tls.mode != ServerTlsMode::Simple && tls.ca_certificates.is_empty() {
        found.error(
            format!("{at}.caCertificates"),
            format!("{prefix} requires a client CA bundle"),
        );
    }
    if tls.tls_certificates.len() > 2 {
        found.warning(
            format!("{at}.tlsCertificates"),
            format!("{prefix} can support up to 2 server certificates"),
        );
    }
    let mut pairs = Vec::new();
    for (i, pair) in tls.tls_certificates.iter().enumerate() {
        let at = format!("{at}.tlsCertificates[{i}]");
        pairs.push((at, &pair.server_certificate, &pair.private_key));
    }
    if pairs.is_empty() {
        pairs.push((at.to_owned(), &tls.server_certificate, &tls.private_key));
    }
    for (at, certificate, key) in pairs {
        if certificate.is_empty() {
            found.error(
                format!("{at}.serverCertificate"),
                format!("{prefix} requires a server certificate"),
            );
        }
        if key.is_empty() {
            found.error(
                format!("{at}.privateKey"),
                format!("{prefix} requires a private key"),
            );
        }
    }
}

fn revocation(found: &mut Findings, at: &str, tls: &ServerTlsSettings) {
    if tls.ca_crl.is_empty() {
        return;
    }
    let at = format!("{at}.caCrl");
    if !tls.credential_name.is_empty() {
        found.error(
            &at,
            "CRL is not supported with credentialName. CRL has to be specified in the credential",
        );
    }
    if tls.mode == ServerTlsMode::Simple {
        found.error(at, "CRL is not supported with SIMPLE TLS");
    }
}

/// `tls` towards servers, of an object in a namespace. Istio 1.31: `ValidateTLS`.
pub fn client(found: &mut Findings, at: &str, namespace: &str, tls: Option<&ClientTlsSettings>) {
    let Some(tls) = tls else { return };
    if let Some(name) = tls.credential_name.strip_prefix("configmap://") {
        found.check(
            format!("{at}.credentialName"),
            config_map(&tls.credential_name, name, namespace),
        );
    }
    if tls.insecure_skip_verify == Some(true) {
        let verifies = !tls.ca_certificates.is_empty() || !tls.subject_alt_names.is_empty();
        match tls.mode {
            ClientTlsMode::Simple if verifies || !tls.credential_name.is_empty() => found.error(
                at,
                "cannot specify CaCertificates or CredentialName or SubjectAltNames when InsecureSkipVerify is set true",
            ),
            ClientTlsMode::Mutual if verifies => found.error(
                at,
                "cannot specify CaCertificates or SubjectAltNames when InsecureSkipVerify is set true",
            ),
            _ => {}
        }
    }
    let verified = matches!(tls.mode, ClientTlsMode::Simple | ClientTlsMode::Mutual);
    if verified && !tls.credential_name.is_empty() {
        let files = [
            &tls.client_certificate,
            &tls.ca_certificates,
            &tls.private_key,
            &tls.ca_crl,
        ];
        if files.into_iter().any(|file| !file.is_empty()) {
            found.error(
                at,
                "cannot specify client certificates or CA certificate or CA CRL If credentialName is set",
            );
        }
        return;
    }
    if tls.mode == ClientTlsMode::Mutual {
        if tls.client_certificate.is_empty() {
            found.error(
                format!("{at}.clientCertificate"),
                "client certificate required for mutual tls",
            );
        }
        if tls.private_key.is_empty() {
            found.error(
                format!("{at}.privateKey"),
                "private key required for mutual tls",
            );
        }
    }
}

/// `configmap://namespace/name` must stay within the namespace of the object.
fn config_map(full: &str, name: &str, own: &str) -> Check {
    let mut parts = name.split('/');
    let wrong = |why: &str| {
        Err(format!(
            "invalid configmap:// credentialName: invalid resource name {full:?}. Expected {why}"
        ))
    };
    match (parts.next(), parts.next()) {
        (_, None) => wrong("namespace and name"),
        (None | Some(""), _) => wrong("namespace"),
        (_, Some("")) => wrong("name"),
        (Some(namespace), Some(_)) if namespace != own => Err(format!(
            "invalid configmap:// credentialName: namespace must match the configuration namespace {own:?}"
        )),
        _ => Ok(()),
    }
}
