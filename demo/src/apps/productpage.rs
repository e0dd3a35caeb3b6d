//! Bookinfo's productpage: the front end, with the session cookie and the deliberate second try of reviews.

use std::fmt::Write as _;

use serde_json::Value;

use super::{App, Reply, Request};
use crate::http::{Answer, Call, call};

const TITLE: &str = "<title>Simple Bookstore App</title>";
const PRODUCTS: &str = "[{\"id\": 0, \"title\": \"The Comedy of Errors\", \"descriptionHtml\": \
    \"<a href='https://en.wikipedia.org/wiki/The_Comedy_of_Errors'>The Comedy of Errors</a> is one of Shakespeare's early plays.\"}]";
const BACKEND_LIMIT_MS: u64 = 3_000;

pub(super) async fn answer(app: &App, request: &Request) -> Reply {
    match request.path.as_str() {
        "/" | "/index.html" => Reply::html(index()),
        "/health" => Reply::text(200, "Product page is healthy"),
        "/login" if request.method == "POST" => {
            let user = form_urlencoded::parse(&request.body).find(|(name, _)| name == "username");
            let user = user
                .map(|(_, value)| value.into_owned())
                .unwrap_or_default();
            let value: String = form_urlencoded::byte_serialize(user.as_bytes()).collect();
            back(request).header("set-cookie", format!("session={value}; HttpOnly; Path=/"))
        }
        "/logout" => {
            let gone =
                "session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; HttpOnly; Path=/";
            back(request).header("set-cookie", gone)
        }
        "/productpage" => Reply::html(page(app, request).await),
        "/api/v1/products" => Reply::json(200, PRODUCTS),
        path if path.starts_with("/static/") => Reply::text(200, "/* static */\n"),
        path => match path.strip_prefix("/api/v1/products/") {
            Some(rest) => product(app, request, rest).await,
            None => Reply::not_found(),
        },
    }
}

fn back(request: &Request) -> Reply {
    let target = request.header("referer").unwrap_or("/productpage");
    Reply::text(302, "").header("location", target)
}

/// The user of the session; an `end-user` header of the client counts for nothing.
fn user(request: &Request) -> Option<String> {
    let cookies = request
        .headers
        .get_all("cookie")
        .iter()
        .filter_map(|value| value.to_str().ok());
    let session = cookies
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix("session="))?;
    let (user, _) = form_urlencoded::parse(session.as_bytes()).next()?;
    if user.is_empty() {
        None
    } else {
        Some(user.into_owned())
    }
}

/// One backend call, on a connection of its own. `None`: it ended without a status.
async fn backend(app: &App, request: &Request, service: &str, path: &str) -> Option<Answer> {
    let mut ask = Call::get(&app.config.backend(service), path);
    ask.timeout_ms = BACKEND_LIMIT_MS;
    ask.headers = request.forwarded();
    if let Some(user) = user(request) {
        ask = ask.header("end-user", &user);
    }
    call(&app.config.resolver, &ask).await.ok()
}

/// Bookinfo's deliberate bug: whatever goes wrong leads to one second call at once.
async fn reviews(app: &App, request: &Request, id: &str) -> Option<Answer> {
    let path = format!("/reviews/{id}");
    let first = backend(app, request, "reviews", &path).await;
    if first.as_ref().is_some_and(|answer| answer.status == 200) {
        return first;
    }
    backend(app, request, "reviews", &path).await
}

async fn product(app: &App, request: &Request, rest: &str) -> Reply {
    let (id, part) = rest.split_once('/').unwrap_or((rest, ""));
    if id.parse::<u64>().is_err() {
        return Reply::not_found();
    }
    let (answer, what) = match part {
        "" => (
            backend(app, request, "details", &format!("/details/{id}")).await,
            "product details",
        ),
        "reviews" => (reviews(app, request, id).await, "product reviews"),
        "ratings" => (
            backend(app, request, "ratings", &format!("/ratings/{id}")).await,
            "product ratings",
        ),
        _ => return Reply::not_found(),
    };
    match answer {
        Some(answer) if answer.status == 200 => Reply::json(200, answer.body),
        failed => {
            let status = failed.map_or(500, |answer| answer.status);
            Reply::json(status, format!("{{\"error\": \"{}\"}}", sorry(what)))
        }
    }
}

fn sorry(what: &str) -> String {
    format!("Sorry, {what} are currently unavailable for this book.")
}

fn index() -> String {
    let services: String = ["details", "reviews", "ratings"]
        .map(|service| format!("<li>http://{service}:9080</li>\n"))
        .concat();
    format!(
        "<!DOCTYPE html>\n<html><head>{TITLE}</head><body>\n<h3>Hello! This is a simple bookstore application \
         consisting of three services as shown below</h3>\n<ul>\n{services}</ul>\n\
         <a href=\"/productpage?u=normal\">Normal user</a>\n<a href=\"/productpage?u=test\">Test user</a>\n</body></html>\n"
    )
}

async fn page(app: &App, request: &Request) -> String {
    let details = backend(app, request, "details", "/details/0").await;
    let reviews = reviews(app, request, "0").await;
    let mut html = format!(
        "<!DOCTYPE html>\n<html><head>{TITLE}</head><body>\n<h3>The Comedy of Errors</h3>\n"
    );
    if let Some(user) = user(request) {
        let _infallible = writeln!(html, "<p>Signed in as {}</p>", escaped(&user));
    }
    match json_of(details) {
        Some(details) => details_html(&mut html, &details),
        None => failure_html(&mut html, "product details"),
    }
    match json_of(reviews) {
        Some(reviews) => reviews_html(&mut html, &reviews),
        None => failure_html(&mut html, "product reviews"),
    }
    html.push_str("</body></html>\n");
    html
}

fn json_of(answer: Option<Answer>) -> Option<Value> {
    let answer = answer.filter(|answer| answer.status == 200)?;
    serde_json::from_str(&answer.body).ok()
}

fn failure_html(html: &mut String, what: &str) {
    let _infallible = writeln!(
        html,
        "<h4>Error fetching {what}</h4>\n<p>{}</p>",
        sorry(what)
    );
}

fn details_html(html: &mut String, details: &Value) {
    html.push_str("<h4>Book Details</h4>\n<dl>\n");
    for (label, key) in [
        ("ISBN-10", "ISBN-10"),
        ("Publisher", "publisher"),
        ("Pages", "pages"),
        ("Type", "type"),
    ] {
        let value = match &details[key] {
            Value::String(text) => escaped(text),
            other => other.to_string(),
        };
        let _infallible = writeln!(html, "<dt>{label}:</dt><dd>{value}</dd>");
    }
    html.push_str("</dl>\n");
}

fn reviews_html(html: &mut String, reviews: &Value) {
    html.push_str("<h4>Book Reviews</h4>\n");
    let pod = escaped(reviews["podname"].as_str().unwrap_or_default());
    for review in reviews["reviews"].as_array().into_iter().flatten() {
        let text = |key: &str| escaped(review[key].as_str().unwrap_or_default());
        let _infallible = writeln!(
            html,
            "<blockquote><p>{}</p><small>{}</small></blockquote>\n<p>Reviews served by: {pod}</p>",
            text("text"),
            text("reviewer")
        );
        let rating = &review["rating"];
        if let Some(error) = rating["error"].as_str() {
            let _infallible = writeln!(html, "<p><i>{}</i></p>", escaped(error));
        } else if let Some(stars) = rating["stars"].as_u64() {
            let color = escaped(rating["color"].as_str().unwrap_or("black"));
            let star = "<span class=\"glyphicon glyphicon-star\"></span>";
            let row = star.repeat(usize::try_from(stars.min(5)).unwrap_or(5));
            let _infallible = writeln!(html, "<font class=\"text-{color}-500\">{row}</font>");
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
