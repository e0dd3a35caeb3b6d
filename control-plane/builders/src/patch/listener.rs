//! LISTENER and what is inside it: LISTENER_FILTER, FILTER_CHAIN, NETWORK_FILTER, HTTP_FILTER; and the routes of inbound
//! listeners, which stand inside them.

use std::collections::BTreeSet;

use meltemi_model::Str;
use meltemi_model::envoy_filter::{
    ApplyTo, ChainCondition, Context, ListenerCondition, Operation, Patch,
};
use meltemi_proto::any::pack;
use meltemi_proto::envoy::config::core::v3::address::Address;
use meltemi_proto::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use meltemi_proto::envoy::config::core::v3::socket_address::PortSpecifier;
use meltemi_proto::envoy::config::listener::v3 as pb;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use meltemi_proto::google::protobuf::Any;
use meltemi_proto::merge::merge_any;
use prost::{Message, Name};

use super::cluster::merge_socket;
use super::{Named, Run, edit, route, value};

mod matching;

pub use matching::may_touch_listener;
use matching::*;

impl Named for pb::Listener {
    fn name(&self) -> &str {
        &self.name
    }
}

/// Removes it (false), or changes it and what is inside.
pub(super) fn patch(run: &mut Run<'_>, listener: &mut pb::Listener) -> bool {
    if run.context == Context::SidecarInbound {
        patch_inline_routes(run, listener);
    }
    for (n, patch) in run.of(ApplyTo::Listener) {
        if !is_listener(patch, listener) {
            continue;
        }
        if patch.operation == Operation::Remove {
            run.note(n, true);
            return false;
        }
        if patch.operation.is_merge() {
            run.merge(n, patch, listener);
        }
    }
    patch_listener_filters(run, listener);
    patch_chains(run, listener);
    true
}

/// Routes are patched before the listeners that hold them.
fn patch_inline_routes(run: &mut Run<'_>, listener: &mut pb::Listener) {
    if ![
        ApplyTo::RouteConfiguration,
        ApplyTo::VirtualHost,
        ApplyTo::HttpRoute,
    ]
    .into_iter()
    .any(|kind| run.has(kind))
    {
        return;
    }
    let chains = listener.filter_chains.iter_mut();
    for chain in chains.chain(&mut listener.default_filter_chain) {
        for filter in &mut chain.filters {
            let Some(mut manager) = manager(filter) else {
                continue;
            };
            let inline = &mut manager.route_specifier;
            if let Some(hcm::http_connection_manager::RouteSpecifier::RouteConfig(routes)) = inline
            {
                route::patch(run, routes);
                set_config(filter, pack(&manager));
            }
        }
    }
}

fn patch_listener_filters(run: &mut Run<'_>, listener: &mut pb::Listener) {
    for (n, patch) in run.of(ApplyTo::ListenerFilter) {
        if !is_listener(patch, listener) {
            continue;
        }
        let name = condition(patch).map(|c| &c.listener_filter);
        let name = name.filter(|name| !name.is_empty());
        let matches = |filter: &pb::ListenerFilter| name.is_none_or(|n| **n == *filter.name);
        let filters = &mut listener.listener_filters;
        if patch.operation != Operation::Merge {
            let value = value(patch);
            let done = edit(filters, patch.operation, value, name.is_some(), matches);
            run.note(n, done);
            continue;
        }
        // Istio 1.31 merges into every listener filter of the listener, whatever its type; only the one that is named
        // can be meant.
        let wanted: Option<pb::ListenerFilter> = value(patch);
        let (Some(_), Some(wanted)) = (name, wanted) else {
            continue;
        };
        for filter in filters.iter_mut().filter(|filter| matches(filter)) {
            use pb::listener_filter::ConfigType::TypedConfig;
            if let (Some(TypedConfig(target)), Some(TypedConfig(source))) =
                (&mut filter.config_type, &wanted.config_type)
            {
                merge_config(run, n, patch, target, source);
            }
        }
    }
}

fn merge_config(run: &mut Run<'_>, n: usize, patch: &Patch, target: &mut Any, source: &Any) {
    match merge_any(target, source) {
        Ok(()) => run.note(n, true),
        Err(error) => run.problem(patch, &error),
    }
}

fn patch_chains(run: &mut Run<'_>, listener: &mut pb::Listener) {
    let mut chains = std::mem::take(&mut listener.filter_chains);
    chains.retain_mut(|chain| !chain.filters.is_empty() && patch_chain(run, listener, chain));
    if let Some(mut chain) = listener.default_filter_chain.take()
        && (chain.filters.is_empty() || patch_chain(run, listener, &mut chain))
    {
        listener.default_filter_chain = Some(chain);
    }
    for (n, patch) in run.of(ApplyTo::FilterChain) {
        if patch.operation == Operation::Add && is_listener(patch, listener) {
            let added = value::<pb::FilterChain>(patch);
            chains.extend(added.filter(|chain| !chain.filters.is_empty()));
            run.note(n, true);
        }
    }
    listener.filter_chains = chains;
}

/// Whether it stays.
fn patch_chain(run: &mut Run<'_>, listener: &pb::Listener, chain: &mut pb::FilterChain) -> bool {
    for (n, patch) in run.of(ApplyTo::FilterChain) {
        if !is_chain(patch, listener, chain) {
            continue;
        }
        if patch.operation == Operation::Remove {
            run.note(n, true);
            return false;
        }
        if patch.operation.is_merge() && !socket(run, n, patch, chain) {
            run.merge(n, patch, chain);
        }
    }
    patch_network_filters(run, listener, chain);
    true
}

/// Merges a transport socket into the one of the same name, and says whether it did: then nothing else of the patch
/// counts. Istio 1.31: `mergeTransportSocketListener`.
fn socket(run: &mut Run<'_>, n: usize, patch: &Patch, chain: &mut pb::FilterChain) -> bool {
    let wanted = value::<pb::FilterChain>(patch).and_then(|c| c.transport_socket);
    let (Some(wanted), Some(target)) = (wanted, &mut chain.transport_socket) else {
        return false;
    };
    if target.name != wanted.name {
        return false;
    }
    merge_socket(run, n, patch, target, &wanted);
    true
}

fn patch_network_filters(run: &mut Run<'_>, listener: &pb::Listener, chain: &mut pb::FilterChain) {
    for (n, patch) in run.of(ApplyTo::NetworkFilter) {
        if patch.operation == Operation::Merge || !is_chain(patch, listener, chain) {
            continue;
        }
        let matches = |filter: &pb::Filter| is_network_filter(patch, filter);
        let has_match = network_filter(patch).is_some();
        let filters = &mut chain.filters;
        let done = edit(filters, patch.operation, value(patch), has_match, matches);
        run.note(n, done);
    }
    let mut filters = std::mem::take(&mut chain.filters);
    for filter in &mut filters {
        merge_network_filter(run, listener, chain, filter);
        if filter.name == HTTP_CONNECTION_MANAGER && run.has(ApplyTo::HttpFilter) {
            patch_http_filters(run, listener, chain, filter);
        }
    }
    chain.filters = filters;
}

fn merge_network_filter(
    run: &mut Run<'_>,
    listener: &pb::Listener,
    chain: &pb::FilterChain,
    filter: &mut pb::Filter,
) {
    for (n, patch) in run.of(ApplyTo::NetworkFilter) {
        if patch.operation != Operation::Merge
            || !is_chain(patch, listener, chain)
            || !is_network_filter(patch, filter)
        {
            continue;
        }
        use pb::filter::ConfigType::TypedConfig;
        let (Some(wanted), Some(TypedConfig(target))) =
            (value::<pb::Filter>(patch), &mut filter.config_type)
        else {
            continue;
        };
        if let Some(TypedConfig(source)) = &wanted.config_type {
            merge_config(run, n, patch, target, source);
        }
        if !wanted.name.is_empty() {
            run.note(n, wanted.name != filter.name);
            filter.name = wanted.name;
        }
    }
}

fn patch_http_filters(
    run: &mut Run<'_>,
    listener: &pb::Listener,
    chain: &pb::FilterChain,
    filter: &mut pb::Filter,
) {
    let Some(mut manager) = manager(filter) else {
        return;
    };
    for (n, patch) in run.of(ApplyTo::HttpFilter) {
        if patch.operation == Operation::Merge
            || !is_chain(patch, listener, chain)
            || !is_network_filter(patch, filter)
        {
            continue;
        }
        let matches = |filter: &hcm::HttpFilter| is_http_filter(patch, filter);
        let has_match = http_filter(patch).is_some();
        let filters = &mut manager.http_filters;
        let done = edit(filters, patch.operation, value(patch), has_match, matches);
        run.note(n, done);
    }
    for (n, patch) in run.of(ApplyTo::HttpFilter) {
        if patch.operation != Operation::Merge
            || !is_chain(patch, listener, chain)
            || !is_network_filter(patch, filter)
        {
            continue;
        }
        let Some(wanted) = value::<hcm::HttpFilter>(patch) else {
            continue;
        };
        for filter in &mut manager.http_filters {
            if is_http_filter(patch, filter) {
                merge_http_filter(run, n, patch, filter, &wanted);
            }
        }
    }
    set_config(filter, pack(&manager));
}

fn merge_http_filter(
    run: &mut Run<'_>,
    n: usize,
    patch: &Patch,
    filter: &mut hcm::HttpFilter,
    wanted: &hcm::HttpFilter,
) {
    use hcm::http_filter::ConfigType::TypedConfig;
    let Some(TypedConfig(target)) = &mut filter.config_type else {
        return;
    };
    if let Some(TypedConfig(source)) = &wanted.config_type {
        merge_config(run, n, patch, target, source);
    }
    if !wanted.name.is_empty() {
        run.note(n, wanted.name != filter.name);
        filter.name.clone_from(&wanted.name);
    }
}

/// The HTTP connection manager that a network filter is.
fn manager(filter: &pb::Filter) -> Option<hcm::HttpConnectionManager> {
    let Some(pb::filter::ConfigType::TypedConfig(config)) = &filter.config_type else {
        return None;
    };
    let name = hcm::HttpConnectionManager::full_name();
    if meltemi_proto::any::type_name(&config.type_url) != name {
        return None;
    }
    hcm::HttpConnectionManager::decode(config.value.as_slice()).ok()
}

fn set_config(filter: &mut pb::Filter, config: Any) {
    filter.config_type = Some(pb::filter::ConfigType::TypedConfig(config));
}

/// The route configurations that it fetches over the same stream.
pub(super) fn references(listener: &pb::Listener) -> BTreeSet<Str> {
    let chains = listener.filter_chains.iter();
    let filters = chains
        .chain(&listener.default_filter_chain)
        .flat_map(|chain| &chain.filters);
    filters
        .filter_map(|filter| match manager(filter)?.route_specifier? {
            hcm::http_connection_manager::RouteSpecifier::Rds(rds) => {
                let source = rds.config_source?.config_source_specifier?;
                matches!(source, ConfigSourceSpecifier::Ads(_))
                    .then(|| rds.route_config_name.into())
            }
            _ => None,
        })
        .collect()
}
