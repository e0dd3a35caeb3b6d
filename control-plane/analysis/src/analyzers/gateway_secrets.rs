//! Credentials of Gateways.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::analyze::Found;
use crate::labels::{first_label, selects, shown};
use crate::message::types;
use crate::object::{map, text};
use crate::{Input, Kind, Object};

/// Certificate and key: the names that Istio knew first, and those of `kubernetes.io/tls`.
const PAIRS: [(&str, &str); 2] = [("cert", "key"), ("tls.crt", "tls.key")];

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    for gateway in input.of(Kind::Gateway) {
        let selector = map(&gateway.value, "/spec/selector");
        let mut pods = input.of(Kind::Pod);
        // Where the pods run, not where the Gateway stands.
        let Some(pod) = pods.find(|pod| selects(&selector, &pod.labels())) else {
            let field = first_label("spec.selector", &selector);
            let kind = &types::REFERENCED_RESOURCE_NOT_FOUND;
            found.add(kind, gateway, &field, &[&"selector", &shown(&selector)]);
            continue;
        };
        for (i, server) in gateway.list("/spec/servers").iter().enumerate() {
            let credential = text(server, "/tls/credentialName");
            if credential.is_empty() {
                continue;
            }
            let field = format!("spec.servers[{i}].tls.credentialName");
            match input.find_relative(Kind::Secret, &pod.namespace, credential) {
                None => {
                    let kind = &types::REFERENCED_RESOURCE_NOT_FOUND;
                    found.add(kind, gateway, &field, &[&"credentialName", &credential]);
                }
                Some(secret) if !is_valid(input, secret) => {
                    let kind = &types::INVALID_GATEWAY_CREDENTIAL;
                    found.add(kind, gateway, &field, &[&gateway.name, &pod.namespace]);
                }
                Some(_) => {}
            }
        }
    }
}

fn is_valid(input: &Input<'_>, secret: &Object) -> bool {
    let pairs = PAIRS.iter().filter_map(|(certificate, key)| {
        let certificate = content(secret, certificate);
        let has_both = !certificate.is_empty() && !content(secret, key).is_empty();
        has_both.then_some(certificate)
    });
    let mut pairs = pairs;
    pairs
        .next()
        .is_some_and(|certificate| (input.judges.certificate_is_valid)(&certificate))
}

/// What a Secret says under a key; the API server prefers `stringData`.
fn content(secret: &Object, key: &str) -> Vec<u8> {
    let plain = secret.text(&format!("/stringData/{key}"));
    if !plain.is_empty() {
        return plain.as_bytes().to_vec();
    }
    let encoded = secret.text(&format!("/data/{key}"));
    let encoded: String = encoded.split_ascii_whitespace().collect();
    STANDARD.decode(encoded).unwrap_or_default()
}
