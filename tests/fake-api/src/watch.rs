//! Watches: streams of lines.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::read::View;
use crate::selector::Selection;
use crate::state::{Change, Shared, State};
use crate::status::Refusal;

/// A watch as it was asked for.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) resource: String,
    pub(crate) version: String,
    pub(crate) selection: Selection,
    pub(crate) view: View,
    /// From which resourceVersion; `None`: from the objects that there are.
    pub(crate) from: Option<u64>,
    /// Whether the objects come first, with a bookmark after them.
    pub(crate) initial_events: bool,
}

struct Stream {
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    watch: Watch,
    /// Everything up to this version has been sent.
    position: u64,
    /// How many lines and cuts of the state are older than this stream.
    extra: usize,
    cuts: usize,
    /// Lines to send, and whether that is the end.
    lines: Vec<Value>,
    ended: bool,
}

/// Opens a watch; the first lines are those that are due now.
pub(crate) fn open(shared: &Arc<Shared>, watch: Watch) -> Result<Response<Body>, Refusal> {
    let changes = shared.changes();
    let stream = shared.edit(|state| {
        if watch.initial_events && !state.streaming_lists {
            return Err(Refusal::new(
                422,
                "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
            ));
        }
        let mut stream = Stream {
            shared: shared.clone(),
            changes,
            position: state.version,
            extra: state.extra.len(),
            cuts: state.cuts.len(),
            lines: Vec::new(),
            ended: false,
            watch,
        };
        stream.begin(state);
        *state.open.entry(stream.watch.resource.clone()).or_default() += 1;
        Ok(stream)
    })?;
    Ok(streamed(Body::from_stream(futures::stream::unfold(
        stream,
        |mut stream| async move {
            let line = stream.next().await?;
            Some((line, stream))
        },
    ))))
}

/// A watch that says only that it failed.
pub(crate) fn failed(refusal: &Refusal) -> Response<Body> {
    let line = json!({"type": "ERROR", "object": refusal.to_json()});
    streamed(Body::from(format!("{line}\n")))
}

fn streamed(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

impl Stream {
    fn begin(&mut self, state: &State) {
        match self.watch.from {
            Some(from) if from < state.oldest => {
                let refusal = Refusal::expired(from, state.oldest);
                self.lines
                    .push(json!({"type": "ERROR", "object": refusal.to_json()}));
                self.ended = true;
            }
            Some(from) => self.position = from,
            None => {
                for (key, object) in &state.objects {
                    if key.resource == self.watch.resource && self.watch.selection.holds(object) {
                        self.lines.push(self.line("ADDED", object));
                    }
                }
                if self.watch.initial_events {
                    self.lines.push(self.bookmark(state.version, true));
                }
            }
        }
    }

    /// The next lines; `None`: the stream ends; an error: the connection breaks.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if !self.lines.is_empty() {
                let text: String = self
                    .lines
                    .drain(..)
                    .map(|line| format!("{line}\n"))
                    .collect();
                return Some(Ok(text.into()));
            }
            if self.ended {
                return None;
            }
            self.changes.borrow_and_update();
            let shared = self.shared.clone();
            if let Some(broken) = shared.read(|state| self.collect(state)) {
                self.ended = true;
                if broken {
                    return Some(Err(io::Error::other("the test broke this connection")));
                }
            }
            if self.lines.is_empty() && !self.ended {
                let _ = self.changes.changed().await;
            }
        }
    }

    /// Takes what is due; `Some`: the stream ends, perhaps broken.
    fn collect(&mut self, state: &State) -> Option<bool> {
        let resource = &self.watch.resource;
        let cut = state.cuts[self.cuts..]
            .iter()
            .find(|c| c.resource.as_ref().is_none_or(|r| r == resource));
        if let Some(cut) = cut {
            return Some(cut.broken);
        }
        self.cuts = state.cuts.len();
        if !state.held.contains(resource) {
            if self.position < state.oldest {
                let refusal = Refusal::expired(self.position, state.oldest);
                self.lines
                    .push(json!({"type": "ERROR", "object": refusal.to_json()}));
                return Some(false);
            }
            self.events(state);
        }
        for (of, line) in &state.extra[self.extra..] {
            if of == &self.watch.resource {
                let mut line = line.clone();
                if line["type"] != "BOOKMARK" && line["type"] != "ERROR" {
                    line["object"] = self.watch.view.of(&line["object"]);
                }
                self.lines.push(line);
            }
        }
        self.extra = state.extra.len();
        (!state.serves(&self.watch.resource, &self.watch.version)).then_some(false)
    }

    fn events(&mut self, state: &State) {
        let start = state
            .history
            .partition_point(|c| c.version <= self.position);
        let due: Vec<&Change> = state.history[start..]
            .iter()
            .filter(|c| c.key.resource == self.watch.resource)
            .collect();
        let reversed = state
            .reversed
            .get(&self.watch.resource)
            .copied()
            .unwrap_or(0);
        let turned = due.partition_point(|c| c.version <= reversed);
        for change in due[..turned].iter().rev().chain(&due[turned..]) {
            self.lines.extend(self.event(change));
        }
        self.position = self.position.max(state.version);
    }

    /// What a change is for those who select.
    fn event(&self, change: &Change) -> Option<Value> {
        let selected = |object: &Option<Value>| {
            object
                .as_ref()
                .is_some_and(|o| self.watch.selection.holds(o))
        };
        let verb = match (selected(&change.before), selected(&change.after)) {
            (false, false) => return None,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        Some(self.line(verb, &change.shown))
    }

    fn line(&self, verb: &str, object: &Value) -> Value {
        json!({"type": verb, "object": self.watch.view.of(object)})
    }

    fn bookmark(&self, version: u64, initial_end: bool) -> Value {
        bookmark(&self.watch.view, version, initial_end)
    }
}

fn bookmark(view: &View, version: u64, initial_end: bool) -> Value {
    let mut metadata = json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
    if initial_end {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    json!({
        "type": "BOOKMARK",
        "object": {"apiVersion": view.api_version, "kind": "Bookmark", "metadata": metadata},
    })
}

impl Drop for Stream {
    fn drop(&mut self) {
        let resource = self.watch.resource.clone();
        self.shared.edit(|state| {
            if let Some(open) = state.open.get_mut(&resource) {
                *open = open.saturating_sub(1);
            }
        });
    }
}
