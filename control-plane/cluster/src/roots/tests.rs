//! The root certificate against the fake API server, with a clock that runs ahead.

use meltemi_fake_api::{FakeApi, Fault, On, Refusal, Verb};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::*;
use crate::selector::Expression;
use crate::testing::{api, config_map};

struct Running {
    text: watch::Sender<Arc<str>>,
    selectors: watch::Sender<Vec<Selector>>,
    metrics: Metrics,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

fn run(client: &Client, text: &str) -> Running {
    run_for(client, text, Distribution::default())
}

fn run_for(client: &Client, text: &str, what: Distribution) -> Running {
    let (text, text_receiver) = watch::channel(Arc::from(text));
    let (selectors, selectors_receiver) = watch::channel(Vec::new());
    let metrics = Metrics::default();
    let stop = CancellationToken::new();
    let task = tokio::spawn(distribute(
        client.clone(),
        what,
        text_receiver,
        selectors_receiver,
        metrics.clone(),
        stop.clone(),
    ));
    Running {
        text,
        selectors,
        metrics,
        stop,
        task,
    }
}

impl Running {
    fn set(&self, text: &str) {
        self.text.send_replace(text.into());
    }

    fn written(&self) -> u64 {
        let label = ConfigMapLabel {
            config_map: ROOT_CERT.into(),
        };
        self.metrics.distributed.get_or_create(&label).get()
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

fn text(api: &FakeApi, namespace: &str) -> Option<String> {
    let object = api.get("configmaps", namespace, ROOT_CERT)?;
    Some(object["data"][ROOT_CERT_KEY].as_str()?.to_owned())
}

async fn until(api: &FakeApi, namespace: &str, text: &str) {
    let right = |object: Option<&Value>| object.is_some_and(|o| o["data"][ROOT_CERT_KEY] == text);
    api.until("configmaps", namespace, ROOT_CERT, right).await;
}

/// Writes to ConfigMaps so far.
fn writes(api: &FakeApi) -> usize {
    api.count(Verb::Create, "configmaps") + api.count(Verb::Update, "configmaps")
}

#[tokio::test(start_paused = true)]
async fn every_namespace_has_the_root_and_what_is_right_is_left_alone() {
    let (api, client) = api().await;
    for name in [
        "right",
        "wrong",
        "missing",
        "kube-system",
        "kube-public",
        "kube-node-lease",
        "local-path-storage",
    ] {
        api.apply(namespace(name));
    }
    api.apply(config_map("right", ROOT_CERT, ROOT_CERT_KEY, "root"));
    let mut wrong = config_map("wrong", ROOT_CERT, ROOT_CERT_KEY, "old");
    wrong["data"]["more"] = json!("stays");
    wrong["metadata"]["annotations"] = json!({"mine": "stays"});
    api.apply(wrong);
    let running = run(&client, "root");
    for name in ["wrong", "missing", "kube-system"] {
        until(&api, name, "root").await;
    }
    sleep(Duration::from_secs(600)).await;
    assert_eq!(writes(&api), 3, "nothing was written twice, nor elsewhere");
    assert_eq!(running.written(), 3);
    let object = api.get("configmaps", "missing", ROOT_CERT).unwrap();
    assert_eq!(
        object["metadata"]["labels"],
        json!({"istio.io/config": "true"})
    );
    let object = api.get("configmaps", "wrong", ROOT_CERT).unwrap();
    assert_eq!(object["data"]["more"], "stays");
    assert_eq!(object["metadata"]["annotations"]["mine"], "stays");
    for name in LEFT_OUT {
        assert_eq!(text(&api, name), None, "{name}");
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn new_namespaces_edits_deletions_and_new_roots_are_followed() {
    let (api, client) = api().await;
    let running = run(&client, "one");
    api.watched("namespaces", 1).await;
    api.watched("configmaps", 1).await;
    api.apply(namespace("shop"));
    until(&api, "shop", "one").await;
    api.apply(config_map("shop", ROOT_CERT, ROOT_CERT_KEY, "forged"));
    until(&api, "shop", "one").await;
    api.delete("configmaps", "shop", ROOT_CERT);
    until(&api, "shop", "one").await;
    running.set("two");
    until(&api, "shop", "two").await;
    api.delete("namespaces", "", "shop");
    api.delete("configmaps", "shop", ROOT_CERT);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(
        text(&api, "shop"),
        None,
        "a namespace that is gone has none"
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_root_nothing_is_written() {
    let (api, client) = api().await;
    api.apply(namespace("shop"));
    api.apply(config_map("shop", ROOT_CERT, ROOT_CERT_KEY, "theirs"));
    let running = run(&client, "");
    sleep(Duration::from_secs(600)).await;
    assert_eq!(writes(&api), 0);
    running.set("root");
    until(&api, "shop", "root").await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_an_hour_loses_nothing_and_asks_little() {
    let (api, client) = api().await;
    for number in 0..50 {
        api.apply(namespace(&format!("ns-{number}")));
    }
    let running = run(&client, "one");
    until(&api, "ns-49", "one").await;
    sleep(Duration::from_secs(10)).await;
    // A new root while nothing can be written.
    api.go_down();
    running.set("two");
    sleep(Duration::from_secs(1_800)).await;
    running.set("three");
    api.apply(namespace("new"));
    api.delete("configmaps", "ns-7", ROOT_CERT);
    sleep(Duration::from_secs(1_800)).await;
    api.compact();
    let before = api.requests().len();
    api.come_back();
    let back = Instant::now();
    for number in 0..50 {
        until(&api, &format!("ns-{number}"), "three").await;
    }
    until(&api, "new", "three").await;
    // At most the longest wait of a watch, and after it that of a write.
    assert!(
        back.elapsed() <= Duration::from_secs(121),
        "{:?}",
        back.elapsed()
    );
    sleep(Duration::from_secs(600)).await;
    // A read and a write for each namespace, two lists, and watches that are opened again now and then.
    let requests = api.requests().len() - before;
    assert!(requests <= 2 * 51 + 20, "{requests} requests");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn faults_are_tried_again() {
    let faults = [
        Fault::internal(),
        Fault::too_many_requests(1),
        Fault::CutOff,
        Fault::Stall,
        Fault::forbidden(),
        Fault::Refuse(Refusal::new(409, "the object has been modified")),
    ];
    for verb in [Verb::Get, Verb::Create, Verb::Update] {
        for fault in &faults {
            let (api, client) = api().await;
            api.apply(namespace("new"));
            api.apply(namespace("old"));
            api.apply(config_map("old", ROOT_CERT, ROOT_CERT_KEY, "old"));
            api.fault(On::verb(verb).of("configmaps"), fault.clone(), 3);
            let running = run(&client, "root");
            until(&api, "new", "root").await;
            until(&api, "old", "root").await;
            running.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_cannot_be_written_holds_nobody_up() {
    let (api, client) = api().await;
    api.apply(namespace("a"));
    api.fault(On::verb(Verb::Create).of("configmaps"), Fault::Stall, 1);
    let running = run(&client, "root");
    api.requested(Verb::Create, "configmaps", 1).await;
    let began = Instant::now();
    api.apply(namespace("b"));
    until(&api, "b", "root").await;
    assert!(began.elapsed() < Duration::from_secs(1));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_being_deleted_is_left_alone() {
    let (api, client) = api().await;
    let mut going = namespace("going");
    going["status"] = json!({"phase": "Terminating"});
    api.apply(going);
    let running = run(&client, "root");
    running.set("other root");
    sleep(Duration::from_secs(600)).await;
    assert_eq!(writes(&api), 0);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn discovery_selectors_select() {
    let (api, client) = api().await;
    let mut mesh = namespace("mesh");
    mesh["metadata"]["labels"] = json!({"mesh": "on"});
    api.apply(mesh);
    api.apply(namespace("outside"));
    let running = run(&client, "");
    let selector = Selector {
        match_labels: BTreeMap::from([("mesh".into(), "on".into())]),
        ..Selector::default()
    };
    running.selectors.send_replace(vec![selector]);
    running.set("root");
    until(&api, "mesh", "root").await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(text(&api, "outside"), None);
    // Wrong selectors change nothing.
    let wrong = Expression {
        key: "mesh".into(),
        operator: "Is".into(),
        values: Vec::new(),
    };
    let wrong = Selector {
        match_expressions: vec![wrong],
        ..Selector::default()
    };
    running.selectors.send_replace(vec![wrong]);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(text(&api, "outside"), None);
    let mut joined = namespace("outside");
    joined["metadata"]["labels"] = json!({"mesh": "on"});
    api.apply(joined);
    until(&api, "outside", "root").await;
    // Without selectors all are selected; what is not selected any more keeps what it has.
    api.apply(namespace("late"));
    running.selectors.send_replace(Vec::new());
    until(&api, "late", "root").await;
    api.apply(namespace("mesh"));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(text(&api, "mesh").as_deref(), Some("root"));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_writers_with_different_roots_do_not_flood_the_api_server() {
    let (api, client) = api().await;
    api.apply(namespace("shop"));
    let one = run(&client, "one");
    let two = run(&client, "two");
    sleep(Duration::from_secs(3_600)).await;
    let writes = writes(&api);
    assert!(writes > 10, "both go on: {writes}");
    assert!(writes < 200, "{writes} writes in an hour");
    one.stop().await;
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn names_and_the_namespace_can_be_chosen() {
    let (api, client) = api().await;
    api.apply(namespace("shop"));
    api.apply(namespace("other"));
    let what = Distribution {
        config_map: CRL.into(),
        key: CRL_KEY.into(),
        only_namespace: Some("shop".into()),
    };
    let running = run_for(&client, "list", what);
    let right = |object: Option<&Value>| object.is_some_and(|o| o["data"][CRL_KEY] == "list");
    api.until("configmaps", "shop", CRL, right).await;
    sleep(Duration::from_secs(60)).await;
    assert!(api.get("configmaps", "other", CRL).is_none());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn dropped_watches_repeated_events_and_an_old_version_lose_nothing() {
    let (api, client) = api().await;
    api.apply(namespace("shop"));
    let running = run(&client, "root");
    until(&api, "shop", "root").await;
    api.watched("configmaps", 1).await;
    api.repeat("configmaps", 1);
    api.repeat("namespaces", 1);
    api.break_watches(None);
    api.compact();
    api.fault(On::verb(Verb::Watch), Fault::gone_event(), 4);
    api.delete("configmaps", "shop", ROOT_CERT);
    api.apply(namespace("new"));
    until(&api, "shop", "root").await;
    until(&api, "new", "root").await;
    running.stop().await;
}
