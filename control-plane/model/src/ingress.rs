//! Kubernetes Ingress and IngressClass, lowered, and the mesh's settings for them.

use crate::object::Meta;
use crate::{Hostname, Str};

/// The controller that Istio's IngressClasses name. Istio 1.31: `IstioIngressController`.
pub const CONTROLLER: &str = "istio.io/ingress-controller";
/// The annotation that named a class before there were IngressClasses; it wins over `ingressClassName`.
pub const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// An IngressClass.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IngressClass {
    /// Key, labels, annotations, age.
    pub meta: Meta,
    /// `spec.controller`.
    pub controller: Str,
}

/// An Ingress.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ingress {
    /// Key, labels, annotations, age.
    pub meta: Meta,
    /// `spec.ingressClassName`.
    pub class_name: Option<Str>,
    /// `spec.rules`, in order.
    pub rules: Vec<IngressRule>,
    /// `spec.tls`, in order.
    pub tls: Vec<IngressTls>,
}

/// A rule of an Ingress.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IngressRule {
    /// The host; `*` where none is named.
    pub host: Hostname,
    /// The paths; `None`: the rule has no `http`, so it says nothing.
    pub paths: Option<Vec<IngressPath>>,
}

/// A path of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IngressPath {
    /// `path`, as written.
    pub path: Str,
    /// `pathType`.
    pub path_type: PathType,
    /// The Service; `None`: another resource, which Istio does not know.
    pub backend: Option<IngressBackend>,
}

/// How a path is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathType {
    /// The whole path.
    Exact,
    /// A prefix of path elements.
    Prefix,
    /// As Istio did before there were types: `.*` and `/*` at the end make a prefix.
    ImplementationSpecific,
}

/// A Service as a backend.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IngressBackend {
    /// The Service, in the Ingress's namespace.
    pub service: Str,
    /// Its port.
    pub port: BackendPort,
}

/// A port of a backend's Service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BackendPort {
    /// By number.
    Number(u16),
    /// By name.
    Name(Str),
}

/// An entry of `spec.tls`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IngressTls {
    /// The hosts; empty: all.
    pub hosts: Vec<Hostname>,
    /// The Secret with the certificate; empty: the entry is not used.
    pub secret: Str,
}

/// The mesh's settings for Ingress.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IngressSettings {
    /// `ingressControllerMode`.
    pub mode: IngressMode,
    /// `ingressClass`: the value of the annotation.
    pub class: Str,
    /// `ingressService`, or empty.
    pub service: Str,
    /// `ingressSelector`, or empty.
    pub selector: Str,
    /// The namespace of the gateway (K8S_INGRESS_NS).
    pub namespace: Str,
}

impl Default for IngressSettings {
    fn default() -> Self {
        Self {
            mode: IngressMode::Strict,
            class: "istio".into(),
            service: "istio-ingressgateway".into(),
            selector: "".into(),
            namespace: "istio-system".into(),
        }
    }
}

impl IngressSettings {
    /// The value of the label `istio` of the gateway's pods. Istio 1.31: `getIngressGatewaySelector`.
    pub fn gateway_label(&self) -> Str {
        if !self.selector.is_empty() {
            self.selector.clone()
        } else if !matches!(&*self.service, "" | "istio-ingressgateway") {
            self.service.clone()
        } else {
            "ingressgateway".into()
        }
    }
}

/// `ingressControllerMode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IngressMode {
    /// No Ingress is served.
    Off,
    /// Those without a class are served, too.
    Default,
    /// Only those of our class.
    Strict,
}
