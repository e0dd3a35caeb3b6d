//! Control planes that fetch keys from wherever a RequestAuthentication says.

use crate::analyze::Found;
use crate::message::types;
use crate::object::{list, text};
use crate::{Input, Kind};

/// How many names are listed.
const MOST_NAMES: usize = 5;

pub(super) fn run<'a>(input: &'a Input<'a>, found: &mut Found<'a>) {
    let requests = input.of(Kind::RequestAuthentication);
    let names: Vec<_> = requests.map(|object| object.full_name()).collect();
    if names.is_empty() {
        return;
    }
    let shown = names[..names.len().min(MOST_NAMES)].join(", ");
    let shown = match names.len().saturating_sub(MOST_NAMES) {
        0 => shown,
        more => format!("{shown}, and {more} more"),
    };
    for deployment in input.of(Kind::Deployment) {
        let mut environment = deployment
            .list("/spec/template/spec/containers")
            .iter()
            .flat_map(|container| list(container, "/env"));
        let is_restricted = environment.any(|variable| {
            text(variable, "/name") == "BLOCKED_CIDRS_IN_JWKS_URIS"
                && !text(variable, "/value").is_empty()
        });
        if deployment.label("app") == Some("istiod") && !is_restricted {
            found.add(
                &types::JWKS_URI_FETCH_UNRESTRICTED,
                deployment,
                "",
                &[&names.len(), &shown],
            );
        }
    }
}
