//! networking.istio.io Gateway.

use meltemi_api::gateway as api;
use meltemi_model::gateway::{Gateway, Server, ServerHost, ServerTls, ServerTlsMode};
use meltemi_model::port::Protocol;
use meltemi_model::{Object, Shared, Str};
use meltemi_validation::rules::cipher::SUITES;

use super::findings::Findings;
use super::meta::{Raw, labels};
use super::{checks, names};

const UNIX: &str = "unix://";

pub(super) fn lower(raw: &Raw<'_>, findings: &mut Findings) -> Option<Object> {
    let spec: api::Gateway = findings.spec(raw)?;
    if raw.meta.key.name.contains('.') {
        findings.warning("metadata.name", "the name of a Gateway holds no dots");
    }
    if spec.servers.is_empty() {
        findings.error("spec.servers", "a Gateway needs at least one server");
    }
    let mut servers: Vec<Server> = Vec::with_capacity(spec.servers.len());
    for (i, server) in spec.servers.iter().enumerate() {
        let path = format!("spec.servers[{i}]");
        let server = lower_server(server, &path, raw.namespace(), findings);
        if servers.iter().any(|s| s.port_name == server.port_name) {
            let message = format!("the port name {:?} is used twice", server.port_name);
            findings.warning(format!("{path}.port.name"), message);
        }
        servers.push(server);
    }
    Some(Object::Gateway(Shared::new(Gateway {
        selector: labels(&spec.selector),
        servers,
        meta: raw.meta.clone(),
    })))
}

fn lower_server(
    server: &api::Server,
    path: &str,
    namespace: &str,
    findings: &mut Findings,
) -> Server {
    let none = api::Port::default();
    if server.port.is_none() {
        findings.error(format!("{path}.port"), "the port is missing");
    }
    let port = server.port.as_ref().unwrap_or(&none);
    let number = check_port(server, port, path, findings);
    let protocol = names::protocol(&port.protocol);
    if !server.default_endpoint.is_empty() {
        let message =
            "a Gateway does nothing with this field, in Istio neither; write a VirtualService";
        findings.warning(format!("{path}.defaultEndpoint"), message);
    }
    let tls = server.tls.as_ref().map(|tls| {
        let path = format!("{path}.tls");
        check_protocol(tls, protocol, &path, findings);
        lower_tls(tls, &path, findings)
    });
    if protocol.is_tls() && tls.is_none() {
        findings.error(
            format!("{path}.tls"),
            "a server for HTTPS or TLS needs tls settings",
        );
    }
    Server {
        port: number,
        protocol,
        port_name: port.name.as_str().into(),
        bind: server.bind.as_str().into(),
        hosts: hosts(server, path, namespace, findings),
        tls,
        name: server.name.as_str().into(),
    }
}

fn check_port(server: &api::Server, port: &api::Port, path: &str, findings: &mut Findings) -> u16 {
    if server.port.is_none() {
        return 0;
    }
    if port.name.is_empty() {
        findings.warning(format!("{path}.port.name"), "the port needs a name");
    }
    if port.target_port > 0 {
        findings.warning(
            format!("{path}.port.targetPort"),
            "targetPort means nothing here; remove it",
        );
    }
    if names::protocol(&port.protocol) == Protocol::Unsupported {
        let message = format!(
            "{:?} is not a protocol; write HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, TLS, TCP, MONGO, REDIS or MYSQL",
            port.protocol
        );
        findings.error(format!("{path}.port.protocol"), message);
    }
    let bind = format!("{path}.bind");
    if let Some(socket) = server.bind.strip_prefix(UNIX) {
        findings.check(&bind, checks::unix_path(socket));
        if port.number != 0 {
            findings.error(
                format!("{path}.port.number"),
                "the port of a Unix socket is 0",
            );
        }
        return 0;
    }
    if !server.bind.is_empty() {
        findings.check(&bind, checks::ip(&server.bind));
    }
    findings.port(format!("{path}.port.number"), port.number)
}

/// Hosts; one without a namespace may be bound from every namespace.
/// Istio 1.31: `ValidateNamespaceSlashWildcardHostname`.
fn hosts(server: &api::Server, path: &str, own: &str, findings: &mut Findings) -> Vec<ServerHost> {
    if server.hosts.is_empty() {
        findings.error(
            format!("{path}.hosts"),
            "a server needs at least one host; \"*\" stands for all",
        );
    }
    let mut out = Vec::with_capacity(server.hosts.len());
    for (i, text) in server.hosts.iter().enumerate() {
        let at = format!("{path}.hosts[{i}]");
        let full = if text.contains('/') {
            text.clone()
        } else {
            format!("*/{text}")
        };
        let Some((namespace, host)) = names::namespaced_host(&full, own) else {
            continue;
        };
        if &*namespace != "*" {
            findings.check(&at, checks::dns_label(&namespace));
        }
        let name = host.as_str();
        if checks::ip(name).is_err() {
            findings.check(&at, checks::wildcard_host(name));
            if name != "*" && !name.contains('.') {
                let message = format!("{name:?} is a short name; write the host in full");
                findings.warning(&at, message);
            }
            if name.starts_with('*') && name != "*" && !name.starts_with("*.") {
                let message =
                    format!("{name:?}: a wildcard is a whole part, such as *.example.com");
                findings.warning(&at, message);
            }
        }
        out.push(ServerHost { namespace, host });
    }
    out
}

fn check_protocol(
    tls: &api::ServerTlsSettings,
    protocol: Protocol,
    path: &str,
    findings: &mut Findings,
) {
    if protocol.is_tls() || protocol == Protocol::Unsupported {
        return;
    }
    // `tls: {httpsRedirect: true}` is all that a plain HTTP server may say; its mode is PASSTHROUGH, the default.
    let says_more = tls.mode != api::ServerTlsMode::Passthrough
        || [
            &tls.ca_certificates,
            &tls.private_key,
            &tls.server_certificate,
        ]
        .iter()
        .any(|file| !file.is_empty());
    if !protocol.is_http() || says_more {
        let message =
            "a server for plain text has no tls settings; write protocol: HTTPS, or remove them";
        findings.warning(path, message);
    }
}

pub(super) fn lower_tls(
    tls: &api::ServerTlsSettings,
    path: &str,
    findings: &mut Findings,
) -> ServerTls {
    check_certificates(tls, path, findings);
    check_verification(tls, path, findings);
    let files: Vec<(Str, Str)> = match tls.tls_certificates.as_slice() {
        [] if tls.server_certificate.is_empty() && tls.private_key.is_empty() => Vec::new(),
        [] => vec![(
            tls.server_certificate.as_str().into(),
            tls.private_key.as_str().into(),
        )],
        many => many
            .iter()
            .map(|c| {
                (
                    c.server_certificate.as_str().into(),
                    c.private_key.as_str().into(),
                )
            })
            .collect(),
    };
    let names = match tls.credential_name.as_str() {
        "" => strings(&tls.credential_names),
        name => vec![name.into()],
    };
    ServerTls {
        https_redirect: tls.https_redirect,
        mode: mode(tls.mode),
        credential_names: names,
        ca_cert_credential_name: tls.ca_cert_credential_name.as_str().into(),
        certificates: files,
        ca_certificates: tls.ca_certificates.as_str().into(),
        ca_crl: tls.ca_crl.as_str().into(),
        verify_spki: strings(&tls.verify_certificate_spki),
        verify_hash: strings(&tls.verify_certificate_hash),
        skip_verify: tls.insecure_skip_verify == Some(true),
        subject_alt_names: strings(&tls.subject_alt_names),
        min_version: version(tls.min_protocol_version),
        max_version: version(tls.max_protocol_version),
        cipher_suites: cipher_suites(tls, path, findings),
        ecdh_curves: strings(&tls.ecdh_curves),
    }
}

fn strings(list: &[String]) -> Vec<Str> {
    list.iter().map(|text| text.as_str().into()).collect()
}

fn cipher_suites(tls: &api::ServerTlsSettings, path: &str, findings: &mut Findings) -> Vec<Str> {
    let mut known: Vec<Str> = Vec::with_capacity(tls.cipher_suites.len());
    for (i, suite) in tls.cipher_suites.iter().enumerate() {
        let at = || format!("{path}.cipherSuites[{i}]");
        if !SUITES.contains(&suite.as_str()) {
            let message = format!(
                "{suite:?} is not a cipher suite that Envoy has and is left out; write one of {}",
                SUITES.join(", ")
            );
            findings.warning(at(), message);
        } else if known.iter().any(|other| **other == **suite) {
            findings.warning(at(), format!("{suite:?} is there twice; remove one"));
        } else {
            known.push(suite.as_str().into());
        }
    }
    known
}

/// What is said of clients' certificates and has no effect. Istio 1.31 ignores it, too.
fn check_verification(tls: &api::ServerTlsSettings, path: &str, findings: &mut Findings) {
    use api::ServerTlsMode as Mode;
    let asks = matches!(
        tls.mode,
        Mode::Mutual | Mode::OptionalMutual | Mode::IstioMutual
    );
    let by_name = !tls.credential_name.is_empty() || !tls.credential_names.is_empty();
    let by_hash = asks && by_name && tls.mode != Mode::IstioMutual;
    for (field, is_set, works) in [
        ("subjectAltNames", !tls.subject_alt_names.is_empty(), asks),
        (
            "insecureSkipVerify",
            tls.insecure_skip_verify == Some(true),
            asks,
        ),
        (
            "caCrl",
            !tls.ca_crl.is_empty(),
            asks && (!by_name || tls.mode == Mode::IstioMutual),
        ),
        (
            "verifyCertificateSpki",
            !tls.verify_certificate_spki.is_empty(),
            by_hash,
        ),
        (
            "verifyCertificateHash",
            !tls.verify_certificate_hash.is_empty(),
            by_hash,
        ),
    ] {
        if is_set && !works {
            let message = match field {
                "caCrl" if asks => {
                    "a file has no effect beside credentialName; put the list into the Secret, as ca.crl"
                }
                "verifyCertificateSpki" | "verifyCertificateHash" if asks => {
                    "this has an effect with credentialName only"
                }
                _ => "this has no effect in a mode that asks for no client certificate",
            };
            findings.warning(format!("{path}.{field}"), message);
        }
    }
    let cas = [&tls.verify_certificate_spki, &tls.verify_certificate_hash];
    if by_hash && tls.insecure_skip_verify == Some(true) && cas.iter().all(|list| list.is_empty()) {
        let message = "clients with any certificate are let in; verifyCertificateSpki or verifyCertificateHash tells which";
        findings.warning(format!("{path}.insecureSkipVerify"), message);
    }
}

/// Istio 1.31: `validateTLSOptions`.
fn check_certificates(tls: &api::ServerTlsSettings, path: &str, findings: &mut Findings) {
    use api::ServerTlsMode as Mode;
    let by_name = !tls.credential_name.is_empty() || !tls.credential_names.is_empty();
    let files = !tls.server_certificate.is_empty() || !tls.private_key.is_empty();
    let sources = [
        !tls.server_certificate.is_empty() && !tls.private_key.is_empty(),
        !tls.credential_name.is_empty(),
        !tls.credential_names.is_empty(),
        !tls.tls_certificates.is_empty(),
    ];
    if sources.iter().filter(|s| **s).count() > 1 {
        let message = "credentialName, credentialNames, serverCertificate and tlsCertificates exclude each other";
        findings.error(path, message);
    }
    match tls.mode {
        Mode::IstioMutual => {
            if by_name
                || files
                || !tls.ca_certificates.is_empty()
                || !tls.tls_certificates.is_empty()
            {
                findings.warning(
                    path,
                    "mode ISTIO_MUTUAL uses the mesh's certificates; remove the others",
                );
            }
        }
        Mode::Passthrough | Mode::AutoPassthrough => {
            if by_name || files || !tls.tls_certificates.is_empty() {
                findings.warning(path, "with this mode the certificates are not used");
            }
        }
        Mode::Simple | Mode::Mutual | Mode::OptionalMutual => {
            if by_name {
                return;
            }
            if tls.mode != Mode::Simple && tls.ca_certificates.is_empty() {
                findings.error(
                    format!("{path}.caCertificates"),
                    "this mode needs the CA of the clients",
                );
            }
            let complete = match tls.tls_certificates.as_slice() {
                [] => sources[0],
                many => many
                    .iter()
                    .all(|c| !c.server_certificate.is_empty() && !c.private_key.is_empty()),
            };
            if !complete {
                let message = "this mode needs a certificate; write credentialName, or serverCertificate and privateKey";
                findings.error(path, message);
            }
        }
    }
}

fn mode(mode: api::ServerTlsMode) -> ServerTlsMode {
    match mode {
        api::ServerTlsMode::Passthrough => ServerTlsMode::Passthrough,
        api::ServerTlsMode::Simple => ServerTlsMode::Simple,
        api::ServerTlsMode::Mutual => ServerTlsMode::Mutual,
        api::ServerTlsMode::AutoPassthrough => ServerTlsMode::AutoPassthrough,
        api::ServerTlsMode::IstioMutual => ServerTlsMode::IstioMutual,
        api::ServerTlsMode::OptionalMutual => ServerTlsMode::OptionalMutual,
    }
}

fn version(version: api::TlsProtocol) -> u8 {
    match version {
        api::TlsProtocol::TlsAuto => 0,
        api::TlsProtocol::V1_0 => 10,
        api::TlsProtocol::V1_1 => 11,
        api::TlsProtocol::V1_2 => 12,
        api::TlsProtocol::V1_3 => 13,
    }
}
