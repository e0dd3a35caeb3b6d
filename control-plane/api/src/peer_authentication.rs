//! `PeerAuthentication` (Istio 1.31: security/v1beta1).

use std::collections::BTreeMap;

use crate::proto_json::{enums, messages};
use crate::selector::PolicySelector;

messages! {
    /// Whether inbound traffic must be mutual TLS.
    struct PeerAuthentication {
        selector: Option<PolicySelector>,
        mtls: Option<MutualTls>,
        port_level_mtls: BTreeMap<u32, MutualTls>,
    }

    /// The value of `PeerAuthentication.mtls`, `PeerAuthentication.portLevelMtls`.
    struct MutualTls {
        mode: MutualTlsMode,
    }
}

enums! {
    /// The values of `MutualTls.mode`.
    enum MutualTlsMode {
        Unset = 0 "UNSET",
        Disable = 1 "DISABLE",
        Permissive = 2 "PERMISSIVE",
        Strict = 3 "STRICT",
    }
}
