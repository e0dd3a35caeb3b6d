use meltemi_fake_api::{FakeApi, Fault, On, Refusal, Type, Verb};
use serde_json::{Value, json};

use super::*;
use crate::testing::api;

const ENTRIES: &str = "workloadentries.networking.istio.io";
const NAME: &str = "group-10.0.0.1";

struct Place {
    api: FakeApi,
    registrar: Registrar,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Place {
    async fn new(settings: Settings) -> Self {
        let (api, client) = api().await;
        serve(&api);
        api.apply(group());
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let metrics = Registrations::default();
        let registrar = Registrar::new(client, settings, metrics, &tasks, &stop).unwrap();
        Self {
            api,
            registrar,
            tasks,
            stop,
        }
    }

    fn entry(&self) -> Option<Value> {
        self.api.get(ENTRIES, "ns", NAME)
    }

    fn annotation(&self, name: &str) -> Option<String> {
        let entry = self.entry()?;
        let text = entry["metadata"]["annotations"][name].as_str();
        text.map(str::to_owned)
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

pub(crate) fn serve(api: &FakeApi) {
    for (plural, kind) in [
        ("workloadentries", "WorkloadEntry"),
        ("workloadgroups", "WorkloadGroup"),
    ] {
        api.serve(Type {
            status: true,
            ..Type::new("networking.istio.io", &["v1"], plural, kind, true)
        });
    }
}

fn group() -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "WorkloadGroup",
        "metadata": {"name": "group", "namespace": "ns"},
        "spec": {"template": {"serviceAccount": "sa"}},
    })
}

fn settings() -> Settings {
    Settings {
        instance: "us".to_owned(),
        ..Settings::default()
    }
}

fn workload() -> Workload {
    Workload {
        id: "vm.ns".to_owned(),
        namespace: "ns".to_owned(),
        group: "group".to_owned(),
        address: Some("10.0.0.1".to_owned()),
        probed: true,
        identity: Some(Identity {
            namespace: "ns".to_owned(),
            service_account: "sa".to_owned(),
        }),
        ..Workload::default()
    }
}

async fn wait() {
    sleep(Duration::from_secs(1)).await;
}

fn health(entry: &Value) -> (&str, &str) {
    let condition = &entry["status"]["conditions"][0];
    let text = |field: &str| condition[field].as_str().unwrap_or_default();
    (text("status"), text("message"))
}

#[tokio::test(start_paused = true)]
async fn an_entry_comes_and_goes_with_its_workload() {
    let place = Place::new(settings()).await;
    let first = place.registrar.connect(workload()).await.unwrap().unwrap();
    assert_eq!(place.entry().unwrap()["spec"]["serviceAccount"], "sa");
    assert_eq!(
        place.annotation("istio.io/workloadController").as_deref(),
        Some("us")
    );
    assert!(place.annotation("istio.io/connectedAt").is_some());

    first.report(Err("refused".to_owned()));
    wait().await;
    assert_eq!(health(&place.entry().unwrap()), ("False", "refused"));
    first.report(Ok(()));
    wait().await;
    assert_eq!(health(&place.entry().unwrap()), ("True", ""));

    // While one connection of it is left, it is connected.
    let second = place.registrar.connect(workload()).await.unwrap().unwrap();
    drop(first);
    wait().await;
    assert!(place.annotation("istio.io/connectedAt").is_some());

    // It leaves, and comes back within the grace period.
    drop(second);
    wait().await;
    assert!(place.annotation("istio.io/connectedAt").is_none());
    assert!(place.annotation("istio.io/disconnectedAt").is_some());
    sleep(Duration::from_secs(5)).await;
    let third = place.registrar.connect(workload()).await.unwrap().unwrap();
    sleep(Duration::from_secs(60)).await;
    assert!(place.annotation("istio.io/disconnectedAt").is_none());

    // It leaves for good.
    drop(third);
    sleep(Duration::from_secs(9)).await;
    assert!(place.entry().is_some());
    sleep(Duration::from_secs(3)).await;
    assert_eq!(place.entry(), None);
    let metrics = &place.registrar.0.metrics;
    let counts = [
        metrics.made.get(),
        metrics.updates.get(),
        metrics.unregistered.get(),
        metrics.deleted.get(),
        metrics.errors.get(),
    ];
    assert_eq!(counts, [1, 2, 2, 1, 0]);
    place.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_may_not_register_is_told_why() {
    let place = Place::new(settings()).await;
    let identity = |namespace: &str, account: &str| {
        Some(Identity {
            namespace: namespace.to_owned(),
            service_account: account.to_owned(),
        })
    };
    for (workload, says) in [
        (
            Workload {
                group: "none".to_owned(),
                ..workload()
            },
            "cannot find WorkloadGroup ns/none",
        ),
        (
            Workload {
                identity: None,
                ..workload()
            },
            "requires a verified identity",
        ),
        (
            Workload {
                identity: identity("ns", "other"),
                ..workload()
            },
            "service account mismatch",
        ),
        (
            Workload {
                identity: identity("other", "sa"),
                ..workload()
            },
            "namespace mismatch",
        ),
        (
            Workload {
                group: String::new(),
                entry: "none".to_owned(),
                ..workload()
            },
            "WorkloadEntry ns/none is not found",
        ),
    ] {
        let refused = place.registrar.connect(workload).await.unwrap_err();
        assert!(refused.to_string().contains(says), "{refused}");
    }
    assert!(place.api.list(ENTRIES).is_empty());
    assert!(place.registrar.0.connections.lock().is_empty());
    // Who says nothing of groups and entries is a pod, or somebody whom nobody has to know.
    let pod = Workload {
        group: String::new(),
        ..workload()
    };
    assert!(place.registrar.connect(pod).await.unwrap().is_none());
    place.end().await;
}

#[tokio::test(start_paused = true)]
async fn of_an_entry_that_a_user_wrote_only_health_is_ours() {
    let place = Place::new(settings()).await;
    let written = |name: &str, annotations: Value| {
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
            "metadata": {"name": name, "namespace": "ns", "annotations": annotations},
            "spec": {"address": "10.0.0.9", "serviceAccount": "sa"},
        })
    };
    place.api.apply(written(
        "checked",
        json!({"proxy.istio.io/health-checks-enabled": "true"}),
    ));
    place.api.apply(written("plain", json!({})));
    let of = |entry: &str| Workload {
        group: String::new(),
        entry: entry.to_owned(),
        ..workload()
    };
    assert!(
        place
            .registrar
            .connect(of("plain"))
            .await
            .unwrap()
            .is_none()
    );
    let attendance = place
        .registrar
        .connect(of("checked"))
        .await
        .unwrap()
        .unwrap();
    attendance.report(Ok(()));
    wait().await;
    let checked = || place.api.get(ENTRIES, "ns", "checked").unwrap();
    assert_eq!(health(&checked()), ("True", ""));
    drop(attendance);
    sleep(Duration::from_secs(15)).await;
    assert_eq!(checked()["status"]["conditions"], json!([]));
    assert_eq!(checked()["spec"]["address"], "10.0.0.9");
    place.end().await;
}

#[tokio::test(start_paused = true)]
async fn outages_and_faster_writers_change_nothing_in_the_end() {
    let place = Place::new(settings()).await;
    // Somebody else writes between our read and our write.
    let conflict = Fault::Refuse(Refusal::new(409, "the object has been modified"));
    let attendance = place.registrar.connect(workload()).await.unwrap().unwrap();
    place
        .api
        .fault(On::verb(Verb::Update).of(ENTRIES), conflict, 2);
    attendance.report(Ok(()));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(health(&place.entry().unwrap()), ("True", ""));
    // The API server is away while the workload leaves.
    place.api.fault(On::all(), Fault::internal(), 4);
    drop(attendance);
    sleep(Duration::from_secs(120)).await;
    assert_eq!(place.entry(), None);
    // Who connects meanwhile comes again.
    place.api.fault(On::all(), Fault::internal(), 1);
    let refused = place.registrar.connect(workload()).await.unwrap_err();
    assert!(matches!(refused, Refused::Api { .. }), "{refused}");
    assert!(place.registrar.connect(workload()).await.unwrap().is_some());
    place.end().await;
}

#[tokio::test(start_paused = true)]
async fn entries_that_replicas_left_behind_go_too() {
    let place = Place::new(settings()).await;
    let left = |name: &str, annotations: Value| {
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
            "metadata": {"name": name, "namespace": "ns", "annotations": annotations},
            "spec": {"address": "10.0.0.9"},
        })
    };
    let long_ago = "1970-01-01T00:00:00Z";
    place.api.apply(left(
        "left",
        json!({"istio.io/autoRegistrationGroup": "group", "istio.io/disconnectedAt": long_ago}),
    ));
    place.api.apply(left(
        "elsewhere",
        json!({"istio.io/autoRegistrationGroup": "group", "istio.io/connectedAt": long_ago}),
    ));
    sleep(Duration::from_secs(205)).await;
    let names: Vec<_> = place.api.list(ENTRIES);
    let names: Vec<_> = names
        .iter()
        .map(|e| e["metadata"]["name"].as_str())
        .collect();
    assert_eq!(names, [Some("elsewhere")]);
    place.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_that_comes_back_has_its_workloads_again() {
    let place = Place::new(settings()).await;
    let _attendance = place.registrar.connect(workload()).await.unwrap().unwrap();
    place.api.delete(ENTRIES, "ns", NAME);
    place.registrar.group_appeared("ns", "other");
    wait().await;
    assert_eq!(place.entry(), None);
    place.registrar.group_appeared("ns", "group");
    wait().await;
    assert!(place.entry().is_some());
    place.end().await;
}

#[tokio::test]
async fn all_of_it_can_be_switched_off() {
    let (_, client) = api().await;
    let off = Settings {
        auto_registration: false,
        health_checks: false,
        ..settings()
    };
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    assert!(Registrar::new(client, off, Registrations::default(), &tasks, &stop).is_none());
}
