//! Everything that this crate does is done once; what came in at the API server must be what the table says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use meltemi_fake_api::{FakeApi, Fault, On, Refusal, Type, Verb};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::leader::{self, Election, locks};
use crate::roots::{Distribution, distribute};
use crate::secrets::{self, Secret};
use crate::statuses::{INGRESSES, Kind, Name, SERVICE_ENTRIES, Seen, Statuses, keep};
use crate::testing::{api, config_map};
use crate::tokens::{self, Token};
use crate::webhooks::{Injection, Validation, patch_injection, patch_validation};
use crate::{
    Client, Metrics, Registrations, access, config_maps, nodes, pods, registration, revisions,
};

const SYSTEM: &str = "istio-system";
const PEM: &str = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";

fn objects(api: &FakeApi) {
    for name in ["new", "old"] {
        api.apply(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    }
    api.apply(config_map(
        "old",
        "istio-ca-root-cert",
        "root-cert.pem",
        "old",
    ));
    for kind in ["Mutating", "Validating"] {
        api.apply(json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": format!("{kind}WebhookConfiguration"),
            "metadata": {"name": "istio", "labels": {"istio.io/rev": "default"}},
            "webhooks": [{"name": "sidecar-injector.istio.io", "failurePolicy": "Ignore", "clientConfig": {}}],
        }));
    }
    api.answer("tokenreviews.authentication.k8s.io", |request| {
        Ok(request.body.clone())
    });
    api.answer("subjectaccessreviews.authorization.k8s.io", |request| {
        Ok(request.body.clone())
    });
    api.answer("gateways.networking.istio.io", |_| {
        Err(Refusal::new(400, "denied the request"))
    });
}

/// Wants every status to say so.
#[derive(Default)]
struct Marks(BTreeMap<Name, bool>);

impl Statuses for Marks {
    type News = ();

    fn seen(&mut self, name: &Name, object: Seen<'_>) -> bool {
        let marked = object.status["marked"] == true;
        self.0.insert(name.clone(), marked);
        true
    }

    fn gone(&mut self, name: &Name) {
        self.0.remove(name);
    }

    fn was_changed(&mut self, _: &Name) {}

    fn wanted(&mut self, (): &()) -> BTreeMap<Name, Value> {
        let unmarked = self.0.iter().filter(|(_, marked)| !**marked);
        unmarked
            .map(|(name, _)| (name.clone(), json!({"marked": true})))
            .collect()
    }
}

/// An object of a kind whose first write meets a conflict, so that it is asked for.
fn contested(api: &FakeApi, kind: Kind) {
    let Kind {
        group,
        version,
        kind,
        plural,
    } = kind;
    let mut served = Type::new(group, &[version], plural, kind, true);
    served.status = true;
    api.serve(served);
    api.apply(json!({
        "apiVersion": format!("{group}/{version}"), "kind": kind, "metadata": {"namespace": "new", "name": "a"},
    }));
    let conflict = Fault::Refuse(Refusal::new(409, "changed"));
    api.fault(On::verb(Verb::Patch).of(plural), conflict, 1);
}

async fn questions(client: &Client) {
    let secret = Secret {
        namespace: SYSTEM.into(),
        name: "istio-ca-secret".into(),
        kind: secrets::CA_ROOT.into(),
        ..Secret::default()
    };
    let secret = secrets::create(client, &secret).await.unwrap();
    secrets::read(client, SYSTEM, "istio-ca-secret")
        .await
        .unwrap();
    secrets::update(client, &secret).await.unwrap();
    let limit = Duration::from_secs(1);
    tokens::review(client, Token("token"), &[], limit)
        .await
        .unwrap();
    access::lists_secrets(client, "user", "new", limit)
        .await
        .unwrap();
    pods::pod(client, "new", "a").await.unwrap();
    pods::of_account_on_node(client, "new", "a", "node")
        .await
        .unwrap();
}

fn work(client: &Client, stop: &CancellationToken) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let (client, stop) = (client.clone(), stop.clone());
    for lock in [locks::NAMESPACES, locks::STATUS] {
        let (client, stop) = (client.clone(), stop.clone());
        let election = Election {
            namespace: SYSTEM.into(),
            lock,
            identity: "us".into(),
            revision: String::new(),
            per_revision: false,
            remote: false,
        };
        tasks.spawn(async move {
            let (_default, receiver) = watch::channel(String::new());
            let work = |token: CancellationToken| async move { token.cancelled().await };
            leader::campaign(&client, &election, receiver, stop, work).await;
        });
    }
    tasks.spawn(nodes::follow(
        client.clone(),
        watch::channel(None).0,
        stop.clone(),
    ));
    tasks.spawn(revisions::follow_default(
        client.clone(),
        watch::channel(String::new()).0,
        stop.clone(),
    ));
    let (map_client, map_stop) = (client.clone(), stop.clone());
    tasks.spawn(async move {
        let out = watch::channel(config_maps::State::Unknown).0;
        config_maps::follow(map_client, SYSTEM, "istio", out, map_stop).await;
    });
    for kind in [SERVICE_ENTRIES, INGRESSES] {
        tasks.spawn(keep(
            client.clone(),
            kind,
            Marks::default(),
            watch::channel(()).1,
            Metrics::default(),
            stop.clone(),
        ));
    }
    let pem = || watch::channel(Arc::from(PEM)).1;
    tasks.spawn(distribute(
        client.clone(),
        Distribution::default(),
        pem(),
        watch::channel(Vec::new()).1,
        Metrics::default(),
        stop.clone(),
    ));
    let injection = Injection {
        revision: String::new(),
        metrics: Metrics::default(),
    };
    tasks.spawn(patch_injection(
        client.clone(),
        injection,
        pem(),
        stop.clone(),
    ));
    let validation = Validation {
        revision: String::new(),
        namespace: SYSTEM.into(),
        metrics: Metrics::default(),
    };
    tasks.spawn(patch_validation(client, validation, pem(), stop));
    tasks
}

async fn registrations(api: &FakeApi, client: &Client, stop: &CancellationToken) {
    registration::tests::serve(api);
    api.apply(json!({
        "apiVersion": "networking.istio.io/v1", "kind": "WorkloadGroup",
        "metadata": {"name": "group", "namespace": "new"},
    }));
    let settings = registration::Settings {
        check_identity: false,
        grace: Duration::from_secs(1),
        ..registration::Settings::default()
    };
    let (metrics, tasks) = (Registrations::default(), TaskTracker::new());
    let registrar =
        registration::Registrar::new(client.clone(), settings, metrics, &tasks, stop).unwrap();
    let workload = registration::Workload {
        namespace: "new".into(),
        group: "group".into(),
        address: Some("10.0.0.1".into()),
        ..registration::Workload::default()
    };
    let attendance = registrar.connect(workload).await.unwrap().unwrap();
    attendance.report(Ok(()));
}

fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "get",
        Verb::List => "list",
        Verb::Watch => "watch",
        Verb::Create => "create",
        Verb::Update => "update",
        Verb::Patch => "patch",
        Verb::Delete => "delete",
    }
}

type Rights = BTreeMap<String, BTreeSet<&'static str>>;

#[tokio::test(start_paused = true)]
async fn the_table_says_what_is_done_and_nothing_else() {
    let (api, client) = api().await;
    objects(&api);
    for kind in [SERVICE_ENTRIES, INGRESSES] {
        contested(&api, kind);
    }
    questions(&client).await;
    let stop = CancellationToken::new();
    let mut tasks = work(&client, &stop);
    registrations(&api, &client, &stop).await;
    sleep(Duration::from_secs(60)).await;
    stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }

    let mut done = Rights::new();
    let mut elsewhere = BTreeSet::new();
    for request in api.requests() {
        if request.namespace != SYSTEM {
            elsewhere.insert(request.resource.clone());
        }
        done.entry(request.resource)
            .or_default()
            .insert(verb(request.verb));
    }
    let mut granted = Rights::new();
    for rule in RULES {
        let resource = match rule.group {
            "" => rule.resource.to_owned(),
            group => match rule.resource.split_once('/') {
                Some((resource, part)) => format!("{resource}.{group}/{part}"),
                None => format!("{}.{group}", rule.resource),
            },
        };
        let is_elsewhere = elsewhere.contains(&resource);
        assert_eq!(rule.scope == Scope::Cluster, is_elsewhere, "{resource}");
        granted.entry(resource).or_default().extend(rule.verbs);
    }
    assert_eq!(done, granted);
}
