//! httpbin: answers that show the request, as the Python httpbin of the labs gives them.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{AppKind, Reply, Request};

const TEAPOT: &str = r#"
    -=[ teapot ]=-

       _...._
     .'  _ _ `.
    | ."` ^ `". _,
    \_;`"---"`|//
      |       ;/
      \_     _/
        `"""`
"#;
const LONGEST_DELAY_S: u64 = 10;

pub(super) async fn answer(kind: AppKind, request: &Request) -> Reply {
    let origin = origin(kind, request);
    let reply = match request.path.trim_start_matches('/').split_once('/') {
        Some(("status", code)) => status(code),
        Some(("delay", seconds)) => match seconds.parse::<u64>() {
            Ok(seconds) => {
                tokio::time::sleep(Duration::from_secs(seconds.min(LONGEST_DELAY_S))).await;
                get(request, &origin)
            }
            Err(_) => Reply::not_found(),
        },
        Some(_) => Reply::not_found(),
        None => match request.path.as_str() {
            "/headers" => pretty(&json!({"headers": headers(request)})),
            "/get" => get(request, &origin),
            "/ip" => pretty(&json!({"origin": origin})),
            _ => Reply::not_found(),
        },
    };
    reply
        .header("access-control-allow-origin", "*")
        .header("access-control-allow-credentials", "true")
}

fn status(code: &str) -> Reply {
    match code.parse::<u16>() {
        Ok(418) => {
            Reply::text(418, TEAPOT).header("x-more-info", "http://tools.ietf.org/html/rfc2324")
        }
        Ok(code @ 200..=599) => Reply::new(code, "text/html; charset=utf-8", ""),
        _ => Reply::text(400, "Invalid status code"),
    }
}

fn get(request: &Request, origin: &str) -> Reply {
    let args: Map<String, Value> = form_urlencoded::parse(request.query.as_bytes())
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    let host = request.header("host").unwrap_or_default();
    let url = format!("http://{host}{}", request.path);
    pretty(&json!({"args": args, "headers": headers(request), "origin": origin, "url": url}))
}

fn pretty(value: &Value) -> Reply {
    Reply::json(200, format!("{value:#}\n"))
}

/// The client's address as far as httpbin can know it; outside the mesh a load balancer stands in front and adds its peer.
fn origin(kind: AppKind, request: &Request) -> String {
    match (request.header("x-forwarded-for"), kind) {
        (Some(chain), AppKind::OutsideHttpbin) => format!("{chain}, {}", request.peer),
        (Some(chain), _) => chain.to_owned(),
        (None, _) => request.peer.to_string(),
    }
}

/// Names in Title-Case, values as strings; a repeated header is joined by commas.
fn headers(request: &Request) -> Map<String, Value> {
    let mut shown = Map::new();
    for name in request.headers.keys() {
        let values: Vec<_> = request
            .headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        shown.insert(title_case(name.as_str()), Value::String(values.join(",")));
    }
    shown
}

fn title_case(name: &str) -> String {
    let word = |part: &str| {
        let mut letters = part.chars();
        letters.next().map_or_else(String::new, |first| {
            first.to_ascii_uppercase().to_string() + letters.as_str()
        })
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}
