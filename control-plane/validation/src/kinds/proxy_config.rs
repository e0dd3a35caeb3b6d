//! ProxyConfigs. Istio 1.31: `ValidateProxyConfig`.

use meltemi_api::proxy_config::ProxyConfig;

use crate::Findings;
use crate::object::Meta;
use crate::rules::selector;

/// A ProxyConfig.
pub fn validate(_: &Meta<'_>, config: &ProxyConfig) -> Findings {
    let mut found = Findings::default();
    selector::policy(&mut found, "spec.selector", config.selector.as_ref());
    if config.concurrency.is_some_and(|threads| threads < 0) {
        found.error(
            "spec.concurrency",
            "concurrency must be greater than or equal to 0",
        );
    }
    found
}
