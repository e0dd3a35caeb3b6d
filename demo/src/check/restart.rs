//! The control plane dies and comes back under load: proxies go on without it, and learn nothing new from it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::load::Load;
use super::{Report, Rig, changes, check, eventually};
use crate::wait::until;

/// Envoy's waits between attempts to reconnect grow to 30 s.
const RECONNECT_LIMIT: Duration = Duration::from_secs(90);
const LOAD_LIMIT: Duration = Duration::from_secs(30);
/// So many good answers count as "the load goes on".
const ENOUGH: u64 = 200;

pub(super) async fn run(rig: &Rig, report: &mut Report) {
    check(
        report,
        "kill -9 and restart of the control plane under load lose no request",
        restart(rig),
    )
    .await;
    check(
        report,
        "the reconnect transfers no resource",
        nothing_sent(rig),
    )
    .await;
    check(report, "an edit after the restart takes effect", edit(rig)).await;
}

async fn restart(rig: &Rig) -> Result<String> {
    let proxies = rig.proxies().len();
    let load = Load::start(rig).await?;
    let outcome = async {
        goes_on(&load).await?;
        rig.control_plane.kill().await?;
        goes_on(&load).await.context("without a control plane")?;
        rig.control_plane.start().await?;
        let connected = &rig.site.metrics.connected;
        eventually(RECONNECT_LIMIT, "reconnecting", || async {
            let count = rig
                .control_plane
                .metric(connected)
                .await
                .with_context(|| format!("no metric {connected}"))?;
            if count as usize >= proxies {
                Ok(())
            } else {
                bail!("{count} of {proxies} proxies are connected")
            }
        })
        .await?;
        goes_on(&load).await
    };
    let outcome = outcome.await;
    let sent = load.end().await;
    outcome?;
    Ok(format!(
        "{} requests, all answered 200; {proxies} proxies are back",
        sent?
    ))
}

async fn goes_on(load: &Load) -> Result<()> {
    let wanted = load.good() + ENOUGH;
    let reached = until(LOAD_LIMIT, || async {
        (load.good() >= wanted).then_some(())
    })
    .await;
    reached.with_context(|| {
        format!("the load stands still: no {ENOUGH} answers within {LOAD_LIMIT:?}")
    })
}

async fn nothing_sent(rig: &Rig) -> Result<String> {
    let name = &rig.site.metrics.resources_sent;
    let sent = rig.control_plane.metric(name).await;
    match sent.with_context(|| format!("the control plane has no metric {name}"))? {
        0.0 => {
            let bytes = rig.control_plane.metric(&rig.site.metrics.bytes_sent).await;
            let bytes = bytes.map_or_else(String::new, |bytes| format!(", in {bytes} bytes"));
            Ok(format!("{name} is 0 with all proxies connected{bytes}"))
        }
        sent => bail!("{name} is {sent} after the restart"),
    }
}

/// The proxies hear of what is new.
async fn edit(rig: &Rig) -> Result<String> {
    let seen = changes::edit_is_seen(rig, 1).await;
    rig.delete(changes::ROUTES)?;
    seen.map(|()| "seen in the answers".to_owned())
}
