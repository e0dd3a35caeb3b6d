//! The mesh configuration of a case: what it lays over the suite's own.

use meltemi_model::mesh::Mesh;
use meltemi_model::{Object, Shared};
use serde_json::{Map, Value, json};

use super::Case;

/// The merged mesh configuration, as a user would write it. A key that the case takes away has Go's zero value there,
/// which is not what istiod takes for a key that nobody wrote; so that value is written out.
pub(super) fn mesh_config(case: &Case, defaults: &Value) -> Value {
    let mut merged = defaults.clone();
    if let Some(changes) = &case.mesh_config_override {
        merge(&mut merged, changes);
    }
    write_zeros(&mut merged);
    let timeout = merged.get_mut("connectTimeout");
    if let Some(timeout) = timeout.filter(|timeout| **timeout == FRACTION) {
        *timeout = json!(WHOLE);
    }
    merged
}

/// A timeout of some tests, which no istiod takes: it is no whole number of milliseconds. It stands for [`WHOLE`].
pub(super) const FRACTION: &str = "10.000000001s";

/// See [`FRACTION`].
pub(super) const WHOLE: &str = "10s";

/// The trust domain of tests that have none, which no istiod takes: it stands for the empty one (see [`with_no_trust_domain`]).
const NO_TRUST_DOMAIN: &str = "no.trust.domain";

/// The row of the mesh configuration as such a test has it.
pub(super) fn with_no_trust_domain(object: Object) -> Object {
    match object {
        Object::Mesh(key, mesh) if &*mesh.trust_domain == NO_TRUST_DOMAIN => {
            let trust_domain = "".into();
            let mesh = Mesh {
                trust_domain,
                ..(*mesh).clone()
            };
            Object::Mesh(key, Shared::new(mesh))
        }
        other => other,
    }
}

/// Whether the case takes a key away.
pub(super) fn takes_away(case: &Case, key: &str) -> bool {
    let changes = case.mesh_config_override.as_ref();
    changes.is_some_and(|changes| changes.get(key).is_some_and(Value::is_null))
}

fn merge(base: &mut Value, changes: &Value) {
    let (Value::Object(fields), Value::Object(changed)) = (&mut *base, changes) else {
        *base = changes.clone();
        return;
    };
    for (key, value) in changed {
        if value.is_null() {
            fields.remove(key);
        } else {
            merge(fields.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

fn write_zeros(mesh: &mut Value) {
    let zeros = json!({
        "enableTracing": false,
        "enableAutoMtls": false,
        "outboundTrafficPolicy": {},
        "localityLbSetting": {"enabled": false},
        "rootNamespace": "",
        "trustDomain": NO_TRUST_DOMAIN,
    });
    let (Value::Object(fields), Value::Object(zeros)) = (mesh, zeros) else {
        return;
    };
    for (key, zero) in zeros {
        fields.entry(key).or_insert(zero);
    }
    if let Some(Value::Object(policy)) = fields.get_mut("outboundTrafficPolicy") {
        policy.entry("mode").or_insert(json!("REGISTRY_ONLY"));
    }
}

/// The ConfigMap that holds it.
pub(super) fn config_map(case: &Case, defaults: &Value) -> Value {
    let mut data = Map::new();
    let text = |value: &Value| Value::String(value.to_string());
    data.insert("mesh".to_owned(), text(&mesh_config(case, defaults)));
    if let Some(networks) = &case.mesh_networks {
        data.insert("meshNetworks".to_owned(), text(networks));
    }
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"},
        "data": data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_taken_away_has_gos_zero_value() {
        let defaults = json!({
            "connectTimeout": "10s",
            "enableTracing": true,
            "outboundTrafficPolicy": {"mode": "ALLOW_ANY"},
            "localityLbSetting": {"enabled": true},
            "trustDomain": "cluster.local",
            "rootNamespace": "istio-system",
            "enableAutoMtls": true,
        });
        let case = Case {
            mesh_config_override: Some(json!({
                "connectTimeout": null,
                "enableTracing": null,
                "outboundTrafficPolicy": {"mode": null},
                "localityLbSetting": {"enabled": null, "distribute": []},
            })),
            ..Case::default()
        };
        let want = json!({
            "enableTracing": false,
            "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"},
            "localityLbSetting": {"distribute": []},
            "trustDomain": "cluster.local",
            "rootNamespace": "istio-system",
            "enableAutoMtls": true,
        });
        assert_eq!(mesh_config(&case, &defaults), want);
        assert!(takes_away(&case, "connectTimeout") && !takes_away(&case, "trustDomain"));
    }
}
