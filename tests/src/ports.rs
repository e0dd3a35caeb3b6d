//! Ports for programs that bind them later, such as a proxy that is told to by its configuration.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Above what Istio and Kubernetes use, and below the ports that the kernel gives to those who ask for any (from 32768
/// on, and from 30000 on a cluster's node ports). A port that the kernel chose is free only while it is held: released,
/// it may become the near end of any connection before the program binds it.
const FIRST: u16 = 16_000;
const MANY: u16 = 14_000;

/// How many this process has given away.
static GIVEN: AtomicU16 = AtomicU16::new(0);

/// A port that nobody listens on, never the same twice in a process. Processes begin at different places.
pub fn unused() -> u16 {
    let start = u16::try_from(std::process::id().wrapping_mul(61) % u32::from(MANY)).unwrap_or(0);
    loop {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        assert!(given < MANY, "every port is taken");
        let port = FIRST + (start + given) % MANY;
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
}
