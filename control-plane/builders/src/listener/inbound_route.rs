//! Routes that stand in the listener itself.

use std::time::Duration;

use meltemi_model::Str;

use super::pb;
use crate::route::{DYNAMIC_DNS_CLUSTER, inbound_route_config};

use pb::route::{
    Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route, route_action,
    route_match,
};

/// Headers in which Istio's proxies tell each other who they are. A proxy without the filter that takes them off must
/// not hand them to its application.
const PEER_METADATA: [&str; 2] = ["x-envoy-peer-metadata", "x-envoy-peer-metadata-id"];

/// The name of the routes to hosts that are resolved as they are asked for.
const ANY_DYNAMIC_DNS: &str = "allow_any_dynamic_dns";

/// The route to the workload itself. Istio 1.31: `buildSidecarInboundHTTPRouteConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InboundRoute {
    /// The cluster, which also names the configuration.
    pub cluster: Str,
    /// The service's host, for the names of spans; empty: none.
    pub host: Str,
    /// The service port.
    pub port: u16,
    /// gRPC streams are never retried.
    pub grpc: bool,
    /// Take off the headers in which other proxies introduce themselves.
    pub strip_peer_metadata: bool,
}

/// The route configuration of an inbound chain.
pub(super) fn config(inbound: &InboundRoute) -> RouteConfiguration {
    let strip: &[&str] = if inbound.strip_peer_metadata {
        &PEER_METADATA
    } else {
        &[]
    };
    RouteConfiguration {
        request_headers_to_remove: strip.iter().map(ToString::to_string).collect(),
        ..inbound_route_config(
            &inbound.cluster,
            &inbound.host,
            inbound.port,
            inbound.grpc,
            "*",
        )
    }
}

/// The route configuration of `virtualOutbound` where unknown hosts are resolved as they are asked for. Istio 1.31:
/// `buildAllowAnyDynamicDNSHTTPFilterChain`.
// Istio still limits gRPC by the deprecated field, as in its other outbound routes.
#[allow(deprecated)]
pub(super) fn any_dynamic_dns(attempt_count: bool) -> RouteConfiguration {
    let action = RouteAction {
        cluster_specifier: Some(route_action::ClusterSpecifier::Cluster(
            DYNAMIC_DNS_CLUSTER.to_owned(),
        )),
        timeout: Some(pb::duration(Duration::ZERO)),
        max_grpc_timeout: Some(pb::duration(Duration::ZERO)),
        ..Default::default()
    };
    let everything = route_match::PathSpecifier::Prefix("/".to_owned());
    let route = Route {
        name: ANY_DYNAMIC_DNS.to_owned(),
        r#match: Some(RouteMatch {
            path_specifier: Some(everything),
            ..Default::default()
        }),
        action: Some(route::Action::Route(action)),
        ..Default::default()
    };
    let host = VirtualHost {
        name: ANY_DYNAMIC_DNS.to_owned(),
        domains: vec!["*".to_owned()],
        routes: vec![route],
        include_request_attempt_count: attempt_count,
        ..Default::default()
    };
    RouteConfiguration {
        name: ANY_DYNAMIC_DNS.to_owned(),
        virtual_hosts: vec![host],
        validate_clusters: Some(pb::bool(false)),
        max_direct_response_body_size_bytes: Some(pb::u32(1 << 20)),
        ignore_port_in_host_matching: true,
        ..Default::default()
    }
}
