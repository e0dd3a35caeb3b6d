//! What is analyzed, and how it is looked up.

use std::collections::BTreeMap;
use std::fmt;

use meltemi_validation::Findings;
use serde_json::Value;

use crate::{Kind, Mesh, Object};

/// What others know better.
#[derive(Clone, Copy)]
pub struct Judges<'a> {
    /// What Istio's webhook says about an object.
    pub validate: &'a dyn Fn(&Value) -> Findings,
    /// Why the value of an annotation of a pod cannot be used.
    pub annotation: &'a dyn Fn(&str, &str) -> Result<(), String>,
    /// Whether PEM begins with a certificate that is valid now.
    pub certificate_is_valid: &'a dyn Fn(&[u8]) -> bool,
    /// The line of a field of an object, as `spec.http[0].match`. `None` when the field is not there.
    pub line_of: &'a dyn Fn(&Object, &str) -> Option<u32>,
}

impl fmt::Debug for Judges<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Judges")
    }
}

/// All objects, each once, and the mesh configuration.
#[derive(Debug)]
pub struct Input<'a> {
    /// The mesh configuration.
    pub mesh: Mesh,
    /// What others know better.
    pub judges: Judges<'a>,
    objects: BTreeMap<(Kind, String, String), Object>,
}

/// What Kubernetes and its nodes keep for themselves. Istio 1.31: `inject.IgnoredNamespaces`.
const IGNORED_NAMESPACES: [&str; 4] = [
    "kube-system",
    "kube-public",
    "kube-node-lease",
    "local-path-storage",
];

impl<'a> Input<'a> {
    /// Of several objects with one name the last counts. Those of Kubernetes' own namespaces are left out.
    pub fn new(mesh: Mesh, judges: Judges<'a>, objects: impl IntoIterator<Item = Object>) -> Self {
        let objects = objects.into_iter().filter(|object| {
            let namespace = match object.kind {
                Kind::Namespace => &object.name,
                _ => &object.namespace,
            };
            !IGNORED_NAMESPACES.contains(&namespace.as_str())
        });
        let keyed = objects.map(|object| {
            let key = (object.kind, object.namespace.clone(), object.name.clone());
            (key, object)
        });
        Self {
            mesh,
            judges,
            objects: keyed.collect(),
        }
    }

    /// The objects of a kind, by namespace and name.
    pub(crate) fn of(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        let first = (kind, String::new(), String::new());
        let from = self.objects.range(first..);
        from.map(|(_, object)| object)
            .take_while(move |object| object.kind == kind)
    }

    /// An object.
    pub(crate) fn find(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Object> {
        self.objects
            .get(&(kind, namespace.to_owned(), name.to_owned()))
    }

    /// An object by `name` or `namespace/name`.
    pub(crate) fn find_relative(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Object> {
        let (namespace, name) = name.split_once('/').unwrap_or((namespace, name));
        self.find(kind, namespace, name)
    }

    /// Whether somebody wrote an object of this kind, and not only an installation's defaults are there.
    pub(crate) fn knows(&self, kind: Kind) -> bool {
        self.of(kind)
            .any(|object| object.file != "internal-ingress")
    }
}

/// `namespace/name` of a name that may already be in that form.
pub(crate) fn full_name(namespace: &str, name: &str) -> String {
    match (namespace, name.contains('/')) {
        ("", _) | (_, true) => name.to_owned(),
        _ => format!("{namespace}/{name}"),
    }
}
