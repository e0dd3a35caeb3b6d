//! Bookinfo's reviews: two texts, with stars from ratings in versions 2 (black) and 3 (red).

use serde_json::Value;

use super::{App, Reply, Request};
use crate::http::{Call, call};

const TEXTS: [(&str, &str); 2] = [
    (
        "Reviewer1",
        "An extremely entertaining play by Shakespeare. The slapstick humour is refreshing!",
    ),
    (
        "Reviewer2",
        "Absolutely fun and entertaining. The play lacks thematic depth when compared to other plays by Shakespeare.",
    ),
];

pub(super) async fn answer(app: &App, request: &Request, version: u8) -> Reply {
    if request.path == "/health" {
        return Reply::json(200, r#"{"status": "Reviews is healthy"}"#);
    }
    let Some(id) = request
        .path
        .strip_prefix("/reviews/")
        .filter(|id| id.parse::<u64>().is_ok())
    else {
        return Reply::not_found();
    };
    let stars = if version == 1 {
        None
    } else {
        Some(stars(app, request, id, version).await)
    };
    let color = if version == 2 { "black" } else { "red" };
    let review = |index: usize| {
        let (reviewer, text) = TEXTS[index];
        let rating = match &stars {
            None => String::new(),
            Some(Some(stars)) => format!(
                ", \"rating\": {{\"stars\": {}, \"color\": \"{color}\"}}",
                stars[index]
            ),
            Some(None) => {
                ", \"rating\": {\"error\": \"Ratings service is currently unavailable\"}".to_owned()
            }
        };
        format!("{{  \"reviewer\": \"{reviewer}\",  \"text\": \"{text}\"{rating}}}")
    };
    let name = &app.config.name;
    Reply::json(
        200,
        format!(
            "{{\"id\": \"{id}\",\"podname\": \"{name}\",\"clustername\": \"null\",\"reviews\": [{},{}]}}",
            review(0),
            review(1)
        ),
    )
}

/// Both reviewers' stars, when ratings answers 200 with them in time.
async fn stars(app: &App, request: &Request, id: &str, version: u8) -> Option<[i64; 2]> {
    let mut ask = Call::get(&app.config.backend("ratings"), &format!("/ratings/{id}"));
    ask.timeout_ms = if version == 2 { 10_000 } else { 2_500 };
    ask.headers = request.forwarded();
    if let Some(user) = request.header("end-user") {
        ask = ask.header("end-user", user);
    }
    let answer = call(&app.config.resolver, &ask).await.ok()?;
    if answer.status != 200 {
        return None;
    }
    let body: Value = serde_json::from_str(&answer.body).ok()?;
    let star = |reviewer: &str| body["ratings"][reviewer].as_i64().unwrap_or(-1);
    Some([star("Reviewer1"), star("Reviewer2")])
}
