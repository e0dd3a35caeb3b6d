//! The two codecs: messages of either variant of the protocol from and to those of the session.

use meltemi_model::ResourceType;
use meltemi_proto::ads::{
    Any, DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Node,
    Resource,
};
use prost::Message;

use crate::message::{Interest, Protocol, Request, Response};

/// A request message of either variant.
pub trait WireRequest: Send + 'static {
    /// The node, on a stream's first request.
    fn node(&self) -> Option<&Node>;
    /// The type that it is about.
    fn type_url(&self) -> &str;
    /// What the client says is wrong.
    fn error(&self) -> Option<&str>;
    /// In the session's terms; `None` for a type that is not served.
    fn into_request(self) -> Option<Request>;
}

impl WireRequest for DeltaDiscoveryRequest {
    fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    fn type_url(&self) -> &str {
        &self.type_url
    }

    fn error(&self) -> Option<&str> {
        Some(&self.error_detail.as_ref()?.message)
    }

    fn into_request(self) -> Option<Request> {
        Some(Request {
            ty: ResourceType::from_type_url(&self.type_url)?,
            nonce: self.response_nonce,
            error: self.error_detail.map(|status| status.message),
            interest: Interest::Delta {
                subscribe: self.resource_names_subscribe,
                unsubscribe: self.resource_names_unsubscribe,
                initial: self.initial_resource_versions.into_iter().collect(),
            },
        })
    }
}

impl WireRequest for DiscoveryRequest {
    fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    fn type_url(&self) -> &str {
        &self.type_url
    }

    fn error(&self) -> Option<&str> {
        Some(&self.error_detail.as_ref()?.message)
    }

    fn into_request(self) -> Option<Request> {
        Some(Request {
            ty: ResourceType::from_type_url(&self.type_url)?,
            nonce: self.response_nonce,
            error: self.error_detail.map(|status| status.message),
            interest: Interest::Sotw {
                names: self.resource_names,
                version: self.version_info,
            },
        })
    }
}

/// A response message of either variant.
pub trait WireResponse: Message + Sized + 'static {
    /// The variant.
    const PROTOCOL: Protocol;
    /// From the session's terms. Bodies are shared, not copied.
    fn of(response: Response) -> Self;
}

impl WireResponse for DeltaDiscoveryResponse {
    const PROTOCOL: Protocol = Protocol::Delta;

    fn of(response: Response) -> Self {
        let url = response.ty.type_url();
        let resource = |d: &crate::message::Delivery| Resource {
            name: d.resource.name.to_string(),
            version: d.version(),
            resource: Some(Any {
                type_url: url.into(),
                value: d.resource.body.clone(),
            }),
            ..Resource::default()
        };
        Self {
            system_version_info: response.version.to_string(),
            resources: response.resources.iter().map(resource).collect(),
            type_url: url.into(),
            nonce: response.nonce,
            removed_resources: response.removed.iter().map(|n| n.to_string()).collect(),
            ..Self::default()
        }
    }
}

impl WireResponse for DiscoveryResponse {
    const PROTOCOL: Protocol = Protocol::Sotw;

    fn of(response: Response) -> Self {
        let url = response.ty.type_url();
        let any = |d: &crate::message::Delivery| Any {
            type_url: url.into(),
            value: d.resource.body.clone(),
        };
        Self {
            version_info: response.version.to_string(),
            resources: response.resources.iter().map(any).collect(),
            type_url: url.into(),
            nonce: response.nonce,
            ..Self::default()
        }
    }
}
