//! DestinationRules. Istio 1.31: `ValidateDestinationRule`.

use std::collections::BTreeSet;

use meltemi_api::destination_rule::{
    DestinationRule, PortTrafficPolicy, Subset, TrafficPolicy, TunnelSettings,
};

use crate::Findings;
use crate::object::{Meta, elements};
use crate::rules::connection_pool::connection_pool;
use crate::rules::export_to::{Of, export_to};
use crate::rules::load_balancer::load_balancer;
use crate::rules::outlier::outlier_detection;
use crate::rules::{cidr, host, labels, port, selector, tls};

/// A DestinationRule.
pub fn validate(meta: &Meta<'_>, rule: &DestinationRule) -> Findings {
    let mut found = Findings::default();
    found.check("spec.host", host::wildcard(&rule.host));
    if let Some(policy) = &rule.traffic_policy {
        traffic_policy(&mut found, "spec.trafficPolicy", meta.namespace, policy);
    }
    let mut names = BTreeSet::new();
    for (at, part) in elements("spec.subsets", &rule.subsets) {
        if !names.insert(&part.name) {
            let message = format!("duplicate subset names: {}", part.name);
            found.error(format!("{at}.name"), message);
        }
        subset(&mut found, &at, meta.namespace, part);
    }
    let of = match &rule.workload_selector {
        Some(_) => Of::SelectedDestinationRule,
        None => Of::Configuration,
    };
    export_to(&mut found, meta.namespace, &rule.export_to, of);
    selector::policy(
        &mut found,
        "spec.workloadSelector",
        rule.workload_selector.as_ref(),
    );
    found
}

/// Istio 1.31: `validateSubset`, which loses warnings.
fn subset(found: &mut Findings, at: &str, namespace: &str, subset: &Subset) {
    found.check(format!("{at}.name"), labels::subset_name(&subset.name));
    labels::labels(found, &format!("{at}.labels"), &subset.labels);
    if let Some(policy) = &subset.traffic_policy {
        let mut part = Findings::default();
        traffic_policy(&mut part, &format!("{at}.trafficPolicy"), namespace, policy);
        found.extend_errors(part);
    }
}

/// `trafficPolicy`. Istio 1.31: `validateTrafficPolicy`.
pub fn traffic_policy(found: &mut Findings, at: &str, namespace: &str, policy: &TrafficPolicy) {
    if *policy == TrafficPolicy::default() {
        found.error(at, "traffic policy must have at least one field");
        return;
    }
    if policy.tunnel.is_some() && policy.proxy_protocol.is_some() {
        found.error(at, "tunnel and proxyProtocol must not be set together");
        return;
    }
    let outlier = policy.outlier_detection.as_ref();
    outlier_detection(found, &format!("{at}.outlierDetection"), outlier);
    connection_pool(
        found,
        &format!("{at}.connectionPool"),
        policy.connection_pool.as_ref(),
    );
    load_balancer(
        found,
        &format!("{at}.loadBalancer"),
        policy.load_balancer.as_ref(),
        outlier.is_some(),
    );
    tls::client(found, &format!("{at}.tls"), namespace, policy.tls.as_ref());
    let ports = elements(
        &format!("{at}.portLevelSettings"),
        &policy.port_level_settings,
    )
    .collect::<Vec<_>>();
    for (at, settings) in ports {
        // Istio loses the warnings of ports.
        let mut part = Findings::default();
        port_policy(&mut part, &at, namespace, settings);
        found.extend_errors(part);
    }
    if let Some(settings) = &policy.tunnel {
        tunnel(found, &format!("{at}.tunnel"), settings);
    }
}

/// Istio 1.31: `validatePortTrafficPolicies`.
fn port_policy(found: &mut Findings, at: &str, namespace: &str, policy: &PortTrafficPolicy) {
    if policy.port.is_none() {
        found.error(
            format!("{at}.port"),
            "portTrafficPolicy must have valid port",
        );
    }
    let outlier = policy.outlier_detection.as_ref();
    let empty = outlier.is_none()
        && policy.connection_pool.is_none()
        && policy.load_balancer.is_none()
        && policy.tls.is_none();
    if empty {
        found.error(at, "port traffic policy must have at least one field");
        return;
    }
    outlier_detection(found, &format!("{at}.outlierDetection"), outlier);
    connection_pool(
        found,
        &format!("{at}.connectionPool"),
        policy.connection_pool.as_ref(),
    );
    load_balancer(
        found,
        &format!("{at}.loadBalancer"),
        policy.load_balancer.as_ref(),
        outlier.is_some(),
    );
    tls::client(found, &format!("{at}.tls"), namespace, policy.tls.as_ref());
}

/// Istio 1.31: `validateTunnelSettings`.
fn tunnel(found: &mut Findings, at: &str, tunnel: &TunnelSettings) {
    if !matches!(&*tunnel.protocol, "" | "CONNECT" | "POST") {
        found.error(
            format!("{at}.protocol"),
            "tunnel protocol must be \"CONNECT\" or \"POST\"",
        );
    }
    if let (Err(name), Err(address)) = (
        host::fqdn(&tunnel.target_host),
        cidr::ip(&tunnel.target_host),
    ) {
        found.error(
            format!("{at}.targetHost"),
            format!("tunnel target host must be valid FQDN or IP address: {name}; {address}"),
        );
    }
    found.check(
        format!("{at}.targetPort"),
        port::port(tunnel.target_port)
            .map_err(|why| format!("tunnel target port is invalid: {why}")),
    );
}
