//! Small snapshots for tests. A body says what the model client reads from it: `route:<name>` in listeners,
//! `cluster:<name>` in routes, `bad` in what it refuses.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use meltemi_model::{ProxySnapshot, Resource, ResourceSet, ResourceType};

/// Name and body of the resources of one type.
pub(crate) type Bodies = BTreeMap<String, String>;

pub(crate) fn snapshot_of(revision: u64, sets: &[Bodies]) -> Arc<ProxySnapshot> {
    let sets = ResourceType::ALL.map(|ty| {
        let resource = |(name, body): (&String, &String)| {
            let (name, body) = (name.as_str().into(), Bytes::from(body.clone()));
            Arc::new(Resource::new(ty, name, body, Arc::from([])))
        };
        Arc::new(ResourceSet::new(
            ty,
            sets.get(ty.index()).into_iter().flatten().map(resource),
        ))
    });
    Arc::new(ProxySnapshot::new(revision, sets))
}

/// A snapshot from `name=body` words, per type.
pub(crate) fn snapshot(
    clusters: &str,
    endpoints: &str,
    listeners: &str,
    routes: &str,
) -> Arc<ProxySnapshot> {
    let bodies = |text: &str| -> Bodies {
        let pair = |word: &str| {
            word.split_once('=')
                .map(|(n, b)| (n.to_owned(), b.to_owned()))
                .unwrap()
        };
        text.split_whitespace().map(pair).collect()
    };
    snapshot_of(
        1,
        &[
            bodies(clusters),
            bodies(endpoints),
            bodies(listeners),
            bodies(routes),
            Bodies::new(),
        ],
    )
}

/// The names after `key:` in a body.
pub(crate) fn references<'a>(body: &'a str, key: &str) -> Vec<&'a str> {
    body.split(',')
        .filter_map(|word| word.strip_prefix(key)?.strip_prefix(':'))
        .collect()
}
