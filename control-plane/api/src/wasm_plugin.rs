//! `WasmPlugin` (Istio 1.31: extensions/v1alpha1).

use crate::proto_json::{enums, messages};
use crate::selector::{PolicySelector, PolicyTargetReference, TrafficPort, WorkloadMode};
use crate::shared::Struct;

messages! {
    /// A WebAssembly filter for some workloads.
    struct WasmPlugin {
        selector: Option<PolicySelector>,
        target_ref: Option<PolicyTargetReference>,
        target_refs: Vec<PolicyTargetReference>,
        url: String,
        sha256: String,
        image_pull_policy: PullPolicy,
        image_pull_secret: String,
        verification_key: String,
        plugin_config: Option<Struct>,
        plugin_name: String,
        phase: PluginPhase,
        priority: Option<i32>,
        fail_strategy: FailStrategy,
        vm_config: Option<VmConfig>,
        r#match: Vec<TrafficSelector>,
        r#type: PluginType,
    }

    /// The value of `WasmPlugin.vmConfig`, `WasmConfig.vmConfig`.
    struct VmConfig {
        env: Vec<EnvVar>,
    }

    /// The value of `VmConfig.env`.
    struct EnvVar {
        name: String,
        value_from: EnvValueSource,
        value: String,
    }

    /// The value of `TrafficExtension.match`.
    struct TrafficSelector {
        mode: WorkloadMode,
        ports: Vec<TrafficPort>,
    }
}

enums! {
    /// The values of `WasmPlugin.type`, `WasmConfig.type`.
    enum PluginType {
        UnspecifiedPluginType = 0 "UNSPECIFIED_PLUGIN_TYPE",
        Http = 1 "HTTP",
        Network = 2 "NETWORK",
    }

    /// The values of `WasmPlugin.phase`.
    enum PluginPhase {
        UnspecifiedPhase = 0 "UNSPECIFIED_PHASE",
        Authn = 1 "AUTHN",
        Authz = 2 "AUTHZ",
        Stats = 3 "STATS",
    }

    /// The values of `WasmPlugin.imagePullPolicy`, `WasmConfig.imagePullPolicy`.
    enum PullPolicy {
        UnspecifiedPolicy = 0 "UNSPECIFIED_POLICY",
        IfNotPresent = 1 "IfNotPresent",
        Always = 2 "Always",
    }

    /// The values of `EnvVar.valueFrom`.
    enum EnvValueSource {
        Inline = 0 "INLINE",
        Host = 1 "HOST",
    }

    /// The values of `WasmPlugin.failStrategy`, `WasmConfig.failStrategy`.
    enum FailStrategy {
        FailClose = 0 "FAIL_CLOSE",
        FailOpen = 1 "FAIL_OPEN",
        FailReload = 2 "FAIL_RELOAD",
    }
}
