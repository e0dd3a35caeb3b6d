//! core/v1 ServiceAccount.

use meltemi_model::workload::ServiceAccount;
use meltemi_model::{Object, Shared};

use super::meta::Raw;

pub(super) fn lower(raw: &Raw<'_>) -> Object {
    let meta = raw.meta.clone();
    Object::ServiceAccount(Shared::new(ServiceAccount { meta }))
}
