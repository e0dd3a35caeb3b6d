//! The variant in which a request names all that is wanted.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use meltemi_proto::ads::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use meltemi_proto::ads::{DiscoveryRequest, DiscoveryResponse, Node, Status as Reason};
use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use meltemi_proto::envoy::config::listener::v3::Listener;
use meltemi_proto::envoy::config::route::v3::RouteConfiguration;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::Secret;
use prost::Message as _;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::{Arrived, CDS, EDS, LDS, Resource, SDS, known};

#[derive(Debug)]
pub(super) struct Stream {
    requests: Sender<DiscoveryRequest>,
    responses: Streaming<DiscoveryResponse>,
    /// Version and nonce of the last response of each type that was accepted, and the nonce of the last one.
    accepted: BTreeMap<String, (String, String)>,
}

impl Stream {
    pub(super) async fn open(
        mut service: AggregatedDiscoveryServiceClient<Channel>,
        node: Node,
        wanted: &BTreeMap<&'static str, BTreeSet<String>>,
    ) -> Result<Self, Status> {
        let (requests, receiver) = channel(64);
        let mut node = Some(node);
        let named = wanted
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(ty, _)| *ty);
        for ty in [CDS, LDS].into_iter().chain(named) {
            let request = DiscoveryRequest {
                node: node.take(),
                type_url: ty.to_owned(),
                resource_names: wanted.get(ty).into_iter().flatten().cloned().collect(),
                ..DiscoveryRequest::default()
            };
            // There is room for these, and the receiver lives.
            let _ = requests.send(request).await;
        }
        let responses = service
            .stream_aggregated_resources(ReceiverStream::new(receiver))
            .await?
            .into_inner();
        Ok(Self {
            requests,
            responses,
            accepted: BTreeMap::new(),
        })
    }

    pub(super) async fn next(&mut self) -> Result<Option<Arrived>> {
        let Some(response) = self.responses.message().await? else {
            return Ok(None);
        };
        let ty = known(&response.type_url)?;
        let mut resources = Vec::new();
        for any in response.resources {
            let resource = Resource {
                version: String::new(),
                body: any.value,
            };
            resources.push((name_of(ty, &resource)?, resource));
        }
        Ok(Some(Arrived {
            ty,
            nonce: response.nonce,
            version: response.version_info,
            resources,
            removed: Vec::new(),
        }))
    }

    pub(super) async fn answer(
        &mut self,
        arrived: &Arrived,
        reason: Option<Reason>,
        names: Option<&BTreeSet<String>>,
    ) -> Result<()> {
        let (version, nonce) = self.accepted.entry(arrived.ty.to_owned()).or_default();
        nonce.clone_from(&arrived.nonce);
        // A refusal repeats the version that was accepted last.
        if reason.is_none() {
            version.clone_from(&arrived.version);
        }
        let request = DiscoveryRequest {
            version_info: version.clone(),
            type_url: arrived.ty.to_owned(),
            resource_names: names.into_iter().flatten().cloned().collect(),
            response_nonce: arrived.nonce.clone(),
            error_detail: reason,
            ..DiscoveryRequest::default()
        };
        self.requests
            .send(request)
            .await
            .context("the stream is closed")
    }

    pub(super) async fn subscribe(&self, ty: &str, wanted: &BTreeSet<String>) -> Result<()> {
        let (version, nonce) = self.accepted.get(ty).cloned().unwrap_or_default();
        let request = DiscoveryRequest {
            version_info: version,
            type_url: ty.to_owned(),
            resource_names: wanted.iter().cloned().collect(),
            response_nonce: nonce,
            ..DiscoveryRequest::default()
        };
        self.requests
            .send(request)
            .await
            .context("the stream is closed")
    }
}

/// In this variant names stand in the messages only.
fn name_of(ty: &str, resource: &Resource) -> Result<String> {
    let body = resource.body.as_ref();
    Ok(match ty {
        CDS => Cluster::decode(body)?.name,
        EDS => ClusterLoadAssignment::decode(body)?.cluster_name,
        LDS => Listener::decode(body)?.name,
        SDS => Secret::decode(body)?.name,
        _ => RouteConfiguration::decode(body)?.name,
    })
}
