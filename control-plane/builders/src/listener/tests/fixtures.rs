//! Inputs in short, and listeners as JSON.

use std::time::Duration;

use meltemi_model::Shared;
use meltemi_model::mesh::PathNormalization;
use meltemi_proto::pool::message_to_json;
use serde_json::Value;

use crate::Input;
use crate::listener::{
    AccessLog, Alpn, Chain, ChainMatch, HttpChain, HttpFacet, ListenerInput, ListenerKind,
    NetworkFacet, RouteSource, TcpChain, Terminal, TracedWorkload, Tracing, Transport,
};

pub(super) const LISTENER: &str = "envoy.config.listener.v3.Listener";

pub(super) fn json_of(input: &ListenerInput) -> Value {
    message_to_json(LISTENER, &input.build().body).unwrap()
}

/// What Istio's own proxy gets in the mesh of the default chart.
pub(super) fn istio_http() -> HttpFacet {
    HttpFacet {
        metadata_exchange: true,
        alpn: true,
        stats: true,
        path: PathNormalization::Base,
        tracing: Some(Tracing {
            sampling: 10_000,
            max_path_tag_length: None,
            own: Some(traced("productpage", "v1", "default")),
            tags: Vec::new(),
        }),
        ..Default::default()
    }
}

pub(super) fn traced(service: &str, revision: &str, namespace: &str) -> TracedWorkload {
    TracedWorkload {
        service: service.into(),
        revision: revision.into(),
        cluster_id: "Kubernetes".into(),
        mesh_id: "cluster.local".into(),
        namespace: namespace.into(),
    }
}

pub(super) fn istio_network() -> NetworkFacet {
    NetworkFacet {
        stats: true,
        ..Default::default()
    }
}

pub(super) fn log(json: bool, format: &str) -> AccessLog {
    AccessLog {
        path: "/dev/stdout".into(),
        json,
        format: format.into(),
    }
}

pub(super) fn chain(matching: Option<ChainMatch>, terminal: Terminal) -> Chain {
    Chain {
        matching,
        ..Chain::to(terminal)
    }
}

pub(super) fn tcp(cluster: &str) -> Terminal {
    Terminal::Tcp(Box::new(TcpChain::to(cluster.into())))
}

pub(super) fn rds(name: &str, stat_prefix: &str) -> Terminal {
    http(RouteSource::Rds(name.into()), stat_prefix)
}

pub(super) fn http(route: RouteSource, stat_prefix: &str) -> Terminal {
    Terminal::http(HttpChain::new(stat_prefix, route))
}

pub(super) fn input(
    kind: ListenerKind,
    address: &str,
    port: u16,
    chains: Vec<Chain>,
) -> ListenerInput {
    ListenerInput {
        name: format!("{address}_{port}").into(),
        addresses: vec![address.into()],
        port,
        kind,
        transparent: false,
        exact_balance: false,
        detection_timeout: Duration::ZERO,
        proxy_protocol: false,
        chains,
        fallthrough: Some("PassthroughCluster".into()),
        network: Shared::new(istio_network()),
        http: Some(Shared::new(istio_http())),
        from: Vec::new(),
    }
}

pub(super) const REDIRECTED: ListenerKind = ListenerKind::Outbound {
    bind_to_port: false,
};

pub(super) fn plain_http() -> Option<ChainMatch> {
    Some(ChainMatch {
        transport: Transport::Raw,
        alpn: Alpn::PlainHttp,
        ..Default::default()
    })
}
