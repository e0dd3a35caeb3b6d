//! Webhook configurations against the fake API server, with a clock that runs ahead.

use meltemi_fake_api::{FakeApi, Fault, On, Refusal, Type, Verb};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::*;
use crate::metrics::{Metrics, NameLabel, NameReasonLabel};
use crate::testing::api;

const MUTATING: &str = "mutatingwebhookconfigurations";
const VALIDATING: &str = "validatingwebhookconfigurations";
const INJECTOR: &str = "istio-sidecar-injector";
const VALIDATOR: &str = "istio-validator-istio-system";
const DEFAULT_VALIDATOR: &str = "istiod-default-validator";

/// A bundle: base64 of a SEQUENCE with one small number.
fn bundle(number: u8) -> Arc<str> {
    let der = serde_json::to_value(k8s_openapi::ByteString(vec![0x30, 3, 2, 1, number])).unwrap();
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        der.as_str().unwrap()
    );
    pem.into()
}

fn encoded(number: u8) -> Value {
    super::bundle::encoded(&bundle(number)).unwrap()
}

struct Running {
    bundle: watch::Sender<Arc<str>>,
    metrics: Metrics,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    fn failures(&self, name: &str, reason: &'static str) -> u64 {
        let label = NameReasonLabel {
            name: name.into(),
            reason,
        };
        self.metrics.patch_failures.get_or_create(&label).get()
    }
}

fn inject(client: &Client, revision: &str, first: Arc<str>) -> Running {
    let (bundle, receiver) = watch::channel(first);
    let (metrics, stop) = (Metrics::default(), CancellationToken::new());
    let what = Injection {
        revision: revision.into(),
        metrics: metrics.clone(),
    };
    let task = tokio::spawn(patch_injection(
        client.clone(),
        what,
        receiver,
        stop.clone(),
    ));
    Running {
        bundle,
        metrics,
        stop,
        task,
    }
}

fn validate(client: &Client, first: Arc<str>) -> Running {
    let (bundle, receiver) = watch::channel(first);
    let (metrics, stop) = (Metrics::default(), CancellationToken::new());
    let what = Validation {
        revision: String::new(),
        namespace: "istio-system".into(),
        metrics: metrics.clone(),
    };
    let task = tokio::spawn(patch_validation(
        client.clone(),
        what,
        receiver,
        stop.clone(),
    ));
    Running {
        bundle,
        metrics,
        stop,
        task,
    }
}

fn mutating(name: &str, revision: &str, webhooks: &[&str]) -> Value {
    let webhook = |name: &&str| {
        json!({
            "name": name,
            "clientConfig": {"service": {"name": "istiod", "namespace": "istio-system", "path": "/inject"}},
            "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "aFieldOfTheFuture": {"kept": true},
        })
    };
    let webhooks: Vec<_> = webhooks.iter().map(webhook).collect();
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name, "labels": {"istio.io/rev": revision}},
        "webhooks": webhooks,
    })
}

fn validating(name: &str, policy: &str) -> Value {
    let mut object = mutating(name, "default", &["rev.validation.istio.io"]);
    object["kind"] = json!("ValidatingWebhookConfiguration");
    object["webhooks"][0]["failurePolicy"] = json!(policy);
    object
}

fn bundle_of(object: &Value, number: usize) -> &Value {
    &object["webhooks"][number]["clientConfig"]["caBundle"]
}

async fn until_bundle(api: &FakeApi, resource: &str, name: &str, number: u8) {
    let wanted = encoded(number);
    let right = |object: Option<&Value>| object.is_some_and(|o| *bundle_of(o, 0) == wanted);
    api.until(resource, "", name, right).await;
}

async fn until_policy(api: &FakeApi, name: &str, policy: &str) {
    let right = |object: Option<&Value>| {
        object.is_some_and(|o| o["webhooks"][0]["failurePolicy"] == policy)
    };
    api.until(VALIDATING, "", name, right).await;
}

/// Validation as the API server shows it: refused by the webhook if `works`.
fn gateways(api: &FakeApi, works: bool) {
    api.answer("gateways.networking.istio.io", move |request| {
        assert_eq!(request.query["dryRun"], "All");
        let metadata = &request.body["metadata"];
        assert_eq!(metadata["labels"]["istio.io/rev"], "default");
        assert_eq!(metadata["annotations"][ALWAYS_REJECT], "true");
        if works {
            let text =
                "admission webhook \"rev.validation.istio.io\" denied the request: rejecting";
            Err(Refusal::new(400, text))
        } else {
            Ok(request.body.clone())
        }
    });
}

#[tokio::test(start_paused = true)]
async fn our_injection_webhooks_have_the_bundle_and_nothing_else_changes() {
    let (api, client) = api().await;
    let names = [
        "rev.namespace.sidecar-injector.istio.io",
        "other.example.com",
    ];
    api.apply(mutating(INJECTOR, "default", &names));
    api.apply(mutating("istio-sidecar-injector-canary", "canary", &names));
    api.apply(mutating(
        "no-webhook-of-ours",
        "default",
        &["other.example.com"],
    ));
    let running = inject(&client, "", bundle(1));
    until_bundle(&api, MUTATING, INJECTOR, 1).await;
    let object = api.get(MUTATING, "", INJECTOR).unwrap();
    assert_eq!(*bundle_of(&object, 1), Value::Null);
    assert_eq!(
        object["webhooks"][0]["aFieldOfTheFuture"],
        json!({"kept": true})
    );
    assert_eq!(
        object["webhooks"][0]["clientConfig"]["service"]["path"],
        "/inject"
    );

    running.bundle.send_replace(bundle(2));
    until_bundle(&api, MUTATING, INJECTOR, 2).await;
    // A chart is upgraded: the bundle is gone.
    api.apply(mutating(INJECTOR, "default", &names));
    until_bundle(&api, MUTATING, INJECTOR, 2).await;
    api.apply(mutating("istio-revision-tag-prod", "default", &names));
    until_bundle(&api, MUTATING, "istio-revision-tag-prod", 2).await;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(api.count(Verb::Update, MUTATING), 4);
    let canary = api
        .get(MUTATING, "", "istio-sidecar-injector-canary")
        .unwrap();
    assert_eq!(*bundle_of(&canary, 0), Value::Null);
    let label = NameLabel {
        name: "sidecar-injector.istio.io".into(),
    };
    assert_eq!(
        running.metrics.patch_attempts.get_or_create(&label).get(),
        4
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_bundle_without_certificates_is_not_written() {
    let (api, client) = api().await;
    api.apply(mutating(
        INJECTOR,
        "default",
        &["sidecar-injector.istio.io"],
    ));
    let mut there = validating(VALIDATOR, "Fail");
    there["webhooks"][0]["clientConfig"]["caBundle"] = encoded(7);
    api.apply(there);
    let injection = inject(&client, "default", Arc::from(""));
    let validation = validate(&client, Arc::from("no certificate"));
    sleep(Duration::from_secs(600)).await;
    assert_eq!(
        api.count(Verb::Update, MUTATING) + api.count(Verb::Update, VALIDATING),
        0
    );
    assert_eq!(injection.failures(INJECTOR, "load_ca_bundle_failure"), 1);
    injection.bundle.send_replace(bundle(1));
    validation.bundle.send_replace(bundle(1));
    until_bundle(&api, MUTATING, INJECTOR, 1).await;
    until_bundle(&api, VALIDATING, VALIDATOR, 1).await;
    injection.stop().await;
    validation.stop().await;
}

#[tokio::test(start_paused = true)]
async fn conflicts_faults_and_outages_are_tried_again() {
    let faults = [
        Fault::internal(),
        Fault::too_many_requests(1),
        Fault::CutOff,
        Fault::Stall,
        Fault::forbidden(),
        Fault::Refuse(Refusal::new(409, "the object has been modified")),
    ];
    for verb in [Verb::Get, Verb::Update, Verb::List, Verb::Watch] {
        for fault in &faults {
            let (api, client) = api().await;
            api.apply(mutating(
                INJECTOR,
                "default",
                &["sidecar-injector.istio.io"],
            ));
            // A list that stalls has no limit of its own.
            let times = if matches!(fault, Fault::Stall) && verb == Verb::List {
                0
            } else {
                3
            };
            api.fault(On::verb(verb).of(MUTATING), fault.clone(), times);
            let running = inject(&client, "", bundle(1));
            until_bundle(&api, MUTATING, INJECTOR, 1).await;
            running.stop().await;
        }
    }
    let (api, client) = api().await;
    api.apply(mutating(
        INJECTOR,
        "default",
        &["sidecar-injector.istio.io"],
    ));
    let running = inject(&client, "", bundle(1));
    until_bundle(&api, MUTATING, INJECTOR, 1).await;
    api.go_down();
    running.bundle.send_replace(bundle(2));
    sleep(Duration::from_secs(3_600)).await;
    api.compact();
    let before = api.requests().len();
    api.come_back();
    until_bundle(&api, MUTATING, INJECTOR, 2).await;
    assert!(api.requests().len() - before < 12);
    assert!(running.failures(INJECTOR, "webhook_update_failure") > 3);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn replicas_agree_and_strangers_do_not_flood() {
    let (api, client) = api().await;
    api.apply(mutating(
        INJECTOR,
        "default",
        &["sidecar-injector.istio.io"],
    ));
    let one = inject(&client, "", bundle(1));
    let replica = inject(&client, "", bundle(1));
    until_bundle(&api, MUTATING, INJECTOR, 1).await;
    sleep(Duration::from_secs(600)).await;
    assert!(
        api.count(Verb::Update, MUTATING) <= 2,
        "a write, and perhaps a conflict"
    );
    let stranger = inject(&client, "", bundle(2));
    sleep(Duration::from_secs(3_600)).await;
    let writes = api.count(Verb::Update, MUTATING);
    assert!(writes > 10, "{writes}");
    assert!(writes < 300, "{writes} writes in an hour");
    one.stop().await;
    replica.stop().await;
    stranger.stop().await;
}

#[tokio::test(start_paused = true)]
async fn validation_becomes_strict_when_it_works() {
    let (api, client) = api().await;
    gateways(&api, false);
    api.apply(validating(VALIDATOR, "Ignore"));
    api.apply(validating(DEFAULT_VALIDATOR, "Ignore"));
    let running = validate(&client, bundle(1));
    until_bundle(&api, VALIDATING, VALIDATOR, 1).await;
    until_bundle(&api, VALIDATING, DEFAULT_VALIDATOR, 1).await;
    sleep(Duration::from_secs(3_600)).await;
    let object = api.get(VALIDATING, "", VALIDATOR).unwrap();
    assert_eq!(
        object["webhooks"][0]["failurePolicy"], "Ignore",
        "nothing was refused"
    );
    let tried = api.count(Verb::Create, "gateways");
    assert!(
        (100..400).contains(&tried),
        "about once a minute for each: {tried}"
    );
    assert_eq!(api.count(Verb::Update, VALIDATING), 2);

    gateways(&api, true);
    let began = Instant::now();
    until_policy(&api, VALIDATOR, "Fail").await;
    until_policy(&api, DEFAULT_VALIDATOR, "Fail").await;
    assert!(began.elapsed() <= Duration::from_secs(60));
    // Once is enough: what a chart makes lax again becomes strict at once.
    let tried = api.count(Verb::Create, "gateways");
    gateways(&api, false);
    api.apply(validating(VALIDATOR, "Ignore"));
    until_policy(&api, VALIDATOR, "Fail").await;
    until_bundle(&api, VALIDATING, VALIDATOR, 1).await;
    assert_eq!(api.count(Verb::Create, "gateways"), tried);
    assert_eq!(running.metrics.validation_updates.get(), 5);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_strict_is_not_tried_out() {
    let (api, client) = api().await;
    gateways(&api, false);
    api.apply(validating(VALIDATOR, "Fail"));
    let running = validate(&client, bundle(1));
    until_bundle(&api, VALIDATING, VALIDATOR, 1).await;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(api.count(Verb::Create, "gateways"), 0);
    assert_eq!(api.count(Verb::Update, VALIDATING), 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_gateways_validation_is_taken_to_work() {
    // The kind is not served at all, as on a cluster without our CRDs.
    let (api, client) = api().await;
    api.apply(validating(VALIDATOR, "Ignore"));
    let running = validate(&client, bundle(1));
    until_policy(&api, VALIDATOR, "Fail").await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn other_refusals_do_not_prove_that_validation_works() {
    let refusals = [
        Refusal::new(403, "gateways is forbidden"),
        Refusal::new(404, "namespaces \"istio-system\" not found"),
        Refusal::new(500, "failed calling webhook: connection refused"),
        Refusal::new(422, "spec.servers: Required value"),
    ];
    for refusal in refusals {
        let (api, client) = api().await;
        api.serve(Type::new(
            "networking.istio.io",
            &["v1"],
            "gateways",
            "Gateway",
            true,
        ));
        api.fault(
            On::verb(Verb::Create).of("gateways"),
            Fault::Refuse(refusal.clone()),
            usize::MAX,
        );
        api.apply(validating(VALIDATOR, "Ignore"));
        let running = validate(&client, bundle(1));
        until_bundle(&api, VALIDATING, VALIDATOR, 1).await;
        sleep(Duration::from_secs(300)).await;
        let object = api.get(VALIDATING, "", VALIDATOR).unwrap();
        assert_eq!(
            object["webhooks"][0]["failurePolicy"], "Ignore",
            "{refusal:?}"
        );
        running.stop().await;
    }
}
