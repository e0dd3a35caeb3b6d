//! `WorkloadEntry` (Istio 1.31: networking/v1alpha3).

use std::collections::BTreeMap;

use crate::proto_json::messages;

messages! {
    /// A workload outside Kubernetes, such as a VM.
    struct WorkloadEntry {
        address: String,
        ports: BTreeMap<String, u32>,
        labels: BTreeMap<String, String>,
        network: String,
        locality: String,
        weight: u32,
        service_account: String,
    }
}
