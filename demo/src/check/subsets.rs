//! Make before break under a continuous load: subsets come and go with the routes to them, a port changes its name, a
//! VirtualService disappears. No request is lost.

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::load::Load;
use super::{EFFECT_LIMIT, Report, Rig, check, eventually};
use crate::http::Call;

const ROUNDS: usize = 40;
/// What one round changes.
const CHANGES: usize = 5;
const FILE: &str = "check-subsets.yaml";
const MARK: &str = "x-demo-round";
const LIMIT: Duration = Duration::from_secs(180);

pub(super) async fn run(rig: &Rig, report: &mut Report) {
    let count = ROUNDS * CHANGES;
    let name = format!("{count} changes of subsets, routes and ports under load lose no request");
    check(report, &name, changes(rig)).await;
}

async fn changes(rig: &Rig) -> Result<String> {
    let load = Load::start(rig).await?;
    let outcome = tokio::time::timeout(LIMIT, rounds(rig)).await;
    let sent = load.end().await;
    // Whatever happened, the next check finds the manifests as they were.
    let _not_there = rig.delete(FILE);
    rename(rig, "http")?;
    match outcome {
        Ok(done) => done?,
        Err(_) => bail!("the changes are not done after {LIMIT:?}"),
    }
    Ok(format!("{} requests, all answered 200", sent?))
}

async fn rounds(rig: &Rig) -> Result<()> {
    for round in 1..=ROUNDS {
        let (old, new) = (format!("r{}", round - 1), format!("r{round}"));
        // A new subset and the route to it, at once; the old subset stays for a moment, or goes with the route.
        let kept: Vec<&str> = match round % 2 {
            0 => vec![&new, &old],
            _ => vec![&new],
        };
        rig.apply(FILE, &text(&[rule(&kept), routes(&new, round)]))?;
        seen(rig, Some(round)).await?;
        // The old subset goes, as soon as one proxy has left it.
        rig.apply(FILE, &text(&[rule(&[&new]), routes(&new, round)]))?;
        rename(rig, if round % 2 == 0 { "http" } else { "http-web" })?;
        // The VirtualService goes, and the subset that it led to with it.
        rig.delete(FILE)?;
        seen(rig, None).await?;
        rig.apply(FILE, &text(&[rule(&[&new])]))?;
    }
    Ok(())
}

/// Waits until the route of a round answers, or none of them.
async fn seen(rig: &Rig, round: Option<usize>) -> Result<()> {
    let client = rig.agent("details")?;
    let wanted = round.map(|round| round.to_string());
    eventually(EFFECT_LIMIT, "a change of the route", || async {
        let answer = client
            .fetch(Call::get("reviews:9080", "/reviews/0"))
            .await?;
        match answer.header(MARK) {
            mark if mark == wanted.as_deref() => Ok(()),
            other => bail!("{MARK} is {other:?} instead of {wanted:?}"),
        }
    })
    .await
}

fn text(objects: &[Value]) -> String {
    let texts: Vec<String> = objects.iter().map(Value::to_string).collect();
    texts.join("\n---\n")
}

/// Subsets of all versions that have a pod.
fn rule(subsets: &[&str]) -> Value {
    let subsets: Vec<Value> = subsets.iter().map(|name| json!({"name": name})).collect();
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "check-subsets"},
        "spec": {"host": "reviews", "subsets": subsets},
    })
}

fn routes(subset: &str, round: usize) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "check-subsets"},
        "spec": {"hosts": ["reviews"], "http": [{
            "headers": {"response": {"set": {MARK: round.to_string()}}},
            "route": [{"destination": {"host": "reviews", "subset": subset}}],
        }]},
    })
}

fn rename(rig: &Rig, name: &str) -> Result<()> {
    let is_service =
        |object: &Value| object["kind"] == "Service" && object["metadata"]["name"] == "reviews";
    rig.edit(|object| {
        let hit = is_service(object);
        if hit {
            object["spec"]["ports"][0]["name"] = json!(name);
        }
        hit
    })
    .map(drop)
}
