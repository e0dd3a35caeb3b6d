//! What a route does with a request: cluster, rewrites, copies.

use meltemi_proto::envoy::config::core::v3::Metadata;
use meltemi_proto::envoy::config::route::v3::route_action::{
    ClusterSpecifier, HostRewriteSpecifier, RequestMirrorPolicy,
};
use meltemi_proto::envoy::config::route::v3::weighted_cluster::{
    ClusterWeight, RandomValueSpecifier, cluster_weight,
};
use meltemi_proto::envoy::config::route::v3::{RouteAction, RouteConfiguration, VirtualHost};

use crate::call::Call;
use crate::http::Request;
use crate::matching::{millionths, taken, weighted};
use crate::outcome::{Mirror, Miss, MissKind, Stage, Weight};
use crate::path::{replace_prefix, replace_regex, split, substituted};

/// The cluster of a route.
#[derive(Debug)]
pub(crate) struct Chosen<'a> {
    pub(crate) cluster: String,
    pub(crate) weights: Vec<Weight>,
    /// Why this one.
    pub(crate) why: String,
    /// The host that this cluster of several is sent.
    pub(crate) host: Option<&'a str>,
    /// Its entry, where it is one of several.
    pub(crate) entry: Option<&'a ClusterWeight>,
    /// What endpoints must have, from the route and the cluster's entry.
    pub(crate) metadata: Vec<&'a Metadata>,
}

/// Chooses the cluster.
pub(crate) fn cluster<'a>(
    action: &'a RouteAction,
    request: &Request,
    call: &Call,
) -> Result<Chosen<'a>, Miss> {
    let mut chosen = Chosen {
        cluster: String::new(),
        weights: Vec::new(),
        why: String::new(),
        host: None,
        entry: None,
        metadata: action.metadata_match.iter().collect(),
    };
    match &action.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => {
            chosen.cluster.clone_from(name);
            chosen.why = "the route names it".to_owned();
        }
        Some(ClusterSpecifier::ClusterHeader(header)) => {
            chosen.cluster = from_header(header, request)?;
            chosen.why = format!("header {header} of the request names it");
        }
        Some(ClusterSpecifier::WeightedClusters(several)) => {
            let random = match &several.random_value_specifier {
                Some(RandomValueSpecifier::HeaderName(header)) => {
                    let value = request.header(header);
                    value.and_then(|v| v.parse().ok()).unwrap_or(call.random)
                }
                _ => call.random,
            };
            chosen.weights = several.clusters.iter().map(weight).collect();
            let weights = chosen.weights.iter().map(|w| w.weight);
            let at = weighted(weights, random).and_then(|at| several.clusters.get(at));
            let Some(entry) = at else {
                return Err(missing(
                    "all clusters of the route have weight 0".to_owned(),
                ));
            };
            chosen.cluster = match entry.name.as_str() {
                "" => from_header(&entry.cluster_header, request)?,
                name => name.to_owned(),
            };
            chosen.why = format!("chosen by weight among {} clusters", several.clusters.len());
            if let Some(cluster_weight::HostRewriteSpecifier::HostRewriteLiteral(host)) =
                &entry.host_rewrite_specifier
            {
                chosen.host = Some(host);
            }
            chosen.metadata.extend(&entry.metadata_match);
            chosen.entry = Some(entry);
        }
        Some(ClusterSpecifier::ClusterSpecifierPlugin(name)) => {
            return Err(not_followed(name));
        }
        Some(ClusterSpecifier::InlineClusterSpecifierPlugin(plugin)) => {
            let name = plugin.extension.as_ref().map_or("", |e| e.name.as_str());
            return Err(not_followed(name));
        }
        None => return Err(missing("the route names no cluster".to_owned())),
    }
    Ok(chosen)
}

fn weight(entry: &ClusterWeight) -> Weight {
    let cluster = match entry.name.as_str() {
        "" => format!("(header {})", entry.cluster_header),
        name => name.to_owned(),
    };
    Weight {
        cluster,
        weight: entry.weight.map_or(0, |weight| weight.value),
    }
}

fn from_header(header: &str, request: &Request) -> Result<String, Miss> {
    let missing = || {
        missing(format!(
            "header {header}, which names the cluster, is absent"
        ))
    };
    request.header(header).ok_or_else(missing)
}

fn missing(why: String) -> Miss {
    Miss {
        at: Stage::Cluster,
        kind: MissKind::NoCluster,
        why,
        candidates: Vec::new(),
        status: Some(503),
    }
}

fn not_followed(plugin: &str) -> Miss {
    Miss {
        at: Stage::Cluster,
        kind: MissKind::NotFollowed,
        why: format!("plugin {plugin} chooses the cluster, which is not followed here"),
        candidates: Vec::new(),
        status: None,
    }
}

/// The path that the upstream sees; `matched` bytes were matched by the route.
pub(crate) fn upstream_path(action: &RouteAction, request: &Request, matched: usize) -> String {
    if !action.prefix_rewrite.is_empty() {
        return replace_prefix(&request.path, matched, &action.prefix_rewrite);
    }
    match &action.regex_rewrite {
        Some(rewrite) => replace_regex(&request.path, rewrite),
        None => request.path.clone(),
    }
}

/// The host that the upstream sees. Envoy: what the route says replaces what the entry of a weighted cluster said.
pub(crate) fn upstream_host(
    action: &RouteAction,
    request: &Request,
    of_cluster: Option<&str>,
) -> String {
    let kept = || of_cluster.unwrap_or(&request.host).to_owned();
    match &action.host_rewrite_specifier {
        Some(HostRewriteSpecifier::HostRewriteLiteral(host)) => host.clone(),
        Some(HostRewriteSpecifier::AutoHostRewrite(flag)) if flag.value => {
            "(the name of the endpoint)".to_owned()
        }
        Some(HostRewriteSpecifier::HostRewriteHeader(header)) => {
            request.header(header).unwrap_or_else(kept)
        }
        Some(HostRewriteSpecifier::HostRewritePathRegex(rewrite)) => {
            substituted(split(&request.path).0, rewrite)
        }
        _ => kept(),
    }
}

/// Copies of the request. Envoy: the route's policies, else the virtual host's, else the configuration's.
pub(crate) fn mirrors(
    action: &RouteAction,
    virtual_host: &VirtualHost,
    routes: &RouteConfiguration,
    request: &Request,
    call: &Call,
) -> Vec<Mirror> {
    let levels = [
        &action.request_mirror_policies,
        &virtual_host.request_mirror_policies,
        &routes.request_mirror_policies,
    ];
    let policies = levels.into_iter().find(|level| !level.is_empty());
    let mirror = |policy: &RequestMirrorPolicy| Mirror {
        cluster: match policy.cluster.as_str() {
            "" => request.header(&policy.cluster_header).unwrap_or_default(),
            name => name.to_owned(),
        },
        millionths: millionths(policy.runtime_fraction.as_ref()),
        taken: taken(policy.runtime_fraction.as_ref(), call.random),
    };
    policies.into_iter().flatten().map(mirror).collect()
}
