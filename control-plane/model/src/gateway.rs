//! Gateways, lowered.

use crate::object::Meta;
use crate::port::Protocol;
use crate::{Hostname, Labels, Str};

/// A Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Gateway {
    /// Key, labels, annotations, age.
    pub meta: Meta,
    /// The proxies it is for; empty: all.
    pub selector: Labels,
    /// Its servers.
    pub servers: Vec<Server>,
}

/// The hosts of the Services that a Gateway is for, instead of its selector. Istio 1.31: `InternalGatewayServiceAnnotation`.
const SERVICES: &str = "internal.istio.io/gateway-service";

impl Gateway {
    /// The Services that it is for, where it names them; then its selector does not count, and its ports are theirs.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        let named = self.meta.annotations.get(SERVICES);
        named
            .into_iter()
            .flat_map(|hosts| hosts.split(','))
            .filter(|host| !host.is_empty())
    }
}

/// A server of a Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// `port.number`, the port of the gateway's Service.
    pub port: u16,
    /// `port.protocol`.
    pub protocol: Protocol,
    /// `port.name`.
    pub port_name: Str,
    /// `bind`, or empty.
    pub bind: Str,
    /// Hosts, each with the namespace whose VirtualServices may bind it.
    pub hosts: Vec<ServerHost>,
    /// TLS.
    pub tls: Option<ServerTls>,
    /// `name`, or empty.
    pub name: Str,
}

/// A host of a server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerHost {
    /// `*` (any) or a namespace; `.` has been replaced by the Gateway's own.
    pub namespace: Str,
    /// The host.
    pub host: Hostname,
}

/// The TLS mode of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerTlsMode {
    /// Forward by SNI.
    Passthrough,
    /// Terminate.
    Simple,
    /// Terminate and require a client certificate.
    Mutual,
    /// Forward by SNI to the cluster that it names.
    AutoPassthrough,
    /// Terminate with the mesh's certificates.
    IstioMutual,
    /// Terminate and accept a client certificate.
    OptionalMutual,
}

/// TLS settings of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerTls {
    /// Redirect plain HTTP to HTTPS.
    pub https_redirect: bool,
    /// The mode.
    pub mode: ServerTlsMode,
    /// Secret names.
    pub credential_names: Vec<Str>,
    /// Secret with the clients' CA.
    pub ca_cert_credential_name: Str,
    /// (certificate, key) files.
    pub certificates: Vec<(Str, Str)>,
    /// CA file.
    pub ca_certificates: Str,
    /// File with revoked certificates; empty: none.
    pub ca_crl: Str,
    /// SHA-256 hashes of the clients' public keys, base64; one of them must match.
    pub verify_spki: Vec<Str>,
    /// SHA-256 hashes of the clients' certificates, hexadecimal.
    pub verify_hash: Vec<Str>,
    /// `insecureSkipVerify`: clients' certificates of any CA are taken.
    pub skip_verify: bool,
    /// Names that a client's certificate must hold.
    pub subject_alt_names: Vec<Str>,
    /// Minimum and maximum version, 10 to 13; 0: default.
    pub min_version: u8,
    /// Maximum version.
    pub max_version: u8,
    /// Cipher suites.
    pub cipher_suites: Vec<Str>,
    /// Curves of the key exchange.
    pub ecdh_curves: Vec<Str>,
}
