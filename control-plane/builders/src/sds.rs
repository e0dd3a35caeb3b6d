//! Where secrets come from. Istio 1.31: `pkg/model/authentication.go`.

use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::SdsSecretConfig;

use crate::duration;

/// The cluster of the node's agent, in every bootstrap that pilot-agent writes.
const AGENT: &str = "sds-grpc";

/// A workload secret (`default`, `ROOTCA`) from the node's agent. Envoy waits for it without limit.
pub(crate) fn workload(name: &str) -> SdsSecretConfig {
    from_agent(name, true)
}

/// A file that the node's agent serves (`file-cert:…`, `file-root:…`).
pub(crate) fn file(name: &str) -> SdsSecretConfig {
    from_agent(name, false)
}

/// A Kubernetes Secret by its credentialName, over ADS.
pub(crate) fn credential(name: &str) -> SdsSecretConfig {
    let name = if name.contains("://") {
        name.to_owned()
    } else {
        format!("kubernetes://{name}")
    };
    let source = core::config_source::ConfigSourceSpecifier::Ads(Default::default());
    config(name, source, false)
}

fn from_agent(name: &str, wait: bool) -> SdsSecretConfig {
    let agent = core::GrpcService {
        target_specifier: Some(core::grpc_service::TargetSpecifier::EnvoyGrpc(
            core::grpc_service::EnvoyGrpc {
                cluster_name: AGENT.into(),
                ..Default::default()
            },
        )),
        ..Default::default()
    };
    let source = core::ApiConfigSource {
        api_type: core::api_config_source::ApiType::Grpc.into(),
        transport_api_version: core::ApiVersion::V3.into(),
        grpc_services: vec![agent],
        set_node_on_first_message_only: true,
        ..Default::default()
    };
    config(
        name.to_owned(),
        core::config_source::ConfigSourceSpecifier::ApiConfigSource(source),
        wait,
    )
}

fn config(
    name: String,
    source: core::config_source::ConfigSourceSpecifier,
    wait: bool,
) -> SdsSecretConfig {
    SdsSecretConfig {
        name,
        sds_config: Some(core::ConfigSource {
            config_source_specifier: Some(source),
            resource_api_version: core::ApiVersion::V3.into(),
            initial_fetch_timeout: wait.then(|| duration(std::time::Duration::ZERO)),
            ..Default::default()
        }),
    }
}
