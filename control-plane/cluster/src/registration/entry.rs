//! WorkloadEntries of workloads that connect: what one is made of, and what its annotations and its status say. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::jiff::Timestamp;
use kube::api::ObjectMeta;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, TypeMeta};
use serde_json::{Map, Value, json};

use super::{Identity, Workload};

const GROUP: &str = "networking.istio.io";
const VERSION: &str = "v1";

/// The WorkloadGroup that it was made from, which says that it may be removed.
const REGISTRATION_GROUP: &str = "istio.io/autoRegistrationGroup";
/// The control plane to which the workload is connected, or was last.
const CONTROLLER: &str = "istio.io/workloadController";
const CONNECTED_AT: &str = "istio.io/connectedAt";
const DISCONNECTED_AT: &str = "istio.io/disconnectedAt";
/// The health of the workload is reported, and counts if this is true.
const HEALTH_CHECKS: &str = "proxy.istio.io/health-checks-enabled";

/// Kubernetes takes no `/` in the value of a label; the entry has a field for it.
const LOCALITY: &str = "istio-locality";
const HEALTHY: &str = "Healthy";

/// The longest name that Kubernetes takes.
const LONGEST_NAME: usize = 253;

pub(super) fn entries() -> ApiResource {
    let kind = GroupVersionKind::gvk(GROUP, VERSION, "WorkloadEntry");
    ApiResource::from_gvk_with_plural(&kind, "workloadentries")
}

pub(super) fn groups() -> ApiResource {
    let kind = GroupVersionKind::gvk(GROUP, VERSION, "WorkloadGroup");
    ApiResource::from_gvk_with_plural(&kind, "workloadgroups")
}

/// The name of the entry that a workload gets; `None`: it does not say enough to get one.
/// Istio 1.31: `autoregisteredWorkloadEntryName`.
pub(super) fn name_of(workload: &Workload) -> Option<String> {
    if workload.group.is_empty() || workload.namespace.is_empty() {
        return None;
    }
    let address = workload.address.as_deref()?.replace(':', "-");
    let mut name = format!("{}-{address}", workload.group);
    if !workload.network.is_empty() {
        name = format!("{name}-{}", workload.network);
    }
    // What is too long is shortened at the beginning, since the end tells entries apart.
    let start = name.len().saturating_sub(LONGEST_NAME);
    let start = (start..name.len()).find(|at| name.is_char_boundary(*at))?;
    Some(name.split_off(start))
}

/// The entry of a workload that connects for the first time. Istio 1.31: `workloadEntryFromGroup`.
pub(super) fn made_from(group: &DynamicObject, name: &str, workload: &Workload) -> DynamicObject {
    let given = &group.data["spec"];
    let mut spec = given["template"].as_object().cloned().unwrap_or_default();
    let mut set = |field: &str, text: &str| {
        if !text.is_empty() {
            spec.insert(field.to_owned(), text.into());
        }
    };
    set("address", workload.address.as_deref().unwrap_or_default());
    set("network", &workload.network);
    set("locality", &workload.locality);
    let mut labels = texts(&given["template"]["labels"]);
    labels.extend(texts(&given["metadata"]["labels"]));
    labels.extend(workload.labels.clone());
    labels.remove(LOCALITY);
    if !labels.is_empty() {
        spec.insert("labels".to_owned(), json!(labels));
    }
    let group_name = group.metadata.name.clone().unwrap_or_default();
    let mut annotations = BTreeMap::from([(REGISTRATION_GROUP.to_owned(), group_name.clone())]);
    annotations.extend(texts(&given["metadata"]["annotations"]));
    if workload.probed {
        annotations.insert(HEALTH_CHECKS.to_owned(), "true".to_owned());
    }
    DynamicObject {
        types: Some(TypeMeta {
            api_version: format!("{GROUP}/{VERSION}"),
            kind: "WorkloadEntry".to_owned(),
        }),
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(workload.namespace.clone()),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: Some(vec![OwnerReference {
                api_version: format!("{GROUP}/{VERSION}"),
                kind: "WorkloadGroup".to_owned(),
                name: group_name,
                uid: group.metadata.uid.clone().unwrap_or_default(),
                controller: Some(true),
                ..OwnerReference::default()
            }]),
            ..ObjectMeta::default()
        },
        data: json!({"spec": Value::Object(spec)}),
    }
}

fn texts(map: &Value) -> BTreeMap<String, String> {
    let pairs = map.as_object().into_iter().flatten();
    pairs
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// Whether a workload may be this entry's. Istio 1.31: `ensureProxyCanControlEntry`.
pub(super) fn belongs_to(entry: &DynamicObject, identity: Option<&Identity>) -> Result<(), String> {
    let Some(identity) = identity else {
        return Err("registration of WorkloadEntry requires a verified identity".to_owned());
    };
    let namespace = entry.metadata.namespace.as_deref().unwrap_or_default();
    if identity.namespace != namespace {
        return Err(format!(
            "registration of WorkloadEntry namespace mismatch: {:?} vs {namespace:?}",
            identity.namespace
        ));
    }
    let account = entry.data["spec"]["serviceAccount"].as_str();
    match account {
        Some(account) if !account.is_empty() && account != identity.service_account => {
            Err(format!(
                "registration of WorkloadEntry service account mismatch: {:?} vs {account:?}",
                identity.service_account
            ))
        }
        _ => Ok(()),
    }
}

fn annotation<'a>(entry: &'a DynamicObject, name: &str) -> Option<&'a str> {
    let all = entry.metadata.annotations.as_ref()?;
    all.get(name).map(String::as_str)
}

fn time(entry: &DynamicObject, name: &str) -> Option<Timestamp> {
    annotation(entry, name)?.parse().ok()
}

/// Says in a new entry that its workload is connected.
pub(super) fn mark_connected(entry: &mut DynamicObject, controller: &str, at: Timestamp) {
    let annotations = entry.metadata.annotations.get_or_insert_default();
    annotations.insert(CONTROLLER.to_owned(), controller.to_owned());
    annotations.insert(CONNECTED_AT.to_owned(), at.to_string());
    annotations.remove(DISCONNECTED_AT);
}

/// Says in an entry that its workload connected to a control plane at a time; whether anything had to be said.
/// Istio 1.31: `changeWorkloadEntryStateToConnected`.
pub(super) fn connect(entry: &mut DynamicObject, controller: &str, at: Timestamp) -> bool {
    let last = time(entry, CONNECTED_AT);
    let is_old = time(entry, DISCONNECTED_AT).is_some_and(|left| at < left)
        || last.is_some_and(|last| at < last)
        || is_of(entry, controller) && last == Some(at);
    if !is_old {
        mark_connected(entry, controller, at);
    }
    !is_old
}

/// Says in an entry that the workload that connected at `since` left; whether anything had to be said.
/// Istio 1.31: `changeWorkloadEntryStateToDisconnected`.
pub(super) fn disconnect(entry: &mut DynamicObject, since: Timestamp, at: Timestamp) -> bool {
    // It came back meanwhile, to whomever.
    let came_back = time(entry, CONNECTED_AT).is_some_and(|last| last > since);
    if came_back {
        return false;
    }
    let annotations = entry.metadata.annotations.get_or_insert_default();
    annotations.remove(CONNECTED_AT);
    annotations.insert(DISCONNECTED_AT.to_owned(), at.to_string());
    true
}

/// Whether a control plane is the one to which the entry's workload is connected.
pub(super) fn is_of(entry: &DynamicObject, controller: &str) -> bool {
    annotation(entry, CONTROLLER) == Some(controller)
}

/// Whether health may be reported for an entry. Istio 1.31: `IsEligibleForHealthStatusUpdates`.
pub(super) fn takes_health(entry: &DynamicObject) -> bool {
    annotation(entry, HEALTH_CHECKS).is_some()
}

/// What becomes of an entry whose workload does not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cleanup {
    /// It was made for the workload: it goes.
    Delete,
    /// A user wrote it: what was reported of its health goes.
    ForgetHealth,
}

/// What is to be done about an entry now; `None`: nothing. `longest`: no connection lives longer.
/// Istio 1.31: `shouldCleanupEntry`, `cleanupEntry`.
pub(super) fn cleanup(
    entry: &DynamicObject,
    now: Timestamp,
    grace: Duration,
    longest: Option<Duration>,
) -> Option<Cleanup> {
    let set = |name| annotation(entry, name).is_some_and(|text| !text.is_empty());
    let what = if set(REGISTRATION_GROUP) {
        Cleanup::Delete
    } else if set(CONTROLLER) && condition(entry).is_some() {
        Cleanup::ForgetHealth
    } else {
        return None;
    };
    let age = |since: Timestamp| Duration::try_from(now.duration_since(since)).unwrap_or_default();
    let due = if set(CONNECTED_AT) {
        // Who was to say that it left is gone, too.
        let connected = time(entry, CONNECTED_AT).zip(longest);
        connected.is_some_and(|(since, longest)| age(since) > longest)
    } else if set(DISCONNECTED_AT) {
        // A time that nobody can read is long ago.
        time(entry, DISCONNECTED_AT).is_none_or(|left| age(left) >= grace)
    } else {
        false
    };
    due.then_some(what)
}

/// The condition of health in the status.
pub(super) fn condition(entry: &DynamicObject) -> Option<&Value> {
    let conditions = entry.data["status"]["conditions"].as_array()?;
    conditions.iter().find(|c| c["type"] == HEALTHY)
}

/// Writes health into the status, with what was seen when; whether it is news. `Err`: the workload's own words.
pub(super) fn set_health(
    entry: &mut DynamicObject,
    health: &Result<(), String>,
    seen: Timestamp,
) -> bool {
    let last = condition(entry).and_then(|c| c["lastProbeTime"].as_str()?.parse().ok());
    if last.is_some_and(|last: Timestamp| last > seen) {
        return false;
    }
    let mut new = json!({
        "type": HEALTHY,
        "status": if health.is_ok() { "True" } else { "False" },
        "lastProbeTime": seen.to_string(),
        "lastTransitionTime": seen.to_string(),
    });
    if let Err(words) = health
        && !words.is_empty()
    {
        new["message"] = words.as_str().into();
    }
    let all = conditions(entry);
    match all.iter_mut().find(|c| c["type"] == HEALTHY) {
        Some(old) => *old = new,
        None => all.push(new),
    }
    true
}

/// Takes health out of the status.
pub(super) fn forget_health(entry: &mut DynamicObject) {
    conditions(entry).retain(|c| c["type"] != HEALTHY);
}

/// The conditions in the status; a status of another form is replaced.
fn conditions(entry: &mut DynamicObject) -> &mut Vec<Value> {
    if !entry.data.is_object() {
        entry.data = Value::Object(Map::new());
    }
    if !entry.data["status"].is_object() {
        entry.data["status"] = json!({});
    }
    let conditions = &mut entry.data["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    conditions.as_array_mut().expect("it was made an array")
}

#[cfg(test)]
mod tests;
