//! Gateways. Istio 1.31: `ValidateGateway`.

use std::collections::BTreeSet;

use meltemi_api::gateway::{Gateway, Port, Server, ServerTlsMode};

use crate::Findings;
use crate::object::{Meta, elements};
use crate::rules::cidr::{self, UNIX_PREFIX};
use crate::rules::host::{self, Reader};
use crate::rules::protocol::{is_http, is_tls, protocol};
use crate::rules::{port, tls};

/// A Gateway.
pub fn validate(meta: &Meta<'_>, gateway: &Gateway) -> Findings {
    let mut found = Findings::default();
    let converted = meta.annotation("internal.istio.io/gateway-semantics") == Some("gateway");
    if !host::is_dns_label(meta.name) && !converted {
        let message = format!("invalid gateway name: {:?}", meta.name);
        found.error("metadata.name", message);
    }
    if gateway.servers.is_empty() {
        found.error("spec.servers", "gateway must have at least one server");
    }
    for (at, part) in elements("spec.servers", &gateway.servers) {
        server(&mut found, &at, part, converted);
    }
    let mut names = BTreeSet::new();
    for (at, part) in elements("spec.servers", &gateway.servers) {
        let Some(port) = &part.port else { continue };
        if !names.insert(&port.name) {
            found.error(
                format!("{at}.port.name"),
                format!(
                    "port names in servers must be unique: duplicate name {}",
                    port.name
                ),
            );
        }
        let redirects = part.tls.as_ref().is_some_and(|tls| tls.https_redirect);
        if redirects && !is_http(protocol(&port.protocol)) {
            found.warning(
                format!("{at}.tls.httpsRedirect"),
                "tls.httpsRedirect should only be used with http servers",
            );
        }
    }
    found
}

/// A server; `converted` if its Gateway was made of one of the Gateway API. Istio 1.31: `validateServer`.
pub fn server(found: &mut Findings, at: &str, server: &Server, converted: bool) {
    if server.hosts.is_empty() {
        found.error(
            format!("{at}.hosts"),
            "server config must contain at least one host",
        );
    }
    for (at, name) in elements(&format!("{at}.hosts"), &server.hosts) {
        host::namespaced(found, &at, name, Reader::Gateway { converted });
    }
    let mut port_findings = Findings::default();
    server_port(
        &mut port_findings,
        &format!("{at}.port"),
        server.port.as_ref(),
        &server.bind,
    );
    let port_is_good = port_findings.is_accepted();
    found.extend(port_findings);
    bind(found, at, server);
    tls::server(found, &format!("{at}.tls"), server.tls.as_ref());
    if let (true, Some(port)) = (port_is_good, &server.port) {
        encryption(found, at, server, port);
    }
}

/// TLS settings belong to protocols over TLS; those of HTTP may only redirect.
fn encryption(found: &mut Findings, at: &str, server: &Server, port: &Port) {
    let protocol = protocol(&port.protocol);
    let at = format!("{at}.tls");
    match &server.tls {
        None if is_tls(protocol) => {
            found.error(at, "server must have TLS settings for HTTPS/TLS protocols")
        }
        Some(tls) if is_http(protocol) => {
            let passes = matches!(
                tls.mode,
                ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough
            );
            let files = [
                &tls.ca_certificates,
                &tls.private_key,
                &tls.server_certificate,
            ];
            if !passes || files.into_iter().any(|file| !file.is_empty()) {
                found.error(
                    at,
                    "server cannot have TLS settings for plain text HTTP ports",
                );
            }
        }
        Some(_) if !is_tls(protocol) => found.error(
            at,
            "server cannot have TLS settings for non HTTPS/TLS ports",
        ),
        _ => {}
    }
}

/// `port` of a server that binds to an address. Istio 1.31: `validateServerPort`.
pub fn server_port(found: &mut Findings, at: &str, port: Option<&Port>, bind: &str) {
    let Some(port) = port else {
        found.error(at, "port is required");
        return;
    };
    if protocol(&port.protocol) == meltemi_model::port::Protocol::Unsupported {
        found.error(
            format!("{at}.protocol"),
            format!(
                "invalid protocol {:?}, supported protocols are HTTP, HTTP2, GRPC, GRPC-WEB, MONGO, REDIS, MYSQL, TCP",
                port.protocol
            ),
        );
    }
    if port.number > 0 || !bind.starts_with(UNIX_PREFIX) {
        found.check(format!("{at}.number"), port::port(port.number));
    }
    if port.target_port > 0 {
        found.error(
            format!("{at}.targetPort"),
            "targetPort has no impact on Gateways",
        );
    }
    if port.name.is_empty() {
        let number = port.number;
        let message = format!("port name must be set: number {number}");
        found.error(format!("{at}.name"), message);
    }
}

/// Istio 1.31: `validateServerBind`.
fn bind(found: &mut Findings, at: &str, server: &Server) {
    if server.bind.is_empty() {
        return;
    }
    let Some(path) = server.bind.strip_prefix(UNIX_PREFIX) else {
        found.check(format!("{at}.bind"), cidr::ip(&server.bind));
        return;
    };
    found.check(format!("{at}.bind"), cidr::unix_path(path));
    if let Some(port) = &server.port
        && port.number != 0
    {
        let message = format!(
            "port number must be 0 for unix domain socket: number {}",
            port.number
        );
        found.error(format!("{at}.port.number"), message);
    }
}
