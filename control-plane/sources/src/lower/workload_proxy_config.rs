//! networking.istio.io ProxyConfig, the object; the mesh's own is in `proxy_config`.

use meltemi_api::proxy_config as api;
use meltemi_model::proxy_config::ProxyConfig;
use meltemi_model::{Labels, Object, Shared};

use super::findings::Findings;
use super::meta::Raw;

/// Istio 1.31: `ValidateProxyConfig`.
pub(super) fn lower(raw: &Raw<'_>, findings: &mut Findings) -> Option<Object> {
    let spec: api::ProxyConfig = findings.spec(raw)?;
    let selector = spec.selector.as_ref();
    // Of one without labels validation says enough.
    let selector = selector.map(|selector| match selector.match_labels.is_empty() {
        true => Labels::default(),
        false => findings.selector("spec.selector.matchLabels", &selector.match_labels),
    });
    if spec.concurrency.is_some_and(|threads| threads < 0) {
        findings.error(
            "spec.concurrency",
            "concurrency must be greater than or equal to 0",
        );
    }
    let image = spec.image.as_ref().map(|image| image.image_type.as_str());
    let environment = spec.environment_variables.iter();
    Some(Object::ProxyConfig(Shared::new(ProxyConfig {
        selector,
        concurrency: spec.concurrency,
        environment: environment
            .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
            .collect(),
        image_type: image.filter(|kind| !kind.is_empty()).map(Into::into),
        meta: raw.meta.clone(),
    })))
}
