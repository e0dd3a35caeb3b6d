//! What the API server checks in the messages of `wasm_plugin.rs`.

use super::Rule::{self, Cel, KeyedBy, MaxItems, MaxLength, MinLength, Pattern, Required};

pub(super) const RULES: &[(&str, &[Rule])] = &[
    (
        "EnvVar",
        &[
            Required(&["name"]),
            Cel {
                rule: r#"(has(self.valueFrom) ? self.valueFrom : "") != "HOST" || !has(self.value)"#,
                message: "value may only be set when valueFrom is INLINE",
            },
        ],
    ),
    ("EnvVar.name", &[MaxLength(256), MinLength(1)]),
    ("EnvVar.value", &[MaxLength(2048)]),
    ("TrafficSelector.ports", &[KeyedBy(&["number"])]),
    ("VmConfig.env", &[KeyedBy(&["name"]), MaxItems(256)]),
    (
        "WasmPlugin",
        &[
            Required(&["url"]),
            Cel {
                rule: "(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1",
                message: "only one of targetRefs or selector can be set",
            },
        ],
    ),
    (
        "WasmPlugin.imagePullSecret",
        &[MaxLength(253), MinLength(1)],
    ),
    ("WasmPlugin.pluginName", &[MaxLength(256), MinLength(1)]),
    ("WasmPlugin.sha256", &[Pattern("(^$|^[a-f0-9]{64}$)")]),
    ("WasmPlugin.targetRefs", &[MaxItems(16)]),
    (
        "WasmPlugin.url",
        &[
            MinLength(1),
            Cel {
                rule: r#"isURL(self) ? (url(self).getScheme() in ["", "http", "https", "oci", "file"]) : (isURL("http://" + self) &&
url("http://" + self).getScheme() in ["", "http", "https", "oci", "file"])"#,
                message: "url must have schema one of [http, https, file, oci]",
            },
        ],
    ),
];
