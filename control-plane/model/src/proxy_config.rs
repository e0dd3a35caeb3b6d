//! networking.istio.io ProxyConfig: how proxies start. Only the injector acts on it; what is served does not depend on it.

use std::collections::BTreeMap;

use crate::object::Meta;
use crate::{Labels, Str};

/// A ProxyConfig.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProxyConfig {
    /// Key, labels, annotations, age.
    pub meta: Meta,
    /// The workloads of the namespace that it is for; `None`: the namespace's, or the mesh's in the root namespace. One
    /// without labels selects nothing (Istio 1.31: `mergedWorkloadConfig`).
    pub selector: Option<Labels>,
    /// Threads of the proxy; 0: one for each processor.
    pub concurrency: Option<i32>,
    /// Variables of the proxy's container.
    pub environment: BTreeMap<Str, Str>,
    /// The kind of the proxy's image, such as `distroless`.
    pub image_type: Option<Str>,
}
