//! Faults that a route injects.

use std::collections::HashMap;

use meltemi_proto::any::type_name;
use meltemi_proto::envoy::config::route::v3::{Route, VirtualHost};
use meltemi_proto::envoy::extensions::filters::http::fault::v3::{HttpFault, fault_abort};
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use meltemi_proto::google::protobuf::Any;
use prost::Message as _;

use crate::call::Call;
use crate::http::Request;
use crate::matching::{header, taken_of};

/// The filter's name in a chain.
pub(crate) const FILTER: &str = "envoy.filters.http.fault";
const TYPE: &str = "envoy.extensions.filters.http.fault.v3.HTTPFault";

/// The fault of a route, if the chain has the filter that makes it. Envoy: the route's, else the virtual host's.
pub(crate) fn of_route(
    manager: &HttpConnectionManager,
    virtual_host: &VirtualHost,
    route: &Route,
) -> Option<HttpFault> {
    if !manager
        .http_filters
        .iter()
        .any(|filter| filter.name == FILTER)
    {
        return None;
    }
    let levels = [
        &route.typed_per_filter_config,
        &virtual_host.typed_per_filter_config,
    ];
    levels.into_iter().find_map(decoded)
}

fn decoded(configs: &HashMap<String, Any>) -> Option<HttpFault> {
    let any = configs.get(FILTER)?;
    (type_name(&any.type_url) == TYPE)
        .then(|| HttpFault::decode(any.value.as_slice()).ok())
        .flatten()
}

/// How a fault ends a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Abort {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The gRPC status.
    pub(crate) grpc: Option<u32>,
}

/// With what a fault ends this request. Envoy draws a random number for the fault alone; here the call's
/// number decides.
pub(crate) fn aborts(fault: &HttpFault, request: &Request, call: &Call) -> Option<Abort> {
    let applies = |matcher| header(matcher, request.header(&matcher.name).as_deref());
    if !fault.headers.iter().all(applies) {
        return None;
    }
    let abort = fault.abort.as_ref()?;
    let percentage = abort.percentage.as_ref()?;
    if !taken_of(percentage, call.random) {
        return None;
    }
    Some(match abort.error_type.as_ref()? {
        fault_abort::ErrorType::HttpStatus(status) => Abort {
            status: u16::try_from(*status).ok()?,
            grpc: None,
        },
        // Envoy: a gRPC status comes with HTTP 200.
        fault_abort::ErrorType::GrpcStatus(status) => Abort {
            status: 200,
            grpc: Some(*status),
        },
        fault_abort::ErrorType::HeaderAbort(_) => return None,
    })
}
