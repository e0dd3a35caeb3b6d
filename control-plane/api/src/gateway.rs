//! `Gateway` (Istio 1.31: networking/v1alpha3).

use std::collections::BTreeMap;

use crate::proto_json::{enums, messages};

messages! {
    /// The ports, hosts and certificates that a gateway offers.
    struct Gateway {
        servers: Vec<Server>,
        selector: BTreeMap<String, String>,
    }

    /// One port of a gateway.
    struct Server {
        port: Option<Port>,
        bind: String,
        hosts: Vec<String>,
        tls: Option<ServerTlsSettings>,
        default_endpoint: String,
        name: String,
    }

    /// The value of `Server.port`.
    struct Port {
        number: u32,
        protocol: String,
        name: String,
        /// Deprecated by Istio.
        target_port: u32,
    }

    /// The value of `Server.tls`, `IstioIngressListener.tls`.
    struct ServerTlsSettings {
        https_redirect: bool,
        mode: ServerTlsMode,
        server_certificate: String,
        private_key: String,
        ca_certificates: String,
        ca_crl: String,
        credential_name: String,
        credential_names: Vec<String>,
        ca_cert_credential_name: String,
        tls_certificates: Vec<TlsCertificate>,
        subject_alt_names: Vec<String>,
        verify_certificate_spki: Vec<String>,
        verify_certificate_hash: Vec<String>,
        min_protocol_version: TlsProtocol,
        max_protocol_version: TlsProtocol,
        cipher_suites: Vec<String>,
        ecdh_curves: Vec<String>,
        insecure_skip_verify: Option<bool>,
    }

    /// The value of `ServerTlsSettings.tlsCertificates`.
    struct TlsCertificate {
        server_certificate: String,
        private_key: String,
        ca_certificates: String,
    }
}

enums! {
    /// The values of `ServerTlsSettings.mode`.
    enum ServerTlsMode {
        Passthrough = 0 "PASSTHROUGH",
        Simple = 1 "SIMPLE",
        Mutual = 2 "MUTUAL",
        AutoPassthrough = 3 "AUTO_PASSTHROUGH",
        IstioMutual = 4 "ISTIO_MUTUAL",
        OptionalMutual = 5 "OPTIONAL_MUTUAL",
    }

    /// The values of `ServerTlsSettings.minProtocolVersion`, `ServerTlsSettings.maxProtocolVersion`.
    enum TlsProtocol {
        TlsAuto = 0 "TLS_AUTO",
        V1_0 = 1 "TLSV1_0",
        V1_1 = 2 "TLSV1_1",
        V1_2 = 3 "TLSV1_2",
        V1_3 = 4 "TLSV1_3",
    }
}
