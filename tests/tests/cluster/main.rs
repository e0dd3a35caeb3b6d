//! The control plane in a cluster, as agents, the API server and operators meet it: `meltemi::app` in this process over a
//! fake API server, clients with real TLS over loopback.
//!
//! Nothing here waits for time to pass: tests poll what can be seen (pages, objects, answers) up to a deadline.

// A helper of a test may panic as the test may; clippy knows only the tests themselves.
#![allow(clippy::unwrap_used)]

mod agent;
mod joining;
mod outages;
mod refusals;
mod registration;
mod secrets;
mod site;
mod statuses;
mod webhooks;
