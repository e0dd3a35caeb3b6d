//! DestinationRules that encrypt to a server whose certificate nobody verifies.

use serde_json::Value;

use crate::analyze::Found;
use crate::message::types;
use crate::object::{has, list, number, text};
use crate::{Input, Kind};

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    for rule in input.of(Kind::DestinationRule) {
        let has_selector = rule.has("/spec/workloadSelector");
        let (name, host) = (rule.full_name(), rule.text("/spec/host"));
        let policy = rule.value.pointer("/spec/trafficPolicy");
        let policy = policy.unwrap_or(&Value::Null);
        if let Some(mode) = unverified(policy, has_selector) {
            found.add(
                &types::NO_SERVER_CERTIFICATE_VERIFICATION_DESTINATION_LEVEL,
                rule,
                "spec.trafficPolicy.tls.caCertificates",
                &[&name, &rule.namespace, &mode, &host],
            );
        }
        for (i, settings) in list(policy, "/portLevelSettings").iter().enumerate() {
            let Some(mode) = unverified(settings, has_selector) else {
                continue;
            };
            let port = match number(settings, "/port/number") {
                0 => String::new(),
                number => format!("number:{number}"),
            };
            found.add(
                &types::NO_SERVER_CERTIFICATE_VERIFICATION_PORT_LEVEL,
                rule,
                &format!("spec.trafficPolicy.portLevelSettings[{i}].tls.caCertificates"),
                &[&name, &rule.namespace, &mode, &host, &port],
            );
        }
    }
}

/// The mode of TLS, if it verifies nothing. A credential counts only where workloads are selected: only gateways read
/// it otherwise.
fn unverified(settings: &Value, has_selector: bool) -> Option<&str> {
    let mode = text(settings, "/tls/mode");
    let by_credential = has_selector && !text(settings, "/tls/credentialName").is_empty();
    let verifies = has(settings, "/tls/caCertificates")
        && !text(settings, "/tls/caCertificates").is_empty()
        || by_credential;
    (["SIMPLE", "MUTUAL"].contains(&mode) && !verifies).then_some(mode)
}
