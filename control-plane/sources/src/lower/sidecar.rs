//! networking.istio.io Sidecar.

use meltemi_api::gateway::{ServerTlsMode, ServerTlsSettings};
use meltemi_api::sidecar as api;
use meltemi_model::gateway::ServerTls;
use meltemi_model::sidecar::{
    CaptureMode, EgressHost, EgressListener, EgressPort, IngressListener, OutboundPolicy, Sidecar,
};
use meltemi_model::{Object, Shared};

use super::destination_rule::connection_pool;
use super::findings::Findings;
use super::meta::{Raw, labels};
use super::{LowerSettings, checks, gateway, names};

const UNIX: &str = "unix://";

pub(super) fn lower(
    raw: &Raw<'_>,
    findings: &mut Findings,
    settings: &LowerSettings,
) -> Option<Object> {
    let spec: api::Sidecar = findings.spec(raw)?;
    let says_nothing = spec.egress.is_empty()
        && spec.ingress.is_empty()
        && spec.outbound_traffic_policy.is_none()
        && spec.inbound_connection_pool.is_none();
    if says_nothing {
        findings.warning(
            "spec",
            "the Sidecar says nothing; write egress, ingress or outboundTrafficPolicy",
        );
    }
    let selector = spec.workload_selector.as_ref().map(|s| {
        findings.selector("spec.workloadSelector.labels", &s.labels);
        labels(&s.labels)
    });
    let policy = spec.outbound_traffic_policy.as_ref();
    Some(Object::Sidecar(Shared::new(Sidecar {
        workload_selector: selector.filter(|labels| !labels.is_empty()),
        ingress: ingress(&spec, findings, settings),
        egress: egress(&spec, findings),
        outbound_policy: policy.map(|p| match p.mode {
            api::OutboundMode::RegistryOnly => OutboundPolicy::RegistryOnly,
            api::OutboundMode::AllowAny => OutboundPolicy::AllowAny,
        }),
        egress_proxy: policy
            .and_then(|p| egress_proxy(p, raw.namespace(), &settings.domain, findings)),
        inbound_connection_pool: spec
            .inbound_connection_pool
            .as_ref()
            .map(|pool| connection_pool::lower(pool, "spec.inboundConnectionPool", findings)),
        meta: raw.meta.clone(),
    })))
}

fn egress_proxy(
    policy: &api::OutboundTrafficPolicy,
    namespace: &str,
    domain: &str,
    findings: &mut Findings,
) -> Option<meltemi_model::routing::Destination> {
    let path = "spec.outboundTrafficPolicy.egressProxy";
    let proxy = policy.egress_proxy.as_ref()?;
    if policy.mode != api::OutboundMode::AllowAny {
        findings.error(path, "an egress proxy needs mode: ALLOW_ANY");
    }
    if proxy.port.is_none() {
        findings.error(format!("{path}.port"), "the port is missing");
    }
    Some(findings.destination(path, Some(proxy), namespace, domain))
}

fn capture_mode(mode: api::CaptureMode) -> CaptureMode {
    match mode {
        api::CaptureMode::Default => CaptureMode::Default,
        api::CaptureMode::Iptables => CaptureMode::Iptables,
        api::CaptureMode::None => CaptureMode::None,
    }
}

fn ingress(
    spec: &api::Sidecar,
    findings: &mut Findings,
    settings: &LowerSettings,
) -> Vec<IngressListener> {
    let mut out: Vec<IngressListener> = Vec::with_capacity(spec.ingress.len());
    for (i, listener) in spec.ingress.iter().enumerate() {
        let path = format!("spec.ingress[{i}]");
        let Some(port) = &listener.port else {
            findings.error(format!("{path}.port"), "the port is missing");
            continue;
        };
        let number = findings.port(format!("{path}.port.number"), port.number);
        check_port(port, &path, findings);
        if out.iter().any(|l| l.port == number) {
            findings.error(
                format!("{path}.port.number"),
                format!("port {number} is listed twice"),
            );
        }
        if !listener.bind.is_empty() {
            findings.check(&format!("{path}.bind"), checks::ip(&listener.bind));
        }
        let endpoint = format!("{path}.defaultEndpoint");
        findings.check(&endpoint, default_endpoint(&listener.default_endpoint));
        let tls = listener
            .tls
            .as_ref()
            .map(|tls| ingress_tls(tls, &port.protocol, &format!("{path}.tls"), findings));
        if tls.is_some() && !settings.features.tls_on_sidecar_ingress {
            findings.warning(
                format!("{path}.tls"),
                "tls takes effect only with ENABLE_TLS_ON_SIDECAR_INGRESS=true; without it the field is ignored",
            );
        }
        out.push(IngressListener {
            port: number,
            protocol: names::protocol(&port.protocol),
            port_name: port.name.as_str().into(),
            bind: listener.bind.as_str().into(),
            capture_mode: capture_mode(listener.capture_mode),
            default_endpoint: listener.default_endpoint.as_str().into(),
            tls: tls.filter(|_| settings.features.tls_on_sidecar_ingress),
            connection_pool: listener.connection_pool.as_ref().map(|pool| {
                connection_pool::lower(pool, &format!("{path}.connectionPool"), findings)
            }),
        });
    }
    out
}

/// Istio 1.31: `ValidateSidecar`.
fn ingress_tls(
    tls: &ServerTlsSettings,
    protocol: &str,
    path: &str,
    findings: &mut Findings,
) -> ServerTls {
    for (field, is_set) in [
        ("subjectAltNames", !tls.subject_alt_names.is_empty()),
        ("httpsRedirect", tls.https_redirect),
        ("credentialName", !tls.credential_name.is_empty()),
        ("credentialNames", !tls.credential_names.is_empty()),
        ("tlsCertificates", !tls.tls_certificates.is_empty()),
    ] {
        if is_set {
            let message = format!("{field} is not supported in ingress tls");
            findings.error(format!("{path}.{field}"), message);
        }
    }
    if matches!(
        tls.mode,
        ServerTlsMode::IstioMutual | ServerTlsMode::AutoPassthrough
    ) {
        findings.error(
            format!("{path}.mode"),
            "ISTIO_MUTUAL and AUTO_PASSTHROUGH are not supported in ingress tls; mutual TLS of the mesh is a matter of PeerAuthentications",
        );
    }
    if !names::protocol(protocol).is_tls() {
        findings.error(
            path,
            "server cannot have TLS settings for non HTTPS/TLS ports",
        );
    }
    gateway::lower_tls(tls, path, findings)
}

fn check_port(port: &api::SidecarPort, path: &str, findings: &mut Findings) {
    findings.protocol(&format!("{path}.port.protocol"), &port.protocol);
    if !port.name.is_empty() {
        findings.check(&format!("{path}.port.name"), checks::dns_label(&port.name));
    }
    if port.target_port > 0 {
        findings.warning(
            format!("{path}.port.targetPort"),
            "targetPort means nothing here; remove it",
        );
    }
}

/// `127.0.0.1:port`, `0.0.0.0:port`, `[::1]:port`, `[::]:port`, `:port` or `unix://path`.
fn default_endpoint(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    if let Some(socket) = text.strip_prefix(UNIX) {
        return checks::unix_path(socket);
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let known = matches!(host, "" | "127.0.0.1" | "0.0.0.0" | "[::1]" | "[::]");
    let port = port.parse::<u32>().ok().and_then(|p| checks::port(p).ok());
    if known && port.is_some() {
        return Ok(());
    }
    Err(format!(
        "{text:?} is not a default endpoint; write 127.0.0.1:PORT, 0.0.0.0:PORT, [::1]:PORT, [::]:PORT or unix://PATH"
    ))
}

fn egress(spec: &api::Sidecar, findings: &mut Findings) -> Vec<EgressListener> {
    let mut out: Vec<EgressListener> = Vec::with_capacity(spec.egress.len());
    for (i, listener) in spec.egress.iter().enumerate() {
        let path = format!("spec.egress[{i}]");
        if listener.port.is_none() && i + 1 < spec.egress.len() {
            findings.error(
                &path,
                "a listener without a port takes what the others leave; write it last",
            );
        }
        let port = listener
            .port
            .as_ref()
            .map(|port| egress_port(listener, port, &path, findings));
        let same = |other: &EgressListener| {
            let numbers = (
                other.port.as_ref().map(|p| p.number),
                port.as_ref().map(|p| p.number),
            );
            matches!(numbers, (Some(a), Some(b)) if a == b && (a != 0 || *other.bind == *listener.bind))
        };
        if out.iter().any(same) {
            findings.error(format!("{path}.port"), "this port is listed twice");
        }
        if listener.hosts.is_empty() {
            findings.error(
                format!("{path}.hosts"),
                "a listener needs at least one host, such as ./*",
            );
        }
        out.push(EgressListener {
            port,
            bind: listener.bind.as_str().into(),
            capture_mode: capture_mode(listener.capture_mode),
            hosts: egress_hosts(&listener.hosts, &path, findings),
        });
    }
    out
}

fn egress_port(
    listener: &api::IstioEgressListener,
    port: &api::SidecarPort,
    path: &str,
    findings: &mut Findings,
) -> EgressPort {
    check_port(port, path, findings);
    let bind = format!("{path}.bind");
    if port.number > 0 {
        findings.port(format!("{path}.port.number"), port.number);
        if !listener.bind.is_empty() {
            findings.check(&bind, checks::ip(&listener.bind));
        }
    } else if let Some(socket) = listener.bind.strip_prefix(UNIX) {
        findings.check(&bind, checks::unix_path(socket));
        if listener.capture_mode == api::CaptureMode::Iptables {
            findings.error(
                format!("{path}.captureMode"),
                "a Unix socket is captured with DEFAULT or NONE",
            );
        }
    } else {
        findings.error(
            format!("{path}.port.number"),
            "port 0 needs bind: unix://PATH",
        );
    }
    EgressPort {
        number: u16::try_from(port.number).unwrap_or(0),
        protocol: names::protocol(&port.protocol),
        name: port.name.as_str().into(),
    }
}

/// `.` stays: in the root namespace it means the namespace of each proxy.
fn egress_hosts(hosts: &[String], path: &str, findings: &mut Findings) -> Vec<EgressHost> {
    let mut out = Vec::with_capacity(hosts.len());
    for (i, text) in hosts.iter().enumerate() {
        let at = format!("{path}.hosts[{i}]");
        let Some((namespace, host)) = names::namespaced_host(text, ".") else {
            let message = format!(
                "{text:?} is not of the form NAMESPACE/HOST; write ./{text} for this namespace"
            );
            findings.error(at, message);
            continue;
        };
        // `~NAMESPACE` takes away what the others show; `~` alone is every namespace.
        let named = namespace.strip_prefix('~').unwrap_or(&namespace);
        if !matches!(named, "" | "*" | ".") {
            findings.check(&at, checks::dns_label(named));
        }
        let name = host.as_str();
        findings.check(&at, checks::wildcard_host(name));
        if name != "*" && !name.contains('.') {
            let message = format!("{name:?} is a short name; write the host in full");
            findings.warning(&at, message);
        }
        if name.starts_with('*') && name != "*" && !name.starts_with("*.") {
            let message = format!("{name:?}: a wildcard is a whole part, such as *.example.com");
            findings.warning(&at, message);
        }
        out.push(EgressHost { namespace, host });
    }
    out
}
