//! TrafficExtensions. Istio 1.31: `ValidateTrafficExtension`.

use meltemi_api::traffic_extension::TrafficExtension;

use crate::Findings;
use crate::object::Meta;
use crate::rules::selector;
use crate::rules::wasm::{Module, module, traffic};

/// The longest script.
const MAX_LUA: usize = 65_536;

/// A TrafficExtension. Reading refuses both of its forms at once.
pub fn validate(_: &Meta<'_>, extension: &TrafficExtension) -> Findings {
    let mut found = Findings::default();
    if extension.wasm.is_none() && extension.lua.is_none() {
        found.error("spec", "exactly one of wasm or lua must be set");
    }
    selector::attachment(
        &mut found,
        extension.selector.as_ref(),
        None,
        &extension.target_refs,
    );
    if let Some(lua) = &extension.lua {
        let at = "spec.lua.inlineCode";
        match lua.inline_code.len() {
            0 => found.error(at, "lua.inlineCode cannot be empty"),
            1..=MAX_LUA => {}
            _ => found.error(at, "lua.inlineCode exceeds maximum size of 64KB"),
        }
    }
    if let Some(wasm) = &extension.wasm {
        let parts = Module {
            url: &wasm.url,
            sha256: &wasm.sha256,
            image_pull_secret: &wasm.image_pull_secret,
            plugin_name: &wasm.plugin_name,
            vm_config: wasm.vm_config.as_ref(),
        };
        module(&mut found, "spec.wasm", parts);
    }
    traffic(&mut found, &extension.r#match);
    found
}
