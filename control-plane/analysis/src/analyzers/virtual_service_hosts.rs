//! Hosts that several VirtualServices claim inside the mesh: which one counts depends on their age.

use std::collections::{BTreeMap, BTreeSet};

use crate::analyze::Found;
use crate::hosts::{Scoped, overlap, scopes};
use crate::message::types;
use crate::{Input, Kind, Object};

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    let mut claims: BTreeMap<Scoped, Vec<&'a Object>> = BTreeMap::new();
    for service in input.of(Kind::VirtualService) {
        let gateways = service.texts("/spec/gateways");
        if !gateways.is_empty() && !gateways.contains(&"mesh") {
            continue;
        }
        for scope in scopes(&service.texts("/spec/exportTo"), &service.namespace) {
            for host in service.texts("/spec/hosts") {
                let host = Scoped::new(&scope, &service.namespace, host);
                claims.entry(host).or_default().push(service);
            }
        }
    }
    let mut reported = BTreeSet::new();
    for (host, own) in &claims {
        let mut all = own.clone();
        if host.scope != "*" {
            let everywhere = claims
                .iter()
                .filter(|(other, _)| other.scope == "*" && overlap(&host.host, &other.host));
            all.extend(everywhere.flat_map(|(_, services)| services));
        }
        if all.len() < 2 {
            continue;
        }
        let mut names: Vec<_> = all.iter().map(|service| service.full_name()).collect();
        names.sort();
        let names = names.join(",");
        for service in all {
            if reported.insert(service.full_name()) {
                let host = format!("{}/{}", host.scope, host.host);
                let kind = &types::CONFLICTING_MESH_GATEWAY_VIRTUAL_SERVICE_HOSTS;
                found.add(kind, service, "metadata.name", &[&names, &host]);
            }
        }
    }
}
