//! `connectionPool`, of rules, Sidecars and the mesh.

use meltemi_api::destination_rule as api;
use meltemi_model::traffic::{ConnectionPool, TcpKeepalive};

use crate::lower::findings::Findings;

/// Istio 1.31: `validateConnectionPool`.
pub(in crate::lower) fn lower(
    pool: &api::ConnectionPoolSettings,
    path: &str,
    findings: &mut Findings,
) -> ConnectionPool {
    if pool.tcp.is_none() && pool.http.is_none() {
        findings.warning(path, "the pool says nothing; write tcp or http");
    }
    let mut out = ConnectionPool {
        has_tcp: pool.tcp.is_some(),
        has_http: pool.http.is_some(),
        ..ConnectionPool::default()
    };
    if let Some(tcp) = &pool.tcp {
        lower_tcp(tcp, &format!("{path}.tcp"), &mut out, findings);
    }
    if let Some(http) = &pool.http {
        lower_http(http, &format!("{path}.http"), &mut out, findings);
    }
    out
}

fn lower_tcp(
    tcp: &api::TcpSettings,
    path: &str,
    out: &mut ConnectionPool,
    findings: &mut Findings,
) {
    out.max_connections =
        findings.not_negative(format!("{path}.maxConnections"), tcp.max_connections);
    out.connect_timeout = findings.duration(format!("{path}.connectTimeout"), tcp.connect_timeout);
    out.max_connection_duration = findings.duration(
        format!("{path}.maxConnectionDuration"),
        tcp.max_connection_duration,
    );
    // Zero turns the timeout off.
    out.tcp_idle_timeout =
        findings.duration_or_zero(format!("{path}.idleTimeout"), tcp.idle_timeout);
    out.tcp_keepalive = tcp
        .tcp_keepalive
        .as_ref()
        .map(|keepalive| lower_keepalive(keepalive, &format!("{path}.tcpKeepalive"), findings));
}

/// `tcpKeepalive`.
pub(in crate::lower) fn lower_keepalive(
    keepalive: &api::TcpKeepalive,
    path: &str,
    findings: &mut Findings,
) -> TcpKeepalive {
    TcpKeepalive {
        probes: keepalive.probes,
        time: findings.duration(format!("{path}.time"), keepalive.time),
        interval: findings.duration(format!("{path}.interval"), keepalive.interval),
    }
}

fn lower_http(
    http: &api::HttpSettings,
    path: &str,
    out: &mut ConnectionPool,
    findings: &mut Findings,
) {
    out.http1_max_pending_requests = findings.not_negative(
        format!("{path}.http1MaxPendingRequests"),
        http.http1_max_pending_requests,
    );
    out.http2_max_requests =
        findings.not_negative(format!("{path}.http2MaxRequests"), http.http2_max_requests);
    out.max_requests_per_connection = findings.not_negative(
        format!("{path}.maxRequestsPerConnection"),
        http.max_requests_per_connection,
    );
    out.max_retries = findings.not_negative(format!("{path}.maxRetries"), http.max_retries);
    out.max_concurrent_streams = findings.not_negative(
        format!("{path}.maxConcurrentStreams"),
        http.max_concurrent_streams,
    );
    out.http_idle_timeout = findings.duration(format!("{path}.idleTimeout"), http.idle_timeout);
    out.h2_upgrade = match http.h2_upgrade_policy {
        api::H2UpgradePolicy::Default => None,
        api::H2UpgradePolicy::DoNotUpgrade => Some(false),
        api::H2UpgradePolicy::Upgrade => Some(true),
    };
    out.use_client_protocol = http.use_client_protocol;
    if http.use_client_protocol && out.h2_upgrade == Some(true) {
        let message = "useClientProtocol and h2UpgradePolicy: UPGRADE exclude each other";
        findings.warning(format!("{path}.useClientProtocol"), message);
    }
    out.http2_keepalive = http.http2_keep_alive.as_ref().map(|keepalive| {
        let path = format!("{path}.http2KeepAlive");
        for (field, value) in [
            ("interval", keepalive.interval),
            ("timeout", keepalive.timeout),
        ] {
            if value.is_none() {
                findings.error(format!("{path}.{field}"), format!("the {field} is missing"));
            }
        }
        (
            findings.duration(format!("{path}.interval"), keepalive.interval),
            findings.duration(format!("{path}.timeout"), keepalive.timeout),
        )
    });
}
