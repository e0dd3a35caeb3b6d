//! The service over loopback, with the generated client.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use meltemi_model::ResourceType;
use meltemi_proto::ads::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use meltemi_proto::ads::{Node, Status as WireStatus};
use tokio::net::TcpListener;
use tokio::sync::mpsc::Sender;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Code;
use tonic::transport::Channel;

use super::*;
use crate::fixture::snapshot;
use crate::registry::Status as SyncStatus;

const CDS: ResourceType = ResourceType::Cluster;
const EDS: ResourceType = ResourceType::Endpoint;
const LDS: ResourceType = ResourceType::Listener;
const RDS: ResourceType = ResourceType::Route;

struct Source {
    snapshots: watch::Sender<Arc<ProxySnapshot>>,
    is_ready: AtomicBool,
}

impl Snapshots for Source {
    async fn subscribe(
        &self,
        _: &Arc<Proxy>,
    ) -> Result<watch::Receiver<Arc<ProxySnapshot>>, Status> {
        Ok(self.snapshots.subscribe())
    }

    fn ready(&self) -> bool {
        self.is_ready.load(Relaxed)
    }
}

struct Fixture {
    source: Arc<Source>,
    registry: Arc<Registry>,
    metrics: Metrics,
    drain: CancellationToken,
    ads: Ads<Source>,
    channel: Channel,
    server: tokio::task::JoinHandle<Result<(), tonic::transport::Error>>,
}

async fn start(first: Arc<ProxySnapshot>) -> Fixture {
    let source = Arc::new(Source {
        snapshots: watch::Sender::new(first),
        is_ready: AtomicBool::new(true),
    });
    let (registry, metrics, drain) = (
        Arc::<Registry>::default(),
        Metrics::default(),
        CancellationToken::new(),
    );
    let limits = Limits {
        patience: Duration::from_millis(50),
        ..Limits::default()
    };
    let clock = || SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let ads = Ads::new(
        source.clone(),
        registry.clone(),
        metrics.clone(),
        limits.clone(),
        drain.clone(),
        clock,
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = transport(&limits).add_service(ads.clone().into_service());
    let incoming = TcpListenerStream::new(listener);
    let server = tokio::spawn(
        routes.serve_with_incoming_shutdown(incoming, drain.clone().cancelled_owned()),
    );
    let channel = Channel::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap();
    Fixture {
        source,
        registry,
        metrics,
        drain,
        ads,
        channel,
        server,
    }
}

struct Client {
    requests: Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

fn node() -> Option<Node> {
    Some(Node {
        id: "sidecar~10.0.0.1~a.ns~ns.svc.cluster.local".into(),
        ..Node::default()
    })
}

fn ask(ty: ResourceType, subscribe: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: ty.type_url().into(),
        resource_names_subscribe: subscribe.iter().map(|n| (*n).to_owned()).collect(),
        ..DeltaDiscoveryRequest::default()
    }
}

impl Client {
    async fn connect(fixture: &Fixture, first: DeltaDiscoveryRequest) -> Result<Self, Status> {
        let (requests, receiver) = mpsc::channel(8);
        requests.send(first).await.unwrap();
        let mut client = AggregatedDiscoveryServiceClient::new(fixture.channel.clone());
        let responses = client
            .delta_aggregated_resources(ReceiverStream::new(receiver))
            .await?
            .into_inner();
        Ok(Self {
            requests,
            responses,
        })
    }

    async fn send(&self, request: DeltaDiscoveryRequest) {
        self.requests.send(request).await.unwrap();
    }

    async fn receive(&mut self, ty: ResourceType) -> DeltaDiscoveryResponse {
        let response = self.responses.message().await.unwrap().expect("a response");
        assert_eq!(response.type_url, ty.type_url());
        response
    }

    async fn answer(&self, response: &DeltaDiscoveryResponse, error: Option<&str>) {
        let error_detail = error.map(|message| WireStatus {
            code: 0,
            message: message.into(),
        });
        self.send(DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            error_detail,
            ..DeltaDiscoveryRequest::default()
        })
        .await;
    }

    /// Receives a response and accepts it.
    async fn accept(&mut self, ty: ResourceType) -> DeltaDiscoveryResponse {
        let response = self.receive(ty).await;
        self.answer(&response, None).await;
        response
    }

    /// Gets everything, as Envoy would.
    async fn sync(fixture: &Fixture) -> (Self, BTreeMap<ResourceType, BTreeMap<String, String>>) {
        let mut client = Self::connect(
            fixture,
            DeltaDiscoveryRequest {
                node: node(),
                ..ask(CDS, &[])
            },
        )
        .await
        .unwrap();
        let mut held = BTreeMap::new();
        for (ty, names) in [
            (CDS, vec![]),
            (EDS, vec!["a", "b"]),
            (LDS, vec![]),
            (RDS, vec!["r"]),
        ] {
            if ty != CDS {
                client.send(ask(ty, &names)).await;
            }
            let response = client.accept(ty).await;
            held.insert(
                ty,
                response
                    .resources
                    .into_iter()
                    .map(|r| (r.name, r.version))
                    .collect(),
            );
        }
        (client, held)
    }
}

fn world(endpoints: &str) -> Arc<ProxySnapshot> {
    snapshot(
        "a=1 b=1",
        &format!("a={endpoints} b=1"),
        "l=route:r",
        "r=cluster:a",
    )
}

fn names(response: &DeltaDiscoveryResponse) -> Vec<&str> {
    response.resources.iter().map(|r| r.name.as_str()).collect()
}

/// Waits until the server has seen something; the registry has no events to wait for.
async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_client_gets_everything_and_then_only_what_changes() {
    let fixture = start(world("1")).await;
    let (mut client, held) = Client::sync(&fixture).await;
    assert_eq!(
        held.values().map(BTreeMap::len).collect::<Vec<_>>(),
        [2, 2, 1, 1]
    );
    let connection = fixture.registry.all().pop().unwrap();
    assert_eq!(connection.id, "a.ns-1");
    until(|| {
        let types = connection.types();
        let asked = [CDS, EDS, LDS, RDS];
        asked
            .iter()
            .all(|ty| types[ty.index()].status == SyncStatus::Synced)
    })
    .await;

    fixture.source.snapshots.send_replace(world("2"));
    let response = client.receive(EDS).await;
    assert_eq!(names(&response), ["a"]);
    assert_eq!(connection.types()[EDS.index()].status, SyncStatus::Stale);
    assert_eq!(connection.resources(EDS).len(), 2);

    client.answer(&response, Some("Error: a: malformed")).await;
    until(|| connection.types()[EDS.index()].status == SyncStatus::Error).await;
    let status = &connection.types()[EDS.index()];
    assert_eq!(
        (status.error.as_deref(), &*status.rejected[0]),
        (Some("Error: a: malformed"), "a")
    );
    assert_eq!(fixture.metrics.rejects.get_or_create(&EDS.into()).get(), 1);
    assert_eq!(fixture.metrics.rejecting[EDS.index()].get(), 1);

    fixture.source.snapshots.send_replace(world("3"));
    assert_eq!(names(&client.accept(EDS).await), ["a"]);
    until(|| fixture.metrics.rejecting[EDS.index()].get() == 0).await;
}

#[tokio::test]
async fn a_reconnect_transfers_nothing_that_the_client_holds() {
    let fixture = start(world("1")).await;
    let (client, held) = Client::sync(&fixture).await;
    drop(client);
    until(|| fixture.registry.is_empty()).await;
    let sent = |ty: ResourceType| fixture.metrics.resources.get_or_create(&ty.into()).get();
    let bytes = || {
        ResourceType::ALL
            .iter()
            .map(|ty| fixture.metrics.bytes.get_or_create(&(*ty).into()).get())
            .sum::<u64>()
    };
    let (before, bytes_before) = (ResourceType::ALL.map(sent), bytes());

    let initial = |ty: ResourceType| {
        held[&ty]
            .iter()
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect()
    };
    let first = DeltaDiscoveryRequest {
        node: node(),
        initial_resource_versions: initial(CDS),
        ..ask(CDS, &[])
    };
    let mut client = Client::connect(&fixture, first).await.unwrap();
    client.accept(CDS).await;
    for (ty, names) in [(EDS, vec!["a", "b"]), (RDS, vec!["r"]), (LDS, vec![])] {
        client
            .send(DeltaDiscoveryRequest {
                initial_resource_versions: initial(ty),
                ..ask(ty, &names)
            })
            .await;
    }
    client.accept(LDS).await;
    assert_eq!(ResourceType::ALL.map(sent), before);
    assert!(
        bytes() - bytes_before < 400,
        "{} bytes",
        bytes() - bytes_before
    );
    assert_eq!(fixture.registry.all()[0].id, "a.ns-2");
}

#[tokio::test]
async fn a_client_that_does_not_answer_is_not_waited_for_for_ever() {
    let fixture = start(world("1")).await;
    let (mut client, _) = Client::sync(&fixture).await;
    // The route moves to a new cluster; this client never asks for its endpoints.
    fixture.source.snapshots.send_replace(snapshot(
        "b=1 c=1",
        "b=1 c=1",
        "l=route:r",
        "r=cluster:c",
    ));
    let clusters = client.receive(CDS).await;
    assert_eq!(
        (names(&clusters), clusters.removed_resources.len()),
        (vec!["c"], 0)
    );
    assert_eq!(names(&client.receive(RDS).await), ["r"]);
    assert_eq!(client.receive(CDS).await.removed_resources, ["a"]);
}

#[tokio::test]
async fn the_state_of_the_world_is_served_too() {
    let fixture = start(world("1")).await;
    let (requests, receiver) = mpsc::channel(8);
    let ask = |ty: ResourceType, names: &[&str], node: Option<Node>| DiscoveryRequest {
        type_url: ty.type_url().into(),
        resource_names: names.iter().map(|n| (*n).to_owned()).collect(),
        node,
        ..DiscoveryRequest::default()
    };
    requests.send(ask(CDS, &[], node())).await.unwrap();
    let mut client = AggregatedDiscoveryServiceClient::new(fixture.channel.clone());
    let mut responses = client
        .stream_aggregated_resources(ReceiverStream::new(receiver))
        .await
        .unwrap()
        .into_inner();
    let response = responses.message().await.unwrap().unwrap();
    assert_eq!(
        (response.resources.len(), response.version_info),
        (2, world("1").set(CDS).version.to_string())
    );
    assert_eq!(response.resources[0].type_url, CDS.type_url());
    requests
        .send(ask(EDS, &["a", "unknown"], None))
        .await
        .unwrap();
    assert_eq!(
        responses.message().await.unwrap().unwrap().resources.len(),
        2
    );
}

#[tokio::test]
async fn a_server_that_is_not_ready_refuses() {
    let fixture = start(world("1")).await;
    fixture.source.is_ready.store(false, Relaxed);
    let first = DeltaDiscoveryRequest {
        node: node(),
        ..ask(CDS, &[])
    };
    let status = Client::connect(&fixture, first)
        .await
        .map(drop)
        .unwrap_err();
    let want = (
        Code::Unavailable,
        "server is not ready to serve discovery information",
    );
    assert_eq!((status.code(), status.message()), want);
}

#[tokio::test]
async fn a_bad_node_is_refused() {
    let fixture = start(world("1")).await;
    let bad = Some(Node {
        id: "sidecar~1.1.1.1".into(),
        ..Node::default()
    });
    for (node, want) in [(None, "missing node information"), (bad, "missing parts")] {
        let mut client = Client::connect(
            &fixture,
            DeltaDiscoveryRequest {
                node,
                ..ask(CDS, &[])
            },
        )
        .await
        .unwrap();
        let status = client.responses.message().await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(want), "{}", status.message());
    }
    assert!(fixture.registry.is_empty());
}

#[tokio::test]
async fn types_that_are_not_served_get_no_answer_and_do_no_harm() {
    let fixture = start(world("1")).await;
    let unknown = DeltaDiscoveryRequest {
        type_url: "type.googleapis.com/istio.workload.Address".into(),
        node: node(),
        ..DeltaDiscoveryRequest::default()
    };
    let mut client = Client::connect(&fixture, unknown).await.unwrap();
    client.send(ask(CDS, &[])).await;
    client.receive(CDS).await;
}

#[tokio::test]
async fn draining_ends_every_stream_cleanly() {
    let fixture = start(world("1")).await;
    let (mut client, _) = Client::sync(&fixture).await;
    fixture.drain.cancel();
    assert!(client.responses.message().await.unwrap().is_none());
    fixture.ads.drained().await;
    assert!(fixture.registry.is_empty());
    fixture.server.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_beyond_the_limit_is_refused() {
    let fixture = start(world("1")).await;
    let name = "n".repeat(5 << 20);
    let first = DeltaDiscoveryRequest {
        node: node(),
        ..ask(EDS, &[&name])
    };
    let mut client = Client::connect(&fixture, first).await.unwrap();
    assert_eq!(
        client.responses.message().await.unwrap_err().code(),
        Code::OutOfRange
    );
}

#[tokio::test]
async fn a_slow_reader_skips_to_the_newest_snapshot() {
    let fixture = start(world("0")).await;
    let (mut client, _) = Client::sync(&fixture).await;
    let (mut other, _) = Client::sync(&fixture).await;
    // Far more than the windows of the connection hold; the other client shares it, so it reads all along.
    let big = |n: usize| world(&format!("{n:0>9}").repeat(100_000));
    for n in 1..=40 {
        fixture.source.snapshots.send_replace(big(n));
        other.accept(EDS).await;
    }
    let newest = big(40).set(EDS).by_name["a"].version.to_string();
    let mut read = 0;
    loop {
        let response = client.accept(EDS).await;
        read += 1;
        if response.resources[0].version.starts_with(&newest) {
            break;
        }
    }
    assert!(
        read <= stream::ROOM + 12,
        "{read} responses were kept for a client that did not read"
    );
}

#[test]
fn metrics_have_istios_names() {
    let mut registry = prometheus_client::registry::Registry::default();
    let metrics = Metrics::new(&mut registry);
    metrics.pushes.get_or_create(&CDS.into()).inc();
    metrics.resources.get_or_create(&EDS.into()).inc();
    metrics
        .connected
        .get_or_create(&crate::metrics::VersionLabel {
            version: "1.31.0".into(),
        })
        .inc();
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "pilot_xds{version=\"1.31.0\"} 1",
        "pilot_xds_pushes{type=\"cds\"} 1",
        "pilot_xds_lds_reject 0",
        "meltemi_xds_resources_sent_total{type=\"eds\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}
