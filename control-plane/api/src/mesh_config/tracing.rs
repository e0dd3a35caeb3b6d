//! `ProxyConfig.tracing`.

use std::collections::BTreeMap;

use crate::destination_rule::ClientTlsSettings;
use crate::proto_json::{enums, messages};

messages! {
    /// The value of `MeshProxyConfig.tracing`.
    struct Tracing oneof [zipkin, lightstep, datadog, stackdriver, open_census_agent] {
        zipkin: Option<Zipkin>,
        lightstep: Option<Lightstep>,
        datadog: Option<Datadog>,
        stackdriver: Option<Stackdriver>,
        open_census_agent: Option<OpenCensusAgent>,
        custom_tags: BTreeMap<String, CustomTag>,
        max_path_tag_length: u32,
        sampling: f64,
        tls_settings: Option<ClientTlsSettings>,
        enable_istio_tags: Option<bool>,
    }

    /// The value of `Tracing.zipkin`.
    struct Zipkin {
        address: String,
    }

    /// The value of `Tracing.lightstep`.
    struct Lightstep {
        address: String,
        access_token: String,
    }

    /// The value of `Tracing.datadog`.
    struct Datadog {
        address: String,
    }

    /// The value of `Tracing.stackdriver`.
    struct Stackdriver {
        debug: bool,
        max_number_of_attributes: Option<i64>,
        max_number_of_annotations: Option<i64>,
        max_number_of_message_events: Option<i64>,
    }

    /// The value of `Tracing.openCensusAgent`.
    struct OpenCensusAgent {
        address: String,
        context: Vec<OpenCensusAgentContext>,
    }

    /// The value of `Tracing.customTags`.
    struct CustomTag oneof [literal, environment, header] {
        literal: Option<Literal>,
        environment: Option<Environment>,
        header: Option<RequestHeader>,
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
}

enums! {
    /// The values of `OpenCensusAgent.context`.
    enum OpenCensusAgentContext {
        Unspecified = 0 "UNSPECIFIED",
        W3cTraceContext = 1 "W3C_TRACE_CONTEXT",
        GrpcBin = 2 "GRPC_BIN",
        CloudTraceContext = 3 "CLOUD_TRACE_CONTEXT",
        B3 = 4 "B3",
    }
}
