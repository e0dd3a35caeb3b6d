//! The incremental variant.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use meltemi_proto::ads::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use meltemi_proto::ads::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node, Status as Reason};
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::{Arrived, CDS, EDS, Held, LDS, RDS, Resource, known};

#[derive(Debug)]
pub(super) struct Stream {
    requests: Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Stream {
    pub(super) async fn open(
        mut service: AggregatedDiscoveryServiceClient<Channel>,
        node: Node,
        held: &Held,
        wanted: &BTreeMap<&'static str, BTreeSet<String>>,
    ) -> Result<Self, Status> {
        let (requests, receiver) = channel(64);
        let mut node = Some(node);
        for ty in [CDS, EDS, LDS, RDS] {
            let names = wanted
                .get(ty)
                .map(|names| names.iter().cloned().collect())
                .unwrap_or_default();
            let wildcard = matches!(ty, CDS | LDS);
            let subscribe: Vec<String> = names;
            if !wildcard && subscribe.is_empty() {
                continue;
            }
            let versions = held
                .get(ty)
                .into_iter()
                .flatten()
                .map(|(name, r)| (name.clone(), r.version.clone()));
            let request = DeltaDiscoveryRequest {
                node: node.take(),
                type_url: ty.to_owned(),
                resource_names_subscribe: subscribe,
                initial_resource_versions: versions.collect(),
                ..DeltaDiscoveryRequest::default()
            };
            // There is room for these, and the receiver lives.
            let _ = requests.send(request).await;
        }
        let responses = service
            .delta_aggregated_resources(ReceiverStream::new(receiver))
            .await?
            .into_inner();
        Ok(Self {
            requests,
            responses,
        })
    }

    pub(super) async fn next(&mut self) -> Result<Option<Arrived>> {
        let Some(response) = self.responses.message().await? else {
            return Ok(None);
        };
        let mut resources = Vec::new();
        for resource in response.resources {
            let body = resource
                .resource
                .context("a resource without a body")?
                .value;
            resources.push((
                resource.name,
                Resource {
                    version: resource.version,
                    body,
                },
            ));
        }
        Ok(Some(Arrived {
            ty: known(&response.type_url)?,
            nonce: response.nonce,
            version: String::new(),
            resources,
            removed: response.removed_resources,
        }))
    }

    pub(super) async fn answer(&self, arrived: &Arrived, reason: Option<Reason>) -> Result<()> {
        self.send(DeltaDiscoveryRequest {
            type_url: arrived.ty.to_owned(),
            response_nonce: arrived.nonce.clone(),
            error_detail: reason,
            ..DeltaDiscoveryRequest::default()
        })
        .await
    }

    pub(super) async fn subscribe(
        &self,
        ty: &str,
        before: &BTreeSet<String>,
        wanted: &BTreeSet<String>,
    ) -> Result<()> {
        self.send(DeltaDiscoveryRequest {
            type_url: ty.to_owned(),
            resource_names_subscribe: wanted.difference(before).cloned().collect(),
            resource_names_unsubscribe: before.difference(wanted).cloned().collect(),
            ..DeltaDiscoveryRequest::default()
        })
        .await
    }

    async fn send(&self, request: DeltaDiscoveryRequest) -> Result<()> {
        self.requests
            .send(request)
            .await
            .context("the stream is closed")
    }
}
