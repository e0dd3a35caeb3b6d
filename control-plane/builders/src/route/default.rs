//! Routes that nobody wrote: to services without a VirtualService, to unknown hosts, and of inbound listeners.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use meltemi_model::routing::Retries;
use meltemi_model::traffic::HashKey;
use meltemi_proto::canonical::Stencil;
use meltemi_proto::encode;

use super::policy::hash_policy;
use super::wire::{boolean, duration, host_port, limit_grpc, rt};
use super::{DEFAULT_ROUTE, DefaultRoute, retry};
use crate::stencils::Stencils;

/// Envoy's defaults (15 s, and no `grpc-timeout`) are not Istio's: without a VirtualService nothing times out.
const NONE: Duration = Duration::ZERO;
/// The name of the virtual host and route for unknown hosts that are refused.
const BLOCK_ALL: &str = "block_all";

/// The route of a service. Istio 1.31: `BuildDefaultHTTPOutboundRoute`.
pub(super) fn service_route(input: &DefaultRoute) -> rt::Route {
    let action = rt::RouteAction {
        retry_policy: retry::policy(input.retries.as_ref(), false),
        hash_policy: input
            .hash
            .as_ref()
            .and_then(hash_policy)
            .into_iter()
            .collect(),
        ..untimed(&input.cluster)
    };
    to_cluster(DEFAULT_ROUTE, action, Some(input.operation.to_string()))
}

/// Stand-ins for the names of a route; no name has such characters.
const CLUSTER: &str = "\u{1}cluster\u{1}";
const OPERATION: &str = "\u{1}operation\u{1}";

/// What routes of services have in common that differ in names only.
type Shape = (Option<Retries>, Option<HashKey>);

/// The canonical bytes of [`service_route`], of which a mesh has one for each service: by a stencil. Meshes have few of
/// them, and they hold nothing of a mesh but its default retries.
pub(super) fn encode_service_route(input: &DefaultRoute) -> Bytes {
    static STENCILS: LazyLock<Stencils<Shape>> = LazyLock::new(Stencils::default);
    let shape = (input.retries.clone(), input.hash.clone());
    let stencil = STENCILS.get(shape, |(retries, hash)| {
        let stand_in = DefaultRoute {
            cluster: CLUSTER.into(),
            operation: OPERATION.into(),
            retries: retries.clone(),
            hash: hash.clone(),
        };
        Stencil::cut(&service_route(&stand_in), &[CLUSTER, OPERATION])
    });
    match stencil {
        Some(stencil) => stencil.fill(&[&input.cluster, &input.operation]),
        None => encode(&service_route(input)),
    }
}

/// The route for unknown hosts that may pass. Istio 1.31: `buildCatchAllVirtualHost`.
pub(super) fn allow_any(name: &str, cluster: &str) -> rt::Route {
    to_cluster(name, untimed(cluster), None)
}

/// The route for unknown hosts that are refused. Istio 1.31: `buildCatchAllVirtualHost`.
pub(super) fn block_all() -> rt::Route {
    let answer = rt::DirectResponseAction {
        status: 502,
        ..Default::default()
    };
    rt::Route {
        name: BLOCK_ALL.to_owned(),
        r#match: Some(everything()),
        action: Some(rt::route::Action::DirectResponse(answer)),
        ..Default::default()
    }
}

/// The route configuration of an inbound listener, which stands in the listener itself: everything to `cluster`.
/// `host` and `port` name the service for traces; `grpc` ports get no retries, since streams cannot be repeated;
/// `domains` is `*` but for wildcard services that are resolved by name.
/// Istio 1.31: `buildSidecarInboundHTTPRouteConfig`.
pub fn inbound_route_config(
    cluster: &str,
    host: &str,
    port: u16,
    grpc: bool,
    domains: &str,
) -> rt::RouteConfiguration {
    let action = rt::RouteAction {
        cluster_specifier: Some(rt::route_action::ClusterSpecifier::Cluster(
            cluster.to_owned(),
        )),
        timeout: Some(duration(NONE)),
        max_stream_duration: Some(rt::route_action::MaxStreamDuration {
            max_stream_duration: Some(duration(NONE)),
            grpc_timeout_header_max: Some(duration(NONE)),
            ..Default::default()
        }),
        retry_policy: (!grpc).then(retry::inbound_policy),
        ..Default::default()
    };
    let operation = format!("{}/*", host_port(host, port));
    rt::RouteConfiguration {
        name: cluster.to_owned(),
        virtual_hosts: vec![rt::VirtualHost {
            name: format!("inbound|http|{port}"),
            domains: vec![domains.to_owned()],
            routes: vec![to_cluster(DEFAULT_ROUTE, action, Some(operation))],
            ..Default::default()
        }],
        validate_clusters: Some(boolean(false)),
        ..Default::default()
    }
}

/// The condition that every request meets.
pub(super) fn everything() -> rt::RouteMatch {
    rt::RouteMatch {
        path_specifier: Some(rt::route_match::PathSpecifier::Prefix("/".to_owned())),
        ..Default::default()
    }
}

fn untimed(cluster: &str) -> rt::RouteAction {
    let mut action = rt::RouteAction {
        cluster_specifier: Some(rt::route_action::ClusterSpecifier::Cluster(
            cluster.to_owned(),
        )),
        timeout: Some(duration(NONE)),
        ..Default::default()
    };
    limit_grpc(&mut action, NONE);
    action
}

fn to_cluster(name: &str, action: rt::RouteAction, operation: Option<String>) -> rt::Route {
    rt::Route {
        name: name.to_owned(),
        r#match: Some(everything()),
        decorator: operation.map(|operation| rt::Decorator {
            operation,
            ..Default::default()
        }),
        action: Some(rt::route::Action::Route(action)),
        ..Default::default()
    }
}
