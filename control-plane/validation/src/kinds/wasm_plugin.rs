//! WasmPlugins. Istio 1.31: `ValidateWasmPlugin`.

use meltemi_api::wasm_plugin::WasmPlugin;

use crate::Findings;
use crate::object::Meta;
use crate::rules::selector;
use crate::rules::wasm::{Module, module, traffic};

/// A WasmPlugin.
pub fn validate(_: &Meta<'_>, plugin: &WasmPlugin) -> Findings {
    let mut found = Findings::default();
    selector::attachment(
        &mut found,
        plugin.selector.as_ref(),
        plugin.target_ref.as_ref(),
        &plugin.target_refs,
    );
    let parts = Module {
        url: &plugin.url,
        sha256: &plugin.sha256,
        image_pull_secret: &plugin.image_pull_secret,
        plugin_name: &plugin.plugin_name,
        vm_config: plugin.vm_config.as_ref(),
    };
    module(&mut found, "spec", parts);
    traffic(&mut found, &plugin.r#match);
    found
}
