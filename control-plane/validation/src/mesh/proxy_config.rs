//! `defaultConfig`, the settings of proxies.

use meltemi_api::Duration;
use meltemi_api::mesh_config::{
    AuthenticationPolicy, MeshProxyConfig, PrivateKeyProvider, Tracing,
};

use super::connection_settings;
use crate::rules::{duration, port, tls};
use crate::{Check, Findings};

/// What users write for the address of the node.
const HOST_IP: &str = "$(HOST_IP)";

/// Settings of proxies. Istio 1.31: `ValidateMeshConfigProxyConfig`.
pub fn proxy_config(found: &mut Findings, at: &str, config: &MeshProxyConfig) {
    for (missing, field, message) in [
        (
            config.config_path.is_empty(),
            "configPath",
            "config path must be set",
        ),
        (
            config.binary_path.is_empty(),
            "binaryPath",
            "binary path must be set",
        ),
        (
            config.service_cluster.as_deref() == Some(""),
            "serviceCluster",
            "service cluster must be specified",
        ),
        (
            config.service_cluster.is_none() && config.tracing_service_name.is_none(),
            "tracingServiceName",
            "oneof service cluster or tracing service name must be specified",
        ),
    ] {
        if missing {
            found.error(format!("{at}.{field}"), message);
        }
    }
    found.check(
        format!("{at}.drainDuration"),
        duration::drain(config.drain_duration),
    );
    if config.discovery_address.is_empty() {
        found.error(
            format!("{at}.discoveryAddress"),
            "discovery address must be set to the proxy discovery service",
        );
    } else {
        found.check(
            format!("{at}.discoveryAddress"),
            prefixed(
                "invalid discovery address",
                port::proxy_address(&config.discovery_address),
            ),
        );
    }
    if let Some(part) = &config.tracing {
        tracing(found, &format!("{at}.tracing"), part);
    }
    services(found, at, config);
    if config
        .proxy_metadata
        .contains_key("ISTIO_META_DNS_AUTO_ALLOCATE")
    {
        found.warning(
            format!("{at}.proxyMetadata"),
            "'ISTIO_META_DNS_AUTO_ALLOCATE' is deprecated; review https://istio.io/latest/docs/ops/configuration/traffic-management/dns-proxy/#dns-auto-allocation-v2 for information about replacement functionality",
        );
    }
    found.check(
        format!("{at}.proxyAdminPort"),
        prefixed(
            "invalid proxy admin port",
            port::port(config.proxy_admin_port),
        ),
    );
    found.check(
        format!("{at}.controlPlaneAuthPolicy"),
        prefixed(
            "invalid authentication policy",
            auth_policy(config.control_plane_auth_policy),
        ),
    );
    found.check(
        format!("{at}.statusPort"),
        prefixed("invalid status port", port::port(config.status_port)),
    );
    if let Some(provider) = &config.private_key_provider {
        found.check(
            format!("{at}.privateKeyProvider"),
            prefixed(
                "invalid private key provider configuration",
                private_key_provider(provider),
            ),
        );
    }
    if let Some(settings) = &config.connection_settings {
        let mut part = Findings::default();
        connection_settings(&mut part, &format!("{at}.connectionSettings"), settings);
        for error in part.errors {
            found.error(
                error.path,
                format!("invalid connection settings: {}", error.message),
            );
        }
    }
}

fn prefixed(what: &str, check: Check) -> Check {
    check.map_err(|why| format!("{what}: {why}"))
}

/// How proxies trust the control plane. Istio 1.31: `ValidateControlPlaneAuthPolicy`.
pub fn auth_policy(policy: AuthenticationPolicy) -> Check {
    match policy {
        AuthenticationPolicy::None | AuthenticationPolicy::MutualTls => Ok(()),
        AuthenticationPolicy::Inherit => Err(format!(
            "unrecognized control plane auth policy {:?}",
            policy.as_str()
        )),
    }
}

/// Services that proxies call: statistics, metrics, access logs.
fn services(found: &mut Findings, at: &str, config: &MeshProxyConfig) {
    let metrics = config.envoy_metrics_service.as_ref();
    let logs = config.envoy_access_log_service.as_ref();
    for (address, field, what) in [
        (
            &*config.statsd_udp_address,
            "statsdUdpAddress",
            "statsd udp address",
        ),
        (
            &*config.envoy_metrics_service_address,
            "envoyMetricsServiceAddress",
            "envoy metrics service address",
        ),
        (
            metrics.map_or("", |service| &service.address),
            "envoyMetricsService.address",
            "envoy metrics service address",
        ),
        (
            logs.map_or("", |service| &service.address),
            "envoyAccessLogService.address",
            "envoy access log service address",
        ),
    ] {
        if !address.is_empty() {
            found.check(
                format!("{at}.{field}"),
                prefixed(
                    &format!("invalid {what} {address:?}"),
                    port::proxy_address(address),
                ),
            );
        }
    }
}

fn tracing(found: &mut Findings, at: &str, tracing: &Tracing) {
    if let Some(lightstep) = &tracing.lightstep {
        let at = format!("{at}.lightstep");
        for (wrong, message) in [
            (
                lightstep.address.is_empty(),
                "address is required".to_owned(),
            ),
            (
                port::proxy_address(&lightstep.address).is_err(),
                format!(
                    "invalid lightstep address: {:?}; write host:port",
                    lightstep.address
                ),
            ),
            (
                lightstep.access_token.is_empty(),
                "access token is required".to_owned(),
            ),
        ] {
            if wrong {
                found.error(&at, format!("invalid lightstep config: {message}"));
            }
        }
    }
    let zipkin = tracing.zipkin.as_ref().map(|tracer| &tracer.address);
    let datadog = tracing.datadog.as_ref().map(|tracer| &tracer.address);
    for (address, name) in [(zipkin, "zipkin"), (datadog, "datadog")] {
        if let Some(address) = address {
            let address = address.replacen(HOST_IP, "127.0.0.1", 1);
            found.check(
                format!("{at}.{name}.address"),
                prefixed(
                    &format!("invalid {name} config"),
                    port::proxy_address(&address),
                ),
            );
        }
    }
    let mut part = Findings::default();
    let settings = tracing.tls_settings.as_ref();
    tls::client(&mut part, &format!("{at}.tlsSettings"), "", settings);
    for error in part.errors {
        found.error(
            error.path,
            format!("invalid tracing TLS config: {}", error.message),
        );
    }
}

fn private_key_provider(provider: &PrivateKeyProvider) -> Check {
    let delay = |delay: Option<Duration>| match delay {
        None => Err("pollDelay is required".to_owned()),
        Some(delay) if delay.as_nanos() == 0 => Err("pollDelay must be non zero".to_owned()),
        Some(_) => Ok(()),
    };
    if let Some(cryptomb) = &provider.cryptomb {
        return delay(cryptomb.poll_delay);
    }
    match &provider.qat {
        Some(qat) => delay(qat.poll_delay),
        None => Err("private key provider configuration is required".to_owned()),
    }
}
