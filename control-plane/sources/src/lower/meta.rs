//! `metadata`, and an object split into the parts that its kind reads.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use meltemi_model::{Diagnostic, Kind, Labels, Meta, ObjectKey, Severity};

use super::{LowerSettings, anonymous, checks, time};

/// The annotations that Meltemi reads (feature-inventory.md 13); the others change often and mean nothing to it.
const ANNOTATIONS: &[&str] = &[
    "alpha.istio.io/canonical-serviceaccounts",
    "alpha.istio.io/kubernetes-serviceaccounts",
    "ambient.istio.io/connect-strategy",
    "envoyfilter.istio.io/referenced-services",
    "internal.istio.io/gateway-service",
    "istio.io/connect-strategy",
    "istio.io/dry-run",
    "kubernetes.io/ingress.class",
    "networking.istio.io/exportTo",
    "networking.istio.io/traffic-distribution",
    "proxy.istio.io/config",
    "sidecar.istio.io/interceptionMode",
    "topology.istio.io/controlPlaneClusters",
    "traffic.istio.io/nodeSelector",
];

/// An object, its metadata read.
#[derive(Debug)]
pub(super) struct Raw<'a> {
    pub(super) meta: Meta,
    pub(super) all: ObjectMeta,
    value: &'a Value,
}

/// `metadata` as Kubernetes has it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ObjectMeta {
    name: String,
    namespace: String,
    pub(super) generate_name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    creation_timestamp: String,
    pub(super) deletion_timestamp: String,
    pub(super) owner_references: Vec<OwnerReference>,
}

/// An entry of `metadata.ownerReferences`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct OwnerReference {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) controller: bool,
}

static NULL: Value = Value::Null;

impl<'a> Raw<'a> {
    /// Reads `metadata`. Nothing can be said about an object without a name, so its problems have no key.
    pub(super) fn read(
        kind: Kind,
        value: &'a Value,
        settings: &LowerSettings,
    ) -> Result<Self, Diagnostic> {
        let metadata = value.get("metadata").unwrap_or(&NULL);
        let refuse = |path: &str, message: String| {
            anonymous(Severity::Error, path, format!("{kind}: {message}"))
        };
        let all: ObjectMeta = meltemi_api::parse_at("metadata", metadata)
            .map_err(|error| refuse(&error.path, error.message))?
            .value;
        if all.name.is_empty() {
            return Err(refuse("metadata.name", "the name is missing".to_owned()));
        }
        checks::dns_subdomain(&all.name).map_err(|message| refuse("metadata.name", message))?;
        let namespace = match kind {
            Kind::Namespace | Kind::Node | Kind::IngressClass => "",
            _ if all.namespace.is_empty() => &settings.default_namespace,
            _ => all.namespace.as_str(),
        };
        if !namespace.is_empty() {
            checks::dns_label(namespace)
                .map_err(|message| refuse("metadata.namespace", message))?;
        }
        let created = match all.creation_timestamp.as_str() {
            // An API server always says when; what has no time is taken to be the newest, so that it displaces nothing.
            "" => i64::MAX,
            text => time::seconds(text).ok_or_else(|| {
                let message =
                    format!("{text:?} is not a time; write for instance 2026-01-31T12:00:00Z");
                refuse("metadata.creationTimestamp", message)
            })?,
        };
        let meta = Meta {
            key: ObjectKey::new(kind, namespace, all.name.as_str()),
            labels: labels(&all.labels),
            annotations: all
                .annotations
                .iter()
                .filter(|(key, _)| ANNOTATIONS.contains(&key.as_str()))
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect(),
            created,
        };
        Ok(Self { meta, all, value })
    }

    /// The whole object as it is written.
    pub(super) fn object(&self) -> &'a Value {
        self.value
    }

    /// A part of the object, such as `spec`; `Null` when it is not there.
    pub(super) fn part(&self, name: &str) -> &'a Value {
        self.value.get(name).unwrap_or(&NULL)
    }

    /// The object's namespace.
    pub(super) fn namespace(&self) -> &str {
        &self.meta.key.namespace
    }
}

/// Labels from a map.
pub(super) fn labels(map: &BTreeMap<String, String>) -> Labels {
    map.iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}
