//! Random worlds and histories, as users would write them: objects of every kind as JSON.
//!
//! The universe is small on purpose (two namespaces, a few names, hosts, labels and addresses), so that objects meet:
//! a VirtualService finds its service, two ServiceEntries claim one host, a pod takes the address of another. Most
//! objects are good; a few are refused on their way in, as in life.
//!
//! Read first: [`history`]; `worlds/kubernetes.rs` and `worlds/istio.rs` have a function for each kind.

mod endpoints;
mod envoy_filter;
mod istio;
mod kubernetes;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

pub use endpoints::{EndpointChange, endpoint_change};

/// The namespaces that workloads live in.
pub const NAMESPACES: [&str; 2] = ["a", "b"];

/// The namespace of the mesh's own objects.
pub const ROOT: &str = "istio-system";

/// One step of a history.
#[derive(Debug, Clone)]
pub enum Step {
    /// An object appears or becomes another.
    Put(Value),
    /// One of the objects that are there goes.
    Remove(Index),
}

/// An object of any kind.
pub fn object() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => kubernetes::namespace(),
        1 => kubernetes::node(),
        6 => kubernetes::pod(),
        6 => kubernetes::service(),
        4 => kubernetes::endpoint_slice(),
        1 => kubernetes::service_account(),
        2 => kubernetes::mesh_config(),
        4 => istio::service_entry(),
        3 => istio::workload_entry(),
        6 => istio::virtual_service(),
        5 => istio::destination_rule(),
        4 => istio::gateway(),
        4 => istio::sidecar(),
        4 => istio::peer_authentication(),
        3 => istio::request_authentication(),
        4 => istio::authorization_policy(),
        3 => kubernetes::ingress(),
        1 => kubernetes::ingress_class(),
        4 => envoy_filter::envoy_filter(),
        1 => istio::proxy_config(),
        1 => istio::workload_group(),
    ]
}

/// A world: objects in the order in which they arrive. One that stands there twice is an edit. Services and pods come
/// first, so that there is something to route to; then as many objects of any kind as are asked for.
pub fn world(
    objects: impl Into<proptest::collection::SizeRange>,
) -> impl Strategy<Value = Vec<Value>> {
    let first = (
        proptest::collection::vec(kubernetes::service(), 3..8),
        proptest::collection::vec(kubernetes::pod(), 3..8),
        proptest::collection::vec(istio::gateway(), 0..2),
    );
    let more = proptest::collection::vec(object(), objects);
    (first, more).prop_map(|((services, pods, gateways), more)| {
        let first = services.into_iter().chain(pods).chain(gateways);
        first.chain(more).collect()
    })
}

/// Batches of steps.
pub fn history(
    batches: impl Into<proptest::collection::SizeRange>,
) -> impl Strategy<Value = Vec<Vec<Step>>> {
    // The mesh configuration decides what all others mean, so it changes more often here than in life.
    let step = prop_oneof![
        5 => object().prop_map(Step::Put),
        1 => kubernetes::mesh_config().prop_map(Step::Put),
        2 => any::<Index>().prop_map(Step::Remove),
    ];
    proptest::collection::vec(proptest::collection::vec(step, 1..5), batches)
}

/// `metadata` without a namespace for `""`. A third of the objects has no creation time.
fn metadata(namespace: &str, name: &str, created: u8) -> Value {
    let mut metadata = json!({"name": name});
    if !namespace.is_empty() {
        metadata["namespace"] = json!(namespace);
    }
    if created > 0 {
        metadata["creationTimestamp"] = json!(format!("2026-01-0{created}T00:00:00Z"));
    }
    metadata
}

fn created() -> impl Strategy<Value = u8> {
    0..3_u8
}

fn namespace() -> impl Strategy<Value = &'static str> {
    one_of(NAMESPACES)
}

/// One of some values.
fn one_of<T: Clone + std::fmt::Debug + 'static, const N: usize>(
    values: [T; N],
) -> impl Strategy<Value = T> {
    proptest::sample::select(Vec::from(values))
}

/// Sets a field where there is something to set.
fn set(object: &mut Value, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        object[key] = value;
    }
}

/// One of some values, or none.
fn maybe<const N: usize>(values: [Value; N]) -> impl Strategy<Value = Option<Value>> {
    proptest::option::weighted(0.3, one_of(values))
}
