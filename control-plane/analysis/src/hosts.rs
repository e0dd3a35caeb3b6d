//! Names of hosts: what short names mean, what covers what, and which hosts there are.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::object::{list, number, texts};
use crate::{Input, Kind, Object};

/// A host as some namespace sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Scoped {
    /// A namespace, or `*` for all.
    pub(crate) scope: String,
    /// The full name.
    pub(crate) host: String,
}

impl Scoped {
    pub(crate) fn new(scope: &str, namespace: &str, host: &str) -> Self {
        Self {
            scope: scope.to_owned(),
            host: full_host(namespace, host),
        }
    }
}

/// A host's full name; short names are those of Services of `namespace`.
pub(crate) fn full_host(namespace: &str, host: &str) -> String {
    if host.starts_with('*') || host.contains('.') {
        host.to_owned()
    } else {
        format!("{host}.{namespace}.svc.cluster.local")
    }
}

/// Namespace and name of the Service that a host names.
pub(crate) fn service_of(namespace: &str, host: &str) -> (String, String) {
    let full = host.strip_suffix(".svc.cluster.local");
    let parts = full.and_then(|rest| rest.rsplit_once('.'));
    match parts {
        Some((name, namespace)) if !name.is_empty() && !namespace.is_empty() => {
            (namespace.to_owned(), name.to_owned())
        }
        _ => (namespace.to_owned(), host.to_owned()),
    }
}

/// Whether two hosts, each maybe with a `*` in front, have a host in common. Istio 1.31: `host.Name.Matches`.
pub(crate) fn overlap(a: &str, b: &str) -> bool {
    match (a.strip_prefix('*'), b.strip_prefix('*')) {
        (Some(a), Some(b)) if a.len() < b.len() => b.ends_with(a),
        (Some(a), Some(b)) => a.ends_with(b),
        (Some(a), None) => b.ends_with(a),
        (None, Some(b)) => a.ends_with(b),
        (None, None) => a == b,
    }
}

/// The scopes of an `exportTo`: `*`, or namespaces.
pub(crate) fn scopes(export_to: &[&str], namespace: &str) -> Vec<String> {
    if export_to.is_empty() || export_to.contains(&"*") {
        return vec!["*".to_owned()];
    }
    let mut scopes: Vec<_> = export_to
        .iter()
        .map(|scope| (if *scope == "." { namespace } else { scope }).to_owned())
        .collect();
    scopes.sort();
    scopes.dedup();
    scopes
}

/// What stands behind a host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Service<'a> {
    /// Its ports.
    pub(crate) ports: Vec<i64>,
    /// The ServiceEntry; Services have none.
    pub(crate) entry: Option<&'a Object>,
}

/// All hosts, by who sees them.
pub(crate) fn all_hosts<'a>(input: &'a Input<'a>) -> BTreeMap<Scoped, Service<'a>> {
    let mut hosts = BTreeMap::new();
    for entry in input.of(Kind::ServiceEntry) {
        let service = Service {
            ports: ports(list(&entry.value, "/spec/ports"), "/number"),
            entry: Some(entry),
        };
        for scope in scopes(&entry.texts("/spec/exportTo"), &entry.namespace) {
            for host in texts(&entry.value, "/spec/hosts") {
                hosts.insert(Scoped::new(&scope, &entry.namespace, host), service.clone());
            }
        }
    }
    for object in input.of(Kind::Service) {
        let service = Service {
            ports: ports(object.list("/spec/ports"), "/port"),
            entry: None,
        };
        let export_to: Vec<_> = match object.annotation("networking.istio.io/exportTo") {
            None | Some("") => Vec::new(),
            Some(text) => text.split(',').map(str::trim).collect(),
        };
        for scope in scopes(&export_to, &object.namespace) {
            let host = Scoped::new(&scope, &object.namespace, &object.name);
            hosts.insert(host, service.clone());
        }
    }
    hosts
}

fn ports(ports: &[Value], number_at: &str) -> Vec<i64> {
    ports.iter().map(|port| number(port, number_at)).collect()
}

/// What a host means to an object of `namespace` that is exported to `export_to`. Istio 1.31: `GetDestinationHost`.
pub(crate) fn service_for<'h, 'a>(
    hosts: &'h BTreeMap<Scoped, Service<'a>>,
    namespace: &str,
    export_to: &[&str],
    host: &str,
) -> Option<&'h Service<'a>> {
    let own = [namespace];
    let scopes: &[&str] = if export_to.is_empty() {
        &own
    } else {
        export_to
    };
    let exact = std::iter::once("*").chain(scopes.iter().map(|scope| match *scope {
        "." => namespace,
        scope => scope,
    }));
    for scope in exact {
        if let Some(service) = hosts.get(&Scoped::new(scope, namespace, host)) {
            return Some(service);
        }
    }
    let wanted = host.strip_prefix('*').unwrap_or(host);
    hosts.iter().find_map(|(scoped, service)| {
        let suffix = scoped.host.strip_prefix('*')?;
        let is_visible = scoped.scope == "*" || scoped.scope == namespace;
        (is_visible && wanted.ends_with(suffix)).then_some(service)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_named_in_short_and_in_full() {
        assert_eq!(full_host("ns", "a"), "a.ns.svc.cluster.local");
        assert_eq!(full_host("ns", "a.b"), "a.b");
        for (host, want) in [
            ("a", ("ns", "a")),
            ("a.other.svc.cluster.local", ("other", "a")),
            ("a.b.other.svc.cluster.local", ("other", "a.b")),
            ("a.other", ("ns", "a.other")),
        ] {
            let (namespace, name) = service_of("ns", host);
            assert_eq!((&*namespace, &*name), want);
        }
    }

    #[test]
    fn stars_overlap() {
        for (a, b, want) in [
            ("*", "a", true),
            ("*.com", "*.a.com", true),
            ("*.a.com", "*.com", true),
            ("a.com", "b.com", false),
            ("*.a", "a", false),
        ] {
            assert_eq!(overlap(a, b), want, "{a} {b}");
        }
    }
}
