//! `trafficPolicy.connectionPool`.

use crate::duration::Duration;
use crate::proto_json::{enums, messages};

messages! {
    /// The value of `TrafficPolicy.connectionPool`, `PortTrafficPolicy.connectionPool`,
    /// `Sidecar.inboundConnectionPool`, `IstioIngressListener.connectionPool`.
    struct ConnectionPoolSettings {
        tcp: Option<TcpSettings>,
        http: Option<HttpSettings>,
    }

    /// The value of `ConnectionPoolSettings.tcp`.
    struct TcpSettings {
        max_connections: i32,
        connect_timeout: Option<Duration>,
        tcp_keepalive: Option<TcpKeepalive>,
        max_connection_duration: Option<Duration>,
        idle_timeout: Option<Duration>,
    }

    /// The value of `TcpSettings.tcpKeepalive`, `MeshConfig.tcpKeepalive`, `RemoteService.tcpKeepalive`.
    struct TcpKeepalive {
        probes: u32,
        time: Option<Duration>,
        interval: Option<Duration>,
    }

    /// The value of `ConnectionPoolSettings.http`.
    struct HttpSettings {
        http1_max_pending_requests: i32,
        http2_max_requests: i32,
        max_requests_per_connection: i32,
        max_retries: i32,
        idle_timeout: Option<Duration>,
        h2_upgrade_policy: H2UpgradePolicy,
        use_client_protocol: bool,
        max_concurrent_streams: i32,
        http2_keep_alive: Option<ConnectionKeepalive>,
    }

    /// The value of `HttpSettings.http2KeepAlive`.
    struct ConnectionKeepalive {
        interval: Option<Duration>,
        timeout: Option<Duration>,
    }
}

enums! {
    /// The values of `HttpSettings.h2UpgradePolicy`.
    enum H2UpgradePolicy {
        Default = 0 "DEFAULT",
        DoNotUpgrade = 1 "DO_NOT_UPGRADE",
        Upgrade = 2 "UPGRADE",
    }
}
