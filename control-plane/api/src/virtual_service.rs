//! `VirtualService` (Istio 1.31: networking/v1alpha3).

use std::collections::BTreeMap;

use crate::bytes::Bytes;
use crate::duration::Duration;
use crate::proto_json::{enums, messages};
use crate::shared::{Percent, PortSelector, StringMatch};

messages! {
    /// How requests to some hosts are routed.
    struct VirtualService {
        hosts: Vec<String>,
        gateways: Vec<String>,
        http: Vec<HttpRoute>,
        tls: Vec<TlsRoute>,
        tcp: Vec<TcpRoute>,
        export_to: Vec<String>,
    }

    /// A host, a subset of it and a port: where traffic goes.
    struct Destination {
        host: String,
        subset: String,
        port: Option<PortSelector>,
    }

    /// One HTTP rule: what it matches and what then happens.
    struct HttpRoute {
        name: String,
        r#match: Vec<HttpMatchRequest>,
        route: Vec<HttpRouteDestination>,
        redirect: Option<HttpRedirect>,
        direct_response: Option<HttpDirectResponse>,
        delegate: Option<Delegate>,
        rewrite: Option<HttpRewrite>,
        timeout: Option<Duration>,
        retries: Option<HttpRetry>,
        fault: Option<HttpFaultInjection>,
        mirror: Option<Destination>,
        mirrors: Vec<HttpMirrorPolicy>,
        /// Deprecated by Istio.
        mirror_percent: Option<u32>,
        mirror_percentage: Option<Percent>,
        cors_policy: Option<CorsPolicy>,
        headers: Option<Headers>,
    }

    /// The value of `HttpRoute.delegate`.
    struct Delegate {
        name: String,
        namespace: String,
    }

    /// The value of `HttpRoute.headers`, `HttpRouteDestination.headers`.
    struct Headers {
        request: Option<HeaderOperations>,
        response: Option<HeaderOperations>,
    }

    /// The value of `Headers.request`, `Headers.response`.
    struct HeaderOperations {
        set: BTreeMap<String, String>,
        add: BTreeMap<String, String>,
        remove: Vec<String>,
    }

    /// The value of `VirtualService.tls`.
    struct TlsRoute {
        r#match: Vec<TlsMatchAttributes>,
        route: Vec<RouteDestination>,
    }

    /// The value of `VirtualService.tcp`.
    struct TcpRoute {
        r#match: Vec<L4MatchAttributes>,
        route: Vec<RouteDestination>,
    }

    /// The conditions of an HTTP rule; all that are set must hold.
    struct HttpMatchRequest {
        name: String,
        uri: Option<StringMatch>,
        scheme: Option<StringMatch>,
        method: Option<StringMatch>,
        authority: Option<StringMatch>,
        headers: BTreeMap<String, StringMatch>,
        port: u32,
        source_labels: BTreeMap<String, String>,
        gateways: Vec<String>,
        query_params: BTreeMap<String, StringMatch>,
        ignore_uri_case: bool,
        without_headers: BTreeMap<String, StringMatch>,
        source_namespace: String,
        stat_prefix: String,
    }

    /// The value of `HttpRoute.route`.
    struct HttpRouteDestination {
        destination: Option<Destination>,
        weight: i32,
        headers: Option<Headers>,
    }

    /// The value of `TlsRoute.route`, `TcpRoute.route`.
    struct RouteDestination {
        destination: Option<Destination>,
        weight: i32,
    }

    /// The value of `TcpRoute.match`.
    struct L4MatchAttributes {
        destination_subnets: Vec<String>,
        port: u32,
        source_subnet: String,
        source_labels: BTreeMap<String, String>,
        gateways: Vec<String>,
        source_namespace: String,
    }

    /// The value of `TlsRoute.match`.
    struct TlsMatchAttributes {
        sni_hosts: Vec<String>,
        destination_subnets: Vec<String>,
        port: u32,
        source_labels: BTreeMap<String, String>,
        gateways: Vec<String>,
        source_namespace: String,
    }

    /// The value of `HttpRoute.redirect`.
    struct HttpRedirect oneof [port, derive_port] {
        uri: String,
        authority: String,
        port: Option<u32>,
        derive_port: Option<RedirectPortSelection>,
        scheme: String,
        redirect_code: u32,
        prefix_rewrite: String,
    }

    /// The value of `HttpRoute.directResponse`.
    struct HttpDirectResponse {
        status: u32,
        body: Option<HttpBody>,
    }

    /// The value of `HttpDirectResponse.body`.
    struct HttpBody oneof [string, bytes] {
        string: Option<String>,
        bytes: Option<Bytes>,
    }

    /// The value of `HttpRoute.rewrite`.
    struct HttpRewrite {
        uri: String,
        authority: String,
        uri_regex_rewrite: Option<RegexRewrite>,
    }

    /// The value of `HttpRewrite.uriRegexRewrite`.
    struct RegexRewrite {
        r#match: String,
        rewrite: String,
    }

    /// The value of `HttpRoute.retries`, `MeshConfig.defaultHttpRetryPolicy`,
    /// `MeshConfig.defaultInboundHttpRetryPolicy`.
    struct HttpRetry {
        attempts: i32,
        per_try_timeout: Option<Duration>,
        retry_on: String,
        retry_remote_localities: Option<bool>,
        retry_ignore_previous_hosts: Option<bool>,
        backoff: Option<Duration>,
    }

    /// The value of `HttpRoute.corsPolicy`.
    struct CorsPolicy {
        /// Deprecated by Istio.
        allow_origin: Vec<String>,
        allow_origins: Vec<StringMatch>,
        allow_methods: Vec<String>,
        allow_headers: Vec<String>,
        expose_headers: Vec<String>,
        max_age: Option<Duration>,
        allow_credentials: Option<bool>,
        unmatched_preflights: UnmatchedPreflights,
    }

    /// The value of `HttpRoute.fault`.
    struct HttpFaultInjection {
        delay: Option<FaultDelay>,
        abort: Option<FaultAbort>,
    }

    /// The value of `HttpFaultInjection.delay`.
    struct FaultDelay oneof [fixed_delay, exponential_delay] {
        /// Deprecated by Istio.
        percent: i32,
        fixed_delay: Option<Duration>,
        exponential_delay: Option<Duration>,
        percentage: Option<Percent>,
    }

    /// The value of `HttpFaultInjection.abort`.
    struct FaultAbort oneof [http_status, grpc_status, http2_error] {
        http_status: Option<i32>,
        grpc_status: Option<String>,
        http2_error: Option<String>,
        percentage: Option<Percent>,
    }

    /// The value of `HttpRoute.mirrors`.
    struct HttpMirrorPolicy {
        destination: Option<Destination>,
        percentage: Option<Percent>,
    }
}

enums! {
    /// The values of `HttpRedirect.derivePort`.
    enum RedirectPortSelection {
        FromProtocolDefault = 0 "FROM_PROTOCOL_DEFAULT",
        FromRequestPort = 1 "FROM_REQUEST_PORT",
    }

    /// The values of `CorsPolicy.unmatchedPreflights`.
    enum UnmatchedPreflights {
        Unspecified = 0 "UNSPECIFIED",
        Forward = 1 "FORWARD",
        Ignore = 2 "IGNORE",
    }
}
