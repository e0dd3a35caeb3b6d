//! TLS as users set it up for a Gateway's server or a Sidecar's ingress listener.

use meltemi_builders::listener::{Certificate, DownstreamTls, ServerCertificates, ServerTls};
use meltemi_model::Str;
use meltemi_model::gateway::{ServerTls as Settings, ServerTlsMode};
use meltemi_model::proxy::ProxyClass;
use meltemi_world::Scope;

/// The TLS that a chain terminates. `peer_exchange`: it exchanges metadata with its peers.
/// Istio 1.31: `BuildListenerTLSContext`.
pub(super) fn server_tls(
    tls: &Settings,
    scope: &Scope,
    class: &ProxyClass,
    peer_exchange: bool,
) -> DownstreamTls {
    let require = matches!(tls.mode, ServerTlsMode::Mutual | ServerTlsMode::IstioMutual);
    let validate_client = require || tls.mode == ServerTlsMode::OptionalMutual;
    let subject_alt_names = tls.subject_alt_names.clone();
    if tls.mode == ServerTlsMode::IstioMutual {
        // The mesh's own certificates are used with Envoy's defaults.
        return DownstreamTls::Server(ServerTls {
            certificates: ServerCertificates::Mesh,
            require_client_certificate: require,
            validate_client,
            subject_alt_names,
            peer_exchange,
            min_version: 0,
            max_version: 0,
            cipher_suites: Vec::new(),
            ecdh_curves: Vec::new(),
        });
    }
    let certificate = |(chain, key): &(Str, Str)| Certificate {
        chain: chain.clone(),
        key: key.clone(),
    };
    // What the server does not say the mesh does.
    let defaults = &scope.mesh.tls_defaults;
    let (min_version, cipher_suites) = (tls.min_version, &tls.cipher_suites);
    DownstreamTls::Server(ServerTls {
        certificates: ServerCertificates::Files {
            certificates: tls.certificates.iter().map(certificate).collect(),
            ca: tls.ca_certificates.clone(),
            agent: class.has_identity,
        },
        require_client_certificate: require,
        validate_client,
        subject_alt_names,
        peer_exchange,
        min_version: if min_version == 0 {
            defaults.min_version
        } else {
            min_version
        },
        max_version: tls.max_version,
        cipher_suites: if cipher_suites.is_empty() {
            defaults.cipher_suites.clone()
        } else {
            cipher_suites.clone()
        },
        ecdh_curves: match tls.ecdh_curves.as_slice() {
            [] => defaults.ecdh_curves.clone(),
            own => own.to_vec(),
        },
    })
}
