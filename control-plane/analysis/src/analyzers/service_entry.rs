//! ServiceEntries: addresses, and protocols on which several must agree.

use std::collections::{BTreeMap, BTreeSet};

use crate::analyze::Found;
use crate::hosts::scopes;
use crate::message::types;
use crate::object::{number, text};
use crate::{Input, Kind, Object};

/// TCP has no host, so that only an address tells its connections apart.
pub(super) fn addresses<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    for entry in input.of(Kind::ServiceEntry) {
        let has_address = input.mesh.allocates_addresses()
            || !entry.list("/spec/addresses").is_empty()
            || !entry.list("/status/addresses").is_empty();
        if has_address {
            continue;
        }
        for (i, port) in entry.list("/spec/ports").iter().enumerate() {
            let protocol = text(port, "/protocol");
            if protocol.is_empty() || protocol.eq_ignore_ascii_case("TCP") {
                let field = format!("spec.ports[{i}].name");
                found.add(&types::SERVICE_ENTRY_ADDRESSES_REQUIRED, entry, &field, &[]);
            }
        }
    }
}

/// Scope, host and port.
type Key<'a> = (String, &'a str, i64);

pub(super) fn protocols<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    let mut claims: BTreeMap<Key<'a>, Vec<(String, &'a Object)>> = BTreeMap::new();
    for entry in input.of(Kind::ServiceEntry) {
        for scope in scopes(&entry.texts("/spec/exportTo"), &entry.namespace) {
            for host in entry.texts("/spec/hosts") {
                for port in entry.list("/spec/ports") {
                    let key = (scope.clone(), host, number(port, "/number"));
                    let protocol = text(port, "/protocol").to_uppercase();
                    claims.entry(key).or_default().push((protocol, entry));
                }
            }
        }
    }
    let mut reported = BTreeSet::new();
    for ((scope, host, port), own) in &claims {
        let everywhere = match scope.as_str() {
            "*" => None,
            _ => claims.get(&("*".to_owned(), *host, *port)),
        };
        let all: Vec<_> = own.iter().chain(everywhere.into_iter().flatten()).collect();
        let protocols: BTreeSet<_> = all.iter().map(|(protocol, _)| protocol.as_str()).collect();
        if protocols.len() < 2 {
            continue;
        }
        let names: BTreeSet<_> = all.iter().map(|(_, entry)| entry.full_name()).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        let protocols = protocols.into_iter().collect::<Vec<_>>().join(", ");
        for (_, entry) in all {
            if reported.insert(entry.full_name()) {
                let kind = &types::CONFLICTING_SERVICE_ENTRY_PROTOCOL;
                found.add(
                    kind,
                    entry,
                    "metadata.name",
                    &[&names, host, port, &protocols],
                );
            }
        }
    }
}
