//! Statuses against the fake API server, with a clock that runs ahead.

use meltemi_fake_api::{FakeApi, Fault, On, Type, Verb};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::*;
use crate::testing::api;

const SERVED: &str = "serviceentries.networking.istio.io";
const STATUS: &str = "serviceentries.networking.istio.io/status";

/// Wants `status.greeting` to be the news and the name in the spec; without a name, nothing.
#[derive(Default)]
struct Greetings {
    objects: BTreeMap<Name, (String, Value)>,
    changed: usize,
}

impl Statuses for Greetings {
    type News = &'static str;

    fn seen(&mut self, name: &Name, object: Seen<'_>) -> bool {
        let text = object.spec["name"].as_str().unwrap_or_default().to_owned();
        let now = (text, object.status["greeting"].clone());
        self.objects.insert(name.clone(), now.clone()) != Some(now)
    }

    fn gone(&mut self, name: &Name) {
        self.objects.remove(name);
    }

    fn was_changed(&mut self, _: &Name) {
        self.changed += 1;
    }

    fn wanted(&mut self, news: &&'static str) -> BTreeMap<Name, Value> {
        let greeting = |text: &str| json!(format!("{news} {text}"));
        let objects = self.objects.iter();
        objects
            .filter(|(_, (text, found))| !text.is_empty() && *found != greeting(text))
            .map(|(name, (text, _))| (name.clone(), json!({"greeting": greeting(text)})))
            .collect()
    }
}

struct Running {
    news: watch::Sender<&'static str>,
    metrics: Metrics,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

fn run(client: &Client) -> Running {
    let (news, receiver) = watch::channel("hello");
    let (metrics, stop) = (Metrics::default(), CancellationToken::new());
    let task = tokio::spawn(keep(
        client.clone(),
        SERVICE_ENTRIES,
        Greetings::default(),
        receiver,
        metrics.clone(),
        stop.clone(),
    ));
    Running {
        news,
        metrics,
        stop,
        task,
    }
}

impl Running {
    fn counted(&self) -> (u64, u64) {
        let label = KindLabel {
            kind: "ServiceEntry",
        };
        let of = |family: &prometheus_client::metrics::family::Family<KindLabel, _>| {
            let counter: &prometheus_client::metrics::counter::Counter =
                &family.get_or_create(&label);
            counter.get()
        };
        (
            of(&self.metrics.statuses),
            of(&self.metrics.status_failures),
        )
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

async fn served() -> (FakeApi, Client) {
    let (api, client) = api().await;
    let mut kind = Type::new(
        "networking.istio.io",
        &["v1", "v1beta1"],
        "serviceentries",
        "ServiceEntry",
        true,
    );
    kind.status = true;
    api.serve(kind);
    (api, client)
}

fn entry(name: &str, text: &str) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"name": text},
    })
}

async fn until(api: &FakeApi, name: &str, text: &str) {
    let right = |object: Option<&Value>| object.is_some_and(|o| o["status"]["greeting"] == text);
    api.until(SERVED, "shop", name, right).await;
}

fn writes(api: &FakeApi) -> usize {
    api.count(Verb::Patch, STATUS)
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_written_once_and_the_rest_is_left_alone() {
    let (api, client) = served().await;
    api.apply(entry("missing", "a"));
    let mut wrong = entry("wrong", "b");
    wrong["status"] = json!({"greeting": "old", "conditions": [{"type": "Ready"}]});
    api.apply(wrong);
    let mut right = entry("right", "c");
    right["status"] = json!({"greeting": "hello c"});
    api.apply(right);
    api.apply(entry("none", ""));
    let running = run(&client);
    until(&api, "missing", "hello a").await;
    until(&api, "wrong", "hello b").await;
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(writes(&api), 2, "nothing is written twice");
    assert_eq!(running.counted(), (2, 0));
    let object = api.get(SERVED, "shop", "wrong").unwrap();
    assert_eq!(object["status"]["conditions"], json!([{"type": "Ready"}]));
    assert_eq!(object["spec"], json!({"name": "b"}));

    // Edits, news, deletions.
    let mut edited = entry("missing", "z");
    edited["status"] = json!({"greeting": "hello a"});
    api.apply(edited);
    until(&api, "missing", "hello z").await;
    api.delete(SERVED, "shop", "wrong");
    running.news.send_replace("bye");
    until(&api, "missing", "bye z").await;
    until(&api, "right", "bye c").await;
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(writes(&api), 5);
    running.stop().await;

    // Who comes next has nothing to do but for what is new.
    let running = run(&client);
    running.news.send_replace("bye");
    api.apply(entry("late", "d"));
    until(&api, "late", "bye d").await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(writes(&api), 6);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn failures_are_tried_again_ever_more_slowly_and_nothing_is_forgotten() {
    let (api, client) = served().await;
    for i in 0..20 {
        api.apply(entry(&format!("n{i}"), "a"));
    }
    api.fault(On::verb(Verb::Patch), Fault::internal(), 40);
    let running = run(&client);
    for i in 0..20 {
        until(&api, &format!("n{i}"), "hello a").await;
    }
    assert_eq!(writes(&api), 60);
    assert_eq!(running.counted(), (20, 40));

    // What is not allowed is asked for seldom.
    api.fault(On::verb(Verb::Patch), Fault::forbidden(), 5);
    api.apply(entry("n20", "a"));
    until(&api, "n20", "hello a").await;
    assert_eq!(writes(&api), 66);

    // The API server is away.
    api.go_down();
    api.apply(entry("n21", "a"));
    sleep(Duration::from_secs(3_600)).await;
    api.compact();
    api.come_back();
    until(&api, "n21", "hello a").await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_that_was_not_seen_is_not_overwritten() {
    let (api, client) = served().await;
    let running = run(&client);
    api.watched(SERVED, 1).await;
    // We see the first version; the second one is there before we write.
    api.fault(On::verb(Verb::Patch), Fault::Stall, 1);
    api.apply(entry("a", "one"));
    api.requested(Verb::Patch, STATUS, 1).await;
    api.hold(SERVED);
    api.apply(entry("a", "two"));
    api.release();
    until(&api, "a", "hello two").await;
    api.deliver(SERVED);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(writes(&api), 2);
    assert_eq!(running.counted(), (1, 1));

    // It is gone before we write, and stays gone.
    api.fault(On::verb(Verb::Patch), Fault::Stall, 1);
    api.apply(entry("b", "one"));
    api.requested(Verb::Patch, STATUS, 3).await;
    api.delete(SERVED, "shop", "b");
    api.release();
    sleep(Duration::from_secs(600)).await;
    assert_eq!(writes(&api), 3);
    assert_eq!(api.get(SERVED, "shop", "b"), None);
    running.stop().await;
}
