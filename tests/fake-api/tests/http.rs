//! The fake API server over its wire, without kube: what it answers is what the real one would.

#![allow(clippy::unwrap_used)]

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use futures::StreamExt;
use hyper_util::rt::TokioIo;
use meltemi_fake_api::{FakeApi, Fault, On, Refusal, Type, Verb};
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// One request on a connection of its own; `None`: no answer.
async fn send(
    api: &FakeApi,
    method: Method,
    path: &str,
    kind: &str,
    body: &Value,
) -> Option<axum::http::Response<Body>> {
    let address = api.url().strip_prefix("http://").unwrap();
    let socket = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
        .await
        .ok()?;
    tokio::spawn(connection);
    let body = if body.is_null() {
        Body::empty()
    } else {
        Body::from(body.to_string())
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", address)
        .header("content-type", kind)
        .body(body)
        .unwrap();
    Some(sender.send_request(request).await.ok()?.map(Body::new))
}

async fn call(api: &FakeApi, method: Method, path: &str, body: Value) -> (u16, Value) {
    patch(api, method, path, "application/json", body).await
}

async fn patch(api: &FakeApi, method: Method, path: &str, kind: &str, body: Value) -> (u16, Value) {
    let response = send(api, method, path, kind, &body).await.unwrap();
    let code = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (code, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

async fn get(api: &FakeApi, path: &str) -> (u16, Value) {
    call(api, Method::GET, path, Value::Null).await
}

/// An open watch, line by line.
struct Lines {
    body: axum::body::BodyDataStream,
    rest: String,
}

impl Lines {
    async fn open(api: &FakeApi, path: &str) -> Self {
        let response = send(api, Method::GET, path, "", &Value::Null)
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        Self {
            body: response.into_body().into_data_stream(),
            rest: String::new(),
        }
    }

    /// `ADDED a@3`; `None`: the end; `BROKEN`: the connection broke.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((line, rest)) = self.rest.split_once('\n') {
                let line: Value = serde_json::from_str(line).unwrap();
                self.rest = rest.to_owned();
                let meta = &line["object"]["metadata"];
                let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
                let what = match line["object"]["code"].as_u64() {
                    Some(code) => code.to_string(),
                    None => format!("{}@{}", text(&meta["name"]), text(&meta["resourceVersion"])),
                };
                return Some(format!("{} {what}", text(&line["type"])));
            }
            match self.body.next().await? {
                Ok(bytes) => self.rest.push_str(std::str::from_utf8(&bytes).unwrap()),
                Err(_) => return Some("BROKEN".to_owned()),
            }
        }
    }

    async fn expect(&mut self, lines: &[&str]) {
        for line in lines {
            assert_eq!(self.next().await.as_deref(), Some(*line));
        }
    }
}

fn config_map(name: &str, data: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "n", "name": name}, "data": {"k": data}})
}

const MAPS: &str = "/api/v1/namespaces/n/configmaps";

#[tokio::test]
async fn writes_meet_conflicts() {
    let api = FakeApi::start().await.unwrap();
    let (code, first) = call(&api, Method::POST, MAPS, config_map("a", "1")).await;
    assert_eq!(
        (code, first["metadata"]["resourceVersion"].as_str()),
        (201, Some("2"))
    );
    let (code, status) = call(&api, Method::POST, MAPS, config_map("a", "2")).await;
    assert_eq!(
        (code, status["reason"].as_str()),
        (409, Some("AlreadyExists"))
    );

    let a = format!("{MAPS}/a");
    let mut second = first.clone();
    second["data"]["k"] = "2".into();
    assert_eq!(call(&api, Method::PUT, &a, second.clone()).await.0, 200);
    let (code, status) = call(&api, Method::PUT, &a, second).await;
    assert_eq!((code, status["reason"].as_str()), (409, Some("Conflict")));

    let version = api.version();
    let (_, same) = call(&api, Method::PUT, &a, config_map("a", "2")).await;
    assert_eq!(same["data"]["k"], "2");
    assert_eq!(api.version(), version, "a write without effect is none");

    let (code, dry) = call(
        &api,
        Method::PUT,
        &format!("{a}?dryRun=All"),
        config_map("a", "3"),
    )
    .await;
    assert_eq!((code, dry["data"]["k"].as_str()), (200, Some("3")));
    assert_eq!(api.get("configmaps", "n", "a").unwrap()["data"]["k"], "2");

    assert_eq!(
        call(&api, Method::PUT, &format!("{MAPS}/b"), config_map("b", ""))
            .await
            .0,
        404
    );
    assert_eq!(
        call(&api, Method::PUT, &a, config_map("b", "")).await.0,
        400
    );
    let other = json!({"preconditions": {"uid": "another"}});
    assert_eq!(call(&api, Method::DELETE, &a, other).await.0, 409);
    assert_eq!(call(&api, Method::DELETE, &a, Value::Null).await.0, 200);
    assert_eq!(get(&api, &a).await.0, 404);
}

#[tokio::test]
async fn patches_have_three_forms() {
    let api = FakeApi::start().await.unwrap();
    let a = format!("{MAPS}/a");
    let apply = "application/apply-patch+yaml";
    let merge = "application/merge-patch+json";
    let json_patch = "application/json-patch+json";
    assert_eq!(
        patch(&api, Method::PATCH, &a, merge, json!({"data": {}}))
            .await
            .0,
        404
    );
    assert_eq!(
        patch(&api, Method::PATCH, &a, apply, config_map("a", "1"))
            .await
            .0,
        200
    );
    let (_, merged) = patch(
        &api,
        Method::PATCH,
        &a,
        merge,
        json!({"data": {"k": null, "l": "2"}}),
    )
    .await;
    assert_eq!(merged["data"], json!({"l": "2"}));
    let steps = json!([{"op": "test", "path": "/data/l", "value": "2"}, {"op": "replace", "path": "/data/l", "value": "3"}]);
    let (code, replaced) = patch(&api, Method::PATCH, &a, json_patch, steps.clone()).await;
    assert_eq!((code, &replaced["data"]), (200, &json!({"l": "3"})));
    assert_eq!(
        patch(&api, Method::PATCH, &a, json_patch, steps).await.0,
        422
    );
    assert_eq!(
        patch(&api, Method::PATCH, &a, "text/plain", json!({}))
            .await
            .0,
        415
    );
}

#[tokio::test]
async fn the_status_is_written_apart() {
    let api = FakeApi::start().await.unwrap();
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "n", "name": "s"},
        "spec": {"clusterIP": "10.0.0.1"}, "status": {"x": 1}});
    let services = "/api/v1/namespaces/n/services";
    let (_, stored) = call(&api, Method::POST, services, service.clone()).await;
    assert_eq!(stored.get("status"), None);
    let mut with = service.clone();
    with["spec"]["clusterIP"] = "10.0.0.2".into();
    let (_, stored) = call(&api, Method::PUT, &format!("{services}/s/status"), with).await;
    assert_eq!(stored["spec"]["clusterIP"], "10.0.0.1");
    assert_eq!(stored["status"]["x"], 1);
    let (_, stored) = call(&api, Method::PUT, &format!("{services}/s"), {
        let mut s = service;
        s["spec"]["clusterIP"] = "10.0.0.3".into();
        s["status"]["x"] = 2.into();
        s
    })
    .await;
    assert_eq!(stored["status"]["x"], 1);
    assert_eq!(stored["metadata"]["generation"], 2);
}

#[tokio::test]
async fn finalizers_delay_deletion() {
    let api = FakeApi::start().await.unwrap();
    let mut object = config_map("a", "");
    object["metadata"]["finalizers"] = json!(["x"]);
    api.apply(object);
    let a = format!("{MAPS}/a");
    let (_, marked) = call(&api, Method::DELETE, &a, Value::Null).await;
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    assert!(api.get("configmaps", "n", "a").is_some());
    patch(
        &api,
        Method::PATCH,
        &a,
        "application/merge-patch+json",
        json!({"metadata": {"finalizers": null}}),
    )
    .await;
    assert!(api.get("configmaps", "n", "a").is_none());
}

#[tokio::test]
async fn pages_show_one_state() {
    let api = FakeApi::start().await.unwrap();
    for name in ["a", "b", "c"] {
        api.apply(config_map(name, ""));
    }
    let names = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap();
        items
            .iter()
            .map(|i| i["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let (_, first) = get(&api, "/api/v1/configmaps?limit=2").await;
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    api.delete("configmaps", "n", "c");
    let next = format!(
        "/api/v1/configmaps?limit=2&continue={}",
        first["metadata"]["continue"].as_str().unwrap()
    );
    let (_, second) = get(&api, &next).await;
    assert_eq!(names(&second), ["c"]);
    assert_eq!(
        second["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
    api.compact();
    assert_eq!(get(&api, &next).await.0, 410);
    let (_, selected) = get(&api, "/api/v1/configmaps?fieldSelector=metadata.name%3Db").await;
    assert_eq!(names(&selected), ["b"]);
}

#[tokio::test]
async fn watches_follow_changes() {
    let api = FakeApi::start().await.unwrap();
    api.apply(config_map("a", "1"));
    let mut all = Lines::open(&api, "/api/v1/configmaps?watch=true").await;
    let mut later = Lines::open(&api, "/api/v1/configmaps?watch=true&resourceVersion=2").await;
    let mut streaming =
        Lines::open(&api, "/api/v1/configmaps?watch=true&sendInitialEvents=true").await;
    let mut of_b = Lines::open(
        &api,
        "/api/v1/configmaps?watch=true&fieldSelector=data.k%3D2",
    )
    .await;
    api.watched("configmaps", 4).await;
    api.apply(config_map("a", "2"));
    api.apply(config_map("a", "3"));
    api.delete("configmaps", "n", "a");
    all.expect(&["ADDED a@2", "MODIFIED a@3", "MODIFIED a@4", "DELETED a@5"])
        .await;
    later
        .expect(&["MODIFIED a@3", "MODIFIED a@4", "DELETED a@5"])
        .await;
    streaming
        .expect(&["ADDED a@2", "BOOKMARK @2", "MODIFIED a@3"])
        .await;
    of_b.expect(&["ADDED a@3", "DELETED a@4"]).await;
    api.bookmark("configmaps");
    all.expect(&["BOOKMARK @5"]).await;
    api.end_watches(None);
    assert_eq!(all.next().await, None);
    drop((later, streaming, of_b));
    api.watched("configmaps", 0).await;
}

#[tokio::test]
async fn scripted_events_come_twice_or_backwards() {
    let api = FakeApi::start().await.unwrap();
    let mut lines = Lines::open(&api, "/api/v1/configmaps?watch=true").await;
    api.watched("configmaps", 1).await;
    api.hold("configmaps");
    api.apply(config_map("a", "1"));
    api.apply(config_map("a", "2"));
    api.deliver_reversed("configmaps");
    lines.expect(&["MODIFIED a@3", "ADDED a@2"]).await;
    api.repeat("configmaps", 1);
    lines.expect(&["MODIFIED a@3"]).await;
    api.break_watches(Some("configmaps"));
    lines.expect(&["BROKEN"]).await;
}

#[tokio::test]
async fn old_versions_are_gone() {
    let api = FakeApi::start().await.unwrap();
    api.apply(config_map("a", "1"));
    api.apply(config_map("a", "2"));
    api.compact();
    let mut lines = Lines::open(&api, "/api/v1/configmaps?watch=true&resourceVersion=2").await;
    lines.expect(&["ERROR 410"]).await;
    assert_eq!(lines.next().await, None);
}

#[tokio::test]
async fn faults_are_met_as_often_as_scripted() {
    let api = FakeApi::start().await.unwrap();
    let path = "/api/v1/configmaps";
    api.fault(
        On::verb(Verb::List).of("configmaps"),
        Fault::too_many_requests(7),
        1,
    );
    let busy = send(&api, Method::GET, path, "", &Value::Null)
        .await
        .unwrap();
    assert_eq!(
        (
            busy.status().as_u16(),
            busy.headers()["retry-after"].to_str().unwrap()
        ),
        (429, "7")
    );
    assert_eq!(get(&api, path).await.0, 200);
    api.fault(On::all(), Fault::CutOff, 1);
    assert!(
        send(&api, Method::GET, path, "", &Value::Null)
            .await
            .is_none()
    );
    api.fault(On::all(), Fault::gone(), 1);
    assert_eq!(get(&api, path).await.0, 410);
    api.fault(On::verb(Verb::Watch), Fault::gone_event(), 1);
    Lines::open(&api, "/api/v1/configmaps?watch=1")
        .await
        .expect(&["ERROR 410"])
        .await;

    api.fault(On::all(), Fault::Stall, 1);
    let (stalled, ()) = tokio::join!(get(&api, path), async {
        api.requested(Verb::List, "configmaps", 5).await;
        api.release();
    });
    assert_eq!(stalled.0, 200);

    api.go_down();
    assert!(
        send(&api, Method::GET, path, "", &Value::Null)
            .await
            .is_none()
    );
    api.come_back();
    assert_eq!(get(&api, path).await.0, 200);
}

#[tokio::test]
async fn definitions_bring_and_take_their_types() {
    let api = FakeApi::start().await.unwrap();
    let kind = Type::new("a.io", &["v1", "v1beta1"], "things", "Thing", true);
    assert_eq!(get(&api, "/apis/a.io/v1/things").await.0, 404);
    api.install(&kind);
    api.apply(json!({"apiVersion": "a.io/v1", "kind": "Thing", "metadata": {"namespace": "n", "name": "t"}}));
    let (_, older) = get(&api, "/apis/a.io/v1beta1/namespaces/n/things/t").await;
    assert_eq!(older["apiVersion"], "a.io/v1beta1");
    let mut lines = Lines::open(&api, "/apis/a.io/v1/things?watch=true").await;
    lines.expect(&["ADDED t@3"]).await;
    api.uninstall("things");
    lines.expect(&["DELETED t@5"]).await;
    assert_eq!(lines.next().await, None);
    assert_eq!(get(&api, "/apis/a.io/v1/things").await.0, 404);
}

#[tokio::test]
async fn posted_reviews_are_answered() {
    let api = FakeApi::start().await.unwrap();
    api.answer(
        "tokenreviews.authentication.k8s.io",
        |request| match request.body["spec"]["token"].as_str() {
            Some("good") => Ok(json!({"status": {"authenticated": true}})),
            _ => Err(Refusal::new(403, "no")),
        },
    );
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let (code, review) = call(&api, Method::POST, path, json!({"spec": {"token": "good"}})).await;
    assert_eq!(
        (code, review["status"]["authenticated"].as_bool()),
        (201, Some(true))
    );
    assert_eq!(
        call(&api, Method::POST, path, json!({"spec": {"token": "bad"}}))
            .await
            .0,
        403
    );
}
