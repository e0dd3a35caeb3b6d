//! What analyzers ask of the mesh configuration.

use serde_json::Value;

use crate::object::{has, text};

/// The mesh configuration, as it is written.
#[derive(Debug, Clone, Default)]
pub struct Mesh(pub Value);

impl Mesh {
    /// The namespace whose policies hold in the whole mesh.
    pub fn root_namespace(&self) -> &str {
        or(text(&self.0, "/rootNamespace"), "istio-system")
    }

    /// The Service of the ingress gateway.
    pub fn ingress_service(&self) -> &str {
        or(text(&self.0, "/ingressService"), "istio-ingressgateway")
    }

    /// Whether Ingresses are served at all, and so there is an ingress gateway.
    pub fn has_ingress(&self) -> bool {
        text(&self.0, "/ingressControllerMode") != "OFF"
    }

    /// Whether addresses are made up for ServiceEntries without any. Istio 1.31 asks three variables of the default
    /// proxy.
    pub(crate) fn allocates_addresses(&self) -> bool {
        let is_on =
            |name: &str| text(&self.0, &format!("/defaultConfig/proxyMetadata/{name}")) == "true";
        is_on("ISTIO_META_DNS_CAPTURE")
            && (is_on("ISTIO_META_DNS_AUTO_ALLOCATE") || is_on("PILOT_ENABLE_IP_AUTOALLOCATE"))
    }

    /// Whether somebody is told of requests where a Telemetry does not say who.
    pub(crate) fn has_default_access_logging(&self) -> bool {
        has(&self.0, "/defaultProviders/accessLogging/0")
    }
}

fn or<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.is_empty() { default } else { text }
}
