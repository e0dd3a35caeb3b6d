//! A client that refuses what it is sent: the demo's checks use it to show that a NACK is seen and hurts nobody else.

use std::process::ExitCode;

use anyhow::Context as _;
use meltemi_model::ResourceType;
use meltemi_proto::ads::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use meltemi_proto::ads::{DeltaDiscoveryRequest, Node, Status};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::common;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The control plane's plain-text ADS.
    #[arg(long)]
    address: String,
    /// The reason to give.
    #[arg(long)]
    reason: String,
}

/// Asks for clusters, refuses the answer, says `refused`, and stays connected until its standard input ends.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(refuse(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn refuse(args: &Args) -> anyhow::Result<()> {
    let mut client = AggregatedDiscoveryServiceClient::connect(format!("http://{}", args.address))
        .await
        .context("connecting")?;
    let (requests, sent) = mpsc::channel(4);
    let clusters = ResourceType::Cluster.type_url().to_owned();
    let node = Node {
        id: "sidecar~127.0.0.1~refusing-client.default~default.svc.cluster.local".into(),
        ..Default::default()
    };
    let ask = DeltaDiscoveryRequest {
        node: Some(node),
        type_url: clusters.clone(),
        ..Default::default()
    };
    requests.send(ask).await.context("asking")?;
    let answers = client
        .delta_aggregated_resources(ReceiverStream::new(sent))
        .await?;
    let mut answers = answers.into_inner();
    let answer = answers.message().await?.context("the stream ended")?;
    let refusal = DeltaDiscoveryRequest {
        type_url: clusters,
        response_nonce: answer.nonce,
        error_detail: Some(Status {
            code: 3,
            message: args.reason.clone(),
        }),
        ..Default::default()
    };
    requests.send(refusal).await.context("refusing")?;
    common::print("refused\n");
    let mut rest = Vec::new();
    let mut input = tokio::io::stdin();
    tokio::select! {
        _ = input.read_to_end(&mut rest) => {}
        // What comes after the refusal is read, so that the stream stays open, and not answered.
        () = async { while let Ok(Some(_)) = answers.message().await {} } => {}
    }
    Ok(())
}
