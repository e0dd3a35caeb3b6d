//! The rules of each kind, a file for each.

pub mod authorization_policy;
pub mod destination_rule;
pub mod envoy_filter;
pub mod gateway;
pub mod peer_authentication;
pub mod proxy_config;
pub mod request_authentication;
pub mod service_entry;
pub mod sidecar;
pub mod telemetry;
pub mod traffic_extension;
pub mod virtual_service;
pub mod wasm_plugin;
pub mod workload_entry;
pub mod workload_group;

use meltemi_api as api;
use serde_json::Value;

use crate::object::{Meta, Spec, read};
use crate::{Finding, Findings};

/// Ties each kind to its specification and rules, which are in modules of one name.
macro_rules! kinds {
    ($($kind:ident: $module:ident;)*) => {
        $(impl Spec for api::$module::$kind {
            fn rules(&self, meta: &Meta<'_>) -> Findings {
                $module::validate(meta, self)
            }
        })*

        /// What is found in an object of a kind; nothing where a kind has no rules. The error says why its specification
        /// cannot be read.
        pub(crate) fn findings(kind: &str, object: &Value) -> Result<Findings, Finding> {
            match kind {
                $(stringify!($kind) => read::<api::$module::$kind>(object).map(|(_, found)| found),)*
                _ => Ok(Findings::default()),
            }
        }
    };
}

kinds! {
    AuthorizationPolicy: authorization_policy;
    DestinationRule: destination_rule;
    EnvoyFilter: envoy_filter;
    Gateway: gateway;
    PeerAuthentication: peer_authentication;
    ProxyConfig: proxy_config;
    RequestAuthentication: request_authentication;
    ServiceEntry: service_entry;
    Sidecar: sidecar;
    Telemetry: telemetry;
    TrafficExtension: traffic_extension;
    VirtualService: virtual_service;
    WasmPlugin: wasm_plugin;
    WorkloadEntry: workload_entry;
    WorkloadGroup: workload_group;
}
