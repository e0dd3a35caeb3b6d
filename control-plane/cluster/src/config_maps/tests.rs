use std::time::Duration;

use meltemi_fake_api::{Fault, On, Verb};
use tokio::time::sleep;

use super::*;
use crate::testing::{api, config_map};

const NAME: &str = "istio-sidecar-injector";

fn present(key: &str, text: &str) -> State {
    State::Present(Arc::new(BTreeMap::from([(
        key.to_owned(),
        text.to_owned(),
    )])))
}

#[tokio::test(start_paused = true)]
async fn a_config_map_is_followed_through_outages() {
    let (api, client) = api().await;
    api.apply(config_map("other", NAME, "config", "not ours"));
    let (out, mut state) = watch::channel(State::Unknown);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let task = tokio::spawn(async move {
        follow(client, "istio-system", NAME, out, stopped).await;
    });
    state.wait_for(|now| *now == State::Absent).await.unwrap();
    api.apply(config_map("istio-system", NAME, "config", "one"));
    state
        .wait_for(|now| *now == present("config", "one"))
        .await
        .unwrap();
    api.apply(config_map("istio-system", NAME, "config", "two"));
    state
        .wait_for(|now| *now == present("config", "two"))
        .await
        .unwrap();
    api.delete("configmaps", "istio-system", NAME);
    state.wait_for(|now| *now == State::Absent).await.unwrap();
    api.apply(config_map("istio-system", NAME, "config", "three"));
    state
        .wait_for(|now| *now == present("config", "three"))
        .await
        .unwrap();

    state.mark_unchanged();
    api.go_down();
    sleep(Duration::from_secs(3_600)).await;
    assert!(!state.has_changed().unwrap(), "the last one stays");
    api.compact();
    let requests = api.requests().len();
    api.come_back();
    // A list that fails says nothing about what is there.
    api.fault(On::verb(Verb::List), Fault::internal(), 3);
    sleep(Duration::from_secs(300)).await;
    assert!(!state.has_changed().unwrap(), "the same again tells nobody");
    assert!(api.requests().len() - requests < 12);
    api.go_down();
    api.delete("configmaps", "istio-system", NAME);
    api.compact();
    api.come_back();
    state.wait_for(|now| *now == State::Absent).await.unwrap();
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_unusable_changes_nothing() {
    for (before, want) in [
        (None, State::Absent),
        (Some("one"), present("config", "one")),
    ] {
        let (api, client) = api().await;
        let put = |text: &str| api.apply(config_map("istio-system", NAME, "config", text));
        put(before.unwrap_or("bad"));
        let (out, mut state) = watch::channel(State::Unknown);
        let stop = CancellationToken::new();
        let (stopped, name) = (stop.clone(), ("istio-system", NAME));
        let task = tokio::spawn(async move {
            follow_usable(client, name, out, stopped, |data| data["config"] != "bad").await;
        });
        state.wait_for(|now| *now == want).await.unwrap();
        put("bad");
        put("two");
        let seen = state.wait_for(|now| *now != want).await.unwrap().clone();
        assert_eq!(seen, present("config", "two"));
        stop.cancel();
        task.await.unwrap();
    }
}
