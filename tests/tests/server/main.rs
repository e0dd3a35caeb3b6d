//! The server as proxies and operators meet it: `meltemi::app` in this process, on ports of the kernel's choice, a
//! directory of YAML, clients over loopback.
//!
//! Nothing here waits for time to pass: tests poll what can be seen (pages, responses) up to a deadline.

// A helper of a test may panic as the test may; clippy knows only the tests themselves.
#![allow(clippy::unwrap_used)]

mod ads_client;
mod changes;
mod explained;
mod lifecycle;
mod pages;
mod plane;
mod rejections;
mod secrets;
mod variants;
