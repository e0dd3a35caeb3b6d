//! networking.istio.io WorkloadEntry, as an object and inline in a ServiceEntry.

use meltemi_api::workload_entry::WorkloadEntry as Spec;
use meltemi_model::flag::parse_bool;
use meltemi_model::workload::{WorkloadEntry, WorkloadEntrySpec};
use meltemi_model::{Labels, Locality, Object, Shared};
use serde::Deserialize;

use super::findings::Findings;
use super::meta::{Raw, labels};
use super::{LowerSettings, checks};

const UNIX: &str = "unix://";

/// Who writes it has the health of its workload checked.
const HEALTH_CHECKS: &str = "proxy.istio.io/health-checks-enabled";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

pub(super) fn lower(
    raw: &Raw<'_>,
    findings: &mut Findings,
    settings: &LowerSettings,
) -> Option<Object> {
    let api: Spec = findings.spec(raw)?;
    check(&api, "spec", true, findings);
    let mut spec = lower_spec(&api, "spec", findings);
    // Labels of the object win over those of the spec. Istio 1.31: `ConvertWorkloadEntry`.
    for (key, value) in &raw.meta.labels.0 {
        spec.labels.0.insert(key.clone(), value.clone());
    }
    if api.locality.is_empty() {
        spec.locality = label_locality(&spec.labels);
    }
    let meta = raw.meta.clone();
    Some(Object::WorkloadEntry(Shared::new(WorkloadEntry {
        meta,
        spec,
        unhealthy: settings.features.workload_entry_health && is_unhealthy(raw),
    })))
}

/// Whether its health is checked and not known to be good. Istio 1.31: `isHealthy`.
fn is_unhealthy(raw: &Raw<'_>) -> bool {
    let checked = raw.all.annotations.get(HEALTH_CHECKS);
    if checked.and_then(|text| parse_bool(text)) != Some(true) {
        return false;
    }
    // A status that nobody can read says nothing.
    let status = Status::deserialize(raw.part("status")).unwrap_or_default();
    let healthy = status.conditions.iter().find(|c| c.kind == "Healthy");
    healthy.is_none_or(|condition| condition.status != "True")
}

/// Istio 1.31: `validateWorkloadEntry`.
pub(super) fn check(api: &Spec, path: &str, names_allowed: bool, findings: &mut Findings) {
    let at = format!("{path}.address");
    if api.address.is_empty() {
        if api.network.is_empty() {
            findings.error(at, "the address is missing; write an IP address");
        }
    } else if let Some(socket) = api.address.strip_prefix(UNIX) {
        findings.check(&at, checks::unix_path(socket));
        if !api.ports.is_empty() {
            findings.error(format!("{path}.ports"), "a Unix socket has no ports");
        }
    } else if checks::ip(&api.address).is_err() {
        if names_allowed {
            findings.check(&at, checks::fqdn(&api.address));
        } else {
            let message = format!(
                "{:?} is not an IP address; for host names use resolution: DNS",
                api.address
            );
            findings.error(at, message);
        }
    }
    for (name, port) in &api.ports {
        let at = format!("{path}.ports.{name}");
        findings.check(&at, checks::dns_label(name));
        findings.port(at, *port);
    }
}

/// The model of a workload whose fields were checked.
pub(super) fn lower_spec(api: &Spec, path: &str, findings: &mut Findings) -> WorkloadEntrySpec {
    let labels = labels(&api.labels);
    // Istio 1.31 reads at most three parts; what follows belongs to the sub-zone.
    let locality = match api.locality.as_str() {
        "" => label_locality(&labels),
        text => Locality::parse(text),
    };
    if api.weight > 128_000_000 {
        findings.error(format!("{path}.weight"), "a weight is at most 128000000");
    }
    WorkloadEntrySpec {
        address: api.address.as_str().into(),
        ports: api
            .ports
            .iter()
            .map(|(name, port)| (name.as_str().into(), u16::try_from(*port).unwrap_or(0)))
            .collect(),
        labels,
        network: api.network.as_str().into(),
        locality,
        weight: api.weight,
        service_account: api.service_account.as_str().into(),
    }
}

/// The label `istio-locality`, where a value may not hold slashes. Istio 1.31: `GetLocalityLabel`.
fn label_locality(labels: &Labels) -> Locality {
    let label = labels
        .get("topology.istio.io/locality")
        .or_else(|| labels.get("istio-locality"));
    match label {
        Some(text) if text.contains('/') => Locality::parse(text),
        Some(text) => Locality::parse(&text.replace('.', "/")),
        None => Locality::default(),
    }
}
