//! Sidecars. Istio 1.31: `ValidateSidecar`.

use std::collections::{BTreeMap, BTreeSet};

use meltemi_api::gateway::{ServerTlsMode, ServerTlsSettings};
use meltemi_api::sidecar::{
    CaptureMode, IstioEgressListener, IstioIngressListener, OutboundMode, OutboundTrafficPolicy,
    Sidecar, SidecarPort,
};

use super::virtual_service::route::destination;
use crate::Findings;
use crate::object::{Meta, elements};
use crate::rules::cidr::{self, UNIX_PREFIX};
use crate::rules::connection_pool::connection_pool;
use crate::rules::host::{self, Reader};
use crate::rules::{port, protocol, selector, tls};

/// A Sidecar.
pub fn validate(meta: &Meta<'_>, sidecar: &Sidecar) -> Findings {
    let mut found = Findings::default();
    if !selector::workloads(&mut found, "sidecar", sidecar.workload_selector.as_ref()) {
        return found;
    }
    let empty = sidecar.egress.is_empty()
        && sidecar.ingress.is_empty()
        && sidecar.outbound_traffic_policy.is_none()
        && sidecar.inbound_connection_pool.is_none();
    if empty {
        return Findings::only("spec", "sidecar: empty configuration provided");
    }
    let mut ports = BTreeSet::new();
    for (at, listener) in elements("spec.ingress", &sidecar.ingress) {
        ingress(&mut found, &at, listener, &mut ports);
    }
    connection_pool(
        &mut found,
        "spec.inboundConnectionPool",
        sidecar.inbound_connection_pool.as_ref(),
    );
    egress(&mut found, meta.namespace, &sidecar.egress);
    if let Some(policy) = &sidecar.outbound_traffic_policy {
        outbound(&mut found, policy);
    }
    found
}

fn ingress(
    found: &mut Findings,
    at: &str,
    listener: &IstioIngressListener,
    ports: &mut BTreeSet<u32>,
) {
    let Some(port) = &listener.port else {
        found.error(
            format!("{at}.port"),
            "sidecar: port is required for ingress listeners",
        );
        return;
    };
    no_target_port(found, at, port);
    port_name(found, at, port);
    found.check(
        format!("{at}.port.protocol"),
        protocol::known(&port.protocol),
    );
    found.check(format!("{at}.port.number"), port::port(port.number));
    if !listener.bind.is_empty() {
        found.check(format!("{at}.bind"), cidr::ip(&listener.bind));
    }
    if !ports.insert(port.number) {
        found.error(
            format!("{at}.port.number"),
            "sidecar: ports on IP bound listeners must be unique",
        );
    }
    default_endpoint(found, at, &listener.default_endpoint);
    if let Some(settings) = &listener.tls {
        ingress_tls(found, &format!("{at}.tls"), settings, port);
    }
    let pool = listener.connection_pool.as_ref();
    connection_pool(found, &format!("{at}.connectionPool"), pool);
    let http = pool.is_some_and(|pool| pool.http.is_some());
    if http && !protocol::is_http(protocol::protocol(&port.protocol)) {
        found.warning(
            format!("{at}.connectionPool.http"),
            format!(
                "sidecar: HTTP connection pool settings are configured for port {} ({:?}) but its protocol is not HTTP ({}); only TCP settings will apply",
                port.number, port.name, port.protocol
            ),
        );
    }
}

fn no_target_port(found: &mut Findings, at: &str, port: &SidecarPort) {
    if port.target_port > 0 {
        found.error(
            format!("{at}.port.targetPort"),
            "targetPort has no impact on Sidecars",
        );
    }
}

fn port_name(found: &mut Findings, at: &str, port: &SidecarPort) {
    if !port.name.is_empty() {
        found.check(format!("{at}.port.name"), port::name(&port.name));
    }
}

/// Where the application listens: `127.0.0.1:port`, `[::1]:port`, `:port` or a Unix socket.
fn default_endpoint(found: &mut Findings, at: &str, endpoint: &str) {
    let at = format!("{at}.defaultEndpoint");
    if endpoint.is_empty() {
        return;
    }
    if let Some(path) = endpoint.strip_prefix(UNIX_PREFIX) {
        found.check(at, cidr::unix_path(path));
        return;
    }
    let (host, number) = match port::split_host_port(endpoint) {
        Ok(parts) => parts,
        Err(message) => {
            found.error(at, message);
            return;
        }
    };
    if !matches!(host, "" | "127.0.0.1" | "0.0.0.0" | "::1" | "::") {
        found.error(
            &at,
            "sidecar: defaultEndpoint must be of form 127.0.0.1:<port>,0.0.0.0:<port>,[::1]:port,[::]:port,unix://filepath or unset",
        );
    }
    match number.parse::<i64>() {
        Ok(number) => found.check(at, port::port(number)),
        Err(_) => found.error(
            at,
            format!("sidecar: defaultEndpoint port ({number}) is not a number"),
        ),
    }
}

fn ingress_tls(found: &mut Findings, at: &str, settings: &ServerTlsSettings, port: &SidecarPort) {
    for (set, field, message) in [
        (
            !settings.subject_alt_names.is_empty(),
            "subjectAltNames",
            "sidecar: subjectAltNames is not supported in ingress tls",
        ),
        (
            settings.https_redirect,
            "httpsRedirect",
            "sidecar: httpsRedirect is not supported",
        ),
        (
            !settings.credential_name.is_empty(),
            "credentialName",
            "sidecar: credentialName is not currently supported",
        ),
        (
            !settings.credential_names.is_empty(),
            "credentialNames",
            "sidecar: credentialNames is not currently supported",
        ),
        (
            !settings.tls_certificates.is_empty(),
            "tlsCertificates",
            "sidecar: tls_certificates is not currently supported",
        ),
    ] {
        if set {
            found.error(format!("{at}.{field}"), message);
        }
    }
    let mode = settings.mode;
    if matches!(
        mode,
        ServerTlsMode::IstioMutual | ServerTlsMode::AutoPassthrough
    ) {
        found.error(
            format!("{at}.mode"),
            format!(
                "configuration is invalid: cannot set mode to {} in sidecar ingress tls",
                mode.as_str()
            ),
        );
    }
    if !protocol::is_tls(protocol::protocol(&port.protocol)) {
        found.error(
            at,
            "server cannot have TLS settings for non HTTPS/TLS ports",
        );
    }
    tls::server(found, at, Some(settings));
}

fn egress(found: &mut Findings, namespace: &str, listeners: &[IstioEgressListener]) {
    let (mut ports, mut sockets) = (BTreeSet::new(), BTreeSet::new());
    let mut catch_all = false;
    for (i, (at, listener)) in elements("spec.egress", listeners).enumerate() {
        match &listener.port {
            None if catch_all => {
                found.error(
                    at,
                    "sidecar: egress can have only one listener with empty port",
                );
                continue;
            }
            None if i + 1 == listeners.len() => catch_all = true,
            None => found.error(
                &at,
                "sidecar: the egress listener with empty port should be the last listener in the list",
            ),
            Some(port) => {
                no_target_port(found, &at, port);
                egress_port(found, &at, port, listener);
                if port.number == 0 {
                    if !sockets.insert(&listener.bind) {
                        found.error(
                            format!("{at}.bind"),
                            "sidecar: unix domain socket values for listeners must be unique",
                        );
                    }
                } else if !ports.insert(port.number) {
                    found.error(
                        format!("{at}.port.number"),
                        "sidecar: ports on IP bound listeners must be unique",
                    );
                }
            }
        }
        egress_hosts(found, &format!("{at}.hosts"), namespace, &listener.hosts);
    }
}

/// Istio 1.31: `validateSidecarEgressPortBindAndCaptureMode`.
fn egress_port(found: &mut Findings, at: &str, port: &SidecarPort, listener: &IstioEgressListener) {
    port_name(found, at, port);
    found.check(
        format!("{at}.port.protocol"),
        protocol::known(&port.protocol),
    );
    if port.number != 0 {
        found.check(format!("{at}.port.number"), port::port(port.number));
        if !listener.bind.is_empty() {
            found.check(format!("{at}.bind"), cidr::ip(&listener.bind));
        }
        return;
    }
    match listener.bind.strip_prefix(UNIX_PREFIX) {
        Some(path) => found.check(format!("{at}.bind"), cidr::unix_path(path)),
        None => found.error(
            format!("{at}.bind"),
            "sidecar: ports with 0 value must have a unix domain socket bind address",
        ),
    }
    if listener.capture_mode == CaptureMode::Iptables {
        found.error(
            format!("{at}.captureMode"),
            "sidecar: captureMode must be DEFAULT/NONE for unix domain socket listeners",
        );
    }
}

fn egress_hosts(found: &mut Findings, at: &str, own: &str, hosts: &[String]) {
    if hosts.is_empty() {
        found.error(
            at,
            "sidecar: egress listener must contain at least one host",
        );
        return;
    }
    let mut seen: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (at, full) in elements(at, hosts) {
        if let Some((namespace, name)) = full.split_once('/')
            && !namespace.starts_with('~')
        {
            let namespace = if namespace == "." { own } else { namespace };
            let names = seen.entry(namespace).or_default();
            let covered = if name == "*" {
                !names.is_empty()
            } else {
                names.contains(name) || names.contains("*")
            };
            if covered {
                found.warning(&at, format!("duplicated egress host: {full}"));
            }
            names.insert(name);
        }
        host::namespaced(found, &at, full, Reader::Sidecar);
    }
    let everything = seen.get("*").is_some_and(|names| names.contains("*"));
    if everything && seen.len() > 1 {
        found.warning(
            at,
            "`*/*` host select all resources, no other hosts can be added",
        );
    }
}

/// Istio 1.31: `validateSidecarOutboundTrafficPolicy`.
fn outbound(found: &mut Findings, policy: &OutboundTrafficPolicy) {
    const AT: &str = "spec.outboundTrafficPolicy.egressProxy";
    let Some(proxy) = &policy.egress_proxy else {
        return;
    };
    if policy.mode != OutboundMode::AllowAny {
        found.error(
            AT,
            "sidecar: egress_proxy must be set only with ALLOW_ANY outbound_traffic_policy mode",
        );
        return;
    }
    found.check(format!("{AT}.host"), host::fqdn(&proxy.host));
    if proxy.port.is_none() {
        found.error(
            format!("{AT}.port"),
            "sidecar: egress_proxy port must be non-nil",
        );
        return;
    }
    destination(found, AT, proxy);
}
