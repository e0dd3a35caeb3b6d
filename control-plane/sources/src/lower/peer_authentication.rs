//! security.istio.io PeerAuthentication.

use std::collections::BTreeMap;

use meltemi_api::peer_authentication as api;
use meltemi_model::security::{MtlsMode, PeerAuthentication};
use meltemi_model::{Labels, Object, Shared};

use super::checks;
use super::findings::Findings;
use super::meta::Raw;

/// Istio 1.31: `ValidatePeerAuthentication`.
pub(super) fn lower(raw: &Raw<'_>, findings: &mut Findings) -> Option<Object> {
    let spec: api::PeerAuthentication = findings.spec(raw)?;
    let selector = match &spec.selector {
        Some(selector) => findings.selector("spec.selector.matchLabels", &selector.match_labels),
        None => Labels::default(),
    };
    if selector.is_empty() && !spec.port_level_mtls.is_empty() {
        findings.error(
            "spec.portLevelMtls",
            "mesh/namespace peer authentication cannot have port level mTLS; select workloads by spec.selector.matchLabels",
        );
    }
    if raw
        .part("spec")
        .get("portLevelMtls")
        .is_some_and(says_nothing)
    {
        findings.error(
            "spec.portLevelMtls",
            "port level mTLS, if defined, must have at least one element",
        );
    }
    let mut ports = BTreeMap::new();
    for (number, mtls) in &spec.port_level_mtls {
        match checks::port(*number) {
            Ok(port) => {
                ports.insert(port, mode(mtls.mode));
            }
            Err(message) => findings.error(format!("spec.portLevelMtls.{number}"), message),
        }
    }
    Some(Object::PeerAuthentication(Shared::new(
        PeerAuthentication {
            selector,
            mode: spec.mtls.as_ref().and_then(|mtls| mode(mtls.mode)),
            ports,
            meta: raw.meta.clone(),
        },
    )))
}

fn says_nothing(ports: &serde_json::Value) -> bool {
    ports.as_object().is_some_and(serde_json::Map::is_empty)
}

fn mode(mode: api::MutualTlsMode) -> Option<MtlsMode> {
    match mode {
        api::MutualTlsMode::Unset => None,
        api::MutualTlsMode::Disable => Some(MtlsMode::Disable),
        api::MutualTlsMode::Permissive => Some(MtlsMode::Permissive),
        api::MutualTlsMode::Strict => Some(MtlsMode::Strict),
    }
}
