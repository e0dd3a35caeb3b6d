//! The checks of the corpus.

use std::collections::BTreeSet;

use meltemi_simulator::Call;
use serde_json::Value;

use super::Seen;

/// Whether an expectation holds; none when it is about what is not followed.
pub(super) fn holds(expect: &Value, seen: &Seen, call: &Call) -> Option<bool> {
    if let Some(all) = expect["allOf"].as_array() {
        return every(all.iter().map(|expect| holds(expect, seen, call)));
    }
    let text = expect["args"][0].as_str().unwrap_or_default();
    let ok = seen.status == Some(200);
    match expect["check"].as_str()? {
        "OK" => Some(ok),
        "NotOK" => Some(!ok),
        "Error" => Some(seen.status.is_none()),
        "Status" => Some(seen.status.map(u64::from) == expect["args"][0].as_u64()),
        "Host" => Some(seen.host == text),
        "URL" => Some(seen.path == text),
        "LocationHeader" => {
            let wanted = text.replace("{{.Hostname}}", &call.host);
            Some(seen.location == wanted)
        }
        "Protocol" => Some(seen.protocol == text),
        // A TCP server sees no header, and the check looks at HTTP only.
        "MTLSForHTTP" => Some(seen.mutual || seen.protocol.is_empty()),
        "PlaintextForHTTP" => Some(!seen.mutual),
        "RequestHeader" => Some(header(&seen.headers, text) == expect["args"][1].as_str()?),
        "RequestHeaders" => Some(ok && all_headers(&seen.headers, &expect["args"][0])),
        "ResponseHeader" => Some(header(&seen.answered, text) == expect["args"][1].as_str()?),
        "ResponseHeaders" => Some(all_headers(&seen.answered, &expect["args"][0])),
        "GRPCStatus" => Some(grpc_status(seen) == text),
        "Alpn" => Some(seen.alpn == text),
        "AllFromOneHost" => Some(seen.one_host),
        "ProxyProtocolVersion" => {
            let version = seen.proxy_protocol.map(|version| version.to_string());
            Some(ok && version.as_deref() == Some(text))
        }
        "DNSAnswerSet" => {
            let wanted = expect["addresses"].as_array()?.iter();
            let wanted: Option<BTreeSet<String>> =
                wanted.map(|one| one.as_str().map(str::to_owned)).collect();
            Some(ok && seen.resolved == wanted?)
        }
        "ReachedTargetClusters" => Some(true),
        "TrafficSplit" => Some(splits(&expect["weights"], seen)),
        _ => None,
    }
}

/// The name that Go gives the status of an answer.
fn grpc_status(seen: &Seen) -> &'static str {
    match (header(&seen.answered, "grpc-status").as_str(), seen.status) {
        ("", Some(200)) | ("0", _) => "OK",
        ("12", _) => "Unimplemented",
        ("", Some(503)) | ("14", _) => "Unavailable",
        _ => "Unknown",
    }
}

/// The values of a header joined by commas; empty where it is absent.
fn header(headers: &[(String, String)], name: &str) -> String {
    let of_name = headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
    let values: Vec<&str> = of_name.map(|(_, value)| value.as_str()).collect();
    values.join(",")
}

fn all_headers(headers: &[(String, String)], wanted: &Value) -> bool {
    wanted.as_object().is_some_and(|wanted| {
        let mut wanted = wanted.iter();
        wanted.all(|(name, value)| value.as_str() == Some(&header(headers, name)))
    })
}

fn every(all: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut result = true;
    for one in all {
        result &= one?;
    }
    Some(result)
}

/// The weights of the route are those of the applications.
fn splits(wanted: &Value, seen: &Seen) -> bool {
    let Some(wanted) = wanted.as_object() else {
        return false;
    };
    let total: u32 = seen.weights.iter().map(|(_, weight)| weight).sum();
    wanted.iter().all(|(app, share)| {
        let of_app = seen.weights.iter().filter(|(cluster, _)| {
            let host = cluster.rsplit('|').next().unwrap_or_default();
            host.split('.').next() == Some(app)
        });
        let weight: u32 = of_app.map(|(_, weight)| weight).sum();
        total > 0 && share.as_u64() == Some(u64::from(weight * 100 / total))
    })
}
