//! What the API server checks in the messages of `traffic_extension.rs`.

use super::Rule::{self, Cel, MaxItems, MaxLength, MinLength, Pattern, Required};

pub(super) const RULES: &[(&str, &[Rule])] = &[
    ("LuaConfig", &[Required(&["inlineCode"])]),
    ("LuaConfig.inlineCode", &[MaxLength(65536), MinLength(1)]),
    (
        "TrafficExtension",
        &[
            Cel {
                rule: "(has(self.selector) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1",
                message: "only one of targetRefs or selector can be set",
            },
            Cel {
                rule: "has(self.wasm) != has(self.lua)",
                message: "exactly one of wasm or lua must be set",
            },
        ],
    ),
    ("TrafficExtension.targetRefs", &[MaxItems(16)]),
    ("WasmConfig", &[Required(&["url"])]),
    (
        "WasmConfig.imagePullSecret",
        &[MaxLength(253), MinLength(1)],
    ),
    ("WasmConfig.pluginName", &[MaxLength(256), MinLength(1)]),
    ("WasmConfig.sha256", &[Pattern("(^$|^[a-f0-9]{64}$)")]),
    (
        "WasmConfig.url",
        &[
            MinLength(1),
            Cel {
                rule: r#"isURL(self) ? (url(self).getScheme() in ["", "http", "https", "file", "oci"]) : (isURL("http://" + self) &&
url("http://" + self).getScheme() in ["", "http", "https", "file", "oci"])"#,
                message: "url must have schema one of [http, https, file, oci]",
            },
        ],
    ),
];
