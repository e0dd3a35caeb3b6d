//! PeerAuthentications. Istio 1.31: `ValidatePeerAuthentication`.

use meltemi_api::peer_authentication::PeerAuthentication;
use serde_json::Value;

use crate::Findings;
use crate::object::Meta;
use crate::rules::selector;

/// A PeerAuthentication.
pub fn validate(meta: &Meta<'_>, policy: &PeerAuthentication) -> Findings {
    const PORTS: &str = "spec.portLevelMtls";
    let mut found = Findings::default();
    let selected = policy.selector.as_ref();
    let whole = selected.is_none_or(|selector| selector.match_labels.is_empty());
    if whole && !policy.port_level_mtls.is_empty() {
        found.error(
            PORTS,
            "mesh/namespace peer authentication cannot have port level mTLS",
        );
    }
    // Reading makes nothing of an empty map; Istio's reader keeps it.
    let written = ["portLevelMtls", "port_level_mtls"];
    let written = written.into_iter().find_map(|name| meta.written(name));
    if written
        .and_then(Value::as_object)
        .is_some_and(|map| map.is_empty())
    {
        found.error(
            PORTS,
            "port level mTLS, if defined, must have at least one element",
        );
    }
    for port in policy.port_level_mtls.keys() {
        if !(1..=65_535).contains(port) {
            found.error(format!("{PORTS}.{port}"), "port must be in range 1..65535");
        }
    }
    selector::policy(&mut found, "spec.selector", selected);
    found
}
