//! `defaultConfig` of the mesh: the parts of ProxyConfig that shape what is served. The others are the agent's.

use meltemi_api::mesh_config as api;
use meltemi_model::Str;
use meltemi_model::mesh::{ClientCertDetails, ProxyConfig, ProxyHeaders, TracingTag};

use super::findings::Findings;

pub(super) fn lower(
    config: &api::MeshProxyConfig,
    path: &str,
    findings: &mut Findings,
) -> ProxyConfig {
    let not_lowered = not_lowered(config);
    for field in &not_lowered {
        findings.not_supported_yet(format!("{path}.{field}"));
    }
    let tracing = config.tracing.as_ref();
    let topology = config.gateway_topology.as_ref();
    // Nothing is sampled where tracing is configured without a rate; where it is not, Istio's default applies.
    let sampling = tracing
        .map(|t| t.sampling)
        .filter(|sampling| *sampling > 0.0);
    ProxyConfig {
        tracing_sampling: sampling
            .map(|sampling| self::sampling(sampling, &format!("{path}.tracing"), findings)),
        tracing_max_path_tag_length: tracing
            .map(|t| t.max_path_tag_length)
            .filter(|length| *length > 0),
        no_istio_tags: tracing.is_some_and(|t| t.enable_istio_tags == Some(false)),
        tracing_tags: tracing.map(tags).unwrap_or_default(),
        num_trusted_proxies: topology.map_or(0, |t| t.num_trusted_proxies),
        forward_client_cert_details: topology
            .map(|t| details(t.forward_client_cert_details))
            .unwrap_or_default(),
        proxy_protocol: topology.is_some_and(|t| t.proxy_protocol.is_some()),
        interception_mode: match config.interception_mode {
            api::InboundInterceptionMode::Redirect => String::new(),
            mode => mode.as_str().to_owned(),
        },
        headers: config
            .proxy_headers
            .as_ref()
            .map(headers)
            .unwrap_or_default(),
        not_lowered,
    }
}

/// A rate above 100 counts as 1. Istio 1.31: `proxyConfigSamplingValue`.
fn sampling(sampling: f64, path: &str, findings: &mut Findings) -> u32 {
    let path = format!("{path}.sampling");
    if sampling > 100.0 {
        findings.warning(
            path,
            format!("{sampling} is more than 100 percent, so 1 percent of requests is traced; write a number up to 100"),
        );
        return 10_000;
    }
    findings.percent(path, sampling).0
}

fn tags(tracing: &api::Tracing) -> Vec<(Str, TracingTag)> {
    let text = |text: &String| Str::from(text.as_str());
    let value = |tag: &api::CustomTag| {
        let literal = tag.literal.as_ref();
        let environment = tag.environment.as_ref();
        let header = tag.header.as_ref();
        None.or(literal.map(|l| TracingTag::Literal(text(&l.value))))
            .or(environment.map(|e| TracingTag::Environment(text(&e.name), text(&e.default_value))))
            .or(header.map(|h| TracingTag::Header(text(&h.name), text(&h.default_value))))
    };
    let tags = tracing.custom_tags.iter();
    tags.filter_map(|(name, tag)| Some((text(name), value(tag)?)))
        .collect()
}

fn details(details: api::ForwardClientCertDetails) -> String {
    match details {
        api::ForwardClientCertDetails::Undefined => String::new(),
        other => other.as_str().to_owned(),
    }
}

fn headers(headers: &api::ProxyHeaders) -> ProxyHeaders {
    let server = headers.server.as_ref();
    let disabled = |disabled: Option<bool>| disabled.unwrap_or(false);
    ProxyHeaders {
        server_disabled: server.is_some_and(|s| disabled(s.disabled)),
        server_value: server.map(|s| s.value.clone()).unwrap_or_default(),
        request_id_disabled: headers
            .request_id
            .as_ref()
            .is_some_and(|h| disabled(h.disabled)),
        attempt_count_disabled: headers
            .attempt_count
            .as_ref()
            .is_some_and(|h| disabled(h.disabled)),
        debug_headers_disabled: headers
            .envoy_debug_headers
            .as_ref()
            .is_some_and(|h| disabled(h.disabled)),
        metadata_exchange_in_mesh: headers
            .metadata_exchange_headers
            .as_ref()
            .is_some_and(|h| h.mode == api::MetadataExchangeMode::InMesh),
        preserve_http1_case: headers.preserve_http1_header_case.unwrap_or(false),
        forwarded_client_cert: details(headers.forwarded_client_cert),
        client_cert_details: headers
            .set_current_client_cert_details
            .as_ref()
            .map(|said| ClientCertDetails {
                subject: said.subject,
                cert: said.cert,
                chain: said.chain,
                dns: said.dns,
                uri: said.uri,
            })
            .unwrap_or_default(),
        forwarded_port: headers
            .x_forwarded_port
            .as_ref()
            .is_some_and(|h| h.enabled.unwrap_or(false)),
    }
}

/// Fields that shape what is served and that Meltemi does not act on.
fn not_lowered(config: &api::MeshProxyConfig) -> Vec<String> {
    let headers = config.proxy_headers.as_ref();
    let tracing = config.tracing.as_ref();
    [
        (
            "proxyHeaders.xForwardedHost",
            headers.is_some_and(|h| h.x_forwarded_host.is_some()),
        ),
        ("connectionSettings", config.connection_settings.is_some()),
        ("privateKeyProvider", config.private_key_provider.is_some()),
        (
            "tracing.zipkin",
            tracing.is_some_and(|t| t.zipkin.is_some()),
        ),
        (
            "tracing.lightstep",
            tracing.is_some_and(|t| t.lightstep.is_some()),
        ),
        (
            "tracing.datadog",
            tracing.is_some_and(|t| t.datadog.is_some()),
        ),
        (
            "tracing.stackdriver",
            tracing.is_some_and(|t| t.stackdriver.is_some()),
        ),
        (
            "tracing.openCensusAgent",
            tracing.is_some_and(|t| t.open_census_agent.is_some()),
        ),
        (
            "tracing.tlsSettings",
            tracing.is_some_and(|t| t.tls_settings.is_some()),
        ),
        ("tracingServiceName", config.tracing_service_name.is_some()),
    ]
    .into_iter()
    .filter(|(_, given)| *given)
    .map(|(field, _)| field.to_owned())
    .collect()
}

/// Lowers the ProxyConfig that a proxy sends in its own metadata (PROXY_CONFIG). It is an agent's merge of the mesh's
/// settings and the pod's, so nobody can mend it here: what cannot be read counts as not said.
pub fn lower_proxy_config(value: &serde_json::Value) -> ProxyConfig {
    let key = meltemi_model::ObjectKey::new(meltemi_model::Kind::Pod, "", "");
    let mut findings = Findings::new(&key);
    let parsed = findings.parse::<api::MeshProxyConfig>("PROXY_CONFIG", value);
    parsed
        .map(|config| lower(&config, "PROXY_CONFIG", &mut findings))
        .unwrap_or_default()
}
