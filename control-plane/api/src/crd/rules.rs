//! What the API server checks beyond types, as tables: one file for each file of types.
//!
//! A row is named by what it is about: a message (`ServicePort`), a field of one (`ServicePort.number`), the elements of
//! a list (`ServiceEntry.hosts[]`), the values of a map (`WorkloadEntry.ports{}`), the spec of a kind
//! (`WorkloadEntry.spec`). Expressions and messages are those of
//! Istio 1.31's CRDs, since people and tools know them.

mod authorization_policy;
mod destination_rule;
mod envoy_filter;
mod gateway;
mod peer_authentication;
mod proxy_config;
mod request_authentication;
mod selector;
mod service_entry;
mod sidecar;
mod telemetry;
mod traffic_extension;
mod virtual_service;
mod wasm_plugin;
mod workload_entry;
mod workload_group;

/// One check.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// These fields must be there.
    Required(&'static [&'static str]),
    /// At most one of these fields can be there.
    AtMostOne(&'static [&'static str]),
    /// The elements of the list differ in these fields.
    KeyedBy(&'static [&'static str]),
    /// The expression (CEL) holds, else users read the message.
    Cel {
        /// The expression; `self` is the value.
        rule: &'static str,
        /// What users read.
        message: &'static str,
    },
    /// A regular expression matches somewhere.
    Pattern(&'static str),
    MinLength(u64),
    MaxLength(u64),
    MinItems(u64),
    MaxItems(u64),
    MinProperties(u64),
    MaxProperties(u64),
    Minimum(u64),
    Maximum(u64),
    /// The duration may be below a millisecond.
    AnyDuration,
    /// The field is read but is not part of what users see.
    Hidden,
    /// A further name, in this message, for the field that comes second.
    Alias(&'static str, &'static str),
}

/// A port by its number.
const PORT: Rule = Rule::Cel {
    rule: "0 < self && self <= 65535",
    message: "port must be between 1-65535",
};

/// What holds for every duration without [`Rule::AnyDuration`].
pub(super) const DURATION: Rule = Rule::Cel {
    rule: "duration(self) >= duration('1ms')",
    message: "must be a valid duration greater than 1ms",
};

/// Every table.
pub(super) const TABLES: &[&[(&str, &[Rule])]] = &[
    authorization_policy::RULES,
    destination_rule::RULES,
    envoy_filter::RULES,
    gateway::RULES,
    peer_authentication::RULES,
    proxy_config::RULES,
    request_authentication::RULES,
    selector::RULES,
    service_entry::RULES,
    sidecar::RULES,
    telemetry::RULES,
    traffic_extension::RULES,
    virtual_service::RULES,
    wasm_plugin::RULES,
    workload_entry::RULES,
    workload_group::RULES,
];

/// The rules of a row; none when no table has it.
pub(super) fn of(row: &str) -> &'static [Rule] {
    TABLES
        .iter()
        .flat_map(|table| table.iter())
        .find(|(name, _)| *name == row)
        .map_or(&[], |(_, rules)| rules)
}
