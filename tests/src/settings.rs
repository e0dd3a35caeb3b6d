//! Settings of control planes that run in the process of a test.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use meltemi::settings::{DebugAccess, Listen, Objects, Settings};

/// A port of this machine that nobody has.
pub const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A control plane over these objects, on any ports of loopback without TLS, that waits for no more changes than it must.
pub fn of(objects: Objects) -> Settings {
    Settings {
        features: Default::default(),
        jwks: Default::default(),
        objects,
        mesh_config: None,
        networks_config: None,
        listen: Listen {
            grpc: Some(ANY),
            http: Some(ANY),
            monitoring: Some(ANY),
            ..Listen::default()
        },
        domain: "cluster.local".to_owned(),
        cluster_id: "Kubernetes".to_owned(),
        quiet: Duration::from_millis(1),
        drain: Duration::from_secs(10),
        limits: Default::default(),
        check_identity: true,
        debug: DebugAccess::default(),
    }
}
