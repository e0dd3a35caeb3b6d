//! Metadata of resources: where Istio says they come from, and comparison of values.

use meltemi_proto::envoy::config::core::v3::Metadata;
use meltemi_proto::google::protobuf::{Struct, Value, value::Kind};

/// The object that a resource comes from, `/apis/GROUP/VERSION/namespaces/NS/KIND/NAME` (Istio: `filter_metadata.istio.config`).
pub fn config_of(metadata: Option<&Metadata>) -> Option<String> {
    let istio = metadata?.filter_metadata.get("istio")?;
    text(istio.fields.get("config")?).map(str::to_owned)
}

/// A string value.
pub(crate) fn text(value: &Value) -> Option<&str> {
    match &value.kind {
        Some(Kind::StringValue(text)) => Some(text),
        _ => None,
    }
}

/// A value for readers, without quotes around strings.
pub(crate) fn shown(value: &Value) -> String {
    match text(value) {
        Some(text) => text.to_owned(),
        None => meltemi_proto::any::value_to_json(value).to_string(),
    }
}

/// Whether each field of `wanted` has the same value in `has`.
pub(crate) fn includes(has: Option<&Struct>, wanted: &Struct) -> bool {
    wanted.fields.iter().all(|(key, value)| {
        has.and_then(|has| has.fields.get(key))
            .is_some_and(|other| other == value)
    })
}

/// The fields of a Struct in the order of their keys, for readers.
pub(crate) fn pairs(fields: &Struct) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = fields
        .fields
        .iter()
        .map(|(key, value)| (key.clone(), shown(value)))
        .collect();
    pairs.sort();
    pairs
}
