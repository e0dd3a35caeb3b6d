//! networking.k8s.io Ingress and IngressClass.

use serde::Deserialize;

use meltemi_model::ingress::{
    BackendPort, Ingress, IngressBackend, IngressClass, IngressPath, IngressRule, IngressTls,
    PathType,
};
use meltemi_model::{Hostname, Object, Shared};

use super::checks;
use super::findings::Findings;
use super::meta::Raw;

#[derive(Default, Deserialize)]
#[serde(default)]
struct ClassSpec {
    controller: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    ingress_class_name: Option<String>,
    default_backend: Option<Backend>,
    rules: Vec<Rule>,
    tls: Vec<Tls>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Rule {
    host: String,
    http: Option<Http>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Http {
    paths: Vec<Path>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Path {
    path: String,
    path_type: String,
    backend: Backend,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Backend {
    service: Option<ServiceBackend>,
    resource: Option<serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceBackend {
    name: String,
    port: ServicePort,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServicePort {
    name: String,
    number: u32,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Tls {
    hosts: Vec<String>,
    secret_name: String,
}

pub(super) fn lower_class(raw: &Raw<'_>, findings: &mut Findings) -> Option<Object> {
    let spec: ClassSpec = findings.parse_part("spec", raw.part("spec"))?;
    Some(Object::IngressClass(Shared::new(IngressClass {
        meta: raw.meta.clone(),
        controller: spec.controller.as_str().into(),
    })))
}

pub(super) fn lower(raw: &Raw<'_>, findings: &mut Findings) -> Option<Object> {
    let spec: Spec = findings.parse("spec", raw.part("spec"))?;
    if spec.default_backend.is_some() {
        findings.warning(
            "spec.defaultBackend",
            "Istio does not serve it: it would stand in the way of other hosts; write a rule without a host",
        );
    }
    let rules = spec.rules.iter().enumerate();
    let rules = rules.map(|(i, r)| rule(r, &format!("spec.rules[{i}]"), findings));
    let rules = rules.collect();
    let tls = spec.tls.iter().enumerate();
    let tls = tls.map(|(i, t)| lower_tls(t, &format!("spec.tls[{i}]"), findings));
    let tls = tls.collect();
    Some(Object::Ingress(Shared::new(Ingress {
        meta: raw.meta.clone(),
        class_name: spec.ingress_class_name.map(|name| name.as_str().into()),
        rules,
        tls,
    })))
}

fn rule(rule: &Rule, path: &str, findings: &mut Findings) -> IngressRule {
    if !rule.host.is_empty() && rule.host != "*" {
        findings.check(&format!("{path}.host"), checks::wildcard_host(&rule.host));
    }
    if rule.http.is_none() {
        findings.warning(path, "a rule without http.paths serves nothing");
    }
    IngressRule {
        host: match rule.host.as_str() {
            "" => Hostname::new("*"),
            host => Hostname::new(host),
        },
        paths: rule.http.as_ref().map(|http| {
            let paths = http.paths.iter().enumerate();
            paths
                .map(|(i, p)| lower_path(p, &format!("{path}.http.paths[{i}]"), findings))
                .collect()
        }),
    }
}

fn lower_path(path: &Path, at: &str, findings: &mut Findings) -> IngressPath {
    let path_type = match path.path_type.as_str() {
        "Exact" => PathType::Exact,
        "Prefix" => PathType::Prefix,
        "" | "ImplementationSpecific" => PathType::ImplementationSpecific,
        other => {
            let message =
                format!("{other:?} is not a type; write Exact, Prefix or ImplementationSpecific");
            findings.error(format!("{at}.pathType"), message);
            PathType::ImplementationSpecific
        }
    };
    if path_type != PathType::ImplementationSpecific && !path.path.starts_with('/') {
        let message = format!("{:?} is not a path; it begins with /", path.path);
        findings.error(format!("{at}.path"), message);
    }
    IngressPath {
        path: path.path.as_str().into(),
        path_type,
        backend: backend(&path.backend, &format!("{at}.backend"), findings),
    }
}

fn backend(backend: &Backend, at: &str, findings: &mut Findings) -> Option<IngressBackend> {
    let Some(service) = &backend.service else {
        let message = match backend.resource {
            Some(_) => "only Services can be backends: the path is not served",
            None => "the backend names no service: the path is not served",
        };
        findings.warning(at, message);
        return None;
    };
    findings.check(
        &format!("{at}.service.name"),
        checks::dns_label(&service.name),
    );
    let port = match (service.port.number, service.port.name.as_str()) {
        (0, "") => {
            findings.error(
                format!("{at}.service.port"),
                "the port is missing; write its number or its name",
            );
            return None;
        }
        (0, name) => BackendPort::Name(name.into()),
        (number, _) => {
            BackendPort::Number(findings.port(format!("{at}.service.port.number"), number))
        }
    };
    Some(IngressBackend {
        service: service.name.as_str().into(),
        port,
    })
}

fn lower_tls(tls: &Tls, path: &str, findings: &mut Findings) -> IngressTls {
    if tls.secret_name.is_empty() {
        findings.warning(
            format!("{path}.secretName"),
            "without a Secret there is no certificate: the entry is not served",
        );
    }
    for (i, host) in tls.hosts.iter().enumerate() {
        if host != "*" {
            let at = format!("{path}.hosts[{i}]");
            findings.check(&at, checks::wildcard_host(host));
        }
    }
    IngressTls {
        hosts: tls.hosts.iter().map(|host| Hostname::new(host)).collect(),
        secret: tls.secret_name.as_str().into(),
    }
}
