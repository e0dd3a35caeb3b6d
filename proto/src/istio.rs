//! Configurations of the filters that Istio's proxies have (Envoy: `contrib/istio`), which envoy-types does not contain.

/// The filter `istio.stats`: telemetry of requests and connections.
#[allow(missing_docs, clippy::all)]
pub mod stats {
    tonic::include_proto!("stats");
}

/// The filter `istio.alpn`: the application protocols offered to upstreams.
#[allow(missing_docs, clippy::all)]
pub mod alpn {
    tonic::include_proto!("istio.envoy.config.filter.http.alpn.v2alpha1");
}

/// The peer metadata filter: who is on the other side of a request.
#[allow(missing_docs, clippy::all)]
pub mod peer_metadata {
    tonic::include_proto!("io.istio.http.peer_metadata");
}

/// The network filter `istio.metadata_exchange`: who is on the other side of a connection.
#[allow(missing_docs, clippy::all)]
pub mod metadata_exchange {
    tonic::include_proto!("envoy.tcp.metadataexchange.config");
}
