//! Stages: free functions from tables to joined rows. Each reruns only when one of its arguments changed.

pub mod authorizations;
pub mod destination_rules;
pub mod discovery;
pub mod endpoints;
pub mod envoy_filters;
pub mod ingresses;
pub mod networks;
pub mod peer_authentications;
pub mod request_authentications;
pub mod services;
pub mod virtual_services;
pub mod workloads;
