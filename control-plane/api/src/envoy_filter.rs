//! `EnvoyFilter` (Istio 1.31: networking/v1alpha3).

use std::collections::BTreeMap;

use crate::proto_json::{enums, messages};
use crate::selector::{PolicyTargetReference, WorkloadSelector};
use crate::shared::Struct;

messages! {
    /// Patches to the generated Envoy configuration.
    struct EnvoyFilter {
        workload_selector: Option<WorkloadSelector>,
        target_refs: Vec<PolicyTargetReference>,
        config_patches: Vec<EnvoyConfigObjectPatch>,
        priority: i32,
    }

    /// The value of `EnvoyConfigObjectMatch.proxy`.
    struct ProxyMatch {
        proxy_version: String,
        metadata: BTreeMap<String, String>,
    }

    /// The value of `EnvoyConfigObjectMatch.cluster`.
    struct ClusterMatch {
        port_number: u32,
        service: String,
        subset: String,
        name: String,
    }

    /// The value of `EnvoyConfigObjectMatch.routeConfiguration`.
    struct RouteConfigurationMatch {
        port_number: u32,
        port_name: String,
        gateway: String,
        vhost: Option<VirtualHostMatch>,
        name: String,
    }

    /// The value of `VirtualHostMatch.route`.
    struct RouteMatch {
        name: String,
        action: RouteAction,
    }

    /// The value of `RouteConfigurationMatch.vhost`.
    struct VirtualHostMatch {
        name: String,
        domain_name: String,
        route: Option<RouteMatch>,
    }

    /// The value of `EnvoyConfigObjectMatch.listener`.
    struct ListenerMatch {
        port_number: u32,
        port_name: String,
        filter_chain: Option<FilterChainMatch>,
        listener_filter: String,
        name: String,
    }

    /// The value of `ListenerMatch.filterChain`.
    struct FilterChainMatch {
        name: String,
        sni: String,
        transport_protocol: String,
        transport_socket: String,
        application_protocols: String,
        filter: Option<FilterMatch>,
        destination_port: u32,
    }

    /// The value of `FilterChainMatch.filter`.
    struct FilterMatch {
        name: String,
        sub_filter: Option<SubFilterMatch>,
    }

    /// The value of `FilterMatch.subFilter`.
    struct SubFilterMatch {
        name: String,
    }

    /// The value of `EnvoyConfigObjectMatch.waypoint`.
    struct WaypointMatch {
        port_number: u32,
        route: Option<WaypointRouteMatch>,
        filter: Option<WaypointFilterMatch>,
    }

    /// The value of `WaypointMatch.route`.
    struct WaypointRouteMatch {
        name: String,
    }

    /// The value of `WaypointMatch.filter`.
    struct WaypointFilterMatch {
        name: String,
        sub_filter: Option<WaypointSubFilterMatch>,
    }

    /// The value of `WaypointFilterMatch.subFilter`.
    struct WaypointSubFilterMatch {
        name: String,
    }

    /// The value of `EnvoyConfigObjectPatch.patch`.
    struct Patch {
        operation: PatchOperation,
        value: Option<Struct>,
        filter_class: FilterClass,
    }

    /// The value of `EnvoyConfigObjectPatch.match`.
    struct EnvoyConfigObjectMatch oneof [listener, route_configuration, cluster, waypoint] {
        context: PatchContext,
        proxy: Option<ProxyMatch>,
        listener: Option<ListenerMatch>,
        route_configuration: Option<RouteConfigurationMatch>,
        cluster: Option<ClusterMatch>,
        waypoint: Option<WaypointMatch>,
    }

    /// The value of `EnvoyFilter.configPatches`.
    struct EnvoyConfigObjectPatch {
        apply_to: ApplyTo,
        r#match: Option<EnvoyConfigObjectMatch>,
        patch: Option<Patch>,
    }
}

enums! {
    /// The values of `EnvoyConfigObjectPatch.applyTo`.
    enum ApplyTo {
        Invalid = 0 "INVALID",
        Listener = 1 "LISTENER",
        FilterChain = 2 "FILTER_CHAIN",
        NetworkFilter = 3 "NETWORK_FILTER",
        HttpFilter = 4 "HTTP_FILTER",
        RouteConfiguration = 5 "ROUTE_CONFIGURATION",
        VirtualHost = 6 "VIRTUAL_HOST",
        HttpRoute = 7 "HTTP_ROUTE",
        Cluster = 8 "CLUSTER",
        ExtensionConfig = 9 "EXTENSION_CONFIG",
        Bootstrap = 10 "BOOTSTRAP",
        ListenerFilter = 11 "LISTENER_FILTER",
    }

    /// The values of `EnvoyConfigObjectMatch.context`.
    enum PatchContext {
        Any = 0 "ANY",
        SidecarInbound = 1 "SIDECAR_INBOUND",
        SidecarOutbound = 2 "SIDECAR_OUTBOUND",
        Gateway = 3 "GATEWAY",
        Waypoint = 4 "WAYPOINT",
    }

    /// The values of `RouteMatch.action`.
    enum RouteAction {
        Any = 0 "ANY",
        Route = 1 "ROUTE",
        Redirect = 2 "REDIRECT",
        DirectResponse = 3 "DIRECT_RESPONSE",
    }

    /// The values of `Patch.operation`.
    enum PatchOperation {
        Invalid = 0 "INVALID",
        Merge = 1 "MERGE",
        Add = 2 "ADD",
        Remove = 3 "REMOVE",
        InsertBefore = 4 "INSERT_BEFORE",
        InsertAfter = 5 "INSERT_AFTER",
        InsertFirst = 6 "INSERT_FIRST",
        Replace = 7 "REPLACE",
        MergeAndReplaceList = 8 "MERGE_AND_REPLACE_LIST",
    }

    /// The values of `Patch.filterClass`.
    enum FilterClass {
        Unspecified = 0 "UNSPECIFIED",
        Authn = 1 "AUTHN",
        Authz = 2 "AUTHZ",
        Stats = 3 "STATS",
    }
}
