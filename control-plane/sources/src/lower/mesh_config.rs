//! MeshConfig: the key `mesh` of the ConfigMap `istio`, or a file of its own.

mod providers;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

use meltemi_api::mesh_config as api;
use meltemi_model::ingress::{IngressMode, IngressSettings};
use meltemi_model::mesh::{Mesh, PathNormalization};
use meltemi_model::network::MeshNetworks;
use meltemi_model::security::TlsLimits;
use meltemi_model::sidecar::OutboundPolicy;
use meltemi_model::{
    Hostname, Kind, LabelRequirement, LabelSelector, Object, ObjectKey, Shared, Str,
};
use meltemi_validation::Finding;
use meltemi_validation::mesh::extension_provider::extension_providers;

use super::destination_rule::{connection_pool, load_balancer, outlier};
use super::findings::Findings;
use super::meta::Raw;
use super::virtual_service::retries;
use super::{Features, LowerSettings, Lowered, checks, mesh_networks, names, proxy_config};
use crate::yaml;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Data {
    mesh: String,
    mesh_networks: Option<String>,
}

/// Whether a ConfigMap is the mesh's.
pub(super) fn is_mesh_config(key: &ObjectKey, settings: &LowerSettings) -> bool {
    *key.name == *settings.mesh_config_map() && key.namespace == settings.system_namespace
}

pub(super) fn lower(
    raw: &Raw<'_>,
    findings: &mut Findings,
    settings: &LowerSettings,
) -> Option<Object> {
    let data: Data = findings.parse_part("data", raw.part("data"))?;
    let networks = match data.mesh_networks.as_deref().map(yaml::read_one) {
        Some(Ok(value)) => mesh_networks::lower_value("data.meshNetworks", &value, findings),
        Some(Err(problem)) => {
            findings.error("data.meshNetworks", problem.message);
            None
        }
        None => None,
    };
    match yaml::read_one(&data.mesh) {
        Ok(value) => {
            let key = &raw.meta.key;
            lower_value("data.mesh", &value, networks, key, findings, settings)
        }
        Err(problem) => {
            findings.error("data.mesh", problem.message);
            None
        }
    }
}

/// Lowers a mesh configuration that stands alone (`--mesh-config FILE`).
pub fn lower_mesh(value: &Value, settings: &LowerSettings) -> Lowered {
    let key = ObjectKey::new(
        Kind::MeshConfig,
        settings.system_namespace.clone(),
        settings.mesh_config_map(),
    );
    let mut findings = Findings::new(&key);
    let object = lower_value("", value, None, &key, &mut findings, settings);
    Lowered {
        object: object.filter(|_| findings.is_usable()),
        key: Some(key),
        diagnostics: findings.into_diagnostics(),
    }
}

/// What a field has that nobody sets. Istio 1.31: `DefaultMeshConfig`.
fn defaults() -> Map<String, Value> {
    let defaults = json!({
        "enableTracing": true,
        "protocolDetectionTimeout": "0s",
        "ingressService": "istio-ingressgateway",
        "ingressControllerMode": "STRICT",
        "ingressClass": "istio",
        "trustDomain": "cluster.local",
        "enableAutoMtls": true,
        "outboundTrafficPolicy": {"mode": "ALLOW_ANY"},
        "inboundTrafficPolicy": {"mode": "PASSTHROUGH"},
        "localityLbSetting": {"enabled": true},
        "rootNamespace": "istio-system",
        "proxyListenPort": 15001,
        "proxyInboundListenPort": 15006,
        "connectTimeout": "10s",
        "defaultServiceExportTo": ["*"],
        "defaultVirtualServiceExportTo": ["*"],
        "defaultDestinationRuleExportTo": ["*"],
        "dnsRefreshRate": "60s",
    });
    map(defaults)
}

/// What a field of `defaultConfig` has that nobody sets. Istio 1.31: `DefaultProxyConfig`.
fn proxy_defaults() -> Map<String, Value> {
    map(json!({
        "configPath": "./etc/istio/proxy",
        "binaryPath": "/usr/local/bin/envoy",
        "serviceCluster": "istio-proxy",
        "drainDuration": "45s",
        "terminationDrainDuration": "5s",
        "discoveryAddress": "istiod.istio-system.svc:15012",
        "proxyAdminPort": 15000,
        "controlPlaneAuthPolicy": "MUTUAL_TLS",
        "statNameLength": 189,
        "statusPort": 15020,
    }))
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Puts what a user gives over defaults: each field replaces the default as a whole.
fn put(given: &Map<String, Value>, over: &mut Map<String, Value>) {
    for (name, field) in given.iter().filter(|(_, field)| !field.is_null()) {
        over.remove(&camel_case(name));
        over.insert(name.clone(), field.clone());
    }
}

/// `defaultConfig` is merged with its defaults; the two names of a proxy's service exclude each other.
fn put_proxy_defaults(merged: &mut Map<String, Value>) {
    let name = match merged.contains_key("default_config") {
        true => "default_config",
        false => "defaultConfig",
    };
    let given = match merged.get(name) {
        None => Map::new(),
        Some(Value::Object(given)) => given.clone(),
        // The reader says what is wrong with it.
        Some(_) => return,
    };
    let mut config = proxy_defaults();
    put(&given, &mut config);
    if given
        .keys()
        .any(|key| camel_case(key) == "tracingServiceName")
    {
        config.remove("serviceCluster");
    }
    merged.insert(name.to_owned(), Value::Object(config));
}

/// Fields that are read by nobody (in Istio either), or only by the injector and the installer.
const HARMLESS: &[&str] = &[
    "ca",
    "caCertificates",
    "certificates",
    "defaultProviders",
    "enablePrometheusMerge",
    "extensionProviders",
    "verifyCertificateAtClient",
];

/// Fields that are lowered.
const LOWERED: &[&str] = &[
    "accessLogEncoding",
    "accessLogFile",
    "accessLogFormat",
    "connectTimeout",
    "defaultConfig",
    "defaultDestinationRuleExportTo",
    "defaultHttpRetryPolicy",
    "defaultServiceExportTo",
    "defaultTrafficPolicy",
    "defaultVirtualServiceExportTo",
    "disableEnvoyListenerLog",
    "discoverySelectors",
    "dnsRefreshRate",
    "enableAutoMtls",
    "enableTracing",
    "h2UpgradePolicy",
    "inboundClusterStatName",
    "inboundTrafficPolicy",
    "ingressClass",
    "ingressControllerMode",
    "ingressSelector",
    "ingressService",
    "localityLbSetting",
    "meshMTLS",
    "outboundClusterStatName",
    "outboundTrafficPolicy",
    "pathNormalization",
    "protocolDetectionTimeout",
    "proxyHttpPort",
    "proxyInboundListenPort",
    "proxyListenPort",
    "rootNamespace",
    "serviceSettings",
    "tcpKeepalive",
    "tlsDefaults",
    "trustDomain",
    "trustDomainAliases",
];

fn lower_value(
    root: &str,
    value: &Value,
    networks: Option<MeshNetworks>,
    key: &ObjectKey,
    findings: &mut Findings,
    settings: &LowerSettings,
) -> Option<Object> {
    // Each field that the user gives replaces the default as a whole (Istio 1.31: `ApplyMeshConfig`).
    let mut merged = defaults();
    match value {
        Value::Null => {}
        Value::Object(fields) => put(fields, &mut merged),
        _ => {
            findings.error(root, "the mesh configuration is not an object");
            return None;
        }
    }
    put_proxy_defaults(&mut merged);
    let config: api::MeshConfig = findings.parse(root, &Value::Object(merged))?;
    report_unsupported(root, value, &config, findings);
    let mesh = Mesh {
        networks,
        ..lower_config(root, &config, findings, settings)
    };
    validate(root, &config, findings);
    Some(Object::Mesh(key.clone(), Shared::new(mesh)))
}

/// What Istio's rules say. Istio 1.31, `ApplyMeshConfig`: a mesh configuration that breaks one is not used, but what is
/// wrong with a provider hinders nobody who does not name it.
fn validate(root: &str, config: &api::MeshConfig, findings: &mut Findings) {
    let placed = |list: Vec<Finding>| -> Vec<Finding> {
        let mut list = list;
        for finding in &mut list {
            finding.path = at(root, &finding.path);
        }
        list
    };
    let said = meltemi_validation::mesh::mesh_config(config);
    let providers = &config.extension_providers;
    let of_providers = extension_providers(providers);
    // Istio's rules do not know the kind `sds`, which istiod serves all the same.
    let is_sds = |finding: &Finding| {
        let mut all = providers.iter().enumerate();
        all.any(|(i, p)| p.sds.is_some() && finding.path == format!("extensionProviders[{i}]"))
    };
    let mut warnings = said.warnings;
    warnings.extend(of_providers.errors.into_iter().filter(|f| !is_sds(f)));
    warnings.extend(of_providers.warnings);
    findings.settle_refused(meltemi_validation::Findings {
        errors: placed(said.errors),
        warnings: placed(warnings),
    });
}

fn at(root: &str, field: &str) -> String {
    if root.is_empty() || field.is_empty() {
        format!("{root}{field}")
    } else {
        format!("{root}.{field}")
    }
}

/// A field may be spelt as in the proto, too.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        out.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}

fn report_unsupported(
    root: &str,
    value: &Value,
    config: &api::MeshConfig,
    findings: &mut Findings,
) {
    for (name, field) in value.as_object().into_iter().flatten() {
        let canonical = camel_case(name);
        let is_empty = match field {
            Value::Null => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        let known = LOWERED.contains(&canonical.as_str()) || HARMLESS.contains(&canonical.as_str());
        // A field that Istio does not have either was reported by the reader.
        let exists = api_has(&canonical);
        if !known && exists && !is_empty {
            findings.not_supported_yet(at(root, name));
        }
    }
    if let Some(providers) = &config.default_providers {
        for (field, list) in [
            ("tracing", &providers.tracing),
            ("accessLogging", &providers.access_logging),
        ] {
            if !list.is_empty() {
                findings.not_supported_yet(at(root, &format!("defaultProviders.{field}")));
            }
        }
    }
    if config
        .outbound_traffic_policy
        .as_ref()
        .is_some_and(|p| p.tls.is_some())
    {
        findings.not_supported_yet(at(root, "outboundTrafficPolicy.tls"));
    }
}

/// Whether MeshConfig has such a field at all.
fn api_has(name: &str) -> bool {
    let probe = Value::Object(Map::from_iter([(name.to_owned(), Value::Null)]));
    let parsed = meltemi_api::parse::<api::MeshConfig>(&probe);
    parsed.is_ok_and(|parsed| parsed.unknown.is_empty())
}

fn lower_config(
    root: &str,
    config: &api::MeshConfig,
    findings: &mut Findings,
    settings: &LowerSettings,
) -> Mesh {
    let mut mesh = Mesh {
        trust_domain: config.trust_domain.as_str().into(),
        trust_domain_aliases: config
            .trust_domain_aliases
            .iter()
            .map(|d| d.as_str().into())
            .collect(),
        foreign_trust_domains: config
            .ca_certificates
            .iter()
            .flat_map(|ca| &ca.trust_domains)
            .map(|d| d.as_str().into())
            .collect(),
        mesh_mtls: tls_limits(config.mesh_mtls.as_ref()),
        tls_defaults: tls_limits(config.tls_defaults.as_ref()),
        root_namespace: config.root_namespace.as_str().into(),
        domain: settings.domain.clone(),
        cluster_id: settings.cluster_id.clone(),
        discovery_selectors: discovery_selectors(root, config, findings),
        outbound_policy: outbound_policy(config),
        inbound_localhost: config
            .inbound_traffic_policy
            .as_ref()
            .is_some_and(|p| p.mode == api::InboundMode::Localhost),
        auto_mtls: config.enable_auto_mtls.unwrap_or(true),
        service_export_to: default_export_to(&config.default_service_export_to),
        virtual_service_export_to: default_export_to(&config.default_virtual_service_export_to),
        destination_rule_export_to: default_export_to(&config.default_destination_rule_export_to),
        h2_upgrade: config.h2_upgrade_policy == api::MeshH2UpgradePolicy::Upgrade,
        inbound_stat_name: config.inbound_cluster_stat_name.as_str().into(),
        outbound_stat_name: config.outbound_cluster_stat_name.as_str().into(),
        enable_tracing: config.enable_tracing,
        access_log_file: config.access_log_file.as_str().into(),
        access_log_format: config.access_log_format.as_str().into(),
        access_log_json: config.access_log_encoding == api::AccessLogEncoding::Json,
        disable_listener_log: config.disable_envoy_listener_log,
        prometheus_metrics: prometheus_metrics(config),
        path_normalization: path_normalization(config),
        ext_authz: providers::ext_authz(root, config, findings),
        sds_provider: config.extension_providers.iter().find_map(|provider| {
            let sds = provider.sds.as_ref()?;
            Some((sds.service.as_str().into(), u16::try_from(sds.port).ok()?))
        }),
        provider_services: provider_services(config),
        ingress: ingress(config, settings),
        system_namespace: settings.system_namespace.clone(),
        cluster_local: cluster_local(config, settings),
        ..with_features(Mesh::default(), &settings.features)
    };
    ports_and_times(root, config, &mut mesh, findings);
    traffic(root, config, &mut mesh, findings);
    mesh
}

/// A mesh configuration with the feature flags that it carries.
pub fn with_features(mesh: Mesh, features: &Features) -> Mesh {
    Mesh {
        any_trust_domain: features.skip_validate_trust_domain,
        filter_gateway_clusters: features.filter_gateway_clusters,
        scope_gateway_to_namespace: features.scope_gateway_to_namespace,
        dual_stack: features.dual_stack,
        ipv4_outbound_for_ipv6: features.ipv4_outbound_for_ipv6,
        merge_inbound: features.merge_inbound,
        headless_endpoints: features.headless_endpoints,
        multiple_authz_providers: features.multiple_authz_providers,
        ip_autoallocate: features.ip_autoallocate,
        resolve_gateways: features.resolve_hostname_gateways,
        jwks_fetch: features.jwks_fetch,
        ..mesh
    }
}

/// Hosts of the cluster itself. Istio 1.31: `clusterLocalProvider`; a setting that says false takes away what Istio adds.
fn cluster_local(config: &api::MeshConfig, settings: &LowerSettings) -> Vec<(Hostname, bool)> {
    let domain = &settings.domain;
    let discovery = config.default_config.as_ref();
    let discovery = discovery.map_or("", |c| c.discovery_address.as_str());
    let discovery = match discovery
        .rsplit_once(':')
        .map_or(discovery, |(host, _)| host)
    {
        "" => format!("istiod.{}.svc", settings.system_namespace),
        host => host.to_owned(),
    };
    let full = |host: String| match host.ends_with(&**domain) {
        true => host,
        false => format!("{host}.{domain}"),
    };
    let mut added = vec![
        format!("*.kube-system.svc.{domain}"),
        format!("kubernetes.default.svc.{domain}"),
        full(discovery),
    ];
    let mut hosts: BTreeMap<Hostname, bool> = BTreeMap::new();
    for setting in &config.service_settings {
        let local = setting.settings.as_ref().is_some_and(|s| s.cluster_local);
        for host in &setting.hosts {
            let same = |own: &str| {
                let below = own.strip_prefix('*');
                host == own || below.is_some_and(|own| host.ends_with(own))
            };
            added.retain(|own| local || !same(own));
            hosts.insert(Hostname::new(host), local);
        }
    }
    hosts.extend(added.iter().map(|host| (Hostname::new(host), true)));
    hosts.into_iter().collect()
}

/// Istio 1.31: a mode that is not said is no mode, and nothing is served.
fn ingress(config: &api::MeshConfig, settings: &LowerSettings) -> IngressSettings {
    IngressSettings {
        mode: match config.ingress_controller_mode {
            api::IngressControllerMode::Unspecified | api::IngressControllerMode::Off => {
                IngressMode::Off
            }
            api::IngressControllerMode::Default => IngressMode::Default,
            api::IngressControllerMode::Strict => IngressMode::Strict,
        },
        class: config.ingress_class.as_str().into(),
        service: config.ingress_service.as_str().into(),
        selector: config.ingress_selector.as_str().into(),
        namespace: settings.features.ingress_namespace.clone(),
    }
}

/// Istio 1.31, `selectorsChanged`: with one that cannot be understood it is as if there were none.
fn discovery_selectors(
    root: &str,
    config: &api::MeshConfig,
    findings: &mut Findings,
) -> Vec<LabelSelector> {
    let mut usable = true;
    let mut all = Vec::new();
    for (i, selector) in config.discovery_selectors.iter().enumerate() {
        let equal = selector.match_labels.iter().map(|(key, value)| {
            LabelRequirement::In(key.as_str().into(), vec![value.as_str().into()])
        });
        let mut requirements: Vec<LabelRequirement> = equal.collect();
        for (j, expression) in selector.match_expressions.iter().enumerate() {
            match requirement(expression) {
                Ok(requirement) => requirements.push(requirement),
                Err(message) => {
                    usable = false;
                    let path = format!("discoverySelectors[{i}].matchExpressions[{j}]");
                    let message = format!("{message}; until then every namespace is looked at");
                    findings.warning(at(root, &path), message);
                }
            }
        }
        all.push(LabelSelector(requirements));
    }
    if usable { all } else { Vec::new() }
}

fn requirement(
    expression: &meltemi_api::selector::LabelSelectorRequirement,
) -> Result<LabelRequirement, String> {
    let key = expression.key.as_str().into();
    let values: Vec<Str> = expression
        .values
        .iter()
        .map(|v| v.as_str().into())
        .collect();
    match (expression.operator.as_str(), values.is_empty()) {
        ("In", false) => Ok(LabelRequirement::In(key, values)),
        ("NotIn", false) => Ok(LabelRequirement::NotIn(key, values)),
        ("In" | "NotIn", true) => Err("values are missing; list at least one".to_owned()),
        ("Exists", true) => Ok(LabelRequirement::Exists(key)),
        ("DoesNotExist", true) => Ok(LabelRequirement::DoesNotExist(key)),
        ("Exists" | "DoesNotExist", false) => Err("this operator takes no values".to_owned()),
        (other, _) => Err(format!(
            "{other:?} is not an operator; write In, NotIn, Exists or DoesNotExist"
        )),
    }
}

fn ports_and_times(root: &str, config: &api::MeshConfig, mesh: &mut Mesh, findings: &mut Findings) {
    let path = |field: &str| at(root, field);
    mesh.outbound_port = port(path("proxyListenPort"), config.proxy_listen_port, findings);
    mesh.inbound_port = port(
        path("proxyInboundListenPort"),
        config.proxy_inbound_listen_port,
        findings,
    );
    if config.proxy_http_port != 0 {
        mesh.http_proxy_port = port(path("proxyHttpPort"), config.proxy_http_port, findings);
    }
    if let Some(time) = findings.duration(path("connectTimeout"), config.connect_timeout) {
        mesh.connect_timeout = time;
    }
    let detection = path("protocolDetectionTimeout");
    if let Some(time) = findings.duration_or_zero(detection, config.protocol_detection_timeout) {
        mesh.protocol_detection_timeout = time;
    }
    if let Some(time) = findings.duration(path("dnsRefreshRate"), config.dns_refresh_rate) {
        mesh.dns_refresh_rate = time;
    }
}

fn traffic(root: &str, config: &api::MeshConfig, mesh: &mut Mesh, findings: &mut Findings) {
    let path = |field: &str| at(root, field);
    mesh.tcp_keepalive = config
        .tcp_keepalive
        .as_ref()
        .map(|k| connection_pool::lower_keepalive(k, &path("tcpKeepalive"), findings));
    mesh.locality_lb = config
        .locality_lb_setting
        .as_ref()
        .map(|l| load_balancer::locality(l, &path("localityLbSetting"), findings))
        .unwrap_or_default();
    mesh.default_retries = config
        .default_http_retry_policy
        .as_ref()
        .map(|r| retries::lower(r, &path("defaultHttpRetryPolicy"), findings));
    let policy = config.default_traffic_policy.as_ref();
    mesh.default_connection_pool = policy
        .and_then(|t| t.connection_pool.as_ref())
        .map(|p| connection_pool::lower(p, &path("defaultTrafficPolicy.connectionPool"), findings));
    mesh.default_outlier_detection = policy
        .and_then(|t| t.outlier_detection.as_ref())
        .map(|o| outlier::lower(o, &path("defaultTrafficPolicy.outlierDetection"), findings));
    mesh.default_config = config
        .default_config
        .as_ref()
        .map(|c| proxy_config::lower(c, &path("defaultConfig"), findings))
        .unwrap_or_default();
}

fn port(path: String, number: i32, findings: &mut Findings) -> u16 {
    match u32::try_from(number)
        .map_err(|_| format!("{number} is not a port"))
        .and_then(checks::port)
    {
        Ok(port) => port,
        Err(message) => {
            findings.error(path, message);
            0
        }
    }
}

/// `.` stays: it means the namespace of each object.
fn default_export_to(list: &[String]) -> meltemi_model::service::ExportTo {
    match names::export_to(list.iter().map(String::as_str), ".") {
        meltemi_model::service::ExportTo::Default => meltemi_model::service::ExportTo::Everybody,
        other => other,
    }
}

fn tls_limits(config: Option<&api::MeshTlsConfig>) -> TlsLimits {
    let strings = |list: &[String]| list.iter().map(|text| text.as_str().into()).collect();
    config.map_or_else(TlsLimits::default, |config| TlsLimits {
        min_version: match config.min_protocol_version {
            api::MeshTlsProtocol::TlsAuto => 0,
            api::MeshTlsProtocol::V1_2 => 12,
            api::MeshTlsProtocol::V1_3 => 13,
        },
        cipher_suites: strings(&config.cipher_suites),
        ecdh_curves: strings(&config.ecdh_curves),
    })
}

fn outbound_policy(config: &api::MeshConfig) -> OutboundPolicy {
    match config.outbound_traffic_policy.as_ref().map(|p| p.mode) {
        None | Some(api::MeshOutboundMode::AllowAny) => OutboundPolicy::AllowAny,
        Some(api::MeshOutboundMode::RegistryOnly) => OutboundPolicy::RegistryOnly,
        Some(api::MeshOutboundMode::AllowAnyDynamicDns) => OutboundPolicy::AllowAnyDynamicDns,
    }
}

/// Istio 1.31, `extraServicesForProxy`: also those of providers that nobody uses, but not the deprecated ones.
fn provider_services(config: &api::MeshConfig) -> Vec<Str> {
    let of = |provider: &api::ExtensionProvider| {
        let services = [
            provider.envoy_ext_authz_http.as_ref().map(|p| &p.service),
            provider.envoy_ext_authz_grpc.as_ref().map(|p| &p.service),
            provider.zipkin.as_ref().map(|p| &p.service),
            provider.datadog.as_ref().map(|p| &p.service),
            provider.skywalking.as_ref().map(|p| &p.service),
            provider.opentelemetry.as_ref().map(|p| &p.service),
            provider.envoy_http_als.as_ref().map(|p| &p.service),
            provider.envoy_tcp_als.as_ref().map(|p| &p.service),
            provider.envoy_otel_als.as_ref().map(|p| &p.service),
            provider.sds.as_ref().map(|p| &p.service),
        ];
        services.map(|service| service.map(|service| Str::from(service.as_str())))
    };
    let services: BTreeSet<Str> = config
        .extension_providers
        .iter()
        .flat_map(of)
        .flatten()
        .collect();
    services.into_iter().collect()
}

/// A provider `prometheus` is built in; others of that type have the user's names.
fn prometheus_metrics(config: &api::MeshConfig) -> bool {
    let types: BTreeMap<&str, bool> = config
        .extension_providers
        .iter()
        .map(|p| (p.name.as_str(), p.prometheus.is_some()))
        .collect();
    let is_prometheus =
        |name: &String| *types.get(name.as_str()).unwrap_or(&(name == "prometheus"));
    let metrics = config.default_providers.iter().flat_map(|p| &p.metrics);
    metrics.into_iter().any(is_prometheus)
}

fn path_normalization(config: &api::MeshConfig) -> PathNormalization {
    match config.path_normalization.as_ref().map(|p| p.normalization) {
        None | Some(api::NormalizationType::Default | api::NormalizationType::Base) => {
            PathNormalization::Base
        }
        Some(api::NormalizationType::None) => PathNormalization::None,
        Some(api::NormalizationType::MergeSlashes) => PathNormalization::MergeSlashes,
        Some(api::NormalizationType::DecodeAndMergeSlashes) => {
            PathNormalization::DecodeAndMergeSlashes
        }
    }
}
