//! Settings of connections that the mesh configuration gives proxies.

use meltemi_api::mesh_config::ConnectionSettings;

use crate::Findings;

/// `defaultConfig.connectionSettings`. Istio 1.31: `validateConnectionSettings`.
pub fn connection_settings(found: &mut Findings, at: &str, settings: &ConnectionSettings) {
    let numbers = [
        (
            settings.listener_per_connection_buffer_limit_bytes,
            0,
            "listener_per_connection_buffer_limit_bytes must be non-negative",
        ),
        (
            settings.cluster_per_connection_buffer_limit_bytes,
            0,
            "cluster_per_connection_buffer_limit_bytes must be non-negative",
        ),
        (
            settings.http_max_concurrent_streams,
            1,
            "http_max_concurrent_streams must be positive",
        ),
        (
            settings.http2_initial_stream_window_size,
            65_535,
            "http2_initial_stream_window_size must be at least 65535",
        ),
        (
            settings.http2_initial_connection_window_size,
            65_535,
            "http2_initial_connection_window_size must be at least 65535",
        ),
        (
            settings.listener_connection_limit,
            1,
            "listener_connection_limit must be positive",
        ),
        (
            settings.global_downstream_connection_limit,
            1,
            "global_downstream_connection_limit must be positive",
        ),
    ];
    let durations = [
        (settings.http_idle_timeout, "http_idle_timeout"),
        (
            settings.http_max_connection_duration,
            "http_max_connection_duration",
        ),
        (settings.http_drain_timeout, "http_drain_timeout"),
        (settings.http_request_timeout, "http_request_timeout"),
        (
            settings.http_request_headers_timeout,
            "http_request_headers_timeout",
        ),
        (
            settings.http_stream_idle_timeout,
            "http_stream_idle_timeout",
        ),
        (
            settings.http_max_stream_duration,
            "http_max_stream_duration",
        ),
    ];
    for (value, least, message) in numbers {
        if value.is_some_and(|value| value < least) {
            found.error(at, message);
        }
    }
    for (value, name) in durations {
        if value.is_some_and(|value| value.as_nanos() < 0) {
            found.error(at, format!("{name} must be non-negative"));
        }
    }
}
