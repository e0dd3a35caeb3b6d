//! TLS as users set it up for a Gateway's server or a Sidecar's ingress listener.

use meltemi_builders::listener::{
    Certificate, DownstreamTls, FileReader, ServerCertificates, ServerTls,
};
use meltemi_builders::sds::ExternalSds;
use meltemi_model::gateway::{ServerTls as Settings, ServerTlsMode};
use meltemi_model::proxy::ProxyClass;
use meltemi_model::service::outbound_name;
use meltemi_model::{Hostname, Str};
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
    let mesh = tls.mode == ServerTlsMode::IstioMutual;
    let certificates = certificates(tls, scope, class);
    let by_name = matches!(certificates, ServerCertificates::Credentials { .. });
    let of_name = |list: &[Str]| if by_name { list.to_vec() } else { Vec::new() };
    let mut server = ServerTls {
        require_client_certificate: require,
        validate_client: require || tls.mode == ServerTlsMode::OptionalMutual,
        subject_alt_names: tls.subject_alt_names.clone(),
        verify_spki: of_name(&tls.verify_spki),
        verify_hash: of_name(&tls.verify_hash),
        skip_verify: tls.skip_verify,
        // That of a credential is in its Secret.
        crl: if by_name {
            "".into()
        } else {
            tls.ca_crl.clone()
        },
        certificates,
        peer_exchange,
        min_version: 0,
        max_version: 0,
        cipher_suites: Vec::new(),
        ecdh_curves: Vec::new(),
    };
    // The mesh's own certificates are used with Envoy's defaults.
    if !mesh {
        // What the server does not say the mesh does.
        let defaults = &scope.mesh.tls_defaults;
        server.min_version = match tls.min_version {
            0 => defaults.min_version,
            own => own,
        };
        server.max_version = tls.max_version;
        server.cipher_suites = match tls.cipher_suites.as_slice() {
            [] => defaults.cipher_suites.clone(),
            own => own.to_vec(),
        };
        server.ecdh_curves = match tls.ecdh_curves.as_slice() {
            [] => defaults.ecdh_curves.clone(),
            own => own.to_vec(),
        };
    }
    DownstreamTls::Server(server)
}

fn certificates(tls: &Settings, scope: &Scope, class: &ProxyClass) -> ServerCertificates {
    if tls.mode == ServerTlsMode::IstioMutual {
        return ServerCertificates::Mesh;
    }
    // Of several credentials (for several kinds of keys) the first has the CA.
    if let Some(first) = tls.credential_names.first() {
        let ca = match &*tls.ca_cert_credential_name {
            "" => format!("{first}-cacert").into(),
            own => own.into(),
        };
        return ServerCertificates::Credentials {
            names: tls.credential_names.clone(),
            ca,
            external: external_sds(scope, class),
        };
    }
    let certificate = |(chain, key): &(Str, Str)| Certificate {
        chain: chain.clone(),
        key: key.clone(),
    };
    ServerCertificates::Files {
        certificates: tls.certificates.iter().map(certificate).collect(),
        ca: tls.ca_certificates.clone(),
        reader: match (class.facet.file_credential_socket, class.has_identity) {
            (true, _) => FileReader::Server,
            (false, true) => FileReader::Agent,
            (false, false) => FileReader::Envoy,
        },
    }
}

/// Who has credentials whose names begin with `sds://`: a socket in the pod comes before a provider of the mesh
/// configuration.
pub(super) fn external_sds(scope: &Scope, class: &ProxyClass) -> ExternalSds {
    if class.facet.credential_socket {
        return ExternalSds::Socket;
    }
    let Some((service, port)) = &scope.mesh.sds_provider else {
        return ExternalSds::Kubernetes;
    };
    let (namespace, name) = match service.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, &**service),
    };
    let host = Hostname::new(name);
    let found = scope.service(&host).filter(|found| {
        namespace.is_none_or(|namespace| *found.service.key.namespace == *namespace)
    });
    match found {
        Some(_) => ExternalSds::Provider {
            cluster: outbound_name(*port, "", &host).into(),
            host: host.0,
        },
        None => ExternalSds::Unknown,
    }
}
