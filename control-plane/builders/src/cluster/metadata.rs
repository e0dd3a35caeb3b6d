//! What telemetry and istioctl read from a cluster: `filter_metadata.istio`, and the metadata exchange filter.

use meltemi_model::service::Service;
use meltemi_model::traffic::TlsMode;
use meltemi_model::{Kind, ObjectKey};
use meltemi_proto::envoy::config::cluster::v3 as pb;
use meltemi_proto::envoy::config::core::v3::Metadata;
use serde_json::{Value, json};

use super::ClusterFacet;

/// The fields of `filter_metadata.istio`, gathered before they are encoded.
#[derive(Debug, Default)]
pub(super) struct IstioMetadata(serde_json::Map<String, Value>);

impl IstioMetadata {
    /// The services that the cluster stands for.
    pub(super) fn services<'a>(&mut self, services: impl IntoIterator<Item = &'a Service>) {
        let list: Vec<Value> = services
            .into_iter()
            .map(|s| json!({"host": s.key.host.as_str(), "name": &*s.name, "namespace": &*s.key.namespace}))
            .collect();
        self.0.insert("services".into(), Value::Array(list));
    }

    /// The object that configured it, as istioctl and Kiali look for it.
    pub(super) fn config(&mut self, object: &ObjectKey) {
        self.0
            .insert("config".into(), Value::String(config_path(object)));
    }

    /// The subset.
    pub(super) fn subset(&mut self, name: &str) {
        self.0.insert("subset".into(), json!(name));
    }

    /// The service is outside of the mesh.
    pub(super) fn external(&mut self) {
        self.0.insert("external".into(), json!(true));
    }

    /// TLS that a user asked for must not be offered Istio's application protocols.
    pub(super) fn alpn_override(&mut self, mode: Option<TlsMode>) {
        if matches!(mode, Some(TlsMode::Simple | TlsMode::Mutual)) {
            self.0.insert("alpn_override".into(), json!("false"));
        }
    }

    /// Writes the fields into the cluster.
    pub(super) fn write(self, cluster: &mut pb::Cluster) {
        if !self.0.is_empty() {
            let fields = meltemi_proto::any::struct_from_json(&Value::Object(self.0));
            let filter_metadata = [("istio".to_owned(), fields)].into_iter().collect();
            cluster.metadata = Some(Metadata {
                filter_metadata,
                ..Default::default()
            });
        }
    }
}

/// `/apis/networking.istio.io/v1/namespaces/<ns>/destination-rule/<name>`. Istio 1.31: `AddConfigInfoMetadata`.
fn config_path(object: &ObjectKey) -> String {
    let kind = match object.kind {
        Kind::DestinationRule => "destination-rule",
        Kind::VirtualService => "virtual-service",
        Kind::Gateway => "gateway",
        Kind::Sidecar => "sidecar",
        Kind::ServiceEntry => "service-entry",
        Kind::WorkloadEntry => "workload-entry",
        // No other kind configures a cluster.
        other => other.as_str(),
    };
    format!(
        "/apis/networking.istio.io/v1/namespaces/{}/{kind}/{}",
        object.namespace, object.name
    )
}

/// Lets the proxy tell its TCP peers who it is. Only a proxy that has the filter may get it.
pub(super) fn add_exchange_filter(cluster: &mut pb::Cluster, facet: &ClusterFacet) {
    if facet.metadata_exchange {
        cluster.filters.push(pb::Filter {
            name: "istio.metadata_exchange".into(),
            typed_config: Some(meltemi_proto::any::typed_struct(
                "type.googleapis.com/envoy.tcp.metadataexchange.config.MetadataExchange",
                json!({"enable_discovery": true, "protocol": "istio-peer-exchange"}),
            )),
            ..Default::default()
        });
    }
}
