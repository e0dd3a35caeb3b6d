//! The way of a call through the resources, step by step.

use std::borrow::Cow;

use meltemi_proto::envoy::config::core::v3::data_source::Specifier;
use meltemi_proto::envoy::config::listener::v3::Listener;
use meltemi_proto::envoy::config::route::v3::route::Action;
use meltemi_proto::envoy::config::route::v3::virtual_host::TlsRequirementType;
use meltemi_proto::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use meltemi_proto::envoy::config::route::v3::{
    DirectResponseAction, Route, RouteAction, RouteConfiguration, VirtualHost,
};
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use meltemi_proto::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;

use meltemi_proto::google::protobuf::Struct;

use crate::call::Call;
use crate::cors::Cors;
use crate::guard::{self, Connection};
use crate::headers::{HeaderChange, HeaderChanges, Levels};
use crate::http::{Arrival, Request, arrive};
use crate::network::{Terminal, tcp_cluster, terminal};
use crate::outcome::{End, Miss, MissKind, Outcome, Stage, Step};
use crate::resources::Resources;
use crate::tls::Terminated;
use crate::{
    action, chain, cluster, cors, fault, hash, host, inspect, listener, redirect, route, tls, token,
};

/// What an Envoy with these resources does with the call.
pub fn simulate(resources: &Resources, call: &Call) -> Outcome {
    let mut walk = Walk {
        resources,
        call,
        out: Outcome {
            listener: None,
            filter_chain: None,
            route_config: None,
            virtual_host: None,
            route: None,
            route_message: None,
            cluster: None,
            weights: Vec::new(),
            mirrors: Vec::new(),
            destination: None,
            upstream_host: None,
            upstream_path: None,
            upstream_headers: Vec::new(),
            response_changes: HeaderChanges::default(),
            hashed: None,
            end: End::Forwarded,
            steps: Vec::new(),
        },
    };
    walk.out.end = walk.connection().unwrap_or_else(End::Missed);
    walk.out
}

struct Walk<'a> {
    resources: &'a Resources,
    call: &'a Call,
    out: Outcome,
}

impl Walk<'_> {
    fn connection(&mut self) -> Result<End, Miss> {
        let (listener, step) = listener::choose(self.resources, self.call)?;
        self.out.listener = Some(listener.name.clone());
        self.out.steps.push(step);
        let (seen, step) = inspect::inspect(listener, self.call)?;
        self.out.steps.push(step);
        let (chain, step) = chain::choose(listener, self.call, &seen)?;
        self.out.filter_chain = Some(chain.name.clone());
        self.out.steps.push(step);
        let terminated = tls::handshake(chain, self.call)?.map(|(terminated, step)| {
            self.out.steps.push(step);
            terminated
        });
        let connection = Connection {
            call: self.call,
            principal: terminated.map(|terminated| match terminated.certificate {
                true => self.call.principal.as_str(),
                false => "",
            }),
            server_name: &seen.server_name,
        };
        let terminal = terminal(chain)?;
        self.guarded(guard::of_connection(chain, &connection))?;
        match terminal {
            Terminal::Http(manager) => self.http(listener, &manager, terminated, &connection),
            Terminal::Tcp {
                proxy,
                by_server_name,
            } => self.tcp(&proxy, by_server_name),
        }
    }

    /// Goes on unless policies refuse.
    fn guarded(&mut self, (steps, miss): (Vec<Step>, Option<Miss>)) -> Result<(), Miss> {
        self.out.steps.extend(steps);
        miss.map_or(Ok(()), Err)
    }

    fn tcp(&mut self, proxy: &TcpProxy, by_server_name: bool) -> Result<End, Miss> {
        let chosen = tcp_cluster(proxy, by_server_name, self.call);
        let why = chosen.step.why.clone();
        self.out.steps.push(chosen.step);
        self.out.weights = chosen.weights;
        self.out.cluster = Some(chosen.cluster.clone());
        let wanted = cluster::Wanted {
            metadata: proxy.metadata_match.iter().collect(),
            host: None,
        };
        self.upstream(&chosen.cluster, &why, &wanted, hash::of_connection(proxy))
    }

    fn http(
        &mut self,
        listener: &Listener,
        manager: &HttpConnectionManager,
        terminated: Option<Terminated>,
        connection: &Connection<'_>,
    ) -> Result<End, Miss> {
        let mut request = match arrive(manager, self.call, terminated.is_some())? {
            Arrival::Request(request) => request,
            Arrival::Redirect(location) => {
                return Ok(End::Redirected {
                    status: 307,
                    location,
                    tls_required: false,
                });
            }
        };
        let authenticated = token::authenticate(manager, &mut request, self.call.now)?;
        let clears_route = authenticated.as_ref().is_some_and(|done| done.clears_route);
        let known = match authenticated {
            Some(done) => self.with_claims(done.metadata),
            None => Cow::Borrowed(self.call),
        };
        // Filters answer before the router, also where no route matches.
        let connection = Connection {
            call: &known,
            ..*connection
        };
        self.guarded(guard::of_request(manager, &request, &connection))?;
        // Where the filter leaves it, the route was chosen before the claims were known.
        let seen = if clears_route {
            known
        } else {
            Cow::Borrowed(self.call)
        };
        let routes = self.route_config(listener, manager)?;
        let (virtual_host, step) = host::choose(routes, &request.host)?;
        self.out.virtual_host = Some(virtual_host.name.clone());
        self.out.steps.push(step);
        if requires_tls(virtual_host, &request) {
            return Ok(End::Redirected {
                status: 301,
                location: format!("https://{}{}", request.host, request.path),
                tls_required: true,
            });
        }
        let (route, matched, step) = route::choose(virtual_host, &request, &seen, terminated)?;
        self.out.route = Some(route.name.clone());
        self.out.route_message = Some(Box::new(route.clone()));
        self.out.steps.push(step);
        let context = OfRoute {
            manager,
            routes,
            virtual_host,
            route,
            request: &request,
            matched,
        };
        self.act(&context)
    }

    /// The call with the claims of its token.
    fn with_claims(&self, claims: Option<Struct>) -> Cow<'static, Call> {
        let mut call = self.call.clone();
        call.metadata
            .extend(claims.map(|claims| (token::FILTER.to_owned(), claims)));
        Cow::Owned(call)
    }

    fn route_config<'m>(
        &mut self,
        listener: &Listener,
        manager: &'m HttpConnectionManager,
    ) -> Result<&'m RouteConfiguration, Miss>
    where
        Self: 'm,
    {
        let missing = |kind, why| {
            Err(Miss {
                at: Stage::VirtualHost,
                kind,
                why,
                candidates: Vec::new(),
                status: None,
            })
        };
        let (routes, name, why) = match &manager.route_specifier {
            Some(RouteSpecifier::RouteConfig(routes)) => {
                let name = routes.name.clone();
                (
                    routes,
                    name,
                    format!("{} holds its routes itself", listener.name),
                )
            }
            Some(RouteSpecifier::Rds(rds)) => {
                let name = rds.route_config_name.clone();
                self.out.route_config = Some(name.clone());
                let Some(routes) = self.resources.routes.get(&name) else {
                    let why = format!(
                        "route configuration {name} is not there; Envoy holds the request until it comes"
                    );
                    return missing(MissKind::NoRouteConfig, why);
                };
                (
                    routes,
                    name.clone(),
                    format!("it looks up its routes as {name}"),
                )
            }
            Some(RouteSpecifier::ScopedRoutes(scoped)) => {
                let why = format!(
                    "the routes depend on scope {}, which is not followed here",
                    scoped.name
                );
                return missing(MissKind::NotFollowed, why);
            }
            None => {
                let why = "the connection manager has no routes".to_owned();
                return missing(MissKind::NoRouteConfig, why);
            }
        };
        let why = format!("HTTP connection manager; {why}");
        self.out.steps.push(Step {
            stage: Stage::Network,
            chosen: name,
            why,
            config: None,
        });
        Ok(routes)
    }

    fn act(&mut self, of: &OfRoute<'_>) -> Result<End, Miss> {
        self.out.response_changes = of.levels(None).response();
        let fault = fault::of_route(of.manager, of.virtual_host, of.route);
        match &of.route.action {
            Some(Action::Route(action)) => {
                let abort = fault.and_then(|f| fault::aborts(&f, of.request, self.call));
                // Filters answer in their order, and of redirects and direct responses these two know nothing.
                let place = |name: &str| {
                    let mut filters = of.manager.http_filters.iter();
                    filters.position(|filter| filter.name == name)
                };
                let reached = place(cors::FILTER)
                    .filter(|at| abort.is_none() || Some(*at) < place(fault::FILTER));
                let cors = reached.and_then(|_| {
                    cors::of_request(of.virtual_host, of.route, of.request, self.call)
                });
                let changes = match cors {
                    Some(Cors::Preflight(changes)) => {
                        self.out.response_changes = changes;
                        return Ok(End::Answered {
                            status: 200,
                            body: String::new(),
                        });
                    }
                    Some(Cors::Actual(changes)) => changes,
                    None => HeaderChanges::default(),
                };
                let end = self.forward(of, action, abort);
                // The filter sees the answer after the router.
                self.out.response_changes.0.extend(changes.0);
                end
            }
            Some(Action::Redirect(action)) => {
                let (status, location) = redirect::redirect(action, of.request, of.matched);
                Ok(End::Redirected {
                    status,
                    location,
                    tls_required: false,
                })
            }
            Some(Action::DirectResponse(action)) => Ok(End::Answered {
                status: u16::try_from(action.status).unwrap_or(u16::MAX),
                body: body(action),
            }),
            Some(Action::NonForwardingAction(_) | Action::FilterAction(_)) | None => Err(Miss {
                at: Stage::Route,
                kind: MissKind::Refused,
                why: "the route does nothing that a proxy can follow".to_owned(),
                candidates: Vec::new(),
                status: Some(500),
            }),
        }
    }

    fn forward(
        &mut self,
        of: &OfRoute<'_>,
        action: &RouteAction,
        abort: Option<fault::Abort>,
    ) -> Result<End, Miss> {
        let chosen = action::cluster(action, of.request, self.call)?;
        self.out.weights = chosen.weights;
        self.out.cluster = Some(chosen.cluster.clone());
        if let Some(abort) = abort {
            // The filter answers before the router.
            let grpc = abort
                .grpc
                .map(|status| HeaderChange::Set("grpc-status".to_owned(), status.to_string()));
            self.out.response_changes = HeaderChanges(grpc.into_iter().collect());
            return Ok(End::Answered {
                status: abort.status,
                body: "fault filter abort".to_owned(),
            });
        }
        let mirrors = action::mirrors(action, of.virtual_host, of.routes, of.request, self.call);
        self.out.mirrors = mirrors;
        let host = action::upstream_host(action, of.request, chosen.host);
        self.out.upstream_host = Some(host.clone());
        self.out.upstream_path = Some(action::upstream_path(action, of.request, of.matched));
        let levels = of.levels(chosen.entry);
        let mut headers = of.request.headers().to_vec();
        levels.request().apply(&mut headers);
        self.out.upstream_headers = headers;
        self.out.response_changes = levels.response();
        let wanted = cluster::Wanted {
            metadata: chosen.metadata,
            host: Some(&host),
        };
        let hashed = hash::of_request(action, of.request);
        self.upstream(&chosen.cluster, &chosen.why, &wanted, hashed)
    }

    fn upstream(
        &mut self,
        name: &str,
        why: &str,
        wanted: &cluster::Wanted<'_>,
        hashed: Option<String>,
    ) -> Result<End, Miss> {
        let (found, step) = cluster::find(self.resources, name, why)?;
        self.out.hashed = hashed.filter(|_| hash::by_hash(found));
        self.out.steps.push(step);
        let destination = cluster::destination(self.resources, found, wanted, self.call);
        let (destination, step) = destination.map_err(|miss| Miss {
            // Without HTTP there is nobody to tell a status.
            status: miss.status.filter(|_| wanted.host.is_some()),
            ..miss
        })?;
        self.out.steps.push(step);
        self.out.destination = Some(destination);
        Ok(End::Forwarded)
    }
}

/// A route and what stands around it.
struct OfRoute<'a> {
    manager: &'a HttpConnectionManager,
    routes: &'a RouteConfiguration,
    virtual_host: &'a VirtualHost,
    route: &'a Route,
    request: &'a Request,
    matched: usize,
}

impl OfRoute<'_> {
    fn levels<'a>(&'a self, entry: Option<&'a ClusterWeight>) -> Levels<'a> {
        Levels {
            entry,
            route: self.route,
            virtual_host: self.virtual_host,
            routes: self.routes,
        }
    }
}

fn requires_tls(virtual_host: &VirtualHost, request: &Request) -> bool {
    let secure = request.header("x-forwarded-proto").as_deref() == Some("https");
    match TlsRequirementType::try_from(virtual_host.require_tls) {
        // Envoy: only requests from outside; a call is taken for one unless it says that it is internal.
        Ok(TlsRequirementType::ExternalOnly) => {
            !secure && request.header("x-envoy-internal").as_deref() != Some("true")
        }
        Ok(TlsRequirementType::All) => !secure,
        _ => false,
    }
}

fn body(action: &DirectResponseAction) -> String {
    match action
        .body
        .as_ref()
        .and_then(|body| body.specifier.as_ref())
    {
        Some(Specifier::InlineString(text)) => text.clone(),
        Some(Specifier::InlineBytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    }
}
