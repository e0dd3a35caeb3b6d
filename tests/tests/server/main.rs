//! The server as proxies and operators meet it: `meltemi::app` in this process, on ports of the kernel's choice, a
//! directory of YAML, clients over loopback.
//!
//! Nothing here waits for time to pass: tests poll what can be seen (pages, responses) up to a deadline.

mod changes;
mod lifecycle;
mod pages;
mod plane;
mod rejections;
mod variants;
