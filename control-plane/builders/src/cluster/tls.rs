//! TLS to upstreams. Istio 1.31: `cluster_tls.go`.

use meltemi_model::Str;
use meltemi_model::proxy::ClientFiles;
use meltemi_model::service::Resolution;
use meltemi_model::traffic::{Algorithm, ClientTls, PortPolicy, TlsMode};
use meltemi_proto::envoy::config::cluster::v3 as pb;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3 as tls;
use meltemi_proto::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use meltemi_proto::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use serde_json::json;

use super::{OutboundCluster, protocol};
use crate::listener::FileReader;
use crate::sds::{self, ExternalSds};

/// The settings that hold after Istio's own were filled in, and whether they were found out rather than given.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    tls: ClientTls,
    automatic: bool,
}

impl Settings {
    /// The settings.
    pub(super) fn tls(&self) -> &ClientTls {
        &self.tls
    }

    /// A certificate of the proxy's own. Istio 1.31: `buildMutualTLS`.
    fn of_files(files: &ClientFiles, names: Vec<Str>, sni: &str, skip: Option<bool>) -> Self {
        Self {
            tls: ClientTls {
                mode: TlsMode::Mutual,
                client_certificate: files.certificate.clone(),
                private_key: files.key.clone(),
                ca_certificates: files.root.clone(),
                subject_alt_names: names,
                sni: sni.to_owned(),
                insecure_skip_verify: skip,
                ..ClientTls::default()
            },
            automatic: false,
        }
    }
}

/// Istio 1.31: `buildUpstreamTLSSettings`.
pub(super) fn settings(
    input: &OutboundCluster,
    policy: &PortPolicy,
    sni: &str,
) -> Option<Settings> {
    let identities = || identities(input);
    let files = input.facet.files.as_ref();
    let external = input.service.mesh_external;
    match &policy.tls {
        Some(tls) if matches!(tls.mode, TlsMode::Disable | TlsMode::Simple) => Some(Settings {
            tls: tls.clone(),
            automatic: false,
        }),
        Some(tls) if let (Some(files), false) = (files, external) => {
            let names = tls.subject_alt_names.clone();
            let skip = tls.insecure_skip_verify;
            Some(Settings::of_files(files, names, &tls.sni, skip))
        }
        Some(tls) if tls.mode == TlsMode::IstioMutual => {
            if !input.facet.identity {
                return None; // The proxy has no certificate to show; see ProxyClass::has_identity.
            }
            let mut tls = tls.clone();
            if tls.sni.is_empty() {
                tls.sni = sni.to_owned();
            }
            if tls.subject_alt_names.is_empty() {
                tls.subject_alt_names = identities();
            }
            Some(Settings {
                tls,
                automatic: false,
            })
        }
        Some(tls) => Some(Settings {
            tls: tls.clone(),
            automatic: false,
        }),
        None if let (Some(files), true) = (files, automatic(input, policy)) => {
            Some(Settings::of_files(files, identities(), sni, None))
        }
        None if automatic(input, policy) => {
            let tls = ClientTls {
                mode: TlsMode::IstioMutual,
                sni: sni.to_owned(),
                subject_alt_names: identities(),
                ..ClientTls::default()
            };
            Some(Settings {
                tls,
                automatic: true,
            })
        }
        None => None,
    }
}

/// Without load balancing, by the service or by a rule, no endpoint can be told from another: all of them must take
/// mutual TLS. Of PeerAuthentications only those for the mesh or a namespace count here: which workloads are behind
/// the service is the endpoints' affair. Istio 1.31: `BestEffortInferServiceMTLSMode`.
fn automatic(input: &OutboundCluster, policy: &PortPolicy) -> bool {
    let algorithm = policy
        .load_balancer
        .as_ref()
        .and_then(|lb| lb.algorithm.as_ref());
    let unbalanced = input.service.resolution == Resolution::Passthrough
        || algorithm == Some(&Algorithm::Passthrough);
    !input.service.mesh_external
        && input.mesh.auto_mtls
        && input.facet.identity
        && !input.mtls_disabled
        && (!unbalanced || input.all_mtls)
}

/// The identities of the service's endpoints, under every name of the trust domain.
fn identities(input: &OutboundCluster) -> Vec<Str> {
    let found = input
        .identities
        .iter()
        .find(|(port, _)| *port == input.port.name);
    let own: Vec<Str> = found.map(|(_, names)| names.clone()).unwrap_or_default();
    let domain = input.mesh.trust_domain.replace('@', ".");
    let mut all = own.clone();
    for alias in &input.mesh.trust_domain_aliases {
        let prefix = format!("spiffe://{domain}/");
        all.extend(own.iter().filter_map(|name| {
            Some(Str::from(format!(
                "spiffe://{}/{}",
                alias.replace('@', "."),
                name.strip_prefix(&prefix)?
            )))
        }));
    }
    all.sort();
    all.dedup();
    all
}

/// Applies the settings to the cluster.
pub(super) fn apply(
    input: &OutboundCluster,
    cluster: &mut pb::Cluster,
    options: &mut Option<HttpProtocolOptions>,
    settings: Option<&Settings>,
) {
    let Some(settings) = settings else { return };
    let context = match settings.tls.mode {
        TlsMode::Disable => None,
        TlsMode::IstioMutual => Some(istio_mutual(input, &settings.tls, options.as_mut())),
        TlsMode::Simple | TlsMode::Mutual => user(input, &settings.tls, options),
    };
    let Some(context) = context else { return };
    let socket = core::TransportSocket {
        name: "envoy.transport_sockets.tls".into(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(
            meltemi_proto::any::pack(&context),
        )),
    };
    let original_destination = super::fixed::discovery(pb::cluster::DiscoveryType::OriginalDst);
    if settings.automatic && cluster.cluster_discovery_type != Some(original_destination) {
        cluster.transport_socket_matches = vec![
            socket_match("tlsMode-istio", &json!({"tlsMode": "istio"}), socket),
            socket_match("tlsMode-disabled", &json!({}), raw_buffer()),
        ];
    } else {
        cluster.transport_socket = Some(socket);
    }
}

fn socket_match(
    name: &str,
    criteria: &serde_json::Value,
    socket: core::TransportSocket,
) -> pb::cluster::TransportSocketMatch {
    pb::cluster::TransportSocketMatch {
        name: name.into(),
        r#match: Some(meltemi_proto::any::struct_from_json(criteria)),
        transport_socket: Some(socket),
    }
}

pub(super) fn raw_buffer() -> core::TransportSocket {
    core::TransportSocket {
        name: "envoy.transport_sockets.raw_buffer".into(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(
            meltemi_proto::any::pack(&RawBuffer {}),
        )),
    }
}

fn common_context() -> tls::CommonTlsContext {
    tls::CommonTlsContext {
        tls_params: Some(tls::TlsParameters {
            tls_minimum_protocol_version: tls::tls_parameters::TlsProtocol::TlSv12.into(),
            tls_maximum_protocol_version: tls::tls_parameters::TlsProtocol::TlSv13.into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn istio_mutual(
    input: &OutboundCluster,
    settings: &ClientTls,
    options: Option<&mut HttpProtocolOptions>,
) -> tls::UpstreamTlsContext {
    let mut common = common_context();
    common.tls_certificate_sds_secret_configs = vec![sds::workload("default")];
    common.validation_context_type = Some(combined(
        exact_names(&settings.subject_alt_names),
        sds::workload("ROOTCA"),
    ));
    let http2 = options.and_then(protocol::explicit_http2).is_some();
    // Offering istio-peer-exchange without the filter that speaks it would corrupt streams, so it goes with the filter.
    let mut offered = if input.facet.metadata_exchange {
        vec!["istio-peer-exchange", "istio"]
    } else {
        vec!["istio"]
    };
    if http2 {
        offered.push("h2");
    }
    common.alpn_protocols = offered.into_iter().map(Into::into).collect();
    tls::UpstreamTlsContext {
        common_tls_context: Some(common),
        sni: settings.sni.clone(),
        ..Default::default()
    }
}

/// TLS as a user set it up. `None` where the proxy may not have the credentials.
fn user(
    input: &OutboundCluster,
    settings: &ClientTls,
    options: &mut Option<HttpProtocolOptions>,
) -> Option<tls::UpstreamTlsContext> {
    // Istio 1.31: a rule without a workload selector would ask every sidecar for a secret that few may read.
    let secret = !settings.credential_name.is_empty()
        && !settings.credential_name.starts_with("configmap://");
    if secret && !input.facet.router && !input.rule_selects_workload {
        return None;
    }
    let external = if input.facet.credential_socket {
        ExternalSds::Socket
    } else {
        ExternalSds::Kubernetes // Providers of the mesh configuration are for gateways' servers only, as in Istio.
    };
    let files = input.facet.file_reader();
    automatic_names(settings, options);
    let mut names = settings.subject_alt_names.clone();
    if names.is_empty() && !input.service.kubernetes {
        names.clone_from(&input.service.subject_alt_names);
    }
    let skip = settings.insecure_skip_verify == Some(true);
    let mut common = common_context();
    if settings.credential_name.is_empty() {
        if settings.mode == TlsMode::Mutual {
            if settings.client_certificate.is_empty() || settings.private_key.is_empty() {
                return None;
            }
            certificate_file(&mut common, settings, files);
        }
        validation_file(&mut common, settings, &names, skip, files);
    } else {
        if settings.mode == TlsMode::Mutual {
            common.tls_certificate_sds_secret_configs =
                vec![sds::credential(&settings.credential_name, &external)];
        }
        if !skip {
            let root = format!("{}{}", settings.credential_name, sds::CA_SUFFIX);
            common.validation_context_type = Some(combined(
                exact_names(&names),
                sds::credential(&root, &external),
            ));
        }
    }
    let defaults = &input.mesh.tls_defaults;
    if let Some(params) = &mut common.tls_params {
        params.cipher_suites = strings(&defaults.cipher_suites);
        params.ecdh_curves = strings(&defaults.ecdh_curves);
    }
    if options
        .as_mut()
        .and_then(protocol::explicit_http2)
        .is_some()
    {
        common.alpn_protocols = vec!["h2".into()];
    }
    Some(tls::UpstreamTlsContext {
        common_tls_context: Some(common),
        sni: settings.sni.clone(),
        ..Default::default()
    })
}

fn strings(list: &[Str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// Takes SNI and the name to verify from the request, where the user gave none.
fn automatic_names(settings: &ClientTls, options: &mut Option<HttpProtocolOptions>) {
    if !settings.sni.is_empty() {
        return;
    }
    let verify =
        settings.subject_alt_names.is_empty() && settings.insecure_skip_verify != Some(true);
    let http = options
        .get_or_insert_default()
        .upstream_http_protocol_options
        .get_or_insert_default();
    http.auto_sni = true;
    http.auto_san_validation = verify;
}

/// Files are served by the node's agent, which watches them; a proxy without an agent reads them itself.
fn certificate_file(common: &mut tls::CommonTlsContext, settings: &ClientTls, reader: FileReader) {
    if reader != FileReader::Envoy {
        let name = format!(
            "file-cert:{}~{}",
            settings.client_certificate, settings.private_key
        );
        common.tls_certificate_sds_secret_configs =
            vec![sds::file(&name, reader == FileReader::Server)];
    } else {
        common.tls_certificates = vec![tls::TlsCertificate {
            certificate_chain: Some(file(&settings.client_certificate)),
            private_key: Some(file(&settings.private_key)),
            ..Default::default()
        }];
    }
}

fn validation_file(
    common: &mut tls::CommonTlsContext,
    settings: &ClientTls,
    names: &[Str],
    skip: bool,
    reader: FileReader,
) {
    use tls::common_tls_context::ValidationContextType;
    if skip {
        common.validation_context_type =
            Some(ValidationContextType::ValidationContext(Default::default()));
        return;
    }
    let mut context = exact_names(names);
    if !settings.ca_crl.is_empty() {
        context.crl = Some(file(&settings.ca_crl));
    }
    let root = if settings.ca_certificates.is_empty() {
        "system"
    } else {
        &settings.ca_certificates
    };
    if reader != FileReader::Envoy {
        let by_server = reader == FileReader::Server;
        let root = sds::file(&format!("file-root:{root}"), by_server);
        common.validation_context_type = Some(combined(context, root));
        return;
    }
    if root == "system" {
        context.system_root_certs = Some(Default::default());
    } else {
        context.trusted_ca = Some(file(root));
    }
    common.validation_context_type = Some(ValidationContextType::ValidationContext(context));
}

fn file(path: &str) -> core::DataSource {
    core::DataSource {
        specifier: Some(core::data_source::Specifier::Filename(path.into())),
        ..Default::default()
    }
}

fn exact_names(names: &[Str]) -> tls::CertificateValidationContext {
    let exact = |name: &Str| StringMatcher {
        match_pattern: Some(MatchPattern::Exact(name.to_string())),
        ..Default::default()
    };
    #[allow(
        deprecated,
        reason = "Istio 1.31 sends the untyped list, and tools read it"
    )]
    tls::CertificateValidationContext {
        match_subject_alt_names: names.iter().map(exact).collect(),
        ..Default::default()
    }
}

fn combined(
    context: tls::CertificateValidationContext,
    root: tls::SdsSecretConfig,
) -> tls::common_tls_context::ValidationContextType {
    tls::common_tls_context::ValidationContextType::CombinedValidationContext(
        tls::common_tls_context::CombinedCertificateValidationContext {
            default_validation_context: Some(context),
            validation_context_sds_secret_config: Some(root),
            ..Default::default()
        },
    )
}
