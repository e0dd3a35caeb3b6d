//! networking.istio.io WorkloadGroup.

use meltemi_api::workload_group as api;
use meltemi_model::workload::WorkloadGroup;
use meltemi_model::{Object, Shared};

use super::findings::Findings;
use super::meta::Raw;

/// What its entries will be is read from the object when a workload connects; here it is read to say what is wrong with it.
pub(super) fn lower(raw: &Raw<'_>, findings: &mut Findings) -> Option<Object> {
    let _: api::WorkloadGroup = findings.spec(raw)?;
    Some(Object::WorkloadGroup(Shared::new(WorkloadGroup {
        meta: raw.meta.clone(),
    })))
}
