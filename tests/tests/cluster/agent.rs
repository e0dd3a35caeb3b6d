//! An agent: it trusts the root in its namespace's ConfigMap, shows a token, and asks for a certificate and for
//! configuration.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use meltemi_fake_api::FakeApi;
use meltemi_proto::ads::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use meltemi_proto::ads::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node};
use meltemi_proto::any::struct_from_json;
use meltemi_proto::ca::IstioCertificateRequest;
use meltemi_proto::ca::istio_certificate_service_client::IstioCertificateServiceClient;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

/// The name in our certificate that agents check.
pub(crate) const HOST: &str = "istiod.istio-system.svc";

/// Who connects.
#[derive(Clone)]
pub(crate) struct Agent {
    address: SocketAddr,
    roots: Arc<RootCertStore>,
    token: Option<String>,
    certificate: Option<Arc<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>>,
}

/// The root that a namespace's ConfigMap holds, in PEM.
pub(crate) fn root(api: &FakeApi, namespace: &str) -> String {
    let map = api
        .get("configmaps", namespace, "istio-ca-root-cert")
        .unwrap();
    map["data"]["root-cert.pem"].as_str().unwrap().to_owned()
}

/// Certificates of a PEM text.
pub(crate) fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap()
}

impl Agent {
    /// An agent of the namespace `default` with this token.
    pub(crate) fn new(address: SocketAddr, api: &FakeApi, token: Option<&str>) -> Self {
        let mut roots = RootCertStore::empty();
        for root in certificates(&root(api, "default")) {
            roots.add(root).unwrap();
        }
        Self {
            address,
            roots: Arc::new(roots),
            token: token.map(str::to_owned),
            certificate: None,
        }
    }

    /// Shows a certificate chain (in PEM) with its key.
    pub(crate) fn showing(mut self, chain: &str, key: &rcgen::KeyPair) -> Self {
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        self.certificate = Some(Arc::new((certificates(chain), key)));
        self
    }

    pub(crate) async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let builder = ClientConfig::builder_with_provider(Arc::new(
            tokio_rustls::rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(self.roots.clone());
        let mut config = match &self.certificate {
            Some(shown) => builder
                .with_client_auth_cert(shown.0.clone(), shown.1.clone_key())
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(HOST).unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    async fn channel(&self) -> Result<Channel, Status> {
        Endpoint::from_static("http://istiod")
            .connect_with_connector(self.clone())
            .await
            .map_err(|error| Status::unavailable(format!("{error:?}")))
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            let value = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        request
    }

    /// Asks for a certificate; the chain as it came.
    pub(crate) async fn certificate(&self, csr: &str) -> Result<Vec<String>, Status> {
        let mut service = IstioCertificateServiceClient::new(self.channel().await?);
        let request = IstioCertificateRequest {
            csr: csr.to_owned(),
            validity_duration: 3600,
            ..IstioCertificateRequest::default()
        };
        let answer = service.create_certificate(self.request(request)).await?;
        Ok(answer.into_inner().cert_chain)
    }

    /// Asks for clusters as a sidecar of this namespace and account; the first answer.
    pub(crate) async fn clusters(
        &self,
        namespace: &str,
        account: &str,
    ) -> Result<DeltaDiscoveryResponse, Status> {
        let clusters = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
        self.ask(clusters, &[], namespace, account).await
    }

    /// Asks for secrets in the same way: names of those that it gets, and of those that it does not.
    pub(crate) async fn secrets(
        &self,
        names: &[&str],
        namespace: &str,
        account: &str,
    ) -> Result<(Vec<String>, Vec<String>), Status> {
        let secrets = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
        let answer = self.ask(secrets, names, namespace, account).await?;
        let got = answer.resources.into_iter().map(|resource| resource.name);
        Ok((got.collect(), answer.removed_resources))
    }

    /// Opens a stream with this request; what is sent is sent after it.
    pub(crate) async fn stream(
        &self,
        first: DeltaDiscoveryRequest,
    ) -> Result<
        (
            mpsc::Sender<DeltaDiscoveryRequest>,
            Streaming<DeltaDiscoveryResponse>,
        ),
        Status,
    > {
        let mut service = AggregatedDiscoveryServiceClient::new(self.channel().await?);
        let (sender, requests) = mpsc::channel(4);
        let requests = tokio_stream::StreamExt::chain(
            tokio_stream::once(first),
            tokio_stream::wrappers::ReceiverStream::new(requests),
        );
        let answer = service
            .delta_aggregated_resources(self.request(requests))
            .await?;
        Ok((sender, answer.into_inner()))
    }

    /// Asks once as a sidecar of this namespace and account; the first answer.
    pub(crate) async fn ask(
        &self,
        type_url: &str,
        names: &[&str],
        namespace: &str,
        account: &str,
    ) -> Result<DeltaDiscoveryResponse, Status> {
        let mut service = AggregatedDiscoveryServiceClient::new(self.channel().await?);
        let request = DeltaDiscoveryRequest {
            node: Some(Node {
                id: format!("sidecar~10.244.0.8~a.{namespace}~{namespace}.svc.cluster.local"),
                metadata: Some(struct_from_json(&json!({
                    "NAMESPACE": namespace,
                    "SERVICE_ACCOUNT": account,
                    "ISTIO_VERSION": "1.31.0",
                }))),
                ..Node::default()
            }),
            type_url: type_url.to_owned(),
            resource_names_subscribe: names.iter().map(ToString::to_string).collect(),
            ..DeltaDiscoveryRequest::default()
        };
        let requests =
            tokio_stream::StreamExt::chain(tokio_stream::once(request), tokio_stream::pending());
        let answer = service
            .delta_aggregated_resources(self.request(requests))
            .await?;
        let first = answer.into_inner().message().await?;
        first.ok_or_else(|| Status::unknown("the stream ended"))
    }
}

impl Service<Uri> for Agent {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let agent = self.clone();
        Box::pin(async move { agent.connect().await.map(TokioIo::new) })
    }
}

/// A key and a request for a certificate that wishes for a forged name.
pub(crate) fn csr() -> (rcgen::KeyPair, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    let forged = "spiffe://cluster.local/ns/kube-system/sa/admin";
    params.subject_alt_names = vec![rcgen::SanType::URI(forged.try_into().unwrap())];
    let csr = params.serialize_request(&key).unwrap().pem().unwrap();
    (key, csr)
}
