//! core/v1 Namespace.

use meltemi_model::workload::Namespace;
use meltemi_model::{Object, Shared};

use super::meta::Raw;

const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub(super) fn lower(raw: &Raw<'_>) -> Object {
    let mut meta = raw.meta.clone();
    // The API server adds this label to every namespace.
    meta.labels
        .0
        .insert(NAME_LABEL.into(), meta.key.name.clone());
    Object::Namespace(Shared::new(Namespace { meta }))
}
