//! Security policies, lowered.

use std::collections::BTreeMap;

mod authorization;
mod jwt;
mod target;

pub use authorization::{
    Attribute, AuthorizationAction, AuthorizationPolicy, AuthorizationRule, Condition, IpRange,
    Operation, Source, TextMatch, Values,
};
pub use jwt::{
    FetchedKeys, JwksFetch, JwtProvider, JwtRule, KeySource, Keys, NO_KEYS, RequestAuthentication,
};
pub use target::PolicyTarget;

use crate::object::Meta;
use crate::{Labels, Str};

/// Whether inbound connections are mutual TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MtlsMode {
    /// Never; what looks like TLS is the application's.
    Disable,
    /// They may be.
    Permissive,
    /// All of them.
    Strict,
}

/// A PeerAuthentication.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerAuthentication {
    /// Key, labels, annotations, age.
    pub meta: Meta,
    /// The workloads that it is for; empty: all of the namespace, or of the mesh in the root namespace.
    pub selector: Labels,
    /// `mtls.mode`; `None` (UNSET): that of the next wider policy.
    pub mode: Option<MtlsMode>,
    /// `portLevelMtls`, by the workload's port; `None` (UNSET): the mode of the workload.
    pub ports: BTreeMap<u16, Option<MtlsMode>>,
}

impl PeerAuthentication {
    /// Whether it says DISABLE for anything.
    pub fn disables(&self) -> bool {
        let disabled = Some(MtlsMode::Disable);
        self.mode == disabled || self.ports.values().any(|mode| *mode == disabled)
    }
}

/// Limits of TLS connections (`meshMTLS`, `tlsDefaults`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TlsLimits {
    /// `minProtocolVersion`, 12 or 13; 0: not said.
    pub min_version: u8,
    /// `cipherSuites`; empty: not said.
    pub cipher_suites: Vec<Str>,
    /// `ecdhCurves`; empty: not said.
    pub ecdh_curves: Vec<Str>,
}
