//! Where secrets come from. Istio 1.31: `pkg/model/authentication.go`, `pilot/pkg/security/model/authentication.go`.

use meltemi_model::Str;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::SdsSecretConfig;

use crate::duration;

/// The cluster of the node's agent, in every bootstrap that pilot-agent writes.
const AGENT: &str = "sds-grpc";

/// The cluster of an SDS server that reads files in the agent's place, in the bootstrap where one is mounted.
const FILE_SERVER: &str = "sds-files-grpc";

/// The cluster of an SDS server whose socket is mounted into the proxy's pod.
pub const EXTERNAL: &str = "sds-external";

/// Credentials whose name begins so are not Kubernetes Secrets.
const EXTERNAL_PREFIX: &str = "sds://";

/// The mesh's own certificates by the name of a credential.
const BUILTIN_PREFIX: &str = "builtin://";

/// A name that stands for a credential which nobody has, so that the chain fails closed.
const INVALID: &str = "invalid://";

/// Names that are sent as they are.
const SPELT_OUT: [&str; 3] = ["configmap://", "kubernetes://", "kubernetes-gateway://"];

/// What is added to a credential's name for its CA.
pub(crate) const CA_SUFFIX: &str = "-cacert";

/// Who has the credentials whose name begins with `sds://`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum ExternalSds {
    /// Nobody: what follows the prefix is the name of a Kubernetes Secret.
    #[default]
    Kubernetes,
    /// A server whose socket is mounted into the proxy's pod: the cluster [`EXTERNAL`].
    Socket,
    /// An extension provider of the mesh configuration.
    Provider {
        /// The cluster.
        cluster: Str,
        /// `:authority` of the calls: the host.
        host: Str,
    },
    /// The mesh configuration names a provider that does not exist.
    Unknown,
}

/// A workload secret (`default`, `ROOTCA`) from the node's agent. Envoy waits for it without limit.
pub(crate) fn workload(name: &str) -> SdsSecretConfig {
    from_server(AGENT, "", name, true)
}

/// A file that the node's agent serves (`file-cert:…`, `file-root:…`), or the server that stands in for it.
pub(crate) fn file(name: &str, by_server: bool) -> SdsSecretConfig {
    let server = if by_server { FILE_SERVER } else { AGENT };
    from_server(server, "", name, false)
}

/// A credential by its `credentialName`. Istio 1.31: `ConstructSdsSecretConfigForCredential`.
pub(crate) fn credential(name: &str, external: &ExternalSds) -> SdsSecretConfig {
    if let Some(rest) = name.strip_prefix(BUILTIN_PREFIX) {
        let is_ca = rest.ends_with(CA_SUFFIX);
        return workload(if is_ca { "ROOTCA" } else { "default" });
    }
    let Some(rest) = name.strip_prefix(EXTERNAL_PREFIX) else {
        return over_ads(name);
    };
    match external {
        // Servers at the socket expect the whole name.
        ExternalSds::Socket => from_server(EXTERNAL, "", name, false),
        ExternalSds::Provider { cluster, host } => from_server(cluster, host, rest, false),
        ExternalSds::Kubernetes => over_ads(rest),
        ExternalSds::Unknown => over_ads(INVALID),
    }
}

/// Whether a credential's name stands for the mesh's own certificates.
pub fn is_builtin(name: &str) -> bool {
    name.starts_with(BUILTIN_PREFIX)
}

/// Whether a credential is asked of [`ExternalSds`].
pub fn is_external(name: &str) -> bool {
    name.starts_with(EXTERNAL_PREFIX)
}

/// A Secret of Kubernetes. There is no endless wait: a Secret may not exist, and that must not hold up a listener.
fn over_ads(name: &str) -> SdsSecretConfig {
    let name = if name.starts_with(INVALID) {
        INVALID.to_owned()
    } else if SPELT_OUT.iter().any(|prefix| name.starts_with(prefix)) {
        name.to_owned()
    } else {
        format!("kubernetes://{name}")
    };
    let source = core::config_source::ConfigSourceSpecifier::Ads(Default::default());
    config(name, source, false)
}

fn from_server(cluster: &str, host: &str, name: &str, wait: bool) -> SdsSecretConfig {
    let server = core::GrpcService {
        target_specifier: Some(core::grpc_service::TargetSpecifier::EnvoyGrpc(
            core::grpc_service::EnvoyGrpc {
                cluster_name: cluster.into(),
                authority: host.into(),
                ..Default::default()
            },
        )),
        ..Default::default()
    };
    let source = core::ApiConfigSource {
        api_type: core::api_config_source::ApiType::Grpc.into(),
        transport_api_version: core::ApiVersion::V3.into(),
        grpc_services: vec![server],
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

#[cfg(test)]
mod tests {
    use super::*;
    use meltemi_proto::envoy::config::core::v3 as pb;
    use pb::config_source::ConfigSourceSpecifier as Source;

    /// Name, server (or `ads`) and host.
    fn source(name: &str, external: &ExternalSds) -> (String, String, String) {
        let config = credential(name, external);
        let source = config.sds_config.unwrap().config_source_specifier.unwrap();
        let (server, host) = match source {
            Source::Ads(_) => ("ads".to_owned(), String::new()),
            Source::ApiConfigSource(source) => {
                match source.grpc_services[0].target_specifier.clone().unwrap() {
                    pb::grpc_service::TargetSpecifier::EnvoyGrpc(grpc) => {
                        (grpc.cluster_name, grpc.authority)
                    }
                    other => panic!("{other:?}"),
                }
            }
            other => panic!("{other:?}"),
        };
        (config.name, server, host)
    }

    #[test]
    fn credentials_come_from_where_their_names_say() {
        use ExternalSds::{Kubernetes, Socket, Unknown};
        let provider = ExternalSds::Provider {
            cluster: "outbound|8443||sds.com".into(),
            host: "sds.com".into(),
        };
        for (name, external, want) in [
            ("c", &Kubernetes, ("kubernetes://c", "ads", "")),
            ("c", &Socket, ("kubernetes://c", "ads", "")),
            (
                "kubernetes://ns/c",
                &Kubernetes,
                ("kubernetes://ns/c", "ads", ""),
            ),
            (
                "kubernetes-gateway://ns/c",
                &Kubernetes,
                ("kubernetes-gateway://ns/c", "ads", ""),
            ),
            (
                "configmap://ns/c",
                &Kubernetes,
                ("configmap://ns/c", "ads", ""),
            ),
            ("invalid://why", &Kubernetes, ("invalid://", "ads", "")),
            ("builtin://", &Kubernetes, ("default", "sds-grpc", "")),
            ("builtin://-cacert", &Kubernetes, ("ROOTCA", "sds-grpc", "")),
            ("sds://x", &Kubernetes, ("kubernetes://x", "ads", "")),
            ("sds://x", &Socket, ("sds://x", "sds-external", "")),
            (
                "sds://x",
                &provider,
                ("x", "outbound|8443||sds.com", "sds.com"),
            ),
            ("sds://x", &Unknown, ("invalid://", "ads", "")),
        ] {
            let (found, server, host) = source(name, external);
            assert_eq!((&*found, &*server, &*host), want, "{name} {external:?}");
        }
    }
}
