//! networking.istio.io DestinationRule.

pub(super) mod connection_pool;
pub(super) mod load_balancer;
pub(super) mod outlier;
mod tls;

use meltemi_api::destination_rule as api;
use meltemi_model::traffic::{
    DestinationRule, PortPolicy, RetryBudget, Subset, TrafficPolicy, Tunnel,
};
use meltemi_model::{Object, Shared};

use super::findings::Findings;
use super::meta::{Raw, labels};
use super::{LowerSettings, checks, names};

pub(super) fn lower(
    raw: &Raw<'_>,
    findings: &mut Findings,
    settings: &LowerSettings,
) -> Option<Object> {
    let spec: api::DestinationRule = findings.spec(raw)?;
    findings.check(
        "spec.host",
        checks::wildcard_host(&spec.host).or_else(|m| checks::ip(&spec.host).map_err(|_| m)),
    );
    let selector = spec
        .workload_selector
        .as_ref()
        .map(|s| findings.selector("spec.workloadSelector.matchLabels", &s.match_labels));
    let beyond = |entry: &String| entry != "." && **entry != *raw.namespace();
    if selector.is_some() && spec.export_to.iter().any(beyond) {
        findings.warning(
            "spec.exportTo",
            "a rule with a workloadSelector stays in its namespace; write [\".\"]",
        );
    }
    Some(Object::DestinationRule(Shared::new(DestinationRule {
        host: names::fqdn(&spec.host, raw.namespace(), &settings.domain),
        export_to: findings.export_to("spec.exportTo", &spec.export_to, raw.namespace()),
        workload_selector: selector,
        policy: spec
            .traffic_policy
            .as_ref()
            .map(|policy| lower_policy(policy, "spec.trafficPolicy", findings)),
        subsets: subsets(&spec, findings),
        meta: raw.meta.clone(),
    })))
}

/// Istio's webhook wants a DNS label; istiod serves any name that got past it. What would not be one part of a cluster's
/// name, or of a name that Envoy takes for a TLS handshake, is refused here.
fn subset_name(name: &str) -> Result<(), String> {
    let bad = |c: char| c.is_control() || c == '|';
    if name.is_empty() || name.len() > 63 || name.contains(bad) {
        checks::dns_label(name)
    } else {
        Ok(())
    }
}

fn subsets(spec: &api::DestinationRule, findings: &mut Findings) -> Vec<Subset> {
    let mut out: Vec<Subset> = Vec::with_capacity(spec.subsets.len());
    for (i, subset) in spec.subsets.iter().enumerate() {
        let path = format!("spec.subsets[{i}]");
        findings.check(&format!("{path}.name"), subset_name(&subset.name));
        if out.iter().any(|s| *s.name == *subset.name) {
            let message = format!("the subset {:?} is there twice", subset.name);
            findings.error(format!("{path}.name"), message);
        }
        out.push(Subset {
            name: subset.name.as_str().into(),
            labels: labels(&subset.labels),
            policy: subset
                .traffic_policy
                .as_ref()
                .map(|policy| lower_policy(policy, &format!("{path}.trafficPolicy"), findings)),
        });
    }
    out
}

/// Istio 1.31: `validateTrafficPolicy`.
fn lower_policy(policy: &api::TrafficPolicy, path: &str, findings: &mut Findings) -> TrafficPolicy {
    if *policy == api::TrafficPolicy::default() {
        findings.warning(
            path,
            "the policy says nothing; write at least one of its fields, or remove it",
        );
    }
    if policy.tunnel.is_some() && policy.proxy_protocol.is_some() {
        findings.error(
            path,
            "tunnel and proxyProtocol exclude each other; keep only one of them",
        );
    }
    let all = Blocks {
        load_balancer: policy.load_balancer.as_ref(),
        connection_pool: policy.connection_pool.as_ref(),
        outlier_detection: policy.outlier_detection.as_ref(),
        tls: policy.tls.as_ref(),
    };
    TrafficPolicy {
        all: lower_blocks(&all, path, findings),
        ports: ports(policy, path, findings),
        tunnel: policy
            .tunnel
            .as_ref()
            .map(|tunnel| lower_tunnel(tunnel, &format!("{path}.tunnel"), findings)),
        proxy_protocol: policy.proxy_protocol.as_ref().map(|p| match p.version {
            api::ProxyProtocolVersion::V1 => 1,
            api::ProxyProtocolVersion::V2 => 2,
        }),
        retry_budget: policy
            .retry_budget
            .as_ref()
            .map(|budget| retry_budget(budget, &format!("{path}.retryBudget"), findings)),
    }
}

/// What a policy and its settings for one port have in common.
struct Blocks<'a> {
    load_balancer: Option<&'a api::LoadBalancerSettings>,
    connection_pool: Option<&'a api::ConnectionPoolSettings>,
    outlier_detection: Option<&'a api::OutlierDetection>,
    tls: Option<&'a api::ClientTlsSettings>,
}

fn lower_blocks(blocks: &Blocks<'_>, path: &str, findings: &mut Findings) -> PortPolicy {
    PortPolicy {
        load_balancer: blocks
            .load_balancer
            .map(|lb| load_balancer::lower(lb, &format!("{path}.loadBalancer"), findings)),
        connection_pool: blocks
            .connection_pool
            .map(|pool| connection_pool::lower(pool, &format!("{path}.connectionPool"), findings)),
        outlier_detection: blocks
            .outlier_detection
            .map(|o| outlier::lower(o, &format!("{path}.outlierDetection"), findings)),
        tls: blocks
            .tls
            .map(|settings| tls::lower(settings, &format!("{path}.tls"), findings)),
    }
}

fn ports(
    policy: &api::TrafficPolicy,
    path: &str,
    findings: &mut Findings,
) -> Vec<(u16, PortPolicy)> {
    let mut out = Vec::with_capacity(policy.port_level_settings.len());
    for (i, settings) in policy.port_level_settings.iter().enumerate() {
        let path = format!("{path}.portLevelSettings[{i}]");
        let Some(port) = &settings.port else {
            findings.error(format!("{path}.port"), "the port is missing");
            continue;
        };
        let number = findings.port(format!("{path}.port.number"), port.number);
        let blocks = Blocks {
            load_balancer: settings.load_balancer.as_ref(),
            connection_pool: settings.connection_pool.as_ref(),
            outlier_detection: settings.outlier_detection.as_ref(),
            tls: settings.tls.as_ref(),
        };
        let says_nothing = blocks.load_balancer.is_none()
            && blocks.connection_pool.is_none()
            && blocks.outlier_detection.is_none()
            && blocks.tls.is_none();
        if says_nothing {
            findings.warning(&path, "the settings of this port say nothing");
        }
        out.push((number, lower_blocks(&blocks, &path, findings)));
    }
    out
}

fn lower_tunnel(tunnel: &api::TunnelSettings, path: &str, findings: &mut Findings) -> Tunnel {
    if !matches!(tunnel.protocol.as_str(), "" | "CONNECT" | "POST") {
        let message = format!("{:?} is not known; write CONNECT or POST", tunnel.protocol);
        findings.error(format!("{path}.protocol"), message);
    }
    let host = checks::fqdn(&tunnel.target_host)
        .or_else(|m| checks::ip(&tunnel.target_host).map_err(|_| m));
    findings.check(&format!("{path}.targetHost"), host);
    Tunnel {
        post: tunnel.protocol == "POST",
        host: tunnel.target_host.as_str().into(),
        port: findings.port(format!("{path}.targetPort"), tunnel.target_port),
    }
}

fn retry_budget(budget: &api::RetryBudget, path: &str, findings: &mut Findings) -> RetryBudget {
    RetryBudget {
        percent: budget
            .percent
            .map(|value| findings.percent(format!("{path}.percent"), value)),
        min_concurrency: budget.min_retry_concurrency,
        interval: findings.duration(format!("{path}.budgetInterval"), budget.budget_interval),
    }
}
