//! The mesh configuration as a whole, with its defaults filled in. Istio 1.31: `pkg/config/validation/agent`.

mod connection_settings;
pub mod extension_provider;
mod networks;
mod proxy_config;

use std::collections::BTreeSet;

use meltemi_api::destination_rule::OutlierDetection;
use meltemi_api::mesh_config::{DefaultTrafficPolicy, MeshConfig};

use crate::Findings;
use crate::object::elements;
use crate::rules::cipher::{is_curve, printed, sort_out};
use crate::rules::{connection_pool, duration, host, locality, outlier, port};

pub use connection_settings::connection_settings;
pub use networks::mesh_networks;
pub use proxy_config::{auth_policy, proxy_config};

/// The mesh configuration. Providers are looked at by [`extension_provider`]: what is wrong with one hinders nobody who does
/// not name it. Istio 1.31: `ValidateMeshConfig`.
pub fn mesh_config(mesh: &MeshConfig) -> Findings {
    let mut found = Findings::default();
    let prefixed = |what: &str, check: crate::Check| check.map_err(|why| format!("{what}: {why}"));
    found.check(
        "proxyListenPort",
        prefixed(
            "invalid proxy listen port",
            port::port(mesh.proxy_listen_port),
        ),
    );
    found.check(
        "connectTimeout",
        prefixed(
            "invalid connect timeout",
            duration::connect_timeout(mesh.connect_timeout),
        ),
    );
    found.check(
        "protocolDetectionTimeout",
        prefixed(
            "invalid protocol detection timeout",
            duration::protocol_detection(mesh.protocol_detection_timeout),
        ),
    );
    match &mesh.default_config {
        None => found.error("defaultConfig", "missing default config"),
        Some(config) => proxy_config(&mut found, "defaultConfig", config),
    }
    let locality_settings = mesh.locality_lb_setting.as_ref();
    locality::locality(&mut found, "localityLbSetting", locality_settings, true);
    let zone_settings = mesh.zone_aware_lb_setting.as_ref();
    locality::zone_aware(&mut found, "zoneAwareLbSetting", zone_settings, true);
    service_settings(&mut found, mesh);
    trust_domains(&mut found, mesh);
    if mesh
        .mesh_mtls
        .as_ref()
        .is_some_and(|tls| !tls.ecdh_curves.is_empty())
    {
        found.error(
            "meshMTLS.ecdhCurves",
            "mesh TLS does not support ECDH curves configuration",
        );
    }
    if let Some(defaults) = &mesh.tls_defaults {
        let (unknown, twice) = sort_out(&defaults.ecdh_curves, is_curve);
        curves(&mut found, "unrecognized", &unknown);
        curves(&mut found, "duplicate", &twice);
    }
    if let Some(policy) = &mesh.default_traffic_policy {
        default_traffic_policy(&mut found, "defaultTrafficPolicy", policy);
    }
    found
}

fn curves(found: &mut Findings, what: &str, curves: &BTreeSet<&str>) {
    if !curves.is_empty() {
        let message = format!("detected {what} ECDH curves: {}", printed(curves));
        found.warning("tlsDefaults.ecdhCurves", message);
    }
}

/// `serviceSettings`. Istio 1.31: `validateServiceSettings`.
pub fn service_settings(found: &mut Findings, mesh: &MeshConfig) {
    for (i, (at, settings)) in elements("serviceSettings", &mesh.service_settings).enumerate() {
        for (at, name) in elements(&format!("{at}.hosts"), &settings.hosts) {
            found.check(
                at,
                host::wildcard(name)
                    .map_err(|why| format!("serviceSettings[{i}], host `{name}`: {why}")),
            );
        }
    }
}

/// Istio 1.31: `validateTrustDomainConfig`.
fn trust_domains(found: &mut Findings, mesh: &MeshConfig) {
    found.check(
        "trustDomain",
        host::trust_domain(&mesh.trust_domain).map_err(|why| format!("trustDomain: {why}")),
    );
    for (at, alias) in elements("trustDomainAliases", &mesh.trust_domain_aliases) {
        let check = host::trust_domain(alias);
        let check = check.map_err(|why| format!("{at}, domain `{alias}` : {why}"));
        found.check(at, check);
    }
}

/// `defaultTrafficPolicy`. Istio 1.31: `validateMeshConfigDefaultTrafficPolicy`.
pub fn default_traffic_policy(found: &mut Findings, at: &str, policy: &DefaultTrafficPolicy) {
    if let Some(pool) = &policy.connection_pool {
        connection_pool::of_mesh(found, &format!("{at}.connectionPool"), pool);
    }
    if let Some(detection) = &policy.outlier_detection {
        let detection = OutlierDetection {
            consecutive_errors: 0,
            ..detection.clone()
        };
        let at = format!("{at}.outlierDetection");
        outlier::outlier_detection(found, &at, Some(&detection));
    }
}
