//! Connection pools: circuit breakers, timeouts, keepalive. Istio 1.31: `applyConnectionPool`.

use meltemi_model::mesh::Mesh;
use meltemi_model::traffic::{ConnectionPool, RetryBudget, TcpKeepalive};
use meltemi_proto::envoy::config::cluster::v3 as pb;
use meltemi_proto::envoy::config::cluster::v3::circuit_breakers::{Thresholds, thresholds};
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use meltemi_proto::envoy::r#type::v3::Percent;

use super::protocol;
use crate::{duration, uint32};

/// Applies the settings to the cluster and to its protocol options, which are made when a setting needs them.
pub(super) fn apply(
    cluster: &mut pb::Cluster,
    options: &mut Option<&mut HttpProtocolOptions>,
    pool: &ConnectionPool,
    budget: Option<&RetryBudget>,
    mesh: &Mesh,
) {
    let positive = |value: i32| {
        uint32(
            u32::try_from(value)
                .ok()
                .filter(|v| *v > 0)
                .unwrap_or(u32::MAX),
        )
    };
    let limits = Thresholds {
        max_connections: Some(positive(pool.max_connections)),
        max_pending_requests: Some(positive(pool.http1_max_pending_requests)),
        max_requests: Some(positive(pool.http2_max_requests)),
        max_retries: Some(positive(pool.max_retries)),
        retry_budget: budget.map(retry_budget),
        ..Default::default()
    };
    cluster.circuit_breakers = Some(pb::CircuitBreakers {
        thresholds: vec![limits],
        ..Default::default()
    });
    cluster.connect_timeout = Some(duration(
        pool.connect_timeout.unwrap_or(mesh.connect_timeout),
    ));
    keepalive(cluster, mesh.tcp_keepalive.as_ref());
    keepalive(cluster, pool.tcp_keepalive.as_ref());
    if let Some(options) = options.as_deref_mut() {
        http(options, pool);
    }
}

/// Whether the settings need HTTP protocol options.
pub(super) fn needs_options(pool: &ConnectionPool) -> bool {
    pool.max_connection_duration.is_some()
        || pool.http_idle_timeout.is_some()
        || pool.tcp_idle_timeout.is_some()
        || pool.max_requests_per_connection > 0
        || pool.max_concurrent_streams > 0
        || pool.http2_keepalive.is_some()
        || pool.use_client_protocol
}

fn http(options: &mut HttpProtocolOptions, pool: &ConnectionPool) {
    let idle = pool.http_idle_timeout.or(pool.tcp_idle_timeout);
    let requests = u32::try_from(pool.max_requests_per_connection)
        .ok()
        .filter(|n| *n > 0);
    let streams = u32::try_from(pool.max_concurrent_streams)
        .ok()
        .filter(|n| *n > 0);
    let keepalive = pool.http2_keepalive.as_ref();
    let any = idle.is_some()
        || requests.is_some()
        || streams.is_some()
        || keepalive.is_some()
        || pool.max_connection_duration.is_some();
    if any {
        let common = options.common_http_protocol_options.get_or_insert_default();
        if let Some(idle) = idle {
            common.idle_timeout = Some(duration(idle));
        }
        common.max_requests_per_connection = requests
            .map(uint32)
            .or(common.max_requests_per_connection.take());
        common.max_connection_duration = pool.max_connection_duration.map(duration);
    }
    if let Some(h2) = protocol::explicit_http2(options) {
        h2.max_concurrent_streams = streams.map(uint32);
        h2.connection_keepalive = keepalive.map(|(interval, timeout)| core::KeepaliveSettings {
            interval: interval.map(duration),
            timeout: timeout.map(duration),
            ..Default::default()
        });
    }
    if pool.use_client_protocol {
        protocol::use_downstream(options);
    }
}

/// Envoy: the share of active requests that may be retries; Istio's defaults are 20 % and 3.
fn retry_budget(budget: &RetryBudget) -> thresholds::RetryBudget {
    let percent = budget
        .percent
        .map_or(20.0, |share| f64::from(share.0) / 10_000.0);
    thresholds::RetryBudget {
        budget_percent: Some(Percent { value: percent }),
        min_retry_concurrency: Some(uint32(if budget.min_concurrency > 0 {
            budget.min_concurrency
        } else {
            3
        })),
        budget_interval: budget.interval.map(duration),
    }
}

fn keepalive(cluster: &mut pb::Cluster, settings: Option<&TcpKeepalive>) {
    let Some(settings) = settings else { return };
    let options = cluster.upstream_connection_options.get_or_insert_default();
    let keepalive = options.tcp_keepalive.get_or_insert_default();
    let seconds = |d: std::time::Duration| uint32(u32::try_from(d.as_secs()).unwrap_or(u32::MAX));
    if settings.probes > 0 {
        keepalive.keepalive_probes = Some(uint32(settings.probes));
    }
    keepalive.keepalive_time = settings
        .time
        .map(seconds)
        .or(keepalive.keepalive_time.take());
    keepalive.keepalive_interval = settings
        .interval
        .map(seconds)
        .or(keepalive.keepalive_interval.take());
}
