//! `TrafficExtension` (Istio 1.31: extensions/v1alpha1).

use crate::proto_json::{enums, messages};
use crate::selector::{PolicySelector, PolicyTargetReference};
use crate::shared::Struct;
use crate::wasm_plugin::{FailStrategy, PluginType, PullPolicy, TrafficSelector, VmConfig};

messages! {
    /// A Wasm or Lua filter for some workloads.
    struct TrafficExtension oneof [wasm, lua] {
        selector: Option<PolicySelector>,
        target_refs: Vec<PolicyTargetReference>,
        phase: ExecutionPhase,
        priority: Option<i32>,
        r#match: Vec<TrafficSelector>,
        wasm: Option<WasmConfig>,
        lua: Option<LuaConfig>,
    }

    /// The value of `TrafficExtension.wasm`.
    struct WasmConfig {
        url: String,
        sha256: String,
        image_pull_policy: PullPolicy,
        image_pull_secret: String,
        verification_key: String,
        plugin_config: Option<Struct>,
        plugin_name: String,
        fail_strategy: FailStrategy,
        vm_config: Option<VmConfig>,
        r#type: PluginType,
    }

    /// The value of `TrafficExtension.lua`.
    struct LuaConfig {
        inline_code: String,
    }
}

enums! {
    /// The values of `TrafficExtension.phase`.
    enum ExecutionPhase {
        Unspecified = 0 "UNSPECIFIED",
        Authn = 1 "AUTHN",
        Authz = 2 "AUTHZ",
        Stats = 3 "STATS",
    }
}
