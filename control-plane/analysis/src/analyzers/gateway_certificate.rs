//! Certificates that several Gateways of one workload present: a client that finds one connection's certificate good
//! for another host uses that connection again, and the host is not there.

use serde_json::Value;

use crate::analyze::Found;
use crate::labels::selects;
use crate::message::{listed, types};
use crate::object::{map, text};
use crate::{Input, Kind};

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    for gateway in input.of(Kind::Gateway) {
        let selector = map(&gateway.value, "/spec/selector");
        for other in input.of(Kind::Gateway) {
            let is_other = gateway.full_name() != other.full_name();
            if !is_other || !selects(&selector, &map(&other.value, "/spec/selector")) {
                continue;
            }
            for server in gateway.list("/spec/servers") {
                for theirs in other.list("/spec/servers") {
                    if present_the_same(server, theirs) {
                        let names = listed([gateway.full_name(), other.full_name()]);
                        let kind = &types::GATEWAY_DUPLICATE_CERTIFICATE;
                        found.add(kind, gateway, "metadata.name", &[&names]);
                    }
                }
            }
        }
    }
}

fn present_the_same(a: &Value, b: &Value) -> bool {
    let same = |field: &str| !text(a, field).is_empty() && text(a, field) == text(b, field);
    let credential = "/tls/credentialName";
    match (text(a, credential), text(b, credential)) {
        ("", "") => same("/tls/serverCertificate") && same("/tls/privateKey"),
        (a, b) => a == b,
    }
}
