//! From the node on the wire to the model's proxy.

use meltemi_model::Locality;
use meltemi_model::proxy::{NodeError, Proxy};
use meltemi_proto::ads::Node;
use meltemi_proto::google::protobuf::value::Kind;
use meltemi_proto::google::protobuf::{Struct, Value};

/// Deeper metadata is cut off, so that a stranger cannot exhaust the stack.
const MAX_DEPTH: usize = 32;

/// Reads the node of a stream's first request.
pub fn proxy_of(node: Option<&Node>) -> Result<Proxy, NodeError> {
    let node = node.ok_or(NodeError::Missing)?;
    let locality = node
        .locality
        .as_ref()
        .map_or_else(Locality::default, |l| Locality {
            region: l.region.as_str().into(),
            zone: l.zone.as_str().into(),
            subzone: l.sub_zone.as_str().into(),
        });
    let metadata = node
        .metadata
        .as_ref()
        .map_or(serde_json::Value::Null, |m| object(m, MAX_DEPTH));
    let extensions = node
        .extensions
        .iter()
        .map(|e| (e.category.as_str(), e.disabled, e.type_urls.as_slice()));
    Proxy::parse(&node.id, &node.cluster, locality, &metadata, extensions)
}

fn object(fields: &Struct, depth: usize) -> serde_json::Value {
    let mut pairs: Vec<_> = fields.fields.iter().collect();
    pairs.sort_by_key(|(key, _)| *key);
    serde_json::Value::Object(
        pairs
            .into_iter()
            .map(|(k, v)| (k.clone(), json(v, depth)))
            .collect(),
    )
}

fn json(value: &Value, depth: usize) -> serde_json::Value {
    let (Some(depth), Some(kind)) = (depth.checked_sub(1), &value.kind) else {
        return serde_json::Value::Null;
    };
    match kind {
        Kind::NullValue(_) => serde_json::Value::Null,
        Kind::BoolValue(b) => (*b).into(),
        Kind::NumberValue(n) => (*n).into(),
        Kind::StringValue(s) => s.as_str().into(),
        Kind::ListValue(list) => list.values.iter().map(|v| json(v, depth)).collect(),
        Kind::StructValue(fields) => object(fields, depth),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Value {
        Value {
            kind: Some(Kind::StringValue(value.into())),
        }
    }

    #[test]
    fn a_node_becomes_a_proxy() {
        let metadata = Struct {
            fields: [("NAMESPACE".to_owned(), text("other"))]
                .into_iter()
                .collect(),
        };
        let node = Node {
            id: "sidecar~10.0.0.1~a.ns~ns.svc.cluster.local".into(),
            metadata: Some(metadata),
            ..Node::default()
        };
        let proxy = proxy_of(Some(&node)).unwrap();
        assert_eq!((&*proxy.id, &*proxy.namespace), ("a.ns", "other"));
        assert_eq!(proxy_of(None), Err(NodeError::Missing));
    }

    #[test]
    fn deep_metadata_is_cut_off() {
        let mut value = text("deep");
        for _ in 0..1000 {
            let fields = [("a".to_owned(), value)].into_iter().collect();
            value = Value {
                kind: Some(Kind::StructValue(Struct { fields })),
            };
        }
        let mut read = &json(&value, MAX_DEPTH);
        let mut depth = 0;
        while let Some(inner) = read.get("a") {
            (read, depth) = (inner, depth + 1);
        }
        assert_eq!((depth, read), (MAX_DEPTH, &serde_json::Value::Null));
    }
}
