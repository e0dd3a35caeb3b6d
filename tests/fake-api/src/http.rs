//! From a request to its answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::http::{self, Method, Response, header};
use serde_json::{Value, json};

use crate::api::Request;
use crate::fault::{Fault, Verb};
use crate::patch::Form;
use crate::path::{Asked, query};
use crate::read::{self, Continue, List, View};
use crate::selector::Selection;
use crate::state::{Key, Shared, State};
use crate::status::{Refusal, json_response};
use crate::types::Type;
use crate::watch::{self, Watch};
use crate::write::{self, Target};

/// The connection is closed without an answer.
#[derive(Debug)]
pub(crate) struct CutOff;

impl std::fmt::Display for CutOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the test cut this connection off")
    }
}

impl std::error::Error for CutOff {}

/// The most that a body may have.
const MAX_BODY: usize = 16 << 20;

pub(crate) async fn answer<B>(
    request: http::Request<B>,
    shared: Arc<Shared>,
) -> Result<Response<Body>, CutOff>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let (head, body) = request.into_parts();
    let Some(asked) = Asked::parse(head.uri.path()) else {
        return Ok(other_path(head.uri.path()));
    };
    let body = to_bytes(Body::new(body), MAX_BODY)
        .await
        .map_err(|_| CutOff)?;
    let query = query(&head.uri);
    let Some(verb) = verb_of(&head.method, &asked, &query) else {
        return Ok(Refusal::new(405, "this method is not served here").response());
    };
    let header = |name: header::HeaderName| {
        let value = head.headers.get(name).and_then(|v| v.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let resource = match asked.subresource.as_str() {
        "" => asked.resource(),
        subresource => format!("{}/{subresource}", asked.resource()),
    };
    let request = Request {
        verb,
        resource,
        namespace: asked.namespace.clone(),
        name: asked.name.clone(),
        query,
        content_type: header(header::CONTENT_TYPE),
        accept: header(header::ACCEPT),
        user_agent: header(header::USER_AGENT),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    if matches!(verb, Verb::Create | Verb::Update | Verb::Patch)
        && let Err(error) = serde_json::from_slice::<Value>(&body)
    {
        return Ok(Refusal::new(400, format!("the body is no JSON: {error}")).response());
    }
    let (fault, released) = shared.edit(|state| {
        state.requests.push(request.clone());
        (state.fault(verb, &asked.resource()), state.released)
    });
    match fault {
        None => {}
        Some(Fault::Refuse(refusal)) => return Ok(refusal.response()),
        Some(Fault::ErrorEvent(refusal)) if verb == Verb::Watch => {
            return Ok(watch::failed(&refusal));
        }
        Some(Fault::ErrorEvent(refusal)) => return Ok(refusal.response()),
        Some(Fault::CutOff) => return Err(CutOff),
        Some(Fault::Stall) => {
            shared
                .until(|state| (state.released != released).then_some(()))
                .await;
        }
    }
    Ok(dispatch(&shared, &asked, &request).unwrap_or_else(|refusal| refusal.response()))
}

fn other_path(path: &str) -> Response<Body> {
    match path {
        "/version" => json_response(
            200,
            &json!({"major": "1", "minor": "36", "gitVersion": "v1.36.0", "platform": "linux/amd64"}),
        ),
        "/readyz" | "/livez" | "/healthz" => Response::new(Body::from("ok")),
        _ => not_served(),
    }
}

fn not_served() -> Response<Body> {
    let mut response = Response::new(Body::from("404 page not found\n"));
    *response.status_mut() = http::StatusCode::NOT_FOUND;
    response
}

fn verb_of(method: &Method, asked: &Asked, query: &BTreeMap<String, String>) -> Option<Verb> {
    let watched = matches!(query.get("watch").map(String::as_str), Some("true" | "1"));
    match (method.as_str(), asked.name.is_empty()) {
        ("GET", true) if watched => Some(Verb::Watch),
        ("GET", true) => Some(Verb::List),
        ("GET", false) => Some(Verb::Get),
        ("POST", true) => Some(Verb::Create),
        ("POST", false) if !asked.subresource.is_empty() => Some(Verb::Create),
        ("PUT", false) => Some(Verb::Update),
        ("PATCH", false) => Some(Verb::Patch),
        ("DELETE", false) => Some(Verb::Delete),
        _ => None,
    }
}

fn dispatch(
    shared: &Arc<Shared>,
    asked: &Asked,
    request: &Request,
) -> Result<Response<Body>, Refusal> {
    if request.verb == Verb::Create
        && let Some(answer) = shared.read(|state| state.answers.get(&request.resource).cloned())
    {
        return Ok(json_response(201, &answer(request)?));
    }
    let resource = asked.resource();
    let found = shared.read(|state| {
        let found = state.types.iter().find(|t| t.resource() == resource);
        found
            .filter(|t| t.versions.contains(&asked.version))
            .cloned()
    });
    let Some(kind) = found else {
        return Ok(not_served());
    };
    if !matches!(asked.subresource.as_str(), "" | "status") {
        return Err(Refusal::not_found(&request.resource));
    }
    let view = View {
        api_version: kind.api_version(&asked.version),
        metadata_only: request.accept.contains("as=PartialObjectMetadata"),
    };
    match request.verb {
        Verb::Watch => {
            let watch = watch_asked(asked, request, view)?;
            watch::open(shared, watch)
        }
        Verb::List => {
            let list = list_asked(asked, request)?;
            let page = shared.read(|state| read::list(state, &kind, &list, &view))?;
            Ok(json_response(200, &page))
        }
        Verb::Get => {
            let key = Key {
                resource,
                namespace: asked.namespace.clone(),
                name: asked.name.clone(),
            };
            let object = shared.read(|state| state.objects.get(&key).map(|o| view.of(o)));
            let missing = || Refusal::not_found(&format!("{} \"{}\"", key.resource, key.name));
            Ok(json_response(200, &object.ok_or_else(missing)?))
        }
        verb => {
            let target = Target {
                kind,
                namespace: asked.namespace.clone(),
                name: asked.name.clone(),
                status: asked.subresource == "status",
                dry_run: request.query.contains_key("dryRun") || request.body["dryRun"].is_array(),
            };
            let object = shared.edit(|state| written(state, verb, target, request))?;
            let code = if verb == Verb::Create { 201 } else { 200 };
            Ok(json_response(code, &view.of(&object)))
        }
    }
}

fn written(
    state: &mut State,
    verb: Verb,
    target: Target,
    request: &Request,
) -> Result<Value, Refusal> {
    let namespace_wanted = target.kind.namespaced;
    if namespace_wanted == target.namespace.is_empty() {
        return Err(Refusal::new(
            404,
            "the path does not fit the scope of this type",
        ));
    }
    match verb {
        Verb::Create => write::create(state, target, request.body.clone()),
        Verb::Update => write::update(state, &target, request.body.clone()),
        Verb::Patch => {
            let form = Form::of(&request.content_type).ok_or_else(|| {
                Refusal::new(415, format!("no form of patches: {}", request.content_type))
            })?;
            write::patch(state, &target, form, &request.body)
        }
        _ => write::delete(state, &target, &request.body),
    }
}

fn selection(asked: &Asked, request: &Request) -> Result<Selection, Refusal> {
    let text = |name: &str| request.query.get(name).map_or("", String::as_str);
    Selection::parse(
        &asked.namespace,
        text("labelSelector"),
        text("fieldSelector"),
    )
}

fn list_asked(asked: &Asked, request: &Request) -> Result<List, Refusal> {
    let text = |name: &str| request.query.get(name).filter(|v| !v.is_empty());
    let limit = match text("limit") {
        None => 0,
        Some(limit) => limit
            .parse()
            .map_err(|_| Refusal::new(400, "limit is not a number"))?,
    };
    Ok(List {
        selection: selection(asked, request)?,
        limit,
        after: text("continue").map(|c| Continue::parse(c)).transpose()?,
    })
}

fn watch_asked(asked: &Asked, request: &Request, view: View) -> Result<Watch, Refusal> {
    let text = |name: &str| request.query.get(name).map_or("", String::as_str);
    let from = match text("resourceVersion") {
        "" | "0" => None,
        version => Some(
            version
                .parse()
                .map_err(|_| Refusal::new(400, format!("invalid resource version {version:?}")))?,
        ),
    };
    Ok(Watch {
        resource: asked.resource(),
        version: asked.version.clone(),
        selection: selection(asked, request)?,
        view,
        from,
        initial_events: text("sendInitialEvents") == "true",
    })
}

impl Type {
    /// The target of a write that a test makes itself.
    pub(crate) fn target(&self, namespace: &str, name: &str) -> Target {
        Target {
            kind: self.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            status: false,
            dry_run: false,
        }
    }
}
