//! How Istio kinds choose workloads and other objects.

use std::collections::BTreeMap;

use crate::proto_json::{enums, messages};

messages! {
    /// Workloads by their labels, as policies spell it (`matchLabels`).
    struct PolicySelector {
        match_labels: BTreeMap<String, String>,
    }

    /// The value of `TrafficSelector.ports`.
    struct TrafficPort {
        number: u32,
    }

    /// An object that a policy attaches to.
    struct PolicyTargetReference {
        group: String,
        kind: String,
        name: String,
        namespace: String,
    }

    /// Workloads by their labels, as networking kinds spell it (`labels`).
    struct WorkloadSelector {
        labels: BTreeMap<String, String>,
    }

    /// Objects by their labels, as Kubernetes spells it.
    struct LabelSelector {
        match_labels: BTreeMap<String, String>,
        match_expressions: Vec<LabelSelectorRequirement>,
    }

    /// The value of `LabelSelector.matchExpressions`.
    struct LabelSelectorRequirement {
        key: String,
        operator: String,
        values: Vec<String>,
    }
}

enums! {
    /// The side of a connection.
    enum WorkloadMode {
        Undefined = 0 "UNDEFINED",
        Client = 1 "CLIENT",
        Server = 2 "SERVER",
        ClientAndServer = 3 "CLIENT_AND_SERVER",
    }
}
