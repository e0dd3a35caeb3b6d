//! Fields that several kinds have: visibility, selectors, protocols, destinations.

use std::collections::BTreeMap;

use meltemi_api::virtual_service::Destination as ApiDestination;
use meltemi_model::port::Protocol;
use meltemi_model::routing::Destination;
use meltemi_model::service::ExportTo;
use meltemi_model::{Hostname, Labels};

use super::findings::Findings;
use super::meta::labels;
use super::{checks, names};

impl Findings {
    /// `exportTo`. Istio 1.31: `validateExportTo`.
    pub(super) fn export_to(&mut self, path: &str, list: &[String], namespace: &str) -> ExportTo {
        for (i, entry) in list.iter().enumerate() {
            let at = format!("{path}[{i}]");
            if !matches!(entry.as_str(), "." | "*" | "~")
                && let Err(message) = checks::dns_label(entry)
            {
                self.error(at, message);
            } else if matches!(entry.as_str(), "*" | "~") && list.len() > 1 {
                let message = format!("{entry:?} beside other namespaces says the same as alone");
                self.warning(at, message);
            }
        }
        names::export_to(list.iter().map(String::as_str), namespace)
    }

    /// Labels of a selector. Istio 1.31: `ValidateAlphaWorkloadSelector`.
    pub(super) fn selector(&mut self, path: &str, map: &BTreeMap<String, String>) -> Labels {
        if map.is_empty() {
            self.warning(
                path,
                "a selector without labels selects every workload of the namespace",
            );
        }
        for (key, value) in map {
            if key.is_empty() {
                self.error(path, "the key of a label is empty");
            }
            if key.contains('*') || value.contains('*') {
                let message = format!("{key}={value}: a selector knows no wildcards");
                self.error(path, message);
            }
        }
        labels(map)
    }

    /// A protocol that may be left out; then it is detected. Istio 1.31: `ValidateProtocol`.
    pub(super) fn protocol(&mut self, path: &str, text: &str) -> Protocol {
        let protocol = names::protocol(text);
        if protocol == Protocol::Unsupported && !text.is_empty() {
            let message = format!(
                "{text:?} is not a protocol, so it will be detected; write HTTP, HTTP2, HTTPS, GRPC, GRPC-WEB, TCP, TLS, MONGO, REDIS, MYSQL or UDP"
            );
            self.warning(path, message);
        }
        protocol
    }

    /// Where traffic goes. Istio 1.31: `validateDestination`.
    pub(super) fn destination(
        &mut self,
        path: &str,
        api: Option<&ApiDestination>,
        namespace: &str,
        domain: &str,
    ) -> Destination {
        let Some(api) = api else {
            self.error(path, "the destination is missing; write its host");
            return nowhere();
        };
        let at = format!("{path}.host");
        if api.host == "*" {
            self.error(
                at,
                "\"*\" is not a destination; write the name of a service",
            );
        } else {
            self.check(
                &at,
                checks::wildcard_host(&api.host).or_else(|m| checks::ip(&api.host).map_err(|_| m)),
            );
        }
        if !api.subset.is_empty() {
            self.check(&format!("{path}.subset"), checks::dns_label(&api.subset));
        }
        let port = api
            .port
            .as_ref()
            .map(|port| self.port(format!("{path}.port.number"), port.number));
        Destination {
            host: names::fqdn(&api.host, namespace, domain),
            subset: api.subset.as_str().into(),
            port,
        }
    }
}

fn nowhere() -> Destination {
    Destination {
        host: Hostname::new(""),
        subset: "".into(),
        port: None,
    }
}
