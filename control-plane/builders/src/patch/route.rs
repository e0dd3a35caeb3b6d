//! ROUTE_CONFIGURATION, VIRTUAL_HOST and HTTP_ROUTE.

use meltemi_model::envoy_filter::{
    ApplyTo, Context, HttpRouteCondition, Operation, Patch, RouteAction, VirtualHostCondition,
};
use meltemi_proto::envoy::config::route::v3 as rt;

use super::names::{gateway_route, route_port};
use super::{Named, Run, edit, value};

impl Named for rt::RouteConfiguration {
    fn name(&self) -> &str {
        &self.name
    }
}

/// Whether a patch can change a route configuration of this name. `service_ports` lead to a gateway's port.
pub fn may_touch_route(patch: &Patch, context: Context, name: &str, service_ports: &[u16]) -> bool {
    let Some(wanted) = patch.condition.route() else {
        return true;
    };
    if !wanted.name.is_empty() && *wanted.name != *name {
        return false;
    }
    if context != Context::Gateway {
        return wanted.port == 0 || wanted.port == route_port(name);
    }
    let parts = gateway_route(name);
    let is_port = if service_ports.is_empty() {
        wanted.port == parts.port
    } else {
        service_ports.iter().any(|p| u32::from(*p) == wanted.port)
    };
    (wanted.port_name.is_empty() || *wanted.port_name == *parts.port_name)
        && (wanted.gateway.is_empty() || *wanted.gateway == *parts.gateway)
        && (wanted.port == 0 || is_port)
}

/// Patches a route configuration; none is removed.
pub(super) fn patch(run: &mut Run<'_>, routes: &mut rt::RouteConfiguration) -> bool {
    for (n, patch) in run.of(ApplyTo::RouteConfiguration) {
        if patch.operation.is_merge() && run.is_for(patch, &routes.name) {
            run.merge(n, patch, routes);
        }
    }
    let mut removed = Vec::new();
    for host in &mut routes.virtual_hosts {
        if !patch_host(run, &routes.name, host) {
            removed.push(host.name.clone());
        }
    }
    for (n, patch) in run.of(ApplyTo::VirtualHost) {
        if patch.operation == Operation::Add && run.is_for(patch, &routes.name) {
            routes.virtual_hosts.extend(value::<rt::VirtualHost>(patch));
            run.note(n, true);
        }
    }
    // Istio 1.31 removes by name, so also one that was added under the name of a removed one.
    routes
        .virtual_hosts
        .retain(|host| !removed.contains(&host.name));
    true
}

impl Run<'_> {
    fn is_for(&self, patch: &Patch, routes: &str) -> bool {
        may_touch_route(patch, self.context, routes, self.service_ports)
    }
}

/// Whether it stays.
fn patch_host(run: &mut Run<'_>, routes: &str, host: &mut rt::VirtualHost) -> bool {
    for (n, patch) in run.of(ApplyTo::VirtualHost) {
        if !run.is_for(patch, routes) || !is_host(patch, host) {
            continue;
        }
        match patch.operation {
            Operation::Remove => {
                run.note(n, true);
                return false;
            }
            Operation::Replace => {
                *host = value(patch).unwrap_or_default();
                run.note(n, true);
            }
            operation if operation.is_merge() => run.merge(n, patch, host),
            _ => {}
        }
    }
    if run.has(ApplyTo::HttpRoute) {
        patch_routes(run, routes, host);
    }
    true
}

fn patch_routes(run: &mut Run<'_>, routes: &str, host: &mut rt::VirtualHost) {
    let mut kept = Vec::with_capacity(host.routes.len());
    for mut route in std::mem::take(&mut host.routes) {
        if patch_route(run, routes, host, &mut route) {
            kept.push(route);
        }
    }
    host.routes = kept;
    for (n, patch) in run.of(ApplyTo::HttpRoute) {
        let operation = patch.operation;
        if operation.is_merge()
            || operation == Operation::Remove
            || !run.is_for(patch, routes)
            || !is_host(patch, host)
        {
            continue;
        }
        let wanted = route_condition(patch);
        let matches = |route: &rt::Route| is_route(patch, route);
        // First of all routes, but only where the one that is named is among them.
        let absent = operation == Operation::InsertFirst && !host.routes.iter().any(matches);
        if absent && wanted.is_some() {
            continue;
        }
        let has_match = wanted.is_some();
        let done = edit(
            &mut host.routes,
            operation,
            value(patch),
            has_match,
            matches,
        );
        run.note(n, done);
    }
}

/// Whether it stays.
fn patch_route(
    run: &mut Run<'_>,
    routes: &str,
    host: &rt::VirtualHost,
    route: &mut rt::Route,
) -> bool {
    for (n, patch) in run.of(ApplyTo::HttpRoute) {
        if !run.is_for(patch, routes) || !is_host(patch, host) || !is_route(patch, route) {
            continue;
        }
        if patch.operation == Operation::Remove {
            run.note(n, true);
            return false;
        }
        if patch.operation.is_merge() {
            run.merge(n, patch, route);
        }
    }
    true
}

fn host_condition(patch: &Patch) -> Option<&VirtualHostCondition> {
    patch.condition.route()?.virtual_host.as_ref()
}

fn route_condition(patch: &Patch) -> Option<&HttpRouteCondition> {
    host_condition(patch)?.route.as_ref()
}

fn is_host(patch: &Patch, host: &rt::VirtualHost) -> bool {
    let Some(wanted) = host_condition(patch) else {
        return true;
    };
    (wanted.name.is_empty() || *wanted.name == *host.name)
        && (wanted.domain.is_empty() || host.domains.iter().any(|d| **d == *wanted.domain))
}

fn is_route(patch: &Patch, route: &rt::Route) -> bool {
    let Some(wanted) = route_condition(patch) else {
        return true;
    };
    use rt::route::Action;
    let does = match (&wanted.action, &route.action) {
        (Some(action), Some(Action::Route(_))) => *action == RouteAction::Route,
        (Some(action), Some(Action::Redirect(_))) => *action == RouteAction::Redirect,
        (Some(action), Some(Action::DirectResponse(_))) => *action == RouteAction::DirectResponse,
        _ => true,
    };
    does && (wanted.name.is_empty() || *wanted.name == *route.name)
}
