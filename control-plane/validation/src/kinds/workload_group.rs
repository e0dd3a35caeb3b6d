//! WorkloadGroups. Istio 1.31: `ValidateWorkloadGroup`.

use meltemi_api::workload_group::{ReadinessProbe, WorkloadGroup};

use crate::Findings;
use crate::object::{Meta, elements};
use crate::rules::labels::labels;
use crate::rules::{header, number::not_negative, port};

/// A WorkloadGroup.
pub fn validate(_: &Meta<'_>, group: &WorkloadGroup) -> Findings {
    if group.template.is_none() {
        return Findings::only("spec.template", "template is required");
    }
    let mut found = Findings::default();
    if let Some(metadata) = &group.metadata {
        labels(&mut found, "spec.metadata.labels", &metadata.labels);
        if !found.is_accepted() {
            for error in &mut found.errors {
                error.message = format!("invalid labels: {}", error.message);
            }
            return found;
        }
    }
    if let Some(part) = &group.probe {
        probe(&mut found, "spec.probe", part);
    }
    found
}

/// Istio 1.31: `validateReadinessProbe`, which does not know probes of gRPC.
fn probe(found: &mut Findings, at: &str, probe: &ReadinessProbe) {
    for (field, value) in [
        ("periodSeconds", probe.period_seconds),
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        found.check(format!("{at}.{field}"), not_negative(value, field));
    }
    if let Some(get) = &probe.http_get {
        let at = format!("{at}.httpGet");
        found.check(format!("{at}.port"), port::port(get.port));
        if !matches!(&*get.scheme, "" | "HTTP" | "HTTPS") {
            found.error(
                format!("{at}.scheme"),
                "httpGet.scheme must be one of \"HTTPS\", \"HTTP\"",
            );
        }
        for (at, header) in elements(&format!("{at}.httpHeaders"), &get.http_headers) {
            found.check(format!("{at}.name"), header::probe_name(&header.name));
        }
    } else if let Some(socket) = &probe.tcp_socket {
        found.check(format!("{at}.tcpSocket.port"), port::port(socket.port));
    } else if let Some(exec) = &probe.exec {
        if exec.command.is_empty() {
            found.error(format!("{at}.exec.command"), "exec.command is required");
        }
    } else {
        found.error(
            at,
            "unknown health check method: write httpGet, tcpSocket or exec",
        );
    }
}
