//! Workloads outside Kubernetes that connect: who they are, as xDS tells it, for who keeps their entries.

use std::sync::Arc;
use std::time::Duration;

use meltemi_ca::identity::Identity;
use meltemi_cluster::registration::{self, Refused, Registrar, Settings, Workload};
use meltemi_cluster::{Client, Registrations};
use meltemi_model::ObjectKey;
use meltemi_model::proxy::Proxy;
use meltemi_model::workload::WorkloadGroup;
use meltemi_world::store::Table;
use meltemi_xds::server::Attendance;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;

use crate::engine::Engine;
use crate::settings::Cluster;

/// Starts who keeps their entries, and tells it of WorkloadGroups that appear. `None`: it is switched off.
pub(super) fn start(
    client: &Client,
    cluster: &Cluster,
    engine: &Arc<Engine>,
    max_connection_age: Option<Duration>,
    metrics: Registrations,
    (tasks, stop): (&TaskTracker, &CancellationToken),
) -> anyhow::Result<Option<Registrar>> {
    let variables = &cluster.variables;
    let defaults = Settings::default();
    let grace = variables.duration("PILOT_WORKLOAD_ENTRY_GRACE_PERIOD")?;
    let settings = Settings {
        instance: cluster.pod.clone(),
        auto_registration: variables.switch(
            "PILOT_ENABLE_WORKLOAD_ENTRY_AUTOREGISTRATION",
            defaults.auto_registration,
        )?,
        health_checks: variables.switch(
            "PILOT_ENABLE_WORKLOAD_ENTRY_HEALTHCHECKS",
            defaults.health_checks,
        )?,
        check_identity: variables.switch(
            "ISTIO_WORKLOAD_ENTRY_VALIDATE_IDENTITY",
            defaults.check_identity,
        )?,
        grace: grace.unwrap_or(defaults.grace),
        max_connection_age,
    };
    let registrar = Registrar::new(client.clone(), settings, metrics, tasks, stop);
    if let Some(registrar) = &registrar {
        let (told, engine, until) = (registrar.clone(), Arc::clone(engine), stop.clone());
        tasks.spawn(async move {
            until.run_until_cancelled(follow(&engine, &told)).await;
        });
    }
    Ok(registrar)
}

/// Tells of every WorkloadGroup that appears.
async fn follow(engine: &Engine, registrar: &Registrar) {
    let mut batches = engine.told();
    let mut known = engine.world().store.workload_groups.clone();
    while batches.changed().await.is_ok() {
        let now = engine.world().store.workload_groups.clone();
        for key in appeared(&known, &now) {
            registrar.group_appeared(&key.namespace, &key.name);
        }
        known = now;
    }
}

/// The groups that were not there before; one of another age is another one.
fn appeared<'a>(
    before: &'a Table<WorkloadGroup>,
    now: &'a Table<WorkloadGroup>,
) -> Vec<&'a ObjectKey> {
    if now.same(before) {
        return Vec::new();
    }
    let is_new = |(key, group): &(&ObjectKey, &meltemi_model::Shared<WorkloadGroup>)| {
        let known = before.get(key);
        known.is_none_or(|known| known.meta.created != group.meta.created)
    };
    now.iter().filter(is_new).map(|(key, _)| key).collect()
}

/// Says that a proxy is connected, until what this gives is dropped. `None`: nobody has to know.
///
/// # Errors
/// Why it may not connect.
pub(crate) async fn attend(
    registrar: &Registrar,
    proxy: &Proxy,
    identity: Option<Identity>,
) -> Result<Option<Box<dyn Attendance>>, Status> {
    let attendance = registrar.connect(workload(proxy, identity)).await;
    let attendance = attendance.map_err(|refused| {
        tracing::warn!(proxy = %proxy.node_id, %refused, "a workload is not registered");
        let text = refused.to_string();
        match refused {
            Refused::NoGroup { .. } | Refused::NoEntry { .. } => Status::failed_precondition(text),
            Refused::Identity(_) => Status::permission_denied(text),
            Refused::Api { .. } => Status::unavailable(text),
        }
    })?;
    Ok(attendance.map(|attendance| Box::new(Attending(attendance)) as Box<dyn Attendance>))
}

struct Attending(registration::Attendance);

impl Attendance for Attending {
    fn health(&self, health: Result<(), String>) {
        self.0.report(health);
    }
}

fn workload(proxy: &Proxy, identity: Option<Identity>) -> Workload {
    let locality = &proxy.locality;
    let parts = [&*locality.region, &*locality.zone, &*locality.subzone];
    let known = parts.iter().rposition(|part| !part.is_empty());
    let config = proxy.meta.proxy_config.as_ref();
    Workload {
        id: proxy.id.to_string(),
        namespace: proxy.namespace.to_string(),
        group: proxy.meta.text("AUTO_REGISTER_GROUP").to_owned(),
        entry: proxy.meta.text("WORKLOAD_ENTRY").to_owned(),
        address: proxy.ips.first().map(ToString::to_string),
        network: proxy.meta.network.to_string(),
        labels: {
            let labels = proxy.meta.labels.0.iter();
            labels
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .collect()
        },
        locality: known.map_or_else(String::new, |last| parts[..=last].join("/")),
        probed: config.is_some_and(|config| config["readinessProbe"].is_object()),
        identity: identity.map(|identity| registration::Identity {
            namespace: identity.namespace,
            service_account: identity.service_account,
        }),
    }
}

#[cfg(test)]
mod tests {
    use meltemi_model::Locality;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_proxy_says_what_its_entry_is_made_of() {
        let metadata = json!({
            "NAMESPACE": "ns", "AUTO_REGISTER_GROUP": "group", "WORKLOAD_ENTRY": "entry", "NETWORK": "n1",
            "LABELS": {"a": "b"}, "PROXY_CONFIG": {"readinessProbe": {"periodSeconds": 5}},
        });
        let locality = Locality {
            region: "r".into(),
            zone: "z".into(),
            subzone: "".into(),
        };
        let node = "sidecar~10.0.0.1~vm.ns~ns.svc.cluster.local";
        let proxy = Proxy::parse(node, "c", locality, &metadata, []).unwrap();
        let found = workload(&proxy, None);
        let expected = Workload {
            id: "vm.ns".to_owned(),
            namespace: "ns".to_owned(),
            group: "group".to_owned(),
            entry: "entry".to_owned(),
            address: Some("10.0.0.1".to_owned()),
            network: "n1".to_owned(),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            locality: "r/z".to_owned(),
            probed: true,
            identity: None,
        };
        assert_eq!(found, expected);
    }
}
