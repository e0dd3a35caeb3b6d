//! `ServiceEntry` (Istio 1.31: networking/v1alpha3).

use crate::proto_json::{enums, messages};
use crate::selector::WorkloadSelector;
use crate::shared::Struct;
use crate::workload_entry::WorkloadEntry;

messages! {
    /// A service that no platform registry knows.
    struct ServiceEntry {
        hosts: Vec<String>,
        addresses: Vec<String>,
        ports: Vec<ServicePort>,
        location: Location,
        resolution: Resolution,
        endpoints: Vec<WorkloadEntry>,
        workload_selector: Option<WorkloadSelector>,
        export_to: Vec<String>,
        subject_alt_names: Vec<String>,
    }

    /// The value of `ServiceEntry.ports`.
    struct ServicePort {
        number: u32,
        protocol: String,
        name: String,
        target_port: u32,
    }

    /// The status that istiod writes; `addresses` holds automatically allocated VIPs.
    struct ServiceEntryStatus {
        conditions: Vec<Struct>,
        validation_messages: Vec<Struct>,
        observed_generation: i64,
        addresses: Vec<ServiceEntryAddress>,
    }

    /// The value of `ServiceEntryStatus.addresses`.
    struct ServiceEntryAddress {
        value: String,
        host: String,
    }
}

enums! {
    /// The values of `ServiceEntry.location`.
    enum Location {
        MeshExternal = 0 "MESH_EXTERNAL",
        MeshInternal = 1 "MESH_INTERNAL",
    }

    /// The values of `ServiceEntry.resolution`.
    enum Resolution {
        None = 0 "NONE",
        Static = 1 "STATIC",
        Dns = 2 "DNS",
        DnsRoundRobin = 3 "DNS_ROUND_ROBIN",
        DynamicDns = 4 "DYNAMIC_DNS",
    }
}
