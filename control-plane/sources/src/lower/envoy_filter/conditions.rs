//! `match`: which of a proxy's resources a patch is for.

use meltemi_api::envoy_filter as api;
use meltemi_model::Str;
use meltemi_model::envoy_filter::{
    ApplyTo, ChainCondition, ClusterCondition, Condition, HttpRouteCondition, ListenerCondition,
    RouteAction, RouteCondition, VirtualHostCondition,
};

use super::{Conditioned, mistake};
use crate::lower::findings::Findings;

const HTTP_CONNECTION_MANAGER: &str = "envoy.filters.network.http_connection_manager";

/// The condition, which must be of the kind that `applyTo` needs.
pub(super) fn condition(
    apply_to: ApplyTo,
    matched: &api::EnvoyConfigObjectMatch,
    at: &str,
    findings: &mut Findings,
) -> Conditioned {
    let others = [
        matched.listener.is_some() && !apply_to.is_of_listener(),
        matched.route_configuration.is_some() && !apply_to.is_of_route(),
        matched.cluster.is_some() && apply_to != ApplyTo::Cluster,
        matched.waypoint.is_some(),
    ];
    if others.contains(&true) {
        let class = match apply_to {
            ApplyTo::Cluster => "cluster class objects cannot have non cluster match",
            ApplyTo::ExtensionConfig => "extension configurations cannot have a match for objects",
            other if other.is_of_route() => {
                "http route class objects cannot have non route configuration match"
            }
            _ => "listener class objects cannot have non listener match",
        };
        return mistake("match", format!("applyTo for {class}"));
    }
    if let Some(listener) = &matched.listener {
        return self::listener(apply_to, listener, at, findings);
    }
    if let Some(route) = &matched.route_configuration {
        return Ok(Condition::Route(self::route(route)));
    }
    if let Some(cluster) = &matched.cluster {
        return Ok(Condition::Cluster(ClusterCondition {
            port: cluster.port_number,
            service: text(&cluster.service),
            subset: text(&cluster.subset),
            name: text(&cluster.name),
        }));
    }
    Ok(Condition::None)
}

fn text(written: &str) -> Str {
    written.into()
}

fn listener(
    apply_to: ApplyTo,
    written: &api::ListenerMatch,
    at: &str,
    findings: &mut Findings,
) -> Conditioned {
    let chain = match &written.filter_chain {
        Some(chain) => {
            if let Some(filter) = &chain.filter {
                check_filter(apply_to, filter, at, findings)?;
            }
            Some(self::chain(chain))
        }
        None => None,
    };
    Ok(Condition::Listener(ListenerCondition {
        port: written.port_number,
        name: text(&written.name),
        listener_filter: text(&written.listener_filter),
        chain,
    }))
}

fn check_filter(
    apply_to: ApplyTo,
    filter: &api::FilterMatch,
    at: &str,
    findings: &mut Findings,
) -> Result<(), super::Mistake> {
    let path = "match.listener.filterChain.filter";
    if matches!(apply_to, ApplyTo::Listener | ApplyTo::FilterChain) {
        findings.warning(
            format!("{at}.{path}"),
            "has no effect on listeners and filter chains",
        );
    }
    if filter.name.is_empty() {
        return mistake(
            format!("{path}.name"),
            "filter match has no name to match on",
        );
    }
    let Some(sub) = &filter.sub_filter else {
        return Ok(());
    };
    let path = format!("{path}.subFilter");
    if apply_to != ApplyTo::HttpFilter {
        let message = "subfilter match can be used with applyTo HTTP_FILTER only";
        return mistake(path, message);
    }
    if filter.name != HTTP_CONNECTION_MANAGER {
        let message =
            format!("subfilter match requires filter match with {HTTP_CONNECTION_MANAGER}");
        return mistake(path, message);
    }
    if sub.name.is_empty() {
        let message = "subfilter match has no name to match on";
        return mistake(format!("{path}.name"), message);
    }
    Ok(())
}

fn chain(written: &api::FilterChainMatch) -> ChainCondition {
    let protocols = written.application_protocols.split(',');
    let filter = written.filter.as_ref();
    ChainCondition {
        name: text(&written.name),
        sni: text(&written.sni),
        transport_protocol: text(&written.transport_protocol),
        application_protocols: protocols.filter(|p| !p.is_empty()).map(text).collect(),
        destination_port: written.destination_port,
        filter: filter.map(|f| text(&f.name)),
        sub_filter: filter
            .and_then(|f| f.sub_filter.as_ref())
            .map(|s| text(&s.name)),
    }
}

fn route(written: &api::RouteConfigurationMatch) -> RouteCondition {
    let virtual_host = written.vhost.as_ref().map(|host| VirtualHostCondition {
        name: text(&host.name),
        domain: text(&host.domain_name),
        route: host.route.as_ref().map(|route| HttpRouteCondition {
            name: text(&route.name),
            action: match route.action {
                api::RouteAction::Any => None,
                api::RouteAction::Route => Some(RouteAction::Route),
                api::RouteAction::Redirect => Some(RouteAction::Redirect),
                api::RouteAction::DirectResponse => Some(RouteAction::DirectResponse),
            },
        }),
    });
    RouteCondition {
        port: written.port_number,
        port_name: text(&written.port_name),
        gateway: text(&written.gateway),
        name: text(&written.name),
        virtual_host,
    }
}
