//! Elections against the fake API server, with a clock that runs ahead.

use meltemi_fake_api::{Fault, On, Verb};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;
use crate::testing::{api, config_map};

const NAME: &str = "istio-namespace-controller-election";
const SYSTEM: &str = "istio-system";
const ANNOTATION: &str = "control-plane.alpha.kubernetes.io/leader";

/// Somebody began or ended to lead, so long after the start.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    who: &'static str,
    leads: bool,
    after: Duration,
}

/// What happened so far.
#[derive(Clone)]
struct Log {
    start: Instant,
    entries: watch::Sender<Vec<Entry>>,
}

impl Log {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            entries: watch::Sender::new(Vec::new()),
        }
    }

    fn add(&self, who: &'static str, leads: bool) {
        let after = self.start.elapsed();
        self.entries
            .send_modify(|log| log.push(Entry { who, leads, after }));
    }

    fn count(&self) -> usize {
        self.entries.borrow().len()
    }

    /// Waits for so many entries; the last one.
    async fn entry(&self, number: usize) -> Entry {
        let mut entries = self.entries.subscribe();
        let log = entries.wait_for(|log| log.len() >= number).await.unwrap();
        log[number - 1].clone()
    }

    /// At no time did two lead.
    fn assert_one_at_a_time(&self) {
        let log = self.entries.borrow();
        let mut leaders = Vec::new();
        for entry in log.iter() {
            if entry.leads {
                assert!(leaders.is_empty(), "two lead: {log:?}");
                leaders.push(entry.who);
            } else {
                leaders.retain(|who| *who != entry.who);
            }
        }
    }
}

/// Says that the work has ended, however it did.
struct Working(Log, &'static str);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.add(self.1, false);
    }
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn election(identity: &str, revision: &str) -> Election {
    Election {
        namespace: SYSTEM.into(),
        lock: locks::NAMESPACES,
        identity: identity.into(),
        revision: revision.into(),
        per_revision: false,
        remote: false,
    }
}

fn stand(
    client: &Client,
    election: Election,
    default: &watch::Sender<String>,
    log: &Log,
) -> Running {
    let (client, default, log) = (client.clone(), default.subscribe(), log.clone());
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let who: &'static str = election.identity.clone().leak();
    let task = tokio::spawn(async move {
        let work = |token: CancellationToken| {
            log.add(who, true);
            let working = Working(log.clone(), who);
            async move {
                token.cancelled().await;
                drop(working);
            }
        };
        campaign(&client, &election, default, stopped, work).await;
    });
    Running { stop, task }
}

fn record(api: &meltemi_fake_api::FakeApi) -> Value {
    let lock = api.get("configmaps", SYSTEM, NAME).unwrap();
    let text = lock["metadata"]["annotations"][ANNOTATION]
        .as_str()
        .unwrap();
    serde_json::from_str(text).unwrap()
}

/// A lock as an istiod holds it.
fn held_by_istiod(key: &str) -> Value {
    let record = json!({
        "holderIdentity": "istiod-7c", "holderKey": key, "leaseDurationSeconds": 30,
        "acquireTime": "2026-08-27T12:45:20Z", "renewTime": "2026-08-27T12:46:20Z", "leaderTransitions": 4,
    });
    let mut lock = config_map(SYSTEM, NAME, "note", "stays");
    lock["metadata"]["annotations"] = json!({ANNOTATION: record.to_string(), "other": "stays"});
    lock
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_the_next_follows_at_once() {
    let (api, client) = api().await;
    let (default, log) = (watch::Sender::new(String::new()), Log::new());
    let a = stand(&client, election("a", ""), &default, &log);
    assert_eq!(log.entry(1).await.who, "a");
    let b = stand(&client, election("b", ""), &default, &log);
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(log.count(), 1, "a leads as long as it lives");
    assert_eq!(record(&api)["holderIdentity"], "a");
    assert_eq!(record(&api)["holderKey"], "default");
    let stopped = log.start.elapsed();
    a.stop().await;
    assert_eq!(record(&api)["holderIdentity"], "", "given back");
    let next = log.entry(3).await;
    assert_eq!((next.who, next.leads), ("b", true));
    assert!(next.after - stopped <= RETRY.mul_f32(1.2), "{next:?}");
    assert_eq!(record(&api)["leaderTransitions"], 1);
    b.stop().await;
    log.assert_one_at_a_time();
}

#[tokio::test(start_paused = true)]
async fn a_leader_steps_down_before_another_can_lead() {
    let (api, client) = api().await;
    let (default, log) = (watch::Sender::new(String::new()), Log::new());
    let a = stand(&client, election("a", ""), &default, &log);
    log.entry(1).await;
    let b = stand(&client, election("b", ""), &default, &log);
    sleep(Duration::from_secs(100)).await;
    api.go_down();
    let down = log.start.elapsed();
    let ended = log.entry(2).await;
    assert_eq!((ended.who, ended.leads), ("a", false));
    let went_on = ended.after - down;
    assert!(
        went_on <= RENEW_DEADLINE && went_on >= RENEW_DEADLINE - RETRY,
        "{went_on:?}"
    );
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(log.count(), 2, "nobody leads without the API server");
    let requests = api.requests().len();
    api.come_back();
    let again = log.entry(3).await;
    assert!(again.leads);
    assert!(api.requests().len() - requests < 10);
    a.stop().await;
    b.stop().await;
    log.assert_one_at_a_time();
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_write_steps_down_and_the_other_waits_for_the_lease() {
    let (api, client) = api().await;
    let (default, log) = (watch::Sender::new(String::new()), Log::new());
    let a = stand(&client, election("a", ""), &default, &log);
    log.entry(1).await;
    let b = stand(&client, election("b", ""), &default, &log);
    sleep(Duration::from_secs(100)).await;
    // Both can read, nobody can write: b would take the lock as soon as it may.
    api.fault(On::verb(Verb::Update), Fault::internal(), usize::MAX);
    let ended = log.entry(2).await;
    assert_eq!((ended.who, ended.leads), ("a", false));
    api.heal();
    log.entry(3).await;
    a.stop().await;
    b.stop().await;
    log.assert_one_at_a_time();
}

#[tokio::test(start_paused = true)]
async fn a_dead_holder_is_followed_after_the_lease() {
    let (api, client) = api().await;
    api.apply(held_by_istiod("default"));
    let (default, log) = (watch::Sender::new("default".to_owned()), Log::new());
    let a = stand(&client, election("a", ""), &default, &log);
    let began = log.entry(1).await;
    assert!(began.after >= LEASE, "{began:?}");
    assert!(began.after <= LEASE + RETRY.mul_f32(1.3), "{began:?}");
    let lock = api.get("configmaps", SYSTEM, NAME).unwrap();
    assert_eq!(lock["data"]["note"], "stays");
    assert_eq!(lock["metadata"]["annotations"]["other"], "stays");
    assert_eq!(record(&api)["leaderTransitions"], 5);
    a.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_default_revision_takes_over_and_waits_until_the_other_has_noticed() {
    let (api, client) = api().await;
    let (default, log) = (watch::Sender::new("default".to_owned()), Log::new());
    let canary = stand(&client, election("canary-1", "canary"), &default, &log);
    log.entry(1).await;
    let ours = stand(&client, election("a", ""), &default, &log);
    let ended = log.entry(2).await;
    assert_eq!((ended.who, ended.leads), ("canary-1", false));
    assert!(
        ended.after <= RETRY + Duration::from_secs(1),
        "noticed at its renewal: {ended:?}"
    );
    assert_eq!(record(&api)["holderIdentity"], "a");
    let began = log.entry(3).await;
    assert_eq!((began.who, began.leads), ("a", true));
    assert!(
        began.after >= LEASE,
        "an istiod would have needed as long: {began:?}"
    );
    sleep(Duration::from_secs(600)).await;
    assert_eq!(log.count(), 3, "the other does not take it back");
    // The tag moves, and with it the lock.
    default.send_replace("canary".into());
    let back = log.entry(5).await;
    assert_eq!((back.who, back.leads), ("canary-1", true));
    canary.stop().await;
    ours.stop().await;
    log.assert_one_at_a_time();
}

#[tokio::test(start_paused = true)]
async fn work_that_does_not_end_is_dropped() {
    let (api, client) = api().await;
    let log = Log::new();
    let default = watch::Sender::new(String::new());
    let stop = CancellationToken::new();
    let (task_log, task_stop, receiver) = (log.clone(), stop.clone(), default.subscribe());
    let task = tokio::spawn(async move {
        let work = |_| {
            task_log.add("a", true);
            let working = Working(task_log.clone(), "a");
            async move {
                let _working = working;
                std::future::pending::<()>().await;
            }
        };
        campaign(&client, &election("a", ""), receiver, task_stop, work).await;
    });
    log.entry(1).await;
    api.go_down();
    let ended = log.entry(2).await;
    assert!(ended.after < LEASE, "{ended:?}");
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn work_that_ends_or_panics_gives_the_lock_back_and_is_begun_again() {
    let (api, client) = api().await;
    let log = Log::new();
    let default = watch::Sender::new(String::new());
    let stop = CancellationToken::new();
    let (task_log, task_stop, receiver) = (log.clone(), stop.clone(), default.subscribe());
    let task = tokio::spawn(async move {
        let work = |_| {
            task_log.add("a", true);
            let number = task_log.count();
            async move {
                assert!(number != 1, "the first one panics");
            }
        };
        campaign(&client, &election("a", ""), receiver, task_stop, work).await;
    });
    let third = log.entry(3).await;
    assert!(third.after >= RETRY, "not in a hurry: {third:?}");
    stop.cancel();
    task.await.unwrap();
    assert_eq!(record(&api)["holderIdentity"], "");
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_deleted_is_made_again_and_an_unreadable_one_waits() {
    let (api, client) = api().await;
    let mut broken = held_by_istiod("default");
    broken["metadata"]["annotations"][ANNOTATION] = json!("{");
    api.apply(broken);
    let (default, log) = (watch::Sender::new(String::new()), Log::new());
    let a = stand(&client, election("a", ""), &default, &log);
    let began = log.entry(1).await;
    assert!(began.after >= LEASE, "{began:?}");
    api.delete("configmaps", SYSTEM, NAME);
    sleep(RETRY * 2).await;
    assert_eq!(record(&api)["holderIdentity"], "a");
    assert_eq!(log.count(), 1, "it leads on");
    a.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_has_istiods_form() {
    let (api, client) = api().await;
    let (default, log) = (watch::Sender::new(String::new()), Log::new());
    let status = Election {
        lock: locks::STATUS,
        ..election("a", "canary")
    };
    let deployment = Election {
        lock: locks::GATEWAY_DEPLOYMENT,
        per_revision: true,
        ..election("b", "canary")
    };
    let a = stand(&client, status, &default, &log);
    log.entry(1).await;
    let b = stand(&client, deployment, &default, &log);
    log.entry(2).await;
    sleep(Duration::from_secs(60)).await;
    let lease = api.get("leases", SYSTEM, "istio-status-leader").unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "a");
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 30);
    assert_eq!(lease["spec"]["leaseTransitions"], 0);
    assert_eq!(
        lease["metadata"]["annotations"]["leader.istio.io/holder-key"],
        "canary"
    );
    let lease = api
        .get("leases", SYSTEM, "istio-gateway-deployment-canary")
        .unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "b");
    assert_eq!(
        lease["metadata"]["annotations"]["leader.istio.io/holder-key"],
        Value::Null
    );
    a.stop().await;
    b.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_arrived_without_an_answer_is_not_a_loss() {
    let (api, client) = api().await;
    let (default, log) = (watch::Sender::new(String::new()), Log::new());
    let a = stand(&client, election("a", ""), &default, &log);
    log.entry(1).await;
    for _ in 0..20 {
        // The answer to the next write is late: it times out, is stored afterwards, and the version is not ours.
        let writes = api.count(Verb::Update, "configmaps");
        api.fault(On::verb(Verb::Update), Fault::Stall, 1);
        api.requested(Verb::Update, "configmaps", writes + 1).await;
        sleep(REQUEST).await;
        api.heal();
        sleep(RETRY * 2).await;
    }
    assert_eq!(log.count(), 1, "it leads on");
    a.stop().await;
}
