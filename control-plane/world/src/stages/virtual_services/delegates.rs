//! Delegates: the routes of one VirtualService in the place of a route of another. Istio 1.31: `mergeVirtualServices`.

use std::collections::BTreeSet;

use meltemi_model::routing::{
    Delegate, HeaderOperations, HttpAction, HttpMatch, HttpRoute, SingleMirror, StringMatch,
    VirtualService,
};
use meltemi_model::service::ExportTo;
use meltemi_model::{Diagnostic, Diagnostics, Kind, Labels, ObjectKey, Shared, Str};

use crate::store::Table;

/// All VirtualServices with hosts, by key; those that name delegates have the delegates' routes instead. A delegate is
/// nothing by itself.
pub(super) fn joined(
    table: &Table<VirtualService>,
    export_to: &ExportTo,
) -> (Vec<Shared<VirtualService>>, Diagnostics) {
    let mut findings = Diagnostics::new();
    let own = table.iter().filter(|(_, vs)| !vs.hosts.is_empty());
    let joined = own
        .map(|(_, vs)| {
            if vs.http.iter().all(|route| route.delegate.is_none()) {
                return vs.clone();
            }
            let routes = vs.http.iter().enumerate();
            let http = routes
                .flat_map(|(i, route)| match &route.delegate {
                    None => vec![route.clone()],
                    Some(to) => {
                        let path = format!("spec.http[{i}].delegate");
                        let found = routes_of(table, export_to, vs, to);
                        let (routes, why) = match found {
                            Ok(delegate) => merged(route, delegate),
                            Err(why) => (Vec::new(), vec![why]),
                        };
                        let object = &vs.meta.key;
                        let warnings = why
                            .into_iter()
                            .map(|why| Diagnostic::warning(object, &*path, why));
                        findings.extend(warnings);
                        routes
                    }
                })
                .collect();
            Shared::new(VirtualService {
                http,
                ..(**vs).clone()
            })
        })
        .collect();
    (joined, findings)
}

/// The delegate, when it is there and visible to the namespace of its root.
fn routes_of<'a>(
    table: &'a Table<VirtualService>,
    export_to: &ExportTo,
    root: &VirtualService,
    to: &Delegate,
) -> Result<&'a VirtualService, String> {
    let Delegate { namespace, name } = to;
    let key = ObjectKey::new(Kind::VirtualService, namespace.clone(), name.clone());
    let Some(delegate) = table.get(&key) else {
        return Err(format!(
            "there is no VirtualService {namespace}/{name}, so this route is left out"
        ));
    };
    if !delegate.hosts.is_empty() {
        return Err(format!(
            "VirtualService {namespace}/{name} has hosts and cannot be a delegate, so this route is left out"
        ));
    }
    let from = &root.meta.key.namespace;
    if !delegate.export_to.visible_in(from, export_to, namespace) {
        return Err(format!(
            "VirtualService {namespace}/{name} is not exported to {from}, so this route is left out; \
             write {from} or * to its exportTo"
        ));
    }
    Ok(delegate)
}

/// The delegate's routes with what the root's says, and why some of them are left out.
fn merged(root: &HttpRoute, delegate: &VirtualService) -> (Vec<HttpRoute>, Vec<String>) {
    let mut why = Vec::new();
    let routes = delegate.http.iter().enumerate();
    let routes = routes
        .filter_map(|(i, route)| {
            let merged = merged_route(root, route);
            if merged.is_none() {
                let key = &delegate.meta.key;
                why.push(format!(
                    "spec.http[{i}] of VirtualService {}/{} matches requests that this route does not, so it is left \
                     out; write conditions that are within this route's",
                    key.namespace, key.name
                ));
            }
            merged
        })
        .collect();
    (routes, why)
}

/// `None`: the conditions contradict each other. Istio 1.31: `mergeHTTPRoute`.
fn merged_route(root: &HttpRoute, leaf: &HttpRoute) -> Option<HttpRoute> {
    let matches = merged_matches(&root.matches, &leaf.matches)?;
    let says_nothing = leaf.headers == HeaderOperations::default();
    let mirrored = &leaf.mirror;
    Some(HttpRoute {
        name: joined_name(&root.name, &leaf.name).into(),
        matches,
        action: match (&root.action, &leaf.action) {
            (HttpAction::Respond(response), HttpAction::Forward(_) | HttpAction::Nothing) => {
                HttpAction::Respond(response.clone())
            }
            (_, own) => own.clone(),
        },
        timeout: leaf.timeout.or(root.timeout),
        retries: leaf.retries.clone().or_else(|| root.retries.clone()),
        fault: leaf.fault.clone().or_else(|| root.fault.clone()),
        mirror: SingleMirror {
            to: mirrored.to.clone().or_else(|| root.mirror.to.clone()),
            percentage: mirrored.percentage.or(root.mirror.percentage),
            percent: mirrored.percent.or(root.mirror.percent),
        },
        mirrors: if leaf.mirrors.is_empty() {
            root.mirrors.clone()
        } else {
            leaf.mirrors.clone()
        },
        cors: leaf.cors.clone().or_else(|| root.cors.clone()),
        headers: if says_nothing {
            root.headers.clone()
        } else {
            leaf.headers.clone()
        },
        rewrite: leaf.rewrite.clone().or_else(|| root.rewrite.clone()),
        delegate: None,
    })
}

fn joined_name(root: &str, leaf: &str) -> String {
    match (root, leaf) {
        (root, "") => root.to_owned(),
        ("", leaf) => leaf.to_owned(),
        (root, leaf) => format!("{root}-{leaf}"),
    }
}

/// Each condition of the delegate within each of the root's that it fits. One that fits none voids the route.
/// Istio 1.31: `mergeHTTPMatchRequests`.
fn merged_matches(root: &[HttpMatch], leaf: &[HttpMatch]) -> Option<Vec<HttpMatch>> {
    if root.is_empty() {
        return Some(leaf.to_vec());
    }
    if leaf.is_empty() {
        return Some(root.to_vec());
    }
    let mut out = Vec::new();
    for leaf in leaf {
        let before = out.len();
        let fitting = root.iter().filter(|root| !conflict(root, leaf));
        out.extend(fitting.map(|root| merged_match(root, leaf)));
        if out.len() == before {
            return None;
        }
    }
    Some(out)
}

fn merged_match(root: &HttpMatch, leaf: &HttpMatch) -> HttpMatch {
    let text = |leaf: &String, root: &String| if leaf.is_empty() { root } else { leaf }.clone();
    HttpMatch {
        name: joined_name(&root.name, &leaf.name),
        uri: leaf.uri.clone().or_else(|| root.uri.clone()),
        ignore_uri_case: leaf.ignore_uri_case,
        scheme: leaf.scheme.clone().or_else(|| root.scheme.clone()),
        method: leaf.method.clone().or_else(|| root.method.clone()),
        authority: leaf.authority.clone().or_else(|| root.authority.clone()),
        headers: merged_conditions(&root.headers, &leaf.headers),
        without_headers: merged_conditions(&root.without_headers, &leaf.without_headers),
        query_params: merged_conditions(&root.query_params, &leaf.query_params),
        port: if leaf.port == 0 { root.port } else { leaf.port },
        source_labels: both(&root.source_labels, &leaf.source_labels),
        source_namespace: text(&leaf.source_namespace, &root.source_namespace),
        gateways: if leaf.gateways.is_empty() {
            root.gateways.clone()
        } else {
            leaf.gateways.clone()
        },
        stat_prefix: text(&leaf.stat_prefix, &root.stat_prefix),
    }
}

fn both(root: &Labels, leaf: &Labels) -> Labels {
    let mut all = root.0.clone();
    all.extend(
        leaf.0
            .iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    Labels(all)
}

type Condition = (Str, Option<StringMatch>);

/// By name; the delegate's where both have one.
fn merged_conditions(root: &[Condition], leaf: &[Condition]) -> Vec<Condition> {
    let named = |name: &Str| leaf.iter().any(|(n, _)| n == name);
    let roots = root.iter().filter(|(name, _)| !named(name));
    let mut out: Vec<Condition> = roots.chain(leaf).cloned().collect();
    out.sort_by(|(a, _), (b, _)| a.cmp(b));
    out
}

/// Whether a condition of the delegate may hold where the root's does not. Istio 1.31: `hasConflict`.
fn conflict(root: &HttpMatch, leaf: &HttpMatch) -> bool {
    let parts = [
        (&root.uri, &leaf.uri),
        (&root.scheme, &leaf.scheme),
        (&root.method, &leaf.method),
        (&root.authority, &leaf.authority),
    ];
    let lists = [
        (&root.headers, &leaf.headers),
        (&root.without_headers, &leaf.without_headers),
        (&root.query_params, &leaf.query_params),
    ];
    let other_port = root.port != 0 && leaf.port != 0 && root.port != leaf.port;
    let other_labels = leaf.source_labels.0.iter().any(|(name, value)| {
        let said = root.source_labels.get(name);
        said.is_some_and(|said| said != value)
    });
    let roots: BTreeSet<&Str> = root.gateways.iter().collect();
    let other_gateways = !roots.is_empty()
        && (root.gateways.len() < leaf.gateways.len()
            || leaf.gateways.iter().any(|g| !roots.contains(g)));
    parts.into_iter().any(|(root, leaf)| match (root, leaf) {
        (Some(root), Some(leaf)) => !within(Some(root), Some(leaf)),
        _ => false,
    }) || lists
        .into_iter()
        .any(|(root, leaf)| conflicting(root, leaf))
        || root.ignore_uri_case != leaf.ignore_uri_case
        || other_port
        || (!root.source_namespace.is_empty() && root.source_namespace != leaf.source_namespace)
        || other_labels
        || other_gateways
}

fn conflicting(root: &[Condition], leaf: &[Condition]) -> bool {
    leaf.iter().any(|(name, leaf)| {
        let said = root.iter().find(|(n, _)| n == name);
        said.is_some_and(|(_, root)| !within(root.as_ref(), leaf.as_ref()))
    })
}

/// Whether what `leaf` takes, `root` takes too, as far as Istio looks: regular expressions and "is present" fit
/// nothing. Istio 1.31: `stringMatchConflict`.
fn within(root: Option<&StringMatch>, leaf: Option<&StringMatch>) -> bool {
    match (root, leaf) {
        (Some(StringMatch::Exact(root)), Some(StringMatch::Exact(leaf))) => {
            !root.is_empty() && root == leaf
        }
        (
            Some(StringMatch::Prefix(root)),
            Some(StringMatch::Exact(leaf) | StringMatch::Prefix(leaf)),
        ) => !root.is_empty() && !leaf.is_empty() && leaf.starts_with(&**root),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
