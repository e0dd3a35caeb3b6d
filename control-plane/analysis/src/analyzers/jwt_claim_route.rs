//! Routes by the claims of a token need somebody who verifies it.

use serde_json::Value;

use crate::analyze::Found;
use crate::input::full_name;
use crate::labels::selects;
use crate::message::types;
use crate::object::{list, map};
use crate::{Input, Kind, Object};

const CLAIMS: &str = "@request.auth.claims";

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    for service in input.of(Kind::VirtualService) {
        let Some(key) = claim_key(service) else {
            continue;
        };
        for name in service.texts("/spec/gateways") {
            let gateway = input.find_relative(Kind::Gateway, &service.namespace, name);
            let Some(gateway) = gateway.filter(|_| name != "mesh") else {
                continue;
            };
            let selector = map(&gateway.value, "/spec/selector");
            for pod in input.of(Kind::Pod) {
                if selects(&selector, &pod.labels()) && !is_verified(input, pod) {
                    let gateway = full_name(&service.namespace, name);
                    let kind = &types::JWT_CLAIM_BASED_ROUTING_WITHOUT_REQUEST_AUTH_N;
                    found.add(kind, service, "", &[&key, &gateway, &pod.name]);
                }
            }
        }
    }
}

fn is_verified(input: &Input<'_>, pod: &Object) -> bool {
    input.of(Kind::RequestAuthentication).any(|request| {
        let selector = map(&request.value, "/spec/selector/matchLabels");
        [input.mesh.root_namespace(), &pod.namespace].contains(&request.namespace.as_str())
            && selects(&selector, &pod.labels())
    })
}

/// The first header by which claims are matched.
fn claim_key(service: &Object) -> Option<&str> {
    let rules = service.list("/spec/http").iter();
    let matches = rules.flat_map(|rule| list(rule, "/match"));
    let mut keys = matches.flat_map(|wanted| {
        ["headers", "withoutHeaders"]
            .into_iter()
            .filter_map(|field| wanted.get(field).and_then(Value::as_object))
            .flat_map(|headers| headers.keys())
    });
    keys.find(|key| is_claim(key)).map(String::as_str)
}

/// `@request.auth.claims.group` or `@request.auth.claims[group]`.
fn is_claim(header: &str) -> bool {
    let is_prefixed = header
        .get(..CLAIMS.len())
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case(CLAIMS));
    let rest = if is_prefixed {
        &header[CLAIMS.len()..]
    } else {
        ""
    };
    rest.starts_with('.') && rest.len() > 1
        || rest.starts_with('[') && rest.ends_with(']') && rest.len() > 2
}
