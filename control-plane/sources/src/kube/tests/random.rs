//! Random histories with random faults: at last what was handed on is what the API server has, and nothing else.

use meltemi_fake_api::{FakeApi, Fault, On, Verb};
use proptest::prelude::*;
use serde_json::json;

use super::fixtures::*;

/// One step of a history.
#[derive(Debug, Clone)]
enum Step {
    Apply(usize, u8, u16),
    Delete(usize, u8),
    Break,
    End,
    Compact,
    Outage(bool),
    Fault(usize, usize),
    Hold(usize),
    Deliver(usize, bool),
    Repeat(usize, usize),
    Bookmark(usize),
    Definition(bool),
    Heal,
}

const RESOURCES: [&str; 3] = ["services", "namespaces", "virtualservices"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let resource = 0..RESOURCES.len();
    let step = prop_oneof![
        8 => (resource.clone(), 0..4_u8, 1..5_u16).prop_map(|(r, n, v)| Step::Apply(r, n, v)),
        4 => (resource.clone(), 0..4_u8).prop_map(|(r, n)| Step::Delete(r, n)),
        1 => Just(Step::Break),
        1 => Just(Step::End),
        1 => Just(Step::Compact),
        1 => any::<bool>().prop_map(Step::Outage),
        2 => (0..5_usize, 1..4_usize).prop_map(|(f, n)| Step::Fault(f, n)),
        1 => resource.clone().prop_map(Step::Hold),
        1 => (resource.clone(), any::<bool>()).prop_map(|(r, b)| Step::Deliver(r, b)),
        1 => (resource.clone(), 1..4_usize).prop_map(|(r, n)| Step::Repeat(r, n)),
        1 => resource.prop_map(Step::Bookmark),
        1 => any::<bool>().prop_map(Step::Definition),
        1 => Just(Step::Heal),
    ];
    proptest::collection::vec(step, 1..40)
}

fn take(api: &FakeApi, step: &Step) {
    let served = |r: &usize| *r != 2 || api.serves("virtualservices");
    match step {
        Step::Apply(r, n, v) if served(r) => {
            let name = format!("o{n}");
            api.apply(match r {
                0 => service(&name, *v),
                1 => {
                    let mut object = namespace(&name);
                    object["metadata"]["labels"] = json!({"v": v.to_string()});
                    object
                }
                _ => virtual_service(&name, &format!("host{v}")),
            });
        }
        Step::Delete(r, n) if served(r) => {
            let namespace = if *r == 1 { "" } else { "shop" };
            api.delete(RESOURCES[*r], namespace, &format!("o{n}"));
        }
        Step::Break => api.break_watches(None),
        Step::End => api.end_watches(None),
        Step::Compact => api.compact(),
        Step::Outage(true) => api.go_down(),
        Step::Outage(false) => api.come_back(),
        Step::Fault(which, times) => {
            let fault = match which {
                0 => Fault::gone(),
                1 => Fault::gone_event(),
                2 => Fault::internal(),
                3 => Fault::CutOff,
                _ => Fault::Stall,
            };
            api.fault(On::verb(Verb::Watch), fault.clone(), *times);
            api.fault(On::verb(Verb::List), fault, *times);
        }
        Step::Hold(r) if served(r) => api.hold(RESOURCES[*r]),
        Step::Deliver(r, false) if served(r) => api.deliver(RESOURCES[*r]),
        Step::Deliver(r, true) if served(r) => api.deliver_reversed(RESOURCES[*r]),
        Step::Repeat(r, n) if served(r) => api.repeat(RESOURCES[*r], *n),
        Step::Bookmark(r) if served(r) => api.bookmark(RESOURCES[*r]),
        Step::Definition(true) => api.install(&istio_type("virtualservices")),
        Step::Definition(false) if served(&2) => api.uninstall("virtualservices"),
        Step::Heal => api.heal(),
        _ => {}
    }
}

async fn run(steps: &[Step], streaming: bool) {
    let api = api().await;
    api.streaming_lists(streaming);
    let mut source = Source::of(&api);
    for (at, step) in steps.iter().enumerate() {
        take(&api, step);
        // Sometimes the source keeps pace, sometimes it sees many steps at once.
        if at % 3 == 0 {
            tokio::task::yield_now().await;
        }
    }
    api.come_back();
    api.heal();
    for resource in RESOURCES {
        if api.serves(resource) {
            api.deliver(resource);
        }
    }
    source.until(|s| s.synced).await;
    source.converges(&api).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_lost(steps in steps(), streaming in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(run(&steps, streaming));
    }
}
