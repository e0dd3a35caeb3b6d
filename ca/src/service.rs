//! `istio.v1.auth.IstioCertificateService`: agents send a request for a certificate and get a chain.

use std::collections::BTreeMap;
use std::sync::Arc;

use meltemi_proto::ca::istio_certificate_service_server::{
    IstioCertificateService, IstioCertificateServiceServer,
};
use meltemi_proto::ca::{IstioCertificateRequest, IstioCertificateResponse};
use meltemi_proto::google::protobuf::Struct;
use meltemi_proto::google::protobuf::value::Kind;
use tonic::{Request, Response, Status};
use tracing::{debug, warn};

use crate::Clock;
use crate::authenticate::Caller;
use crate::authority::IssueError;
use crate::csr::CsrError;
use crate::gate::{Gate, remote};
use crate::metrics::{ErrorLabel, Metrics, SignError};
use crate::node::{Pods, may_impersonate};
use crate::roots::Live;
use crate::signing::Pool;

#[cfg(test)]
mod tests;

/// The largest request, in bytes.
const MAX_REQUEST: usize = 64 << 10;

const IMPERSONATED: &str = "ImpersonatedIdentity";
const CERT_SIGNER: &str = "CertSigner";

/// The certificate service.
#[derive(Clone)]
pub struct CertificateService {
    inner: Arc<Inner>,
}

struct Inner {
    live: Arc<Live>,
    gate: Gate,
    pods: Option<Arc<dyn Pods>>,
    pool: Pool,
    metrics: Metrics,
    clock: Clock,
}

impl std::fmt::Debug for CertificateService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateService").finish_non_exhaustive()
    }
}

impl CertificateService {
    /// A service that signs with the authority of the moment. Without pods nobody may ask for others.
    pub fn new(
        live: Arc<Live>,
        gate: Gate,
        pods: Option<Arc<dyn Pods>>,
        pool: Pool,
        metrics: Metrics,
        clock: Clock,
    ) -> Self {
        let inner = Inner {
            live,
            gate,
            pods,
            pool,
            metrics,
            clock,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// As a tonic service with its message limit.
    pub fn into_service(self) -> IstioCertificateServiceServer<Self> {
        IstioCertificateServiceServer::new(self).max_decoding_message_size(MAX_REQUEST)
    }
}

#[tonic::async_trait]
impl IstioCertificateService for CertificateService {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let inner = &self.inner;
        inner.metrics.requests.inc();
        let remote = remote(request.extensions());
        let refused = || {
            inner.metrics.authentication_failures.inc();
            Status::unauthenticated("request authenticate failure")
        };
        let caller = inner
            .gate
            .caller(request.metadata(), request.extensions())
            .await
            .map_err(|_| refused())?;
        let Some(caller) = caller else {
            warn!(
                ?remote,
                "certificate refused: the connection is not encrypted"
            );
            return Err(refused());
        };
        let request = request.into_inner();
        let wished = fields(request.metadata.as_ref());
        if let Some(signer) = wished.get(CERT_SIGNER).filter(|signer| !signer.is_empty()) {
            // Istio 1.31 without an external authority ignores the signer, too.
            debug!(?remote, signer, "the wished signer is ignored");
        }
        let impersonated = wished.get(IMPERSONATED).filter(|id| !id.is_empty());
        let identities = match impersonated {
            Some(identity) => inner.impersonate(&caller, identity, remote).await?,
            None => caller.identities.clone(),
        };
        inner.sign(request, identities, remote).await
    }
}

type Remote = Option<std::net::SocketAddr>;

impl Inner {
    async fn impersonate(
        &self,
        caller: &Caller,
        identity: &str,
        remote: Remote,
    ) -> Result<Vec<String>, Status> {
        let settings = self.gate.authenticators().settings();
        let allowed = match &self.pods {
            Some(pods) => may_impersonate(settings, &**pods, caller.pod.as_ref(), identity).await,
            None => Err("pods are not known here".to_owned()),
        };
        match allowed {
            Ok(identity) => Ok(vec![identity.to_string()]),
            Err(reason) => {
                self.metrics.authentication_failures.inc();
                let identities = &caller.identities;
                warn!(?remote, ?identities, requested = ?identity, %reason, "impersonation refused");
                Err(Status::unauthenticated(
                    "request impersonation authentication failure",
                ))
            }
        }
    }

    async fn sign(
        &self,
        request: IstioCertificateRequest,
        identities: Vec<String>,
        remote: Remote,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let authority = self.live.authority();
        let now = (self.clock)();
        let names = identities.clone();
        let signed = self
            .pool
            .run(move || authority.issue(&request.csr, &names, request.validity_duration, now));
        let signed = signed.await.map_err(|busy| {
            warn!(?remote, ?identities, "certificate refused: {busy}");
            Status::resource_exhausted(busy.to_string())
        })?;
        match signed {
            Ok(cert_chain) => {
                self.metrics.issued.inc();
                debug!(?remote, ?identities, "certificate issued");
                Ok(Response::new(IstioCertificateResponse { cert_chain }))
            }
            Err(error) => {
                warn!(?remote, ?identities, %error, "certificate refused");
                Err(self.failure(&error))
            }
        }
    }

    /// Istio 1.31: what the caller can mend is InvalidArgument, the rest is Internal, which agents try again.
    fn failure(&self, error: &IssueError) -> Status {
        let (kind, code) = match error {
            IssueError::Csr(error) => {
                if !matches!(error, CsrError::Key(_) | CsrError::Signature) {
                    self.metrics.unreadable.inc();
                }
                (SignError::CSR_ERROR, tonic::Code::InvalidArgument)
            }
            IssueError::Lifetime { .. } => (SignError::TTL_ERROR, tonic::Code::InvalidArgument),
            IssueError::Identity => {
                self.metrics.no_identity.inc();
                (SignError::CERT_GEN_ERROR, tonic::Code::Internal)
            }
            IssueError::Expired | IssueError::Sign(_) => {
                (SignError::CERT_GEN_ERROR, tonic::Code::Internal)
            }
        };
        self.metrics
            .sign_errors
            .get_or_create(&ErrorLabel { error: kind })
            .inc();
        Status::new(code, format!("CSR signing error ({error})"))
    }
}

/// The texts of a request's metadata.
fn fields(metadata: Option<&Struct>) -> BTreeMap<&str, &str> {
    let fields = metadata.iter().flat_map(|metadata| &metadata.fields);
    fields
        .filter_map(|(name, value)| match &value.kind {
            Some(Kind::StringValue(text)) => Some((name.as_str(), text.as_str())),
            _ => None,
        })
        .collect()
}
