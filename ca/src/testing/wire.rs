//! A server and clients over loopback, with real TLS.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use meltemi_proto::ca::istio_certificate_service_client::IstioCertificateServiceClient;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

use crate::authenticate::{Authenticators, Clusters, TokenReviewer};
use crate::authority::Authority;
use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::node::Pods;
use crate::roots::Live;
use crate::service::CertificateService;
use crate::settings::{Callers, Handshakes, Serving, Signing};
use crate::signing::Pool;
use crate::system_clock;
use crate::tls::{Tls, listen};

pub(crate) const HOST: &str = "istiod.istio-system.svc";

/// A certificate service behind TLS.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) live: Arc<Live>,
    pub(crate) tls: Arc<Tls>,
    pub(crate) metrics: Metrics,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(
        authority: Authority,
        callers: Callers,
        reviewer: Arc<dyn TokenReviewer>,
        pods: Option<Arc<dyn Pods>>,
    ) -> Self {
        Self::with_limits(authority, callers, reviewer, pods, Handshakes::default()).await
    }

    pub(crate) async fn with_limits(
        authority: Authority,
        callers: Callers,
        reviewer: Arc<dyn TokenReviewer>,
        pods: Option<Arc<dyn Pods>>,
        limits: Handshakes,
    ) -> Self {
        let clock = system_clock();
        let serving = Serving {
            names: vec![HOST.to_owned()],
            ..Serving::default()
        };
        let tls = Tls::new(&authority, &callers.trust_domain, serving, &clock).unwrap();
        let live = Live::new(authority);
        let clusters = Clusters::new(reviewer, vec!["Kubernetes".to_owned()]);
        let metrics = Metrics::default();
        let callers = Authenticators::new(callers, Some(clusters), clock.clone());
        let gate = Gate::new(Arc::new(callers), metrics.clone());
        let pool = Pool::new(Signing::default(), metrics.clone());
        let service =
            CertificateService::new(live.clone(), gate, pods, pool, metrics.clone(), clock);
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let incoming = listen(socket, tls.for_agents().unwrap(), limits);
        let server = tonic::transport::Server::builder().add_service(service.into_service());
        let task = tokio::spawn(async move {
            server.serve_with_incoming(incoming).await.unwrap();
        });
        Self {
            address,
            live,
            tls: Arc::new(tls),
            metrics,
            task,
        }
    }

    /// A client that trusts our roots of now.
    pub(crate) fn client(&self) -> Client {
        Client {
            address: self.address,
            roots: self.live.authority().roots().to_vec(),
            shown: None,
        }
    }
}

/// Who connects.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) roots: Vec<CertificateDer<'static>>,
    pub(crate) shown: Option<Arc<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>>,
}

impl Client {
    /// Shows a certificate: a chain as the service returned it, without its last element.
    pub(crate) fn showing(mut self, chain: &[String], key: &rcgen::KeyPair) -> Self {
        let chain = chain[..chain.len() - 1]
            .iter()
            .flat_map(|text| crate::pem::certificates(text).unwrap())
            .collect();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        self.shown = Some(Arc::new((chain, key)));
        self
    }

    /// A TLS connection. With TLS 1.3 a refusal of the client's certificate is seen at the first read.
    pub(crate) async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        for root in &self.roots {
            roots.add(root.clone()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match &self.shown {
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

    pub(crate) async fn agent(
        &self,
    ) -> Result<IstioCertificateServiceClient<Channel>, tonic::transport::Error> {
        let channel = Endpoint::from_static("http://ca")
            .connect_with_connector(self.clone())
            .await?;
        Ok(IstioCertificateServiceClient::new(channel))
    }
}

impl Service<Uri> for Client {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let client = self.clone();
        Box::pin(async move { client.connect().await.map(TokioIo::new) })
    }
}
