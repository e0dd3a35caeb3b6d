//! From the name of a cluster to its endpoints.

use meltemi_proto::any::type_name;
use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::cluster::v3::cluster::lb_subset_config::LbSubsetFallbackPolicy;
use meltemi_proto::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, LbConfig, LbSubsetConfig,
};
use meltemi_proto::envoy::config::core::v3::{HealthStatus, Locality, Metadata};
use meltemi_proto::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use meltemi_proto::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, LbEndpoint, LocalityLbEndpoints,
};
use meltemi_proto::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use meltemi_proto::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    UpstreamProtocolOptions, explicit_http_config::ProtocolConfig,
};
use meltemi_proto::google::protobuf::Struct;
use prost::Message as _;

use crate::address::{joined, shown};
use crate::call::Call;
use crate::metadata::{config_of, includes, pairs};
use crate::outcome::{Destination, Endpoint, Miss, MissKind, Stage, Step};
use crate::resources::Resources;
use crate::upstream;

const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// Where metadata for load balancing stands.
const LB: &str = "envoy.lb";

/// The cluster of this name.
pub(crate) fn find<'a>(
    resources: &'a Resources,
    name: &str,
    why: &str,
) -> Result<(&'a Cluster, Step), Miss> {
    let Some(cluster) = resources.clusters.get(name) else {
        return Err(Miss {
            at: Stage::Cluster,
            kind: MissKind::NoCluster,
            why: format!("the proxy has no cluster {name:?} ({why})"),
            candidates: near(resources, name),
            status: Some(503),
        });
    };
    let step = Step {
        stage: Stage::Cluster,
        chosen: name.to_owned(),
        why: why.to_owned(),
        config: config_of(cluster.metadata.as_ref()),
    };
    Ok((cluster, step))
}

/// Clusters of the same host (Istio's names are `DIRECTION|PORT|SUBSET|HOST`).
fn near(resources: &Resources, name: &str) -> Vec<String> {
    let host = name.rsplit('|').next().unwrap_or(name);
    let names = resources.clusters.keys();
    names
        .filter(|other| !host.is_empty() && other.rsplit('|').next() == Some(host))
        .cloned()
        .collect()
}

/// What the request side tells of its way to the endpoints.
pub(crate) struct Wanted<'a> {
    /// What the route demands of endpoints.
    pub(crate) metadata: Vec<&'a Metadata>,
    /// The host that the upstream sees; none for TCP.
    pub(crate) host: Option<&'a str>,
}

/// The endpoints that may be chosen.
pub(crate) fn destination(
    resources: &Resources,
    cluster: &Cluster,
    wanted: &Wanted<'_>,
    call: &Call,
) -> Result<(Destination, Step), Miss> {
    let options = http_options(cluster);
    let (discovery, kind) = discovery(cluster);
    let subset = subset(wanted);
    let mut all = match kind {
        Some(DiscoveryType::OriginalDst) => vec![original(cluster, call)],
        Some(DiscoveryType::Eds) => {
            let name = cluster.eds_cluster_config.as_ref();
            let name = name.map_or("", |config| config.service_name.as_str());
            let name = if name.is_empty() { &cluster.name } else { name };
            let assignment = resources.endpoints.get(name);
            assignment.map_or_else(Vec::new, |a| candidates(a, cluster, &subset))
        }
        _ => {
            let assignment = cluster.load_assignment.as_ref();
            assignment.map_or_else(Vec::new, |a| candidates(a, cluster, &subset))
        }
    };
    let auto_sni = options.as_ref().is_some_and(|options| {
        let upstream = options.upstream_http_protocol_options.as_ref();
        upstream.is_some_and(|upstream| upstream.auto_sni)
    });
    for (endpoint, of_endpoint, of_locality) in &mut all {
        let socket = upstream::socket(cluster, of_endpoint.as_ref(), of_locality.as_ref());
        endpoint.tls = socket.tls;
        endpoint.proxy_protocol = socket.proxy_protocol;
        if let (true, Some(tls), Some(host)) = (auto_sni, &mut endpoint.tls, wanted.host) {
            // Envoy: the automatic server name takes the place of the configured one, without the port.
            tls.sni = crate::host::split_port(host).0.to_owned();
        }
    }
    let mut endpoints: Vec<Endpoint> = all.into_iter().map(|(e, ..)| e).collect();
    endpoints.sort_by_key(|endpoint| endpoint.priority);
    if endpoints.is_empty() {
        return Err(none(cluster, &discovery, &subset));
    }
    let step = step(&endpoints, &discovery, &subset);
    let destination = Destination {
        cluster: cluster.name.clone(),
        discovery,
        subset: subset.as_ref().map(pairs).unwrap_or_default(),
        http: wanted.host.map(|_| http_version(cluster, options.as_ref())),
        endpoints,
    };
    Ok((destination, step))
}

fn step(endpoints: &[Endpoint], discovery: &str, subset: &Option<Struct>) -> Step {
    let chosen: Vec<String> = endpoints
        .iter()
        .map(|endpoint| joined(&endpoint.address, endpoint.port))
        .collect();
    let mut why = format!("{discovery} cluster");
    if let Some(subset) = subset {
        why += &format!(", only endpoints with {}", shown_pairs(subset));
    }
    Step {
        stage: Stage::Endpoints,
        chosen: chosen.join(" "),
        why,
        config: None,
    }
}

fn shown_pairs(subset: &Struct) -> String {
    let pairs = pairs(subset).into_iter().map(|(k, v)| format!("{k}={v}"));
    pairs.collect::<Vec<_>>().join(" ")
}

fn none(cluster: &Cluster, discovery: &str, subset: &Option<Struct>) -> Miss {
    let mut why = format!("{discovery} cluster {} has no endpoint", cluster.name);
    if let Some(subset) = subset {
        why += &format!(" with {}", shown_pairs(subset));
    }
    Miss {
        at: Stage::Endpoints,
        kind: MissKind::NoEndpoint,
        why,
        candidates: Vec::new(),
        status: Some(503),
    }
}

type Candidate = (Endpoint, Option<Metadata>, Option<Metadata>);

fn original(cluster: &Cluster, call: &Call) -> Candidate {
    let over = match &cluster.lb_config {
        Some(LbConfig::OriginalDstLbConfig(config)) => config.upstream_port_override,
        _ => None,
    };
    let port = over.and_then(|port| u16::try_from(port.value).ok());
    let endpoint = Endpoint {
        address: call.address.to_string(),
        port: port.unwrap_or(call.port),
        locality: String::new(),
        priority: 0,
        weight: 1,
        healthy: true,
        tls: None,
        proxy_protocol: None,
    };
    (endpoint, None, None)
}

fn discovery(cluster: &Cluster) -> (String, Option<DiscoveryType>) {
    match &cluster.cluster_discovery_type {
        Some(ClusterDiscoveryType::ClusterType(custom)) => (custom.name.clone(), None),
        Some(ClusterDiscoveryType::Type(number)) => {
            let kind = DiscoveryType::try_from(*number).unwrap_or(DiscoveryType::Static);
            (kind.as_str_name().to_owned(), Some(kind))
        }
        None => ("STATIC".to_owned(), Some(DiscoveryType::Static)),
    }
}

/// What the route demands of endpoints, all levels merged; later ones win.
fn subset(wanted: &Wanted<'_>) -> Option<Struct> {
    let mut merged = Struct::default();
    for metadata in &wanted.metadata {
        if let Some(fields) = metadata.filter_metadata.get(LB) {
            let fields = fields.fields.iter();
            merged
                .fields
                .extend(fields.map(|(k, v)| (k.clone(), v.clone())));
        }
    }
    (!merged.fields.is_empty()).then_some(merged)
}

/// Endpoints of an assignment, those of the subset only where the cluster knows subsets with these keys.
fn candidates(
    assignment: &ClusterLoadAssignment,
    cluster: &Cluster,
    subset: &Option<Struct>,
) -> Vec<Candidate> {
    let all = || {
        assignment.endpoints.iter().flat_map(|locality| {
            let endpoints = locality.lb_endpoints.iter();
            endpoints.filter_map(|endpoint| candidate(locality, endpoint))
        })
    };
    let Some(config) = &cluster.lb_subset_config else {
        return all().collect();
    };
    if config.subset_selectors.is_empty() {
        return all().collect();
    }
    let with = |wanted: &Struct| -> Vec<Candidate> {
        let matching = |(_, metadata, _): &Candidate| {
            let lb = metadata.as_ref().and_then(|m| m.filter_metadata.get(LB));
            includes(lb, wanted)
        };
        all().filter(matching).collect()
    };
    if let Some(wanted) = subset.as_ref().filter(|wanted| selected(config, wanted)) {
        let found = with(wanted);
        if !found.is_empty() {
            return found;
        }
    }
    match LbSubsetFallbackPolicy::try_from(config.fallback_policy) {
        Ok(LbSubsetFallbackPolicy::AnyEndpoint) => all().collect(),
        Ok(LbSubsetFallbackPolicy::DefaultSubset) => {
            with(&config.default_subset.clone().unwrap_or_default())
        }
        _ => Vec::new(),
    }
}

fn selected(config: &LbSubsetConfig, wanted: &Struct) -> bool {
    config.subset_selectors.iter().any(|selector| {
        selector.keys.len() == wanted.fields.len()
            && selector
                .keys
                .iter()
                .all(|key| wanted.fields.contains_key(key))
    })
}

fn candidate(locality: &LocalityLbEndpoints, endpoint: &LbEndpoint) -> Option<Candidate> {
    let Some(HostIdentifier::Endpoint(host)) = &endpoint.host_identifier else {
        return None;
    };
    let (address, port) = shown(host.address.as_ref());
    let health = HealthStatus::try_from(endpoint.health_status).unwrap_or(HealthStatus::Unknown);
    let healthy = matches!(
        health,
        HealthStatus::Unknown | HealthStatus::Healthy | HealthStatus::Degraded
    );
    let shown = Endpoint {
        address,
        port,
        locality: shown_locality(locality.locality.as_ref()),
        priority: locality.priority,
        weight: endpoint
            .load_balancing_weight
            .map_or(1, |weight| weight.value),
        healthy,
        tls: None,
        proxy_protocol: None,
    };
    Some((shown, endpoint.metadata.clone(), locality.metadata.clone()))
}

fn shown_locality(locality: Option<&Locality>) -> String {
    let Some(l) = locality else {
        return String::new();
    };
    let text = format!("{}/{}/{}", l.region, l.zone, l.sub_zone);
    text.trim_end_matches('/').to_owned()
}

fn http_options(cluster: &Cluster) -> Option<HttpProtocolOptions> {
    let any = cluster.typed_extension_protocol_options.get(HTTP_OPTIONS)?;
    (type_name(&any.type_url) == HTTP_OPTIONS)
        .then(|| HttpProtocolOptions::decode(any.value.as_slice()).ok())
        .flatten()
}

// Envoy still takes the old form of HTTP options.
#[allow(deprecated)]
fn http_version(cluster: &Cluster, options: Option<&HttpProtocolOptions>) -> &'static str {
    match options.and_then(|options| options.upstream_protocol_options.as_ref()) {
        Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)) => {
            match &explicit.protocol_config {
                Some(ProtocolConfig::Http2ProtocolOptions(_)) => "HTTP/2",
                Some(ProtocolConfig::Http3ProtocolOptions(_)) => "HTTP/3",
                _ => "HTTP/1.1",
            }
        }
        Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(_)) => "as the client",
        Some(UpstreamProtocolOptions::AutoConfig(_)) => "negotiated",
        None if cluster.http2_protocol_options.is_some() => "HTTP/2",
        None => "HTTP/1.1",
    }
}
