//! `MeshConfig.extensionProviders`.

use std::collections::BTreeMap;

use crate::duration::Duration;
use crate::proto_json::{enums, messages};
use crate::shared::Struct;

messages! {
    /// A named service that policies and telemetry refer to.
    struct ExtensionProvider oneof
        [envoy_ext_authz_http, envoy_ext_authz_grpc, zipkin, lightstep, datadog, stackdriver, opencensus, skywalking, opentelemetry, prometheus, envoy_file_access_log, envoy_http_als, envoy_tcp_als, envoy_otel_als, sds]
    {
        name: String,
        envoy_ext_authz_http: Option<EnvoyExternalAuthorizationHttpProvider>,
        envoy_ext_authz_grpc: Option<EnvoyExternalAuthorizationGrpcProvider>,
        zipkin: Option<ZipkinTracingProvider>,
        /// Deprecated by Istio.
        lightstep: Option<LightstepTracingProvider>,
        datadog: Option<DatadogTracingProvider>,
        stackdriver: Option<StackdriverProvider>,
        /// Deprecated by Istio.
        opencensus: Option<OpenCensusAgentTracingProvider>,
        skywalking: Option<SkyWalkingTracingProvider>,
        opentelemetry: Option<OpenTelemetryTracingProvider>,
        prometheus: Option<PrometheusMetricsProvider>,
        envoy_file_access_log: Option<EnvoyFileAccessLogProvider>,
        envoy_http_als: Option<EnvoyHttpGrpcV3LogProvider>,
        envoy_tcp_als: Option<EnvoyTcpGrpcV3LogProvider>,
        envoy_otel_als: Option<EnvoyOpenTelemetryLogProvider>,
        sds: Option<SdsProvider>,
    }

    /// The value of `EnvoyExternalAuthorizationHttpProvider.includeRequestBodyInCheck`,
    /// `EnvoyExternalAuthorizationGrpcProvider.includeRequestBodyInCheck`.
    struct EnvoyExternalAuthorizationRequestBody {
        max_request_bytes: u32,
        allow_partial_message: bool,
        pack_as_bytes: bool,
    }

    /// The value of `ExtensionProvider.envoyExtAuthzHttp`.
    struct EnvoyExternalAuthorizationHttpProvider {
        service: String,
        port: u32,
        timeout: Option<Duration>,
        path_prefix: String,
        fail_open: bool,
        clear_route_cache: bool,
        status_on_error: String,
        /// Deprecated by Istio.
        include_headers_in_check: Vec<String>,
        include_request_headers_in_check: Vec<String>,
        include_additional_headers_in_check: BTreeMap<String, String>,
        include_request_body_in_check: Option<EnvoyExternalAuthorizationRequestBody>,
        headers_to_upstream_on_allow: Vec<String>,
        headers_to_downstream_on_deny: Vec<String>,
        headers_to_downstream_on_allow: Vec<String>,
    }

    /// The value of `ExtensionProvider.envoyExtAuthzGrpc`.
    struct EnvoyExternalAuthorizationGrpcProvider {
        service: String,
        port: u32,
        timeout: Option<Duration>,
        fail_open: bool,
        clear_route_cache: bool,
        status_on_error: String,
        include_request_body_in_check: Option<EnvoyExternalAuthorizationRequestBody>,
    }

    /// The value of `ExtensionProvider.zipkin`.
    struct ZipkinTracingProvider {
        service: String,
        port: u32,
        max_tag_length: u32,
        enable_64bit_trace_id: bool,
        path: String,
        trace_context_option: TraceContextOption,
        timeout: Option<Duration>,
        headers: Vec<HttpHeader>,
    }

    /// The value of `ExtensionProvider.lightstep`.
    struct LightstepTracingProvider {
        service: String,
        port: u32,
        access_token: String,
        max_tag_length: u32,
    }

    /// The value of `ExtensionProvider.datadog`.
    struct DatadogTracingProvider {
        service: String,
        port: u32,
        max_tag_length: u32,
    }

    /// The value of `ExtensionProvider.skywalking`.
    struct SkyWalkingTracingProvider {
        service: String,
        port: u32,
        access_token: String,
    }

    /// The value of `ExtensionProvider.stackdriver`.
    struct StackdriverProvider {
        /// Deprecated by Istio.
        debug: bool,
        /// Deprecated by Istio.
        max_number_of_attributes: Option<i64>,
        /// Deprecated by Istio.
        max_number_of_annotations: Option<i64>,
        /// Deprecated by Istio.
        max_number_of_message_events: Option<i64>,
        max_tag_length: u32,
        logging: Option<StackdriverLogging>,
    }

    /// The value of `StackdriverProvider.logging`.
    struct StackdriverLogging {
        labels: BTreeMap<String, String>,
    }

    /// The value of `ExtensionProvider.opencensus`.
    struct OpenCensusAgentTracingProvider {
        service: String,
        port: u32,
        context: Vec<OpenCensusContext>,
        max_tag_length: u32,
    }

    /// The value of `ExtensionProvider.prometheus`.
    struct PrometheusMetricsProvider {}

    /// The value of `ExtensionProvider.envoyFileAccessLog`.
    struct EnvoyFileAccessLogProvider {
        path: String,
        log_format: Option<FileLogFormat>,
        omit_empty_values: bool,
    }

    /// The value of `EnvoyFileAccessLogProvider.logFormat`.
    struct FileLogFormat oneof [text, labels] {
        text: Option<String>,
        labels: Option<Struct>,
    }

    /// The value of `ExtensionProvider.envoyHttpAls`.
    struct EnvoyHttpGrpcV3LogProvider {
        service: String,
        port: u32,
        log_name: String,
        filter_state_objects_to_log: Vec<String>,
        additional_request_headers_to_log: Vec<String>,
        additional_response_headers_to_log: Vec<String>,
        additional_response_trailers_to_log: Vec<String>,
    }

    /// The value of `ExtensionProvider.envoyTcpAls`.
    struct EnvoyTcpGrpcV3LogProvider {
        service: String,
        port: u32,
        log_name: String,
        filter_state_objects_to_log: Vec<String>,
    }

    /// The value of `ExtensionProvider.envoyOtelAls`.
    struct EnvoyOpenTelemetryLogProvider {
        service: String,
        port: u32,
        log_name: String,
        log_format: Option<OpenTelemetryLogFormat>,
    }

    /// The value of `EnvoyOpenTelemetryLogProvider.logFormat`.
    struct OpenTelemetryLogFormat {
        text: String,
        labels: Option<Struct>,
    }

    /// The value of `ExtensionProvider.opentelemetry`.
    struct OpenTelemetryTracingProvider {
        service: String,
        port: u32,
        max_tag_length: u32,
        http: Option<HttpService>,
        grpc: Option<GrpcService>,
        resource_detectors: Option<ResourceDetectors>,
        service_attribute_enrichment: ServiceAttributeEnrichment,
        dynatrace_sampler: Option<DynatraceSampler>,
    }

    /// The value of `OpenTelemetryTracingProvider.dynatraceSampler`.
    struct DynatraceSampler {
        tenant: String,
        cluster_id: i32,
        root_spans_per_minute: u32,
        http_service: Option<DynatraceApi>,
    }

    /// The value of `DynatraceSampler.httpService`.
    struct DynatraceApi {
        service: String,
        port: u32,
        http: Option<HttpService>,
    }

    /// The value of `ExtensionProvider.sds`.
    struct SdsProvider {
        name: String,
        service: String,
        port: u32,
    }

    /// The value of `OpenTelemetryTracingProvider.http`, `DynatraceApi.http`.
    struct HttpService {
        path: String,
        timeout: Option<Duration>,
        headers: Vec<HttpHeader>,
    }

    /// The value of `ZipkinTracingProvider.headers`, `HttpService.headers`, `GrpcService.initialMetadata`.
    struct HttpHeader oneof [value, env_name] {
        name: String,
        value: Option<String>,
        env_name: Option<String>,
    }

    /// The value of `OpenTelemetryTracingProvider.resourceDetectors`.
    struct ResourceDetectors {
        environment: Option<EnvironmentResourceDetector>,
        dynatrace: Option<DynatraceResourceDetector>,
    }

    /// The value of `ResourceDetectors.environment`.
    struct EnvironmentResourceDetector {}

    /// The value of `ResourceDetectors.dynatrace`.
    struct DynatraceResourceDetector {}

    /// The value of `OpenTelemetryTracingProvider.grpc`.
    struct GrpcService {
        timeout: Option<Duration>,
        initial_metadata: Vec<HttpHeader>,
    }
}

enums! {
    /// The values of `ZipkinTracingProvider.traceContextOption`.
    enum TraceContextOption {
        UseB3 = 0 "USE_B3",
        UseB3WithW3cPropagation = 1 "USE_B3_WITH_W3C_PROPAGATION",
    }

    /// The values of `OpenCensusAgentTracingProvider.context`.
    enum OpenCensusContext {
        Unspecified = 0 "UNSPECIFIED",
        W3cTraceContext = 1 "W3C_TRACE_CONTEXT",
        GrpcBin = 2 "GRPC_BIN",
        CloudTraceContext = 3 "CLOUD_TRACE_CONTEXT",
        B3 = 4 "B3",
    }

    /// The values of `OpenTelemetryTracingProvider.serviceAttributeEnrichment`.
    enum ServiceAttributeEnrichment {
        IstioCanonical = 0 "ISTIO_CANONICAL",
        OtelSemanticConventions = 1 "OTEL_SEMANTIC_CONVENTIONS",
    }
}
