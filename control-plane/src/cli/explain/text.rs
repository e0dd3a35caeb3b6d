//! An explanation for readers, and the same for programs.

use meltemi_model::ProxySnapshot;
use meltemi_proto::any::pack;
use meltemi_proto::pool;
use meltemi_simulator::{
    Call, End, Endpoint, Mode, Outcome, Protocol, Resources, Stage, Tls, UpstreamTls,
};
use meltemi_world::World;
use serde_json::{Value, json};

use super::origin;
use super::question::Question;

/// Endpoints and candidates that are shown.
const SHOWN: usize = 8;
/// Where what is said begins.
const COLUMN: usize = 15;

/// All that an explanation is made of.
pub(super) struct Explained<'a> {
    pub(super) proxy: String,
    pub(super) question: &'a Question,
    pub(super) outcome: &'a Outcome,
    pub(super) resources: &'a Resources,
    pub(super) snapshot: &'a ProxySnapshot,
    pub(super) world: &'a World,
}

impl Explained<'_> {
    /// For readers.
    pub(super) fn text(&self) -> String {
        let mut out = format!("{}\n", asked(&self.question.call, &self.proxy));
        for assumed in &self.question.assumed {
            out += &format!("assuming: {assumed}\n");
        }
        out.push('\n');
        for (step, objects) in self.steps() {
            let chosen = if step.chosen.is_empty() {
                "(unnamed)"
            } else {
                &step.chosen
            };
            line(&mut out, step.stage.title(), chosen);
            line(&mut out, "", &step.why);
            if !objects.is_empty() {
                line(&mut out, "", &format!("from {}", objects.join(", ")));
            }
        }
        for (title, said) in self.details() {
            line(&mut out, title, &said);
        }
        out.push('\n');
        self.end(&mut out);
        out
    }

    fn steps(&self) -> impl Iterator<Item = (&meltemi_simulator::Step, Vec<String>)> {
        self.outcome.steps.iter().map(|step| {
            let objects = origin::of_step(
                step,
                self.outcome,
                self.resources,
                self.snapshot,
                self.world,
            );
            (step, objects)
        })
    }

    /// What the route adds: weights, rewrites, timeouts, retries, faults, copies.
    fn details(&self) -> Vec<(&'static str, String)> {
        let mut out = Vec::new();
        let outcome = self.outcome;
        let call = &self.question.call;
        if outcome.weights.len() > 1 {
            let total: u32 = outcome.weights.iter().map(|w| w.weight).sum();
            let weights: Vec<String> = outcome
                .weights
                .iter()
                .map(|w| format!("{} of {total}: {}", w.weight, w.cluster))
                .collect();
            out.push(("weights", weights.join(", ")));
        }
        if let Some(host) = outcome.upstream_host.as_ref().filter(|h| **h != call.host) {
            out.push(("host sent", host.clone()));
        }
        if let Some(path) = outcome.upstream_path.as_ref().filter(|p| **p != call.path) {
            out.push(("path sent", path.clone()));
        }
        let route = self.route_json();
        let action = &route["route"];
        if let Some(timeout) = action["timeout"].as_str() {
            let said = match timeout {
                "0s" => "none".to_owned(),
                timeout => timeout.to_owned(),
            };
            out.push(("timeout", said));
        }
        if action["retry_policy"].is_object() {
            out.push(("retries", retries(&action["retry_policy"])));
        }
        let fault = &route["typed_per_filter_config"]["envoy.filters.http.fault"];
        if fault.is_object() {
            out.push(("fault", faults(fault)));
        }
        for mirror in &outcome.mirrors {
            let percent = f64::from(mirror.millionths) / 10_000.0;
            out.push(("copy", format!("{percent} % to {}", mirror.cluster)));
        }
        out
    }

    /// The route as proto JSON; null without one.
    fn route_json(&self) -> Value {
        let Some(route) = &self.outcome.route_message else {
            return Value::Null;
        };
        let any = pack(&**route);
        let name = meltemi_proto::any::type_name(&any.type_url);
        pool::message_to_json(name, &any.value).unwrap_or(Value::Null)
    }

    fn end(&self, out: &mut String) {
        match &self.outcome.end {
            End::Forwarded => {
                let what = match self.question.call.protocol {
                    Protocol::Tcp => "connection",
                    _ => "request",
                };
                *out += &format!("The {what} is sent to ");
                let destination = self.outcome.destination.as_ref();
                let through = self.passes_through();
                let endpoints = destination
                    .map(|d| d.endpoints.as_slice())
                    .unwrap_or_default();
                match endpoints {
                    [one] => *out += &format!("{}\n", endpoint(one, through)),
                    several => {
                        *out += &format!("one of {} endpoints:\n", several.len());
                        for one in several.iter().take(SHOWN) {
                            *out += &format!("  {}\n", endpoint(one, through));
                        }
                        more(out, several.len());
                    }
                }
            }
            End::Redirected {
                status,
                location,
                tls_required,
            } => {
                let why = if *tls_required {
                    ", since the virtual host demands TLS"
                } else {
                    ""
                };
                *out += &format!(
                    "The proxy answers {status} and sends the client to {location}{why}.\n"
                );
            }
            End::Answered { status, body } => {
                *out += &format!("The proxy itself answers {status}");
                *out += &match body.as_str() {
                    "" => ".\n".to_owned(),
                    body => format!(": {body}\n"),
                };
            }
            End::Missed(miss) => {
                *out += &format!(
                    "The request ends at the {}: {}.\n",
                    miss.at.title(),
                    miss.why
                );
                *out += &match miss.status {
                    Some(status) => format!("The client sees {status}.\n"),
                    None => "The connection is closed.\n".to_owned(),
                };
                if !miss.candidates.is_empty() {
                    *out += &format!("{}:\n", there_is(miss.at));
                    for candidate in miss.candidates.iter().take(SHOWN) {
                        *out += &format!("  {candidate}\n");
                    }
                    more(out, miss.candidates.len());
                }
            }
        }
    }

    /// Whether the client's own TLS reaches the endpoint.
    fn passes_through(&self) -> bool {
        let ended = self.outcome.steps.iter().any(|s| s.stage == Stage::Tls);
        self.question.call.tls != Tls::Plaintext && !ended
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let outcome = self.outcome;
        let steps: Vec<Value> = self
            .steps()
            .map(|(step, objects)| {
                json!({
                    "stage": step.stage.title(),
                    "chosen": step.chosen,
                    "why": step.why,
                    "objects": objects,
                })
            })
            .collect();
        let weights: Vec<Value> = outcome
            .weights
            .iter()
            .map(|w| json!({"cluster": w.cluster, "weight": w.weight}))
            .collect();
        let mirrors: Vec<Value> = outcome
            .mirrors
            .iter()
            .map(|m| json!({"cluster": m.cluster, "millionths": m.millionths, "taken": m.taken}))
            .collect();
        json!({
            "proxy": self.proxy,
            "assumed": self.question.assumed,
            "listener": outcome.listener,
            "filterChain": outcome.filter_chain,
            "routeConfig": outcome.route_config,
            "virtualHost": outcome.virtual_host,
            "route": outcome.route,
            "cluster": outcome.cluster,
            "weights": weights,
            "mirrors": mirrors,
            "upstreamHost": outcome.upstream_host,
            "upstreamPath": outcome.upstream_path,
            "destination": self.destination_json(),
            "routeConfiguration": self.route_json(),
            "end": end_json(&outcome.end),
            "steps": steps,
        })
    }

    fn destination_json(&self) -> Value {
        let Some(destination) = &self.outcome.destination else {
            return Value::Null;
        };
        let endpoints: Vec<Value> = destination.endpoints.iter().map(endpoint_json).collect();
        json!({
            "cluster": destination.cluster,
            "discovery": destination.discovery,
            "http": destination.http,
            "endpoints": endpoints,
        })
    }
}

fn asked(call: &Call, proxy: &str) -> String {
    let address = match call.address {
        std::net::IpAddr::V6(ip) => format!("[{ip}]:{}", call.port),
        std::net::IpAddr::V4(ip) => format!("{ip}:{}", call.port),
    };
    let what = match call.protocol {
        Protocol::Tcp => "a connection".to_owned(),
        Protocol::Http1 => format!("{} {} of host {}", call.method, call.path, call.host),
        Protocol::Http2 => {
            format!(
                "{} {} of host {} (HTTP/2)",
                call.method, call.path, call.host
            )
        }
    };
    let secured = match call.tls {
        Tls::Plaintext => "",
        Tls::Tls => " over TLS",
        Tls::Mtls => " over mutual TLS",
    };
    let way = match call.mode {
        Mode::Outbound => "leaving through",
        Mode::Inbound => "arriving at",
        Mode::Direct => "at",
    };
    format!("{what} to {address}{secured}, {way} {proxy}")
}

fn line(out: &mut String, title: &str, said: &str) {
    let text = format!("{title:<COLUMN$} {said}");
    out.push_str(text.trim_end());
    out.push('\n');
}

fn more(out: &mut String, all: usize) {
    if all > SHOWN {
        *out += &format!("  and {} more\n", all - SHOWN);
    }
}

fn there_is(stage: Stage) -> &'static str {
    match stage {
        Stage::Listener => "There are these listeners",
        Stage::FilterChain => "There are these filter chains",
        Stage::VirtualHost => "There are these hosts, the most similar first",
        Stage::Route => "These routes did not match",
        Stage::Cluster => "There are these clusters of the host",
        Stage::Authorization => "These rules allow something else",
        _ => "There are",
    }
}

fn retries(policy: &Value) -> String {
    let mut said = match &policy["num_retries"] {
        Value::Number(count) => format!("{count}"),
        _ => "1".to_owned(),
    };
    if let Some(on) = policy["retry_on"].as_str() {
        said += &format!(" on {on}");
    }
    if let Some(timeout) = policy["per_try_timeout"].as_str() {
        said += &format!(", {timeout} each");
    }
    said
}

fn faults(fault: &Value) -> String {
    let mut parts = Vec::new();
    if let Some(delay) = fault["delay"]["fixed_delay"].as_str() {
        let percent = percentage(&fault["delay"]["percentage"]);
        parts.push(format!("{delay} of delay for {percent} %"));
    }
    let abort = &fault["abort"];
    if abort.is_object() {
        let status = match (&abort["http_status"], &abort["grpc_status"]) {
            (Value::Number(status), _) => format!("status {status}"),
            (_, grpc) => format!("gRPC status {grpc}"),
        };
        parts.push(format!(
            "{status} for {} %",
            percentage(&abort["percentage"])
        ));
    }
    parts.join(", ")
}

fn percentage(fraction: &Value) -> f64 {
    let numerator = fraction["numerator"].as_f64().unwrap_or(0.0);
    match fraction["denominator"].as_str() {
        Some("TEN_THOUSAND") => numerator / 100.0,
        Some("MILLION") => numerator / 10_000.0,
        _ => numerator,
    }
}

fn endpoint(endpoint: &Endpoint, through: bool) -> String {
    let address = match endpoint.port {
        0 => endpoint.address.clone(),
        port if endpoint.address.contains(':') => format!("[{}]:{port}", endpoint.address),
        port => format!("{}:{port}", endpoint.address),
    };
    let mut said = address;
    if endpoint.priority > 0 {
        said += &format!(" (priority {})", endpoint.priority);
    }
    if !endpoint.locality.is_empty() {
        said += &format!(" in {}", endpoint.locality);
    }
    if !endpoint.healthy {
        said += ", unhealthy";
    }
    said + &secured(endpoint.tls.as_ref(), through)
}

fn secured(tls: Option<&UpstreamTls>, through: bool) -> String {
    let Some(tls) = tls else {
        let said = if through {
            ", with the client's own TLS"
        } else {
            ", plaintext"
        };
        return said.to_owned();
    };
    let kind = match &tls.certificate {
        Some(_) => "mutual TLS",
        None => "TLS",
    };
    let mut said = format!(", {kind}");
    if !tls.sni.is_empty() {
        said += &format!(" for {}", tls.sni);
    }
    if !tls.names.is_empty() {
        said += &format!(", the server {}", tls.names.join(" or "));
    }
    said
}

fn endpoint_json(endpoint: &Endpoint) -> Value {
    let tls = endpoint.tls.as_ref().map(|tls| {
        json!({
            "matched": tls.matched,
            "sni": tls.sni,
            "alpn": tls.alpn,
            "certificate": tls.certificate,
            "names": tls.names,
        })
    });
    json!({
        "address": endpoint.address,
        "port": endpoint.port,
        "locality": endpoint.locality,
        "priority": endpoint.priority,
        "weight": endpoint.weight,
        "healthy": endpoint.healthy,
        "tls": tls,
    })
}

fn end_json(end: &End) -> Value {
    match end {
        End::Forwarded => json!({"kind": "forwarded"}),
        End::Redirected {
            status,
            location,
            tls_required,
        } => json!({
            "kind": "redirected",
            "status": status,
            "location": location,
            "tlsRequired": tls_required,
        }),
        End::Answered { status, body } => {
            json!({"kind": "answered", "status": status, "body": body})
        }
        End::Missed(miss) => json!({
            "kind": "missed",
            "at": miss.at.title(),
            "reason": miss.kind.to_string(),
            "why": miss.why,
            "candidates": miss.candidates,
            "status": miss.status,
        }),
    }
}
