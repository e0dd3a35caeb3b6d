//! istiod's feature flags as cases say them: by the names of its environment variables.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use meltemi_model::security::JwksFetch;
use meltemi_sources::lower::{Features, LowerSettings};

/// Settings with these flags. One that Meltemi does not know is an error, so that none is passed over in silence.
pub fn settings(env: &BTreeMap<String, String>) -> Result<LowerSettings> {
    Ok(LowerSettings {
        features: features(env)?,
        ..LowerSettings::default()
    })
}

fn features(env: &BTreeMap<String, String>) -> Result<Features> {
    let mut features = Features::default();
    for (name, value) in env {
        let on = value == "true";
        match name.as_str() {
            "PILOT_SKIP_VALIDATE_TRUST_DOMAIN" => features.skip_validate_trust_domain = on,
            "ENABLE_TLS_ON_SIDECAR_INGRESS" => features.tls_on_sidecar_ingress = on,
            "PILOT_FILTER_GATEWAY_CLUSTER_CONFIG" => features.filter_gateway_clusters = on,
            "PILOT_ENABLE_WORKLOAD_ENTRY_HEALTHCHECKS" => features.workload_entry_health = on,
            "PILOT_SCOPE_GATEWAY_TO_NAMESPACE" => features.scope_gateway_to_namespace = on,
            "ISTIO_DUAL_STACK" => features.dual_stack = on,
            "ISTIO_ENABLE_IPV4_OUTBOUND_LISTENER_FOR_IPV6_CLUSTERS" => {
                features.ipv4_outbound_for_ipv6 = on;
            }
            "PILOT_ALLOW_SIDECAR_SERVICE_INBOUND_LISTENER_MERGE" => features.merge_inbound = on,
            "PILOT_ENABLE_EDS_FOR_HEADLESS_SERVICES" => features.headless_endpoints = on,
            "PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS" => {
                features.multiple_authz_providers = on;
            }
            "PILOT_ENABLE_IP_AUTOALLOCATE" => features.ip_autoallocate = on,
            "PILOT_JWT_ENABLE_REMOTE_JWKS" => features.jwks_fetch = JwksFetch::parse(value),
            name => bail!("the feature flag {name} is not known"),
        }
    }
    Ok(features)
}
