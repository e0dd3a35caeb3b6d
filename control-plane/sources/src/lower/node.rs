//! core/v1 Node.

use serde::Deserialize;

use meltemi_model::workload::Node;
use meltemi_model::{Labels, Locality, Object, Shared, Str};

use super::findings::Findings;
use super::meta::Raw;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    addresses: Vec<Address>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Address {
    r#type: String,
    address: String,
}

pub(super) fn lower(raw: &Raw<'_>, findings: &mut Findings) -> Option<Object> {
    let status: Status = findings.parse_part("status", raw.part("status"))?;
    let mut external_addresses: Vec<Str> = Vec::new();
    for Address { r#type, address } in &status.addresses {
        let is_known = external_addresses.iter().any(|known| **known == **address);
        if r#type == "ExternalIP" && !address.is_empty() && !is_known {
            external_addresses.push(address.as_str().into());
        }
    }
    Some(Object::Node(Shared::new(Node {
        external_addresses,
        meta: raw.meta.clone(),
        locality: locality(&raw.meta.labels),
        addresses: status
            .addresses
            .iter()
            .filter(|a| matches!(a.r#type.as_str(), "InternalIP" | "ExternalIP"))
            .map(|a| a.address.as_str().into())
            .collect(),
    })))
}

/// Istio 1.31: `getPodLocality`; the beta labels are read where the others are missing.
fn locality(labels: &Labels) -> Locality {
    let first = |keys: &[&str]| -> Str {
        let found = keys.iter().find_map(|key| labels.get(key));
        found.cloned().unwrap_or_else(|| "".into())
    };
    Locality {
        region: first(&[
            "topology.kubernetes.io/region",
            "failure-domain.beta.kubernetes.io/region",
        ]),
        zone: first(&[
            "topology.kubernetes.io/zone",
            "failure-domain.beta.kubernetes.io/zone",
        ]),
        subzone: first(&["topology.istio.io/subzone"]),
    }
}
