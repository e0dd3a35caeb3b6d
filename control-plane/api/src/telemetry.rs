//! `Telemetry` (Istio 1.31: telemetry/v1alpha1).

use std::collections::BTreeMap;

use crate::duration::Duration;
use crate::proto_json::{enums, messages};
use crate::selector::{PolicySelector, PolicyTargetReference};

messages! {
    /// Tracing, metrics and access logs of some workloads.
    struct Telemetry {
        selector: Option<PolicySelector>,
        target_ref: Option<PolicyTargetReference>,
        target_refs: Vec<PolicyTargetReference>,
        tracing: Vec<TelemetryTracing>,
        metrics: Vec<Metrics>,
        access_logging: Vec<AccessLogging>,
    }

    /// The value of `Telemetry.tracing`.
    struct TelemetryTracing {
        r#match: Option<TracingSelector>,
        providers: Vec<ProviderRef>,
        random_sampling_percentage: Option<f64>,
        disable_span_reporting: Option<bool>,
        custom_tags: BTreeMap<String, CustomTag>,
        use_request_id_for_trace_sampling: Option<bool>,
        enable_istio_tags: Option<bool>,
        disable_context_propagation: Option<bool>,
    }

    /// The value of `TelemetryTracing.match`.
    struct TracingSelector {
        mode: TelemetryMode,
    }

    /// The value of `TelemetryTracing.customTags`.
    struct CustomTag oneof [literal, environment, header, formatter] {
        literal: Option<Literal>,
        environment: Option<Environment>,
        header: Option<RequestHeader>,
        formatter: Option<Formatter>,
    }

    /// The value of `CustomTag.literal`.
    struct Literal {
        value: String,
    }

    /// The value of `CustomTag.environment`.
    struct Environment {
        name: String,
        default_value: String,
    }

    /// The value of `CustomTag.header`.
    struct RequestHeader {
        name: String,
        default_value: String,
    }

    /// The value of `CustomTag.formatter`.
    struct Formatter {
        value: String,
    }

    /// The value of `TelemetryTracing.providers`, `Metrics.providers`, `AccessLogging.providers`.
    struct ProviderRef {
        name: String,
    }

    /// The value of `Telemetry.metrics`.
    struct Metrics {
        providers: Vec<ProviderRef>,
        overrides: Vec<MetricsOverrides>,
        reporting_interval: Option<Duration>,
    }

    /// The value of `MetricsOverrides.match`.
    struct MetricSelector oneof [metric, custom_metric] {
        metric: Option<IstioMetric>,
        custom_metric: Option<String>,
        mode: TelemetryMode,
    }

    /// The value of `Metrics.overrides`.
    struct MetricsOverrides {
        r#match: Option<MetricSelector>,
        disabled: Option<bool>,
        tag_overrides: BTreeMap<String, TagOverride>,
    }

    /// The value of `MetricsOverrides.tagOverrides`.
    struct TagOverride {
        operation: TagOperation,
        value: String,
    }

    /// The value of `Telemetry.accessLogging`.
    struct AccessLogging {
        r#match: Option<LogSelector>,
        providers: Vec<ProviderRef>,
        disabled: Option<bool>,
        filter: Option<AccessLogFilter>,
    }

    /// The value of `AccessLogging.match`.
    struct LogSelector {
        mode: TelemetryMode,
    }

    /// The value of `AccessLogging.filter`.
    struct AccessLogFilter {
        expression: String,
    }
}

enums! {
    /// The values of `TracingSelector.mode`, `MetricSelector.mode`, `LogSelector.mode`.
    enum TelemetryMode {
        ClientAndServer = 0 "CLIENT_AND_SERVER",
        Client = 1 "CLIENT",
        Server = 2 "SERVER",
    }

    /// The values of `MetricSelector.metric`.
    enum IstioMetric {
        AllMetrics = 0 "ALL_METRICS",
        RequestCount = 1 "REQUEST_COUNT",
        RequestDuration = 2 "REQUEST_DURATION",
        RequestSize = 3 "REQUEST_SIZE",
        ResponseSize = 4 "RESPONSE_SIZE",
        TcpOpenedConnections = 5 "TCP_OPENED_CONNECTIONS",
        TcpClosedConnections = 6 "TCP_CLOSED_CONNECTIONS",
        TcpSentBytes = 7 "TCP_SENT_BYTES",
        TcpReceivedBytes = 8 "TCP_RECEIVED_BYTES",
        GrpcRequestMessages = 9 "GRPC_REQUEST_MESSAGES",
        GrpcResponseMessages = 10 "GRPC_RESPONSE_MESSAGES",
    }

    /// The values of `TagOverride.operation`.
    enum TagOperation {
        Upsert = 0 "UPSERT",
        Remove = 1 "REMOVE",
    }
}
