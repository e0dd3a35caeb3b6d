//! What the API server checks in the messages of `virtual_service.rs`.

use super::Rule::{self, Alias, Required};

pub(super) const RULES: &[(&str, &[Rule])] = &[
    ("Destination", &[Required(&["host"])]),
    ("HttpDirectResponse", &[Required(&["status"])]),
    ("HttpMirrorPolicy", &[Required(&["destination"])]),
    ("HttpRoute", &[Alias("mirror_percent", "mirrorPercent")]),
    ("HttpRouteDestination", &[Required(&["destination"])]),
    ("RouteDestination", &[Required(&["destination"])]),
    ("TlsMatchAttributes", &[Required(&["sniHosts"])]),
    ("TlsRoute", &[Required(&["match"])]),
];
