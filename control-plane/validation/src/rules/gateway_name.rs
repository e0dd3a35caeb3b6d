//! Names of Gateways.

use super::host::{fqdn, is_dns_label};
use crate::Findings;

/// Names of Gateways; `converted` if the object was made of one of the Gateway API, whose names have dots. A name without a
/// namespace ends the list. Istio 1.31: `validateGatewayNames`.
pub fn gateway_names(found: &mut Findings, at: &str, names: &[String], converted: bool) {
    for (i, full) in names.iter().enumerate() {
        let at = format!("{at}[{i}]");
        let Some((namespace, name)) = full.split_once('/') else {
            let mut parts = full.split('.');
            if let (Some(name), Some(namespace)) = (parts.next(), parts.next()) {
                let instead = format!("{namespace}/{name}");
                found.warning(
                    &at,
                    format!(
                        "using legacy gatewayName format {full:?}; prefer the <namespace>/<name> format: {instead:?}"
                    ),
                );
            }
            found.check(at, fqdn(full));
            return;
        };
        if namespace.is_empty() || name.is_empty() {
            found.error(&at, "config namespace and gateway name cannot be empty");
        }
        if !is_dns_label(namespace) {
            found.error(&at, format!("invalid value for namespace: {namespace:?}"));
        }
        if !is_dns_label(name) && !converted {
            found.error(at, format!("invalid value for gateway name: {name:?}"));
        }
    }
}
