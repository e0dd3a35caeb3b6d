//! Parts of Wasm plugins.

use std::collections::BTreeSet;

use meltemi_api::wasm_plugin::{EnvValueSource, TrafficSelector, VmConfig};

use super::url::wasm_module;
use crate::{Check, Findings};

/// The fields that every plugin has.
#[derive(Debug, Clone, Copy)]
pub struct Module<'a> {
    /// `url`.
    pub url: &'a str,
    /// `sha256`.
    pub sha256: &'a str,
    /// `imagePullSecret`.
    pub image_pull_secret: &'a str,
    /// `pluginName`.
    pub plugin_name: &'a str,
    /// `vmConfig`.
    pub vm_config: Option<&'a VmConfig>,
}

/// A plugin. Istio 1.31: `validateWasmPluginURL` and the rules after it.
pub fn module(found: &mut Findings, at: &str, module: Module<'_>) {
    found.check(format!("{at}.url"), wasm_module(module.url));
    found.check(format!("{at}.sha256"), sha256(module.sha256));
    if module.image_pull_secret.len() > 253 {
        found.error(
            format!("{at}.imagePullSecret"),
            "imagePullSecret field must be less than 253 characters long",
        );
    }
    if module.plugin_name.len() > 256 {
        found.error(
            format!("{at}.pluginName"),
            "pluginName field must be less than 255 characters long",
        );
    }
    found.check(format!("{at}.vmConfig.env"), environment(module.vm_config));
}

fn sha256(text: &str) -> Check {
    if text.is_empty() {
        return Ok(());
    }
    if text.len() != 64 {
        return Err("sha256 field must be 64 characters long".to_owned());
    }
    if !text.bytes().all(|b| matches!(b, b'a'..=b'f' | b'0'..=b'9')) {
        return Err("sha256 field must match [a-f0-9]{64} pattern".to_owned());
    }
    Ok(())
}

fn environment(config: Option<&VmConfig>) -> Check {
    let mut names = BTreeSet::new();
    for variable in config.map_or(&[][..], |config| &config.env) {
        if variable.name.is_empty() {
            return Err("spec.vmConfig.env invalid".to_owned());
        }
        if variable.name.len() > 256 {
            return Err("env.name field must be less than 255 characters long".to_owned());
        }
        if !names.insert(&variable.name) {
            return Err("duplicate env".to_owned());
        }
        if variable.value_from != EnvValueSource::Inline && !variable.value.is_empty() {
            return Err("value may only be set when valueFrom is INLINE".to_owned());
        }
    }
    Ok(())
}

/// `match`: ports of the traffic that a plugin sees. Istio 1.31: `validateWasmPluginMatch`; the first wrong port ends it.
pub fn traffic(found: &mut Findings, selectors: &[TrafficSelector]) {
    for (i, selector) in selectors.iter().enumerate() {
        for (j, port) in selector.ports.iter().enumerate() {
            if !(1..=65_535).contains(&port.number) {
                found.error(
                    format!("spec.match[{i}].ports[{j}].number"),
                    format!(
                        "spec.Match[{i}].Ports[{j}] is out of range: {}",
                        port.number
                    ),
                );
                return;
            }
        }
    }
}
