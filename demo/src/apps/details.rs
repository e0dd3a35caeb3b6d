//! Bookinfo's details: one book, and no calls.

use super::{Reply, Request};

pub(super) fn answer(request: &Request) -> Reply {
    if request.path == "/health" {
        return Reply::json(200, r#"{"status":"Details is healthy"}"#);
    }
    let Some(id) = request.path.strip_prefix("/details/") else {
        return Reply::not_found();
    };
    let Ok(id) = id.parse::<u64>() else {
        return Reply::json(400, r#"{"error":"please provide numeric product id"}"#);
    };
    Reply::json(
        200,
        format!(
            "{{\"id\":{id},\"author\":\"William Shakespeare\",\"year\":1595,\"type\":\"paperback\",\"pages\":200,\
             \"publisher\":\"PublisherA\",\"language\":\"English\",\"ISBN-10\":\"1234567890\",\"ISBN-13\":\"123-1234567890\"}}"
        ),
    )
}
