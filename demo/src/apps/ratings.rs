//! Bookinfo's ratings: two reviewers' stars, or what somebody posted.

use super::{App, Reply, Request};

pub(super) fn answer(app: &App, request: &Request) -> Reply {
    if request.path == "/health" {
        return Reply::json(200, r#"{"status":"Ratings is healthy"}"#);
    }
    let Some(id) = request.path.strip_prefix("/ratings/") else {
        return Reply::not_found();
    };
    let Ok(id) = id.parse::<u64>() else {
        return Reply::json(400, r#"{"error":"please provide numeric product ID"}"#);
    };
    if request.method == "POST" {
        let Ok(posted) = serde_json::from_slice(&request.body) else {
            return Reply::json(400, r#"{"error":"please provide valid ratings JSON"}"#);
        };
        app.ratings.lock().insert(id, posted);
    }
    let ratings = match app.ratings.lock().get(&id) {
        Some(posted) => posted.to_string(),
        None => r#"{"Reviewer1":5,"Reviewer2":4}"#.to_owned(),
    };
    Reply::json(200, format!("{{\"id\":{id},\"ratings\":{ratings}}}"))
}
