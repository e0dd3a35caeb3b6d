//! Gateways that claim the same host, port and address of the same workload.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::analyze::Found;
use crate::labels::{Set, first_label, selects, shown};
use crate::message::types;
use crate::object::{map, number, text, texts};
use crate::{Input, Kind, Object};

/// What a Gateway claims on one port: hosts with the address they are bound to. Istio 1.31: the last server with a
/// port counts.
type Claim<'a> = BTreeMap<&'a str, &'a str>;

/// By selector and port, then by Gateway.
type Claims<'a> = BTreeMap<(String, i64), BTreeMap<String, Claim<'a>>>;

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    let mut claims = Claims::new();
    let mut selectors: BTreeMap<String, Set<'a>> = BTreeMap::new();
    for gateway in input.of(Kind::Gateway) {
        let selector = map(&gateway.value, "/spec/selector");
        let key = shown(&selector);
        selectors.insert(key.clone(), selector);
        for server in gateway.list("/spec/servers") {
            let bind = text(server, "/bind");
            let hosts = texts(server, "/hosts").into_iter();
            let of_port = claims.entry((key.clone(), port(server))).or_default();
            of_port.insert(
                gateway.full_name(),
                hosts.map(|host| (host, bind)).collect(),
            );
        }
    }
    for gateway in input.of(Kind::Gateway) {
        check(input, gateway, &claims, &selectors, found);
    }
}

fn check<'a>(
    input: &'a Input<'a>,
    gateway: &'a Object,
    claims: &Claims<'a>,
    selectors: &BTreeMap<String, Set<'a>>,
    found: &mut Found<'a>,
) {
    let selector = map(&gateway.value, "/spec/selector");
    let own = shown(&selector);
    let overlaps = |other: &str| {
        let is_part = other.contains(&own) || own.contains(other);
        other == own
            || is_part
                && input.of(Kind::Pod).any(|pod| {
                    let labels = pod.labels();
                    selects(&selector, &labels)
                        && selectors
                            .get(other)
                            .is_some_and(|other| selects(other, &labels))
                })
    };
    let relevant: BTreeSet<_> = claims
        .keys()
        .map(|(selector, _)| selector.as_str())
        .filter(|selector| overlaps(selector))
        .collect();
    if relevant.is_empty() {
        if !own.is_empty() {
            let field = first_label("spec.selector", &selector);
            let kind = &types::REFERENCED_RESOURCE_NOT_FOUND;
            found.add(kind, gateway, &field, &[&"selector", &own]);
        }
        return;
    }
    for server in gateway.list("/spec/servers") {
        let number = port(server);
        let bind = text(server, "/bind");
        let hosts = texts(server, "/hosts");
        let of_port = claims.iter().filter(|((selector, port), _)| {
            *port == number && relevant.contains(selector.as_str())
        });
        let mut rivals: Vec<_> = of_port
            .flat_map(|(_, gateways)| gateways)
            .filter(|(name, claim)| {
                **name != gateway.full_name()
                    && hosts.iter().any(|host| claim.get(host) == Some(&bind))
            })
            .map(|(name, _)| name.as_str())
            .collect();
        if !rivals.is_empty() {
            rivals.sort_unstable();
            found.add(
                &types::CONFLICTING_GATEWAYS,
                gateway,
                "",
                &[&rivals.join(","), &own, &number, &hosts.join(",")],
            );
        }
    }
}

fn port(server: &Value) -> i64 {
    number(server, "/port/number")
}
