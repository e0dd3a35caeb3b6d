//! The types that are served. Built in are those that a mesh's control plane reads or writes; others come with a
//! CustomResourceDefinition or with [`FakeApi::serve`](crate::FakeApi::serve).

use serde_json::{Value, json};

/// A type of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    /// Its API group; empty for the core group.
    pub group: String,
    /// The versions that serve it. All serve the same objects; only `apiVersion` differs.
    pub versions: Vec<String>,
    /// Its name in paths: `services`.
    pub plural: String,
    /// Its kind: `Service`.
    pub kind: String,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// Whether the status is written by `/status` only.
    pub status: bool,
}

impl Type {
    /// A type without a status subresource.
    pub fn new(group: &str, versions: &[&str], plural: &str, kind: &str, namespaced: bool) -> Self {
        Self {
            group: group.to_owned(),
            versions: versions.iter().map(|v| (*v).to_owned()).collect(),
            plural: plural.to_owned(),
            kind: kind.to_owned(),
            namespaced,
            status: false,
        }
    }

    /// Its name among all types, as Kubernetes writes it: `pods`, `gateways.networking.istio.io`.
    pub fn resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// Whether a test means this type: by its resource name, or by its plural alone.
    pub(crate) fn is(&self, name: &str) -> bool {
        named(&self.resource(), name)
    }

    /// Its `apiVersion` in a version of its group.
    pub fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() {
            version.to_owned()
        } else {
            format!("{}/{version}", self.group)
        }
    }

    /// The CustomResourceDefinition of this type, Established.
    pub fn definition(&self) -> Value {
        let version = |(i, name): (usize, &String)| {
            let mut version = json!({"name": name, "served": true, "storage": i == 0,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
            if self.status {
                version["subresources"] = json!({"status": {}});
            }
            version
        };
        json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": self.resource()},
            "spec": {
                "group": self.group,
                "names": {"plural": self.plural, "kind": self.kind},
                "scope": if self.namespaced { "Namespaced" } else { "Cluster" },
                "versions": self.versions.iter().enumerate().map(version).collect::<Vec<_>>(),
            },
            "status": {"conditions": [{"type": "Established", "status": "True"}]},
        })
    }

    /// The type that a CustomResourceDefinition defines; `None`: it defines none that can be served.
    pub(crate) fn defined_by(definition: &Value) -> Option<Self> {
        let text = |path: &str| definition.pointer(path).and_then(Value::as_str);
        let served = |v: &&Value| v["served"].as_bool().unwrap_or(true);
        let versions: Vec<&Value> = definition["spec"]["versions"]
            .as_array()?
            .iter()
            .filter(served)
            .collect();
        Some(Self {
            group: text("/spec/group")?.to_owned(),
            versions: versions
                .iter()
                .filter_map(|v| Some(v["name"].as_str()?.to_owned()))
                .collect(),
            plural: text("/spec/names/plural")?.to_owned(),
            kind: text("/spec/names/kind")?.to_owned(),
            namespaced: text("/spec/scope")? == "Namespaced",
            status: versions
                .iter()
                .any(|v| v.pointer("/subresources/status").is_some()),
        })
    }
}

/// Whether a resource is meant by a name: its own, or its plural alone.
pub(crate) fn named(resource: &str, name: &str) -> bool {
    resource == name
        || resource
            .split_once('.')
            .is_some_and(|(plural, _)| plural == name)
}

/// The resource whose objects define types.
pub(crate) const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

pub(crate) fn built_in() -> Vec<Type> {
    let with_status = |mut t: Type| {
        t.status = true;
        t
    };
    vec![
        with_status(Type::new("", &["v1"], "namespaces", "Namespace", false)),
        with_status(Type::new("", &["v1"], "nodes", "Node", false)),
        with_status(Type::new("", &["v1"], "pods", "Pod", true)),
        with_status(Type::new("", &["v1"], "services", "Service", true)),
        Type::new("", &["v1"], "endpoints", "Endpoints", true),
        Type::new("", &["v1"], "serviceaccounts", "ServiceAccount", true),
        Type::new("", &["v1"], "configmaps", "ConfigMap", true),
        Type::new("", &["v1"], "secrets", "Secret", true),
        Type::new("", &["v1"], "events", "Event", true),
        with_status(Type::new(
            "apps",
            &["v1"],
            "deployments",
            "Deployment",
            true,
        )),
        Type::new(
            "discovery.k8s.io",
            &["v1"],
            "endpointslices",
            "EndpointSlice",
            true,
        ),
        Type::new("coordination.k8s.io", &["v1"], "leases", "Lease", true),
        with_status(Type::new(
            "networking.k8s.io",
            &["v1"],
            "ingresses",
            "Ingress",
            true,
        )),
        Type::new(
            "networking.k8s.io",
            &["v1"],
            "ingressclasses",
            "IngressClass",
            false,
        ),
        Type::new(
            "admissionregistration.k8s.io",
            &["v1"],
            "mutatingwebhookconfigurations",
            "MutatingWebhookConfiguration",
            false,
        ),
        Type::new(
            "admissionregistration.k8s.io",
            &["v1"],
            "validatingwebhookconfigurations",
            "ValidatingWebhookConfiguration",
            false,
        ),
        with_status(Type::new(
            "apiextensions.k8s.io",
            &["v1"],
            "customresourcedefinitions",
            "CustomResourceDefinition",
            false,
        )),
    ]
}
