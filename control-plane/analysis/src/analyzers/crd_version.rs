//! Definitions of the Gateway API that Istio leaves alone since they are too old.

use crate::analyze::Found;
use crate::message::types;
use crate::{Input, Kind};

type Version = [u64; 3];

/// Istio 1.31: `gatewayapi.MinimumCRDVersions`.
const AT_LEAST: [(&str, Version); 4] = [
    ("grpcroutes.gateway.networking.k8s.io", [1, 1, 0]),
    ("backendtlspolicies.gateway.networking.k8s.io", [1, 4, 0]),
    ("tlsroutes.gateway.networking.k8s.io", [1, 5, 0]),
    ("tcproutes.gateway.networking.k8s.io", [1, 6, 0]),
];

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    for definition in input.of(Kind::CustomResourceDefinition) {
        let wanted = AT_LEAST.iter().find(|row| row.0 == definition.name);
        let written = definition.annotation("gateway.networking.k8s.io/bundle-version");
        let (Some((_, wanted)), Some(written)) = (wanted, written) else {
            continue;
        };
        let written = written.trim_start_matches('v');
        if version(written).is_some_and(|is| is < *wanted) {
            let wanted = wanted.map(|part| part.to_string()).join(".");
            found.add(
                &types::GATEWAY_APICRD_VERSION_BELOW_MINIMUM,
                definition,
                "",
                &[&definition.name, &written, &wanted],
            );
        }
    }
}

/// `1.4.1-rc.1+build` → 1.4.1.
fn version(text: &str) -> Option<Version> {
    let release = text.split(['-', '+']).next()?;
    let mut parts = release.split('.').map(str::parse);
    let mut next = || parts.next().unwrap_or(Ok(0)).ok();
    Some([next()?, next()?, next()?])
}
