//! A Kubernetes API server for tests: in this process, on loopback, over plain HTTP, stateful, with scripted faults.
//!
//! It keeps objects as JSON, numbers every write as etcd does (`resourceVersion`), and answers get, list (pages too),
//! watch (bookmarks, streaming lists), create, update, patch, delete and the `status` subresource, with conflicts,
//! selectors and dry runs, as `kube` and `kubectl` expect. It validates nothing of what objects mean, runs no
//! controllers (deleting a Namespace leaves what is in it) and knows no users.
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let api = meltemi_fake_api::FakeApi::start().await.unwrap();
//! api.apply(serde_json::json!({
//!     "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"},
//! }));
//! assert!(api.get("namespaces", "", "shop").is_some());
//! println!("{}", api.url());
//! # });
//! ```
//!
//! A test waits for what the code under test *did* (`watched`, `requested`), never for a time.
//!
//! Read first: `api.rs` (what a test calls), `fault.rs` (what can go wrong), `state.rs` (objects and their history).

mod api;
mod fault;
mod http;
mod in_process;
mod patch;
mod path;
mod read;
mod selector;
mod server;
mod state;
mod status;
mod types;
mod watch;
mod write;

pub use api::{FakeApi, Request};
pub use fault::{Fault, On, Verb};
pub use in_process::InProcess;
pub use status::Refusal;
pub use types::Type;
