//! What the listener filters find out about a connection before a filter chain is chosen.

use meltemi_proto::any::type_name;
use meltemi_proto::envoy::config::listener::v3::listener_filter::ConfigType;
use meltemi_proto::envoy::config::listener::v3::listener_filter_chain_match_predicate::Rule;
use meltemi_proto::envoy::config::listener::v3::{
    Listener, ListenerFilter, ListenerFilterChainMatchPredicate,
};

use crate::call::{Call, Protocol, Tls};
use crate::outcome::{Miss, MissKind, Stage, Step};

const TLS_INSPECTOR: &str = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector";
const HTTP_INSPECTOR: &str = "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector";
/// Nesting of predicates that is followed; Envoy's own decoder stops at a hundred levels of messages.
const DEEPEST: usize = 100;

/// What filter chains can match on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// `tls` or `raw_buffer`.
    pub(crate) transport: &'static str,
    /// The server name in lower case; empty for none.
    pub(crate) server_name: String,
    /// In the client's order.
    pub(crate) application: Vec<String>,
}

/// Runs the listener filters.
pub(crate) fn inspect(listener: &Listener, call: &Call) -> Result<(Seen, Step), Miss> {
    let mut seen = Seen {
        transport: "raw_buffer",
        server_name: String::new(),
        application: Vec::new(),
    };
    let mut notes = Vec::new();
    let tls_inspector = filter_on(listener, TLS_INSPECTOR, call.port);
    let http_inspector = filter_on(listener, HTTP_INSPECTOR, call.port);
    if call.server_first && call.tls == Tls::Plaintext && (tls_inspector || http_inspector) {
        notes.push(wait(listener)?);
    } else {
        if tls_inspector && call.tls != Tls::Plaintext {
            seen.transport = "tls";
            // Envoy: server names are compared in lower case.
            seen.server_name = call.sni.to_ascii_lowercase();
            seen.application.clone_from(&call.alpn);
            notes.push("the TLS inspector sees TLS".to_owned());
        }
        if http_inspector && call.tls == Tls::Plaintext {
            let found = match call.protocol {
                Protocol::Http1 => Some("http/1.1"),
                Protocol::Http2 => Some("h2c"),
                Protocol::Tcp => None,
            };
            seen.application.extend(found.map(str::to_owned));
            notes.push(match found {
                Some(found) => format!("the HTTP inspector sees {found}"),
                None => "the HTTP inspector sees no HTTP".to_owned(),
            });
        }
    }
    if notes.is_empty() {
        notes.push(unseen(tls_inspector, http_inspector, call));
    }
    let step = Step {
        stage: Stage::Inspection,
        chosen: shown(&seen),
        why: notes.join("; "),
        config: None,
    };
    Ok((seen, step))
}

/// A client that says nothing is waited for until the timeout (Envoy: 15 s unless set, 0 waits for ever).
fn wait(listener: &Listener) -> Result<String, Miss> {
    let timeout = listener.listener_filters_timeout.as_ref();
    let millis = timeout.map_or(15_000, |t| {
        t.seconds.saturating_mul(1000) + i64::from(t.nanos) / 1_000_000
    });
    let why = if millis <= 0 {
        "the client waits for the server's first bytes, the listener for the client's, and listener_filters_timeout is 0"
    } else if !listener.continue_on_listener_filters_timeout {
        "the client waits for the server's first bytes; the listener closes the connection after listener_filters_timeout"
    } else {
        return Ok(format!(
            "the client says nothing, so the inspectors give up after {millis} ms"
        ));
    };
    Err(Miss {
        at: Stage::Inspection,
        kind: MissKind::Waits,
        why: why.to_owned(),
        candidates: Vec::new(),
        status: None,
    })
}

fn unseen(tls_inspector: bool, http_inspector: bool, call: &Call) -> String {
    match (tls_inspector, http_inspector) {
        (false, false) => "no inspector runs on this port, so nothing is known of the bytes".into(),
        (true, _) if call.tls == Tls::Plaintext => "the TLS inspector sees no TLS".into(),
        _ => "the HTTP inspector does not look into TLS".into(),
    }
}

fn shown(seen: &Seen) -> String {
    let mut text = seen.transport.to_owned();
    if !seen.server_name.is_empty() {
        text += &format!(", server name {}", seen.server_name);
    }
    if !seen.application.is_empty() {
        text += &format!(", application protocols {}", seen.application.join(" "));
    }
    text
}

/// Whether a listener filter of this type runs for connections to the port.
fn filter_on(listener: &Listener, type_of_filter: &str, port: u16) -> bool {
    let of_type = |filter: &&ListenerFilter| match &filter.config_type {
        Some(ConfigType::TypedConfig(any)) => type_name(&any.type_url) == type_of_filter,
        _ => false,
    };
    let mut filters = listener.listener_filters.iter().filter(of_type);
    filters.any(|filter| {
        let disabled = filter.filter_disabled.as_ref();
        !disabled.is_some_and(|predicate| holds(predicate, port, 0))
    })
}

/// Whether a predicate holds for the destination port.
fn holds(predicate: &ListenerFilterChainMatchPredicate, port: u16, depth: usize) -> bool {
    if depth > DEEPEST {
        return false;
    }
    match &predicate.rule {
        Some(Rule::OrMatch(set)) => set.rules.iter().any(|p| holds(p, port, depth + 1)),
        Some(Rule::AndMatch(set)) => set.rules.iter().all(|p| holds(p, port, depth + 1)),
        Some(Rule::NotMatch(inner)) => !holds(inner, port, depth + 1),
        Some(Rule::AnyMatch(any)) => *any,
        Some(Rule::DestinationPortRange(range)) => {
            (range.start..range.end).contains(&i32::from(port))
        }
        None => false,
    }
}
