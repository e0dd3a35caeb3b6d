//! TLS that a chain terminates.

use meltemi_model::Str;
use meltemi_model::security::TlsLimits;

use super::pb;
use crate::sds::{self, ExternalSds};

use pb::tls::common_tls_context::{CombinedCertificateValidationContext, ValidationContextType};
use pb::tls::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig,
    TlsParameters,
};

/// The ciphers of connections within the mesh. Istio 1.31: `authn/utils.SupportedCiphers`.
const MESH_CIPHERS: [&str; 6] = [
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
];

/// TLS that a chain terminates.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DownstreamTls {
    /// Mutual TLS of the mesh.
    Mesh {
        /// Offer `istio-peer-exchange`: the chain has the metadata exchange filter and is for TCP.
        peer_exchange: bool,
        /// Clients must come from one of these trust domains; empty: from any.
        trust_domains: Vec<Str>,
        /// `meshMTLS`; its curves are not used, as in Istio.
        limits: TlsLimits,
    },
    /// The TLS of a gateway's server.
    Server(ServerTls),
}

/// The TLS of a gateway's server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerTls {
    /// Where certificates come from.
    pub certificates: ServerCertificates,
    /// Clients must show a certificate.
    pub require_client_certificate: bool,
    /// Clients' certificates, where shown, are checked.
    pub validate_client: bool,
    /// Names that a client's certificate must hold.
    pub subject_alt_names: Vec<Str>,
    /// Hashes of which a client's public key must have one; empty: any.
    pub verify_spki: Vec<Str>,
    /// Hashes of which a client's certificate must have one; empty: any.
    pub verify_hash: Vec<Str>,
    /// Clients' certificates of any CA are taken.
    pub skip_verify: bool,
    /// A file with revoked certificates; empty: none.
    pub crl: Str,
    /// Offer `istio-peer-exchange`.
    pub peer_exchange: bool,
    /// Lowest version, 10 to 13; 0: not said.
    pub min_version: u8,
    /// Highest version.
    pub max_version: u8,
    /// Ciphers; empty: not said.
    pub cipher_suites: Vec<Str>,
    /// Curves of the key exchange; empty: not said.
    pub ecdh_curves: Vec<Str>,
}

/// Where the certificates of a server come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerCertificates {
    /// The mesh's, from the agent.
    Mesh,
    /// Files of the proxy.
    Files {
        /// Certificates and keys.
        certificates: Vec<Certificate>,
        /// The CA of clients; empty: none.
        ca: Str,
        /// Who reads them.
        reader: FileReader,
    },
    /// Credentials by name.
    Credentials {
        /// One for each kind of key (RSA, ECDSA).
        names: Vec<Str>,
        /// The credential with the CA of clients, its suffix included.
        ca: Str,
        /// Who has those outside Kubernetes.
        external: ExternalSds,
    },
}

/// Who reads certificate files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileReader {
    /// The agent, which notices changes.
    Agent,
    /// An SDS server for files, mounted into the pod, in the agent's place.
    Server,
    /// Envoy itself, once.
    Envoy,
}

/// A certificate and its key, as files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Certificate {
    /// The certificate chain's path.
    pub chain: Str,
    /// The key's path.
    pub key: Str,
}

/// The transport socket.
pub(super) fn socket(settings: &DownstreamTls) -> pb::core::TransportSocket {
    let context = match settings {
        DownstreamTls::Mesh {
            peer_exchange,
            trust_domains,
            limits,
        } => mesh(*peer_exchange, trust_domains, limits),
        DownstreamTls::Server(server) => self::server(server),
    };
    pb::core::TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(pb::core::transport_socket::ConfigType::TypedConfig(
            pb::any(&context),
        )),
    }
}

/// Istio 1.31: `authn/utils.BuildInboundTLS`.
fn mesh(peer_exchange: bool, trust_domains: &[Str], limits: &TlsLimits) -> DownstreamTlsContext {
    let ciphers = match limits.cipher_suites.as_slice() {
        [] => MESH_CIPHERS.map(str::to_owned).to_vec(),
        own => strings(own),
    };
    let sans = trust_domains
        .iter()
        .map(|td| pb::string_prefix(format!("spiffe://{td}/")));
    DownstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            alpn_protocols: alpn(peer_exchange),
            tls_params: Some(TlsParameters {
                tls_minimum_protocol_version: version(limits.min_version.max(12)),
                tls_maximum_protocol_version: version(13),
                cipher_suites: ciphers,
                ..Default::default()
            }),
            tls_certificate_sds_secret_configs: vec![sds::workload("default")],
            validation_context_type: Some(combined(
                validation(sans.collect()),
                sds::workload("ROOTCA"),
            )),
            ..Default::default()
        }),
        require_client_certificate: Some(pb::bool(true)),
        ..Default::default()
    }
}

/// The server never offers Istio's own protocols but the metadata exchange: they would win over HTTP/2.
fn alpn(peer_exchange: bool) -> Vec<String> {
    let names: &[&str] = if peer_exchange {
        &["istio-peer-exchange", "h2", "http/1.1"]
    } else {
        &["h2", "http/1.1"]
    };
    names.iter().map(ToString::to_string).collect()
}

/// Istio 1.31: `BuildListenerTLSContext`.
fn server(server: &ServerTls) -> DownstreamTlsContext {
    let mut context = CommonTlsContext {
        alpn_protocols: alpn(server.peer_exchange),
        tls_params: server_params(server),
        ..Default::default()
    };
    let sans = server
        .subject_alt_names
        .iter()
        .map(|san| pb::string_exact(san.to_string()));
    let checks = server
        .validate_client
        .then(|| checks(server, sans.collect()));
    match &server.certificates {
        ServerCertificates::Mesh => {
            context.tls_certificate_sds_secret_configs = vec![sds::workload("default")];
            context.validation_context_type = checks.map(|c| combined(c, sds::workload("ROOTCA")));
        }
        ServerCertificates::Files {
            certificates,
            ca,
            reader: reader @ (FileReader::Agent | FileReader::Server),
        } => {
            let by_server = *reader == FileReader::Server;
            let secret =
                |c: &Certificate| sds::file(&format!("file-cert:{}~{}", c.chain, c.key), by_server);
            let root = |ca: &str| match ca {
                "" => sds::workload("ROOTCA"),
                ca => sds::file(&format!("file-root:{ca}"), by_server),
            };
            context.tls_certificate_sds_secret_configs = certificates.iter().map(secret).collect();
            context.validation_context_type = checks.map(|c| combined(c, root(ca)));
        }
        ServerCertificates::Files {
            certificates,
            ca,
            reader: FileReader::Envoy,
        } => {
            context.tls_certificates = certificates.iter().map(file_certificate).collect();
            context.validation_context_type = checks.map(|c| {
                let trusted_ca = (!ca.is_empty()).then(|| file(ca));
                ValidationContextType::ValidationContext(CertificateValidationContext {
                    trusted_ca,
                    ..c
                })
            });
        }
        ServerCertificates::Credentials {
            names,
            ca,
            external,
        } => {
            let secret = |name: &Str| sds::credential(name, external);
            context.tls_certificate_sds_secret_configs = names.iter().map(secret).collect();
            context.validation_context_type = checks.map(|c| combined(c, secret(ca)));
        }
    }
    DownstreamTlsContext {
        common_tls_context: Some(context),
        require_client_certificate: Some(pb::bool(server.require_client_certificate)),
        ..Default::default()
    }
}

/// What the server says of versions and ciphers; the rest is Envoy's.
fn server_params(server: &ServerTls) -> Option<TlsParameters> {
    let said = server.min_version != 0
        || server.max_version != 0
        || !server.cipher_suites.is_empty()
        || !server.ecdh_curves.is_empty();
    said.then(|| TlsParameters {
        tls_minimum_protocol_version: version(server.min_version),
        tls_maximum_protocol_version: version(server.max_version),
        cipher_suites: strings(&server.cipher_suites),
        ecdh_curves: strings(&server.ecdh_curves),
        ..Default::default()
    })
}

fn strings(list: &[Str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn version(number: u8) -> i32 {
    use pb::tls::tls_parameters::TlsProtocol;
    match number {
        10 => TlsProtocol::TlSv10,
        11 => TlsProtocol::TlSv11,
        12 => TlsProtocol::TlSv12,
        13 => TlsProtocol::TlSv13,
        _ => TlsProtocol::TlsAuto,
    }
    .into()
}

fn file_certificate(certificate: &Certificate) -> pb::tls::TlsCertificate {
    pb::tls::TlsCertificate {
        certificate_chain: Some(file(&certificate.chain)),
        private_key: Some(file(&certificate.key)),
        ..Default::default()
    }
}

fn file(path: &str) -> pb::core::DataSource {
    let specifier = pb::core::data_source::Specifier::Filename(path.to_owned());
    pb::core::DataSource {
        specifier: Some(specifier),
        ..Default::default()
    }
}

/// How clients' certificates are checked, but for their CA.
fn checks(
    server: &ServerTls,
    sans: Vec<pb::r#type::matcher::v3::StringMatcher>,
) -> CertificateValidationContext {
    use pb::tls::certificate_validation_context::TrustChainVerification;
    let mut checks = validation(sans);
    checks.verify_certificate_spki = strings(&server.verify_spki);
    checks.verify_certificate_hash = strings(&server.verify_hash);
    checks.crl = (!server.crl.is_empty()).then(|| file(&server.crl));
    if server.skip_verify {
        checks.trust_chain_verification = TrustChainVerification::AcceptUntrusted.into();
    }
    checks
}

// Istio 1.31 still sends the untyped list, which Envoy keeps on reading as "any type of name".
#[allow(deprecated)]
fn validation(sans: Vec<pb::r#type::matcher::v3::StringMatcher>) -> CertificateValidationContext {
    CertificateValidationContext {
        match_subject_alt_names: sans,
        ..Default::default()
    }
}

fn combined(
    checks: CertificateValidationContext,
    secret: SdsSecretConfig,
) -> ValidationContextType {
    ValidationContextType::CombinedValidationContext(CombinedCertificateValidationContext {
        default_validation_context: Some(checks),
        validation_context_sds_secret_config: Some(secret),
        ..Default::default()
    })
}
