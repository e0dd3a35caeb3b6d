//! Sidecar injection: pods in, pods with a proxy out.
//!
//! It takes the configuration of existing clusters unchanged: their ConfigMap's templates run on our own engine ([`template`]), what they
//! render is merged into the pod as Kubernetes merges, and the steps around it are Istio's. Pods are JSON values; what Go knows about their
//! types is a table. This crate must never know Kubernetes clients or Envoy.
//!
//! Read first: `inject.rs` (one pod through all steps), `webhook.rs` (reviews in, patches out), `kube_inject.rs` (resources in files).

pub mod builtin;
pub mod template;

mod annotations;
mod config;
mod decision;
mod functions;
mod image;
mod inject;
mod json;
mod kube_inject;
mod merge;
mod mesh;
mod metrics;
mod multus;
mod native;
mod normalize;
mod object;
mod openshift;
mod order;
mod overrides;
mod owner;
mod pod;
mod probes;
mod prometheus;
mod proto;
mod quantity;
mod selector;
mod status;
mod types;
mod url;
mod webhook;
mod yaml;

pub use annotations::check_annotation;
pub use config::{Config, ConfigError, Values};
pub use decision::{IGNORED_NAMESPACES, Policy, required};
pub use functions::Environment;
pub use inject::{InjectError, Settings};
pub use kube_inject::{Injected, ResourceError, into_resource};
pub use mesh::{MeshConfig, ProxyConfigObject};
pub use metrics::Metrics;
pub use native::{NativeSidecars, Node};
pub use webhook::{Injector, MAX_BODY_BYTES, Surroundings, router};
