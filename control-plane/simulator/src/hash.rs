//! What a choice among endpoints depends on, where it is made by a hash: calls that agree in it reach one endpoint.

use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::cluster::v3::cluster::LbPolicy;
use meltemi_proto::envoy::config::route::v3::RouteAction;
use meltemi_proto::envoy::config::route::v3::route_action::hash_policy::PolicySpecifier;
use meltemi_proto::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use meltemi_proto::envoy::r#type::v3::hash_policy::PolicySpecifier as TcpSpecifier;

use crate::http::Request;

/// Whether the cluster chooses by a hash.
pub(crate) fn by_hash(cluster: &Cluster) -> bool {
    matches!(
        LbPolicy::try_from(cluster.lb_policy),
        Ok(LbPolicy::RingHash | LbPolicy::Maglev)
    )
}

/// What of a request is hashed; none where it has nothing that the route names. Envoy: policies add up until one that is
/// the last ends them.
pub(crate) fn of_request(action: &RouteAction, request: &Request) -> Option<String> {
    let mut found = Vec::new();
    for policy in &action.hash_policy {
        let one = match &policy.policy_specifier {
            Some(PolicySpecifier::Header(header)) => request
                .header(&header.header_name)
                .map(|value| format!("header {}: {value}", header.header_name)),
            // Envoy gives a client without the cookie one, where it has a time to live.
            Some(PolicySpecifier::Cookie(cookie)) => {
                let value = request.cookie(&cookie.name);
                let value = value.or_else(|| cookie.ttl.map(|_| "(a new one)".to_owned()));
                value.map(|value| format!("cookie {}: {value}", cookie.name))
            }
            Some(PolicySpecifier::ConnectionProperties(connection)) if connection.source_ip => {
                Some("the source's address".to_owned())
            }
            Some(PolicySpecifier::QueryParameter(parameter)) => request
                .parameter(&parameter.name)
                .map(|value| format!("query parameter {}: {value}", parameter.name)),
            _ => None,
        };
        let ends = one.is_some() && policy.terminal;
        found.extend(one);
        if ends {
            break;
        }
    }
    (!found.is_empty()).then(|| found.join(", "))
}

/// What of a connection is hashed.
pub(crate) fn of_connection(proxy: &TcpProxy) -> Option<String> {
    let mut policies = proxy.hash_policy.iter();
    policies
        .any(|policy| matches!(policy.policy_specifier, Some(TcpSpecifier::SourceIp(_))))
        .then(|| "the source's address".to_owned())
}
