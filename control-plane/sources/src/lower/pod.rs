//! core/v1 Pod.

use std::net::IpAddr;

use serde::Deserialize;

use meltemi_model::workload::Pod;
use meltemi_model::{Object, Shared, Str};

use super::findings::Findings;
use super::meta::{ObjectMeta, Raw};

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    service_account_name: String,
    /// The name before 1.0; the API server still copies it.
    service_account: String,
    node_name: String,
    host_network: bool,
    hostname: String,
    subdomain: String,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    ports: Vec<ContainerPort>,
    restart_policy: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerPort {
    name: String,
    container_port: u16,
    protocol: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: String,
    #[serde(rename = "podIP")]
    pod_ip: String,
    #[serde(rename = "podIPs")]
    pod_ips: Vec<PodIp>,
    conditions: Vec<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodIp {
    ip: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
}

pub(super) fn lower(raw: &Raw<'_>, findings: &mut Findings) -> Option<Object> {
    let spec: Spec = findings.parse_part("spec", raw.part("spec"))?;
    let status: Status = findings.parse_part("status", raw.part("status"))?;
    let service_account = [&spec.service_account_name, &spec.service_account]
        .into_iter()
        .find(|name| !name.is_empty())
        .map_or("default", String::as_str);
    let ready = status
        .conditions
        .iter()
        .any(|c| c.r#type == "Ready" && c.status == "True");
    Some(Object::Pod(Shared::new(Pod {
        service_account: service_account.into(),
        node: spec.node_name.as_str().into(),
        ips: ips(&status, findings),
        host_network: spec.host_network,
        hostname: spec.hostname.as_str().into(),
        subdomain: spec.subdomain.as_str().into(),
        ports: named_ports(&spec),
        ready,
        terminating: !raw.all.deletion_timestamp.is_empty(),
        finished: matches!(status.phase.as_str(), "Failed" | "Succeeded"),
        workload: workload(&raw.meta.key.name, &raw.all),
        meta: raw.meta.clone(),
    })))
}

fn ips(status: &Status, findings: &mut Findings) -> Vec<IpAddr> {
    let one = Some(("status.podIP".to_owned(), &status.pod_ip)).filter(|(_, ip)| !ip.is_empty());
    let all: Vec<_> = match status.pod_ips.as_slice() {
        [] => one.into_iter().collect(),
        many => (0..many.len())
            .map(|i| (format!("status.podIPs[{i}].ip"), &many[i].ip))
            .collect(),
    };
    let mut ips = Vec::with_capacity(all.len());
    for (path, text) in all {
        match text.parse() {
            Ok(ip) => ips.push(ip),
            Err(_) => findings.error(path, format!("{text:?} is not an IP address")),
        }
    }
    ips
}

/// The named TCP ports of containers and of sidecar containers (init containers that keep running).
fn named_ports(spec: &Spec) -> Vec<(Str, u16)> {
    let sidecars = spec
        .init_containers
        .iter()
        .filter(|c| c.restart_policy == "Always");
    spec.containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| &container.ports)
        .filter(|port| !port.name.is_empty() && matches!(port.protocol.as_str(), "" | "TCP"))
        .map(|port| (port.name.as_str().into(), port.container_port))
        .collect()
}

/// The name of the workload that the pod belongs to. Istio 1.31: `GetWorkloadMetaFromPod`, `GetDeployMetaFromPod`.
fn workload(pod: &str, meta: &ObjectMeta) -> Str {
    if let Some(name) = meta.labels.get("service.istio.io/workload-name") {
        return name.as_str().into();
    }
    // Only a pod whose name was generated has a controller that is worth asking.
    let owner = meta.owner_references.iter().find(|owner| owner.controller);
    let Some(owner) = owner.filter(|_| !meta.generate_name.is_empty()) else {
        return pod.into();
    };
    let label = |key: &str| meta.labels.get(key).filter(|value| !value.is_empty());
    let without_hash = |key: &str| {
        let hash = label(key)?;
        let rest = owner.name.strip_suffix(hash.as_str())?;
        Some(rest.strip_suffix('-').unwrap_or(&owner.name))
    };
    let name = match owner.kind.as_str() {
        "ReplicaSet" => {
            without_hash("pod-template-hash").or_else(|| without_hash("rollouts-pod-template-hash"))
        }
        "ReplicationController" => label("deploymentconfig").map(String::as_str),
        "Job" => cron_job(&owner.name),
        _ => None,
    };
    let name = name.unwrap_or(&owner.name);
    if name.is_empty() {
        pod.into()
    } else {
        name.into()
    }
}

/// The CronJob of a Job whose name ends with a time of 8 to 10 digits.
fn cron_job(job: &str) -> Option<&str> {
    let (name, time) = job.rsplit_once('-')?;
    let is_time = (8..=10).contains(&time.len()) && time.bytes().all(|b| b.is_ascii_digit());
    (is_time && !name.is_empty()).then_some(name)
}
