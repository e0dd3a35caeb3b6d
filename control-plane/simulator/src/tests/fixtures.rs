//! Small sets of resources.

use meltemi_proto::any::pack;
use meltemi_proto::envoy::config::core::v3::{Address, SocketAddress, address, socket_address};
use meltemi_proto::envoy::config::listener::v3::{
    Filter, FilterChain, FilterChainMatch, Listener, ListenerFilter, filter, listener_filter,
};
use meltemi_proto::envoy::config::route::v3::route::Action;
use meltemi_proto::envoy::config::route::v3::route_action::ClusterSpecifier;
use meltemi_proto::envoy::config::route::v3::route_match::PathSpecifier;
use meltemi_proto::envoy::config::route::v3::{
    RedirectAction, Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost,
};
use meltemi_proto::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use meltemi_proto::envoy::extensions::filters::network::tcp_proxy::v3::{
    TcpProxy, tcp_proxy::ClusterSpecifier as TcpCluster,
};
use meltemi_proto::envoy::r#type::matcher::v3::{
    RegexMatcher, StringMatcher, string_matcher::MatchPattern,
};

use meltemi_proto::google::protobuf::{BoolValue, UInt32Value};

use crate::{Call, Mode, Protocol, Resources};

/// Resources that grow.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) resources: Resources,
}

impl World {
    /// A listener that does not bind, for connections that are passed on.
    pub(super) fn outbound(self, address: &str, port: u16) -> Self {
        let listener = Listener {
            bind_to_port: Some(flag(false)),
            filter_chains: vec![tcp("", FilterChainMatch::default())],
            ..listener(&format!("{address}_{port}"), address, port)
        };
        self.with(listener)
    }

    pub(super) fn virtual_outbound(self) -> Self {
        let listener = Listener {
            use_original_dst: Some(flag(true)),
            filter_chains: vec![tcp("", FilterChainMatch::default())],
            ..listener("virtualOutbound", "0.0.0.0", 15001)
        };
        self.with(listener)
    }

    /// A listener that binds, with TCP chains of these names.
    pub(super) fn direct(
        self,
        port: u16,
        chains: &[(&str, FilterChainMatch)],
        tls_inspector: bool,
    ) -> Self {
        let inspector = ListenerFilter {
            name: "tls".to_owned(),
            filter_disabled: None,
            config_type: Some(listener_filter::ConfigType::TypedConfig(pack(
                &TlsInspector::default(),
            ))),
        };
        let chains = chains.iter().map(|(name, rule)| tcp(name, rule.clone()));
        let listener = Listener {
            filter_chains: chains.collect(),
            listener_filters: tls_inspector.then_some(inspector).into_iter().collect(),
            ..listener("direct", "0.0.0.0", port)
        };
        self.with(listener)
    }

    pub(super) fn with(mut self, listener: Listener) -> Self {
        self.resources
            .listeners
            .insert(listener.name.clone(), listener);
        self
    }
}

fn listener(name: &str, address: &str, port: u16) -> Listener {
    let socket = SocketAddress {
        address: address.to_owned(),
        port_specifier: Some(socket_address::PortSpecifier::PortValue(port.into())),
        ..SocketAddress::default()
    };
    Listener {
        name: name.to_owned(),
        address: Some(Address {
            address: Some(address::Address::SocketAddress(socket)),
        }),
        ..Listener::default()
    }
}

fn tcp(name: &str, rule: FilterChainMatch) -> FilterChain {
    let proxy = TcpProxy {
        cluster_specifier: Some(TcpCluster::Cluster("to".to_owned())),
        ..TcpProxy::default()
    };
    FilterChain {
        name: name.to_owned(),
        filter_chain_match: Some(rule),
        filters: vec![Filter {
            name: "tcp".to_owned(),
            config_type: Some(filter::ConfigType::TypedConfig(pack(&proxy))),
        }],
        ..FilterChain::default()
    }
}

/// HTTP on port 80 with these virtual hosts.
pub(super) fn serving(virtual_hosts: Vec<VirtualHost>) -> World {
    let manager = HttpConnectionManager {
        route_specifier: Some(RouteSpecifier::RouteConfig(RouteConfiguration {
            virtual_hosts,
            ..RouteConfiguration::default()
        })),
        ..HttpConnectionManager::default()
    };
    let chain = FilterChain {
        filters: vec![Filter {
            name: "http".to_owned(),
            config_type: Some(filter::ConfigType::TypedConfig(pack(&manager))),
        }],
        ..FilterChain::default()
    };
    World::default().with(Listener {
        filter_chains: vec![chain],
        ..listener("http", "0.0.0.0", 80)
    })
}

/// A virtual host for each domain, named as its domain.
pub(super) fn http_to(domains: &[&str]) -> World {
    let host = |domain: &&str| VirtualHost {
        name: (*domain).to_owned(),
        domains: vec![(*domain).to_owned()],
        routes: vec![route(
            "",
            matching(PathSpecifier::Prefix("/".to_owned())),
            "to",
        )],
        ..VirtualHost::default()
    };
    serving(domains.iter().map(host).collect())
}

/// One virtual host with these routes.
pub(super) fn routes(routes: impl IntoIterator<Item = Route>) -> World {
    serving(vec![VirtualHost {
        name: "all".to_owned(),
        domains: vec!["*".to_owned()],
        routes: routes.into_iter().collect(),
        ..VirtualHost::default()
    }])
}

pub(super) fn route(name: &str, rule: RouteMatch, cluster: &str) -> Route {
    Route {
        name: name.to_owned(),
        r#match: Some(rule),
        action: Some(Action::Route(RouteAction {
            cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_owned())),
            ..RouteAction::default()
        })),
        ..Route::default()
    }
}

pub(super) fn redirecting(rule: RouteMatch, action: RedirectAction) -> Route {
    Route {
        action: Some(Action::Redirect(action)),
        ..route("", rule, "")
    }
}

pub(super) fn matching(path: PathSpecifier) -> RouteMatch {
    RouteMatch {
        path_specifier: Some(path),
        ..RouteMatch::default()
    }
}

pub(super) fn regex(text: &str) -> RegexMatcher {
    RegexMatcher {
        regex: text.to_owned(),
        ..RegexMatcher::default()
    }
}

pub(super) fn exact(text: &str) -> StringMatcher {
    StringMatcher {
        ignore_case: false,
        match_pattern: Some(MatchPattern::Exact(text.to_owned())),
    }
}

pub(super) fn flag(value: bool) -> BoolValue {
    BoolValue { value }
}

pub(super) fn number(value: u32) -> UInt32Value {
    UInt32Value { value }
}

/// A request to port 80.
pub(super) fn get(host: &str, path: &str) -> Call {
    Call {
        mode: Mode::Direct,
        protocol: Protocol::Http1,
        host: host.to_owned(),
        path: path.to_owned(),
        ..Call::to("10.0.0.1", 80)
    }
}
