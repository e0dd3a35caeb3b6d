//! `tls` of a traffic policy.

use meltemi_api::destination_rule as api;
use meltemi_model::traffic::{ClientTls, TlsMode};

use crate::lower::findings::Findings;

/// Istio 1.31: `ValidateTLS`.
pub(super) fn lower(
    tls: &api::ClientTlsSettings,
    path: &str,
    findings: &mut Findings,
) -> ClientTls {
    let mode = match tls.mode {
        api::ClientTlsMode::Disable => TlsMode::Disable,
        api::ClientTlsMode::Simple => TlsMode::Simple,
        api::ClientTlsMode::Mutual => TlsMode::Mutual,
        api::ClientTlsMode::IstioMutual => TlsMode::IstioMutual,
    };
    let originates = matches!(mode, TlsMode::Simple | TlsMode::Mutual);
    let names_ca = !tls.ca_certificates.is_empty() || !tls.subject_alt_names.is_empty();
    let names_credential = mode == TlsMode::Simple && !tls.credential_name.is_empty();
    if tls.insecure_skip_verify == Some(true) && originates && (names_ca || names_credential) {
        let message = "insecureSkipVerify and what would be verified (caCertificates, subjectAltNames) exclude each other";
        findings.warning(format!("{path}.insecureSkipVerify"), message);
    }
    let files = [
        &tls.client_certificate,
        &tls.private_key,
        &tls.ca_certificates,
        &tls.ca_crl,
    ];
    if originates && !tls.credential_name.is_empty() {
        if files.iter().any(|file| !file.is_empty()) {
            let message =
                "credentialName and certificate files exclude each other; keep only one of them";
            findings.warning(format!("{path}.credentialName"), message);
        }
    } else if mode == TlsMode::Mutual {
        for (field, file) in [("clientCertificate", files[0]), ("privateKey", files[1])] {
            if file.is_empty() {
                let message = format!("mode MUTUAL needs a {field}, or a credentialName");
                findings.error(format!("{path}.{field}"), message);
            }
        }
    }
    ClientTls {
        mode,
        client_certificate: tls.client_certificate.clone(),
        private_key: tls.private_key.clone(),
        ca_certificates: tls.ca_certificates.clone(),
        ca_crl: tls.ca_crl.clone(),
        credential_name: tls.credential_name.clone(),
        subject_alt_names: tls
            .subject_alt_names
            .iter()
            .map(|n| n.as_str().into())
            .collect(),
        sni: tls.sni.clone(),
        insecure_skip_verify: tls.insecure_skip_verify,
    }
}
