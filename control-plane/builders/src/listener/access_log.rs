//! Access logs to files. Istio 1.31: `FileAccessLogFromMeshConfig`.

use serde_json::{Map, Value};

use super::facet::AccessLog;
use super::pb;

use pb::accesslog::access_log_filter::FilterSpecifier;
use pb::accesslog::{AccessLogFilter, ResponseFlagFilter, access_log::ConfigType};
use pb::core::{SubstitutionFormatString, substitution_format_string::Format};
use pb::extensions::access_loggers::file::v3::{FileAccessLog, file_access_log::AccessLogFormat};

/// Istio's own text format, which parsers of its logs rely on. Istio 1.31: `EnvoyTextLogFormat`.
const TEXT_FORMAT: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" \
    %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \
    \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% \
    %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \
    \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% \
    %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

/// Istio's own JSON format: (key, operator). Istio 1.31: `EnvoyJSONLogFormatIstio`.
const JSON_FORMAT: [(&str, &str); 24] = [
    ("authority", "%REQ(:AUTHORITY)%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    (
        "connection_termination_details",
        "%CONNECTION_TERMINATION_DETAILS%",
    ),
    ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("duration", "%DURATION%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("route_name", "%ROUTE_NAME%"),
    ("start_time", "%START_TIME%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
    (
        "upstream_service_time",
        "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    ),
    (
        "upstream_transport_failure_reason",
        "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    ),
    ("user_agent", "%REQ(USER-AGENT)%"),
    ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
];

/// The operator that needs a formatter of its own.
const WITHOUT_QUERY: &str = "%REQ_WITHOUT_QUERY";

/// The log of requests or connections.
pub(super) fn access_log(log: &AccessLog) -> pb::accesslog::AccessLog {
    let config = FileAccessLog {
        path: log.path.to_string(),
        access_log_format: Some(AccessLogFormat::LogFormat(format(log))),
    };
    pb::accesslog::AccessLog {
        name: "envoy.access_loggers.file".to_owned(),
        config_type: Some(ConfigType::TypedConfig(pb::any(&config))),
        ..Default::default()
    }
}

/// The log of a listener: only what found no filter chain, since chains log the rest.
pub(super) fn no_route_only(log: &AccessLog) -> pb::accesslog::AccessLog {
    let flags = ResponseFlagFilter {
        flags: vec!["NR".to_owned()],
    };
    pb::accesslog::AccessLog {
        filter: Some(AccessLogFilter {
            filter_specifier: Some(FilterSpecifier::ResponseFlagFilter(flags)),
        }),
        ..access_log(log)
    }
}

fn format(log: &AccessLog) -> SubstitutionFormatString {
    let (format, reads_query) = if log.json {
        json(&log.format)
    } else {
        text(&log.format)
    };
    SubstitutionFormatString {
        format: Some(format),
        json_format_options: log.json.then(Default::default),
        formatters: reads_query.then(without_query).into_iter().collect(),
        ..Default::default()
    }
}

/// A custom text gets its newline if it has none.
fn text(custom: &str) -> (Format, bool) {
    let text = match custom {
        "" => TEXT_FORMAT.to_owned(),
        custom if custom.ends_with('\n') => custom.to_owned(),
        custom => format!("{custom}\n"),
    };
    let reads_query = text.contains(WITHOUT_QUERY);
    let specifier = pb::core::data_source::Specifier::InlineString(text);
    let source = pb::core::DataSource {
        specifier: Some(specifier),
        ..Default::default()
    };
    (Format::TextFormatSource(source), reads_query)
}

/// A custom text that is no JSON object counts as absent, as in Istio.
fn json(custom: &str) -> (Format, bool) {
    let fields = match serde_json::from_str(custom) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => JSON_FORMAT
            .iter()
            .map(|(k, v)| ((*k).to_owned(), Value::from(*v)))
            .collect::<Map<_, _>>(),
    };
    let reads_query = fields
        .values()
        .any(|v| v.as_str().is_some_and(|v| v.contains(WITHOUT_QUERY)));
    (
        Format::JsonFormat(pb::structure(&Value::Object(fields))),
        reads_query,
    )
}

fn without_query() -> pb::core::TypedExtensionConfig {
    let config = pb::extensions::formatter::req_without_query::v3::ReqWithoutQuery {};
    pb::core::TypedExtensionConfig {
        name: "envoy.formatter.req_without_query".to_owned(),
        typed_config: Some(pb::any(&config)),
    }
}
