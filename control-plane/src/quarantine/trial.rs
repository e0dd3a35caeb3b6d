//! The form in which a proxy is asked whether it takes a resource: one that no traffic reaches.

use bytes::Bytes;
use meltemi_model::{Resource, ResourceType};
use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::core::v3::socket_address::{PortSpecifier, Protocol};
use meltemi_proto::envoy::config::core::v3::{Address, SocketAddress, address};
use meltemi_proto::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use meltemi_proto::envoy::config::route::v3::RouteConfiguration;
use meltemi_proto::envoy::extensions::filters::http::router::v3::Router;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, http_filter,
};
use meltemi_proto::{any, encode, google};
use meltemi_xds::TRIAL as NAME;
use prost::Message as _;

/// The trial of a resource: a copy of it under a name and an address that nothing else has. A proxy checks it as it does
/// the original, and no connection comes to it. Routes are tried inside of a listener, since a proxy takes only those
/// that its listeners name. `None`: endpoints, which no object can spoil without being left out itself.
pub(super) fn trial(resource: &Resource) -> Option<Resource> {
    let (ty, body) = match resource.ty {
        ResourceType::Cluster => (ResourceType::Cluster, cluster(&resource.body)?),
        ResourceType::Listener => (ResourceType::Listener, listener(&resource.body)?),
        ResourceType::Route => (ResourceType::Listener, routes(&resource.body)?),
        _ => return None,
    };
    Some(Resource::new(ty, NAME.into(), body, resource.from.clone()))
}

fn cluster(body: &[u8]) -> Option<Bytes> {
    let mut cluster = Cluster::decode(body).ok()?;
    let name = std::mem::replace(&mut cluster.name, NAME.to_owned());
    if let Some(eds) = &mut cluster.eds_cluster_config
        && eds.service_name.is_empty()
    {
        eds.service_name = name;
    }
    Some(encode(&cluster))
}

fn listener(body: &[u8]) -> Option<Bytes> {
    let mut listener = Listener::decode(body).ok()?;
    nowhere(&mut listener);
    Some(encode(&listener))
}

fn routes(body: &[u8]) -> Option<Bytes> {
    let routes = RouteConfiguration::decode(body).ok()?;
    let router = HttpFilter {
        name: "envoy.filters.http.router".into(),
        config_type: Some(http_filter::ConfigType::TypedConfig(any::pack(
            &Router::default(),
        ))),
        ..Default::default()
    };
    let manager = HttpConnectionManager {
        stat_prefix: NAME.into(),
        http_filters: vec![router],
        route_specifier: Some(RouteSpecifier::RouteConfig(routes)),
        ..Default::default()
    };
    let filter = Filter {
        name: "envoy.filters.network.http_connection_manager".into(),
        config_type: Some(filter::ConfigType::TypedConfig(any::pack(&manager))),
    };
    let mut listener = Listener {
        filter_chains: vec![FilterChain {
            filters: vec![filter],
            ..Default::default()
        }],
        ..Default::default()
    };
    nowhere(&mut listener);
    Some(encode(&listener))
}

/// Gives a listener a name and an address of its own, and takes the socket from it.
fn nowhere(listener: &mut Listener) {
    listener.name = NAME.into();
    listener.additional_addresses.clear();
    listener.bind_to_port = Some(google::protobuf::BoolValue { value: false });
    let protocol = match listener.address.as_ref().and_then(|a| a.address.as_ref()) {
        Some(address::Address::SocketAddress(socket)) => socket.protocol,
        _ => Protocol::Tcp.into(),
    };
    listener.address = Some(Address {
        address: Some(address::Address::SocketAddress(SocketAddress {
            protocol,
            address: "127.255.255.254".into(),
            port_specifier: Some(PortSpecifier::PortValue(1)),
            ..Default::default()
        })),
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn tried(ty: ResourceType, name: &str, body: Bytes) -> Option<Resource> {
        trial(&Resource::new(ty, name.into(), body, Arc::from([])))
    }

    #[test]
    fn a_trial_keeps_the_content_and_takes_no_traffic() {
        let body = encode(&Listener {
            name: "0.0.0.0_80".into(),
            stat_prefix: "kept".into(),
            ..Default::default()
        });
        let found = tried(ResourceType::Listener, "0.0.0.0_80", body).expect("a trial");
        let listener = Listener::decode(&*found.body).expect("a listener");
        assert_eq!((&*found.name, &*listener.name), (NAME, NAME));
        assert_eq!(listener.stat_prefix, "kept");
        assert_eq!(listener.bind_to_port.map(|b| b.value), Some(false));

        let body = encode(&Cluster {
            name: "outbound|80||a".into(),
            eds_cluster_config: Some(Default::default()),
            ..Default::default()
        });
        let found = tried(ResourceType::Cluster, "outbound|80||a", body).expect("a trial");
        let cluster = Cluster::decode(&*found.body).expect("a cluster");
        let eds = cluster.eds_cluster_config.expect("still of EDS");
        assert_eq!(
            (&*cluster.name, &*eds.service_name),
            (NAME, "outbound|80||a")
        );

        let body = encode(&RouteConfiguration {
            name: "80".into(),
            ..Default::default()
        });
        let found = tried(ResourceType::Route, "80", body).expect("a trial");
        assert_eq!(found.ty, ResourceType::Listener);
        assert!(tried(ResourceType::Endpoint, "e", Bytes::new()).is_none());
        assert!(tried(ResourceType::Cluster, "c", Bytes::from_static(b"\xff")).is_none());
    }
}
