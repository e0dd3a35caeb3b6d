//! Connection pools.

use meltemi_api::destination_rule::{
    ConnectionPoolSettings, H2UpgradePolicy, HttpSettings, TcpSettings,
};

use super::{duration, number::not_negative};
use crate::Findings;

/// `connectionPool`. Istio 1.31: `validateConnectionPool`.
pub fn connection_pool(found: &mut Findings, at: &str, pool: Option<&ConnectionPoolSettings>) {
    let Some(pool) = pool else { return };
    if pool.http.is_none() && pool.tcp.is_none() {
        found.error(at, "connection pool must have at least one field");
    }
    if let Some(settings) = &pool.http {
        http(found, &format!("{at}.http"), settings);
    }
    if let Some(settings) = &pool.tcp {
        tcp(found, &format!("{at}.tcp"), settings);
    }
}

/// `defaultTrafficPolicy.connectionPool` of the mesh, where keep-alives of HTTP/2 are not looked at. Istio 1.31:
/// `validateMeshConfigDefaultTrafficPolicy`.
pub fn of_mesh(found: &mut Findings, at: &str, pool: &ConnectionPoolSettings) {
    let bare = ConnectionPoolSettings {
        http: pool.http.clone().map(|http| HttpSettings {
            http2_keep_alive: None,
            ..http
        }),
        tcp: pool.tcp.clone(),
    };
    connection_pool(found, at, Some(&bare));
}

fn http(found: &mut Findings, at: &str, http: &HttpSettings) {
    for (field, value, name) in [
        (
            "http1MaxPendingRequests",
            http.http1_max_pending_requests,
            "http1 max pending requests",
        ),
        (
            "http2MaxRequests",
            http.http2_max_requests,
            "http2 max requests",
        ),
        (
            "maxRequestsPerConnection",
            http.max_requests_per_connection,
            "max requests per connection",
        ),
        ("maxRetries", http.max_retries, "max retries"),
        (
            "maxConcurrentStreams",
            http.max_concurrent_streams,
            "max concurrent streams",
        ),
    ] {
        found.check(format!("{at}.{field}"), not_negative(value, name));
    }
    found.check(
        format!("{at}.idleTimeout"),
        duration::optional(http.idle_timeout),
    );
    if http.h2_upgrade_policy == H2UpgradePolicy::Upgrade && http.use_client_protocol {
        found.error(
            format!("{at}.useClientProtocol"),
            "use client protocol must not be true when H2UpgradePolicy is UPGRADE",
        );
    }
    let Some(keep_alive) = &http.http2_keep_alive else {
        return;
    };
    for (field, value) in [
        ("interval", keep_alive.interval),
        ("timeout", keep_alive.timeout),
    ] {
        let at = format!("{at}.http2KeepAlive.{field}");
        match value {
            Some(value) => found.check(at, duration::duration(value)),
            None => found.error(at, format!("http2 keepalive {field} is required")),
        }
    }
}

fn tcp(found: &mut Findings, at: &str, tcp: &TcpSettings) {
    found.check(
        format!("{at}.maxConnections"),
        not_negative(tcp.max_connections, "max connections"),
    );
    found.check(
        format!("{at}.connectTimeout"),
        duration::optional(tcp.connect_timeout),
    );
    found.check(
        format!("{at}.maxConnectionDuration"),
        duration::optional(tcp.max_connection_duration),
    );
    found.check(
        format!("{at}.idleTimeout"),
        duration::or_disabled(tcp.idle_timeout),
    );
    if let Some(keepalive) = &tcp.tcp_keepalive {
        found.check(
            format!("{at}.tcpKeepalive.time"),
            duration::optional(keepalive.time),
        );
        found.check(
            format!("{at}.tcpKeepalive.interval"),
            duration::optional(keepalive.interval),
        );
    }
}
