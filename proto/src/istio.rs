//! What Istio's proxies and agents read and envoy-types does not contain: configurations of filters (Envoy:
//! `contrib/istio`), and the table of names.

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

/// The table of names that an agent answers DNS queries from.
#[allow(missing_docs, clippy::all)]
pub mod nds {
    tonic::include_proto!("istio.networking.nds.v1");
}
