//! Routing edits and endpoint changes under a continuous load: no request is lost.

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::json;

use super::load::Load;
use super::{EFFECT_LIMIT, Report, Rig, check, eventually};
use crate::http::Call;

const EDITS: usize = 50;
/// Pods that come and go: each round adds this many to reviews-v1 and takes them away.
const WAVE: u64 = 5;
const ROUNDS: usize = 2;
pub(super) const ROUTES: &str = "check-routes.yaml";
const MARK: &str = "x-demo-edit";
/// The load ends with the changes; this is the limit for all of them.
const LIMIT: Duration = Duration::from_secs(90);
const WAVE_LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn run(rig: &Rig, report: &mut Report) {
    let endpoint_changes = 2 * ROUNDS * usize::try_from(WAVE).unwrap_or_default();
    let name = format!(
        "{EDITS} routing edits and {endpoint_changes} endpoint changes under load lose no request"
    );
    check(report, &name, changes(rig)).await;
}

async fn changes(rig: &Rig) -> Result<String> {
    let load = Load::start(rig).await?;
    let both = async { tokio::try_join!(edits(rig), waves(rig)) };
    let outcome = tokio::time::timeout(LIMIT, both).await;
    let sent = load.end().await;
    // Whatever happened, the next check finds the manifests as they were.
    let _not_there = rig.delete(ROUTES);
    scale(rig, 1)?;
    match outcome {
        Ok(done) => done.map(drop)?,
        Err(_) => bail!("the changes are not done after {LIMIT:?}"),
    }
    Ok(format!("{} requests, all answered 200", sent?))
}

async fn edits(rig: &Rig) -> Result<()> {
    for number in 1..=EDITS {
        edit_is_seen(rig, number).await?;
    }
    Ok(())
}

/// One edit, awaited by a header that its route sets.
pub(super) async fn edit_is_seen(rig: &Rig, number: usize) -> Result<()> {
    let client = rig.agent("details")?;
    rig.apply(ROUTES, &routes(number))?;
    let wanted = number.to_string();
    eventually(EFFECT_LIMIT, "a routing edit", || async {
        let answer = client
            .fetch(Call::get("reviews:9080", "/reviews/0"))
            .await?;
        match answer.header(MARK) {
            Some(mark) if mark == wanted => Ok(()),
            other => bail!("{MARK} is {other:?} instead of {wanted}"),
        }
    })
    .await
}

fn routes(number: usize) -> String {
    let share = number % 5 * 20;
    let destination = |subset: &str, weight: usize| json!({"destination": {"host": "reviews", "subset": subset}, "weight": weight});
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "reviews"},
        "spec": {"hosts": ["reviews"], "http": [{
            "headers": {"response": {"set": {MARK: number.to_string()}}},
            "route": [destination("v1", 100 - share), destination("v3", share)],
        }]},
    })
    .to_string()
}

async fn waves(rig: &Rig) -> Result<()> {
    for _ in 0..ROUNDS {
        for replicas in [1 + WAVE, 1] {
            scale(rig, replicas)?;
            // Versions 2 and 3 have a pod each.
            let count = usize::try_from(replicas)? + 2;
            rig.settled_with("app", "reviews", count, WAVE_LIMIT)
                .await?;
        }
    }
    Ok(())
}

fn scale(rig: &Rig, replicas: u64) -> Result<()> {
    rig.edit(|object| {
        let hit = object["kind"] == "Deployment" && object["metadata"]["name"] == "reviews-v1";
        if hit {
            object["spec"]["replicas"] = json!(replicas);
        }
        hit
    })
    .map(drop)
}
