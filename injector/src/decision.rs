//! Whether a pod is injected (Istio 1.31: injectRequired): host network and system namespaces never; then the label, the annotation, the
//! selectors of the configuration, and the policy.

use serde_json::Value;

use crate::config::Config;
use crate::{pod, selector};

/// Namespaces whose pods are never injected.
pub const IGNORED_NAMESPACES: [&str; 4] = [
    "kube-node-lease",
    "kube-public",
    "kube-system",
    "local-path-storage",
];

/// What happens to pods that say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// They are not injected.
    Disabled,
    /// They are injected.
    Enabled,
    /// A value that is neither: nothing is injected at all.
    #[default]
    Illegal,
}

/// Whether a pod is injected.
pub fn required(config: &Config, pod: &Value) -> bool {
    if pod["spec"]["hostNetwork"] == Value::Bool(true) {
        return false;
    }
    let ns = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    if IGNORED_NAMESPACES.contains(&ns) {
        return false;
    }
    let wish = pod::label(pod, pod::INJECT).or_else(|| pod::annotation(pod, pod::INJECT));
    let wish = match wish {
        Some("true") => Some(true),
        Some("false") => Some(false),
        None | Some("") => by_selector(config, pod),
        Some(other) => {
            tracing::warn!(
                value = other,
                "invalid value of sidecar.istio.io/inject, only true and false are accepted; the policy decides"
            );
            by_selector(config, pod)
        }
    };
    match config.policy {
        Policy::Illegal => {
            tracing::error!(policy = %config.policy_text, "illegal injection policy, must be enabled or disabled; nothing is injected");
            false
        }
        Policy::Disabled => wish.unwrap_or(false),
        Policy::Enabled => wish.unwrap_or(true),
    }
}

fn by_selector(config: &Config, pod: &Value) -> Option<bool> {
    let labels = &pod["metadata"]["labels"];
    let matches = |selectors: &[Value]| {
        selectors
            .iter()
            .any(|selector| match selector::matches(selector, labels) {
                Ok(matches) => matches,
                Err(error) => {
                    tracing::warn!(%error, "invalid selector in the injector's configuration");
                    false
                }
            })
    };
    if matches(&config.never_inject_selector) {
        Some(false)
    } else if matches(&config.always_inject_selector) {
        Some(true)
    } else {
        None
    }
}
