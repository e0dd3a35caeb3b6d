//! `ProxyConfig`, the custom resource (Istio 1.31: networking/v1beta1). The mesh-wide one is in `mesh_config`.

use std::collections::BTreeMap;

use crate::proto_json::messages;
use crate::selector::PolicySelector;

messages! {
    /// Settings of the proxies of a namespace or of some workloads (the custom resource).
    struct ProxyConfig {
        selector: Option<PolicySelector>,
        concurrency: Option<i32>,
        environment_variables: BTreeMap<String, String>,
        image: Option<ProxyImage>,
    }

    /// The value of `ProxyConfig.image`, `MeshProxyConfig.image`.
    struct ProxyImage {
        image_type: String,
    }
}
