//! The mesh config and the proxy config as the injector needs them: canonical proto JSON with istiod's defaults, and how the settings of
//! the mesh, of ProxyConfig objects and of a pod's annotation come together.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::config::ConfigError;
use crate::types::{Id, Kind, MESH};
use crate::{pod, proto, yaml};

/// A proxy config in canonical form.
pub(crate) type ProxyConfig = Map<String, Value>;

static PROXY_CONFIG: LazyLock<Id> = LazyLock::new(|| id("ProxyConfig"));
static MESH_CONFIG: LazyLock<Id> = LazyLock::new(|| id("MeshConfig"));

fn id(name: &str) -> Id {
    match MESH.named(name) {
        Kind::Struct(id) => id,
        _ => 0,
    }
}

/// Istio 1.31: DefaultProxyConfig.
pub(crate) fn default_proxy_config() -> ProxyConfig {
    map(json!({
        "configPath": "./etc/istio/proxy",
        "binaryPath": "/usr/local/bin/envoy",
        "serviceCluster": "istio-proxy",
        "drainDuration": "45s",
        "discoveryAddress": "istiod.istio-system.svc:15012",
        "proxyAdminPort": 15000,
        "controlPlaneAuthPolicy": "MUTUAL_TLS",
        "statNameLength": 189,
        "statusPort": 15020,
        "terminationDrainDuration": "5s",
    }))
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The mesh config in canonical form, with the defaults of istiod.
#[derive(Debug, Clone, PartialEq)]
pub struct MeshConfig(pub(crate) Map<String, Value>);

impl Default for MeshConfig {
    /// Istio 1.31: DefaultMeshConfig.
    fn default() -> Self {
        MeshConfig(map(json!({
            "proxyListenPort": 15001,
            "proxyInboundListenPort": 15006,
            "connectTimeout": "10s",
            "protocolDetectionTimeout": "0s",
            "ingressClass": "istio",
            "ingressService": "istio-ingressgateway",
            "ingressControllerMode": "STRICT",
            "enableTracing": true,
            "defaultConfig": default_proxy_config(),
            "outboundTrafficPolicy": {"mode": "ALLOW_ANY"},
            "inboundTrafficPolicy": {},
            "enableAutoMtls": true,
            "trustDomain": "cluster.local",
            "defaultServiceExportTo": ["*"],
            "defaultVirtualServiceExportTo": ["*"],
            "defaultDestinationRuleExportTo": ["*"],
            "rootNamespace": "istio-system",
            "localityLbSetting": {"enabled": true},
            "dnsRefreshRate": "60s",
            "enablePrometheusMerge": true,
            "extensionProviders": [
                {"name": "prometheus", "prometheus": {}},
                {"name": "stackdriver", "stackdriver": {}},
                {"name": "envoy", "envoyFileAccessLog": {"path": "/dev/stdout"}},
            ],
            "defaultProviders": {},
        })))
    }
}

impl MeshConfig {
    /// The mesh config that a text (the `mesh` key of the ConfigMap) makes of the defaults. Fields replace; `defaultConfig`,
    /// `defaultProviders` and `extensionProviders` (by name) are merged (Istio 1.31: ApplyMeshConfig).
    ///
    /// # Errors
    /// A text that is no YAML, or a value that its field cannot hold.
    pub fn parse(yaml: &str) -> Result<MeshConfig, ConfigError> {
        let given = read_yaml(yaml).map_err(ConfigError::Mesh)?;
        crate::config::whole(&given, "mesh")?;
        MeshConfig::default().with(&given)
    }

    /// The same from a document that was read already.
    ///
    /// # Errors
    /// A value that its field cannot hold.
    pub fn with(mut self, given: &Value) -> Result<MeshConfig, ConfigError> {
        let config = &mut self.0;
        let kept: Vec<(&str, Option<Value>)> = [
            "defaultConfig",
            "defaultProviders",
            "extensionProviders",
            "trustDomainAliases",
        ]
        .into_iter()
        .map(|key| (key, config.get(key).cloned()))
        .collect();
        proto::apply(&MESH, *MESH_CONFIG, given, config)
            .map_err(|error| ConfigError::Mesh(format!("failed to convert to proto. {error}")))?;
        let mut new = Map::new();
        for (key, before) in kept {
            if let Some(value) = config.shift_remove(key) {
                new.insert(key.to_owned(), value);
            }
            if let Some(before) = before {
                config.insert(key.to_owned(), before);
            }
        }
        let given_proxy = given
            .get("defaultConfig")
            .or_else(|| given.get("default_config"));
        if let Some(proxy) = given_proxy {
            let merged = merged_proxy_config(proxy, map(config["defaultConfig"].take()))
                .map_err(ConfigError::Mesh)?;
            config.insert("defaultConfig".to_owned(), Value::Object(merged));
        }
        let given_providers = given
            .get("defaultProviders")
            .or_else(|| given.get("default_providers"));
        if let (Some(_), Some(Value::Object(providers))) =
            (given_providers, new.get("defaultProviders"))
            && let Some(Value::Object(before)) = config.get_mut("defaultProviders")
        {
            before.extend(providers.clone());
        }
        if let (Some(Value::Array(providers)), Some(Value::Array(before))) = (
            new.get("extensionProviders"),
            config.get_mut("extensionProviders"),
        ) {
            for provider in providers {
                match before
                    .iter_mut()
                    .find(|known| known["name"] == provider["name"])
                {
                    Some(known) => *known = provider.clone(),
                    None => before.push(provider.clone()),
                }
            }
        }
        if let Some(Value::Array(aliases)) = new.remove("trustDomainAliases") {
            let mut aliases: Vec<Value> = aliases
                .into_iter()
                .chain(
                    config
                        .get("trustDomainAliases")
                        .and_then(Value::as_array)
                        .cloned()
                        .unwrap_or_default(),
                )
                .collect();
            aliases.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            aliases.dedup();
            config.insert("trustDomainAliases".to_owned(), Value::Array(aliases));
        }
        Ok(self)
    }

    /// `defaultConfig`.
    pub(crate) fn default_config(&self) -> ProxyConfig {
        self.0
            .get("defaultConfig")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    }

    /// `defaultConfig.statusPort`; 0 if it is not set.
    pub(crate) fn status_port(&self) -> i64 {
        self.0
            .get("defaultConfig")
            .and_then(|config| config["statusPort"].as_i64())
            .unwrap_or_default()
    }

    pub(crate) fn root_namespace(&self) -> &str {
        self.0
            .get("rootNamespace")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub(crate) fn inbound_traffic_policy(&self) -> &'static str {
        let mode = self
            .0
            .get("inboundTrafficPolicy")
            .and_then(|policy| policy["mode"].as_str());
        match mode {
            Some("LOCALHOST") => "localhost",
            _ => "passthrough",
        }
    }

    pub(crate) fn prometheus_merge(&self) -> bool {
        self.0
            .get("enablePrometheusMerge")
            .and_then(Value::as_bool)
            .unwrap_or(true)
    }
}

/// A YAML text as a JSON value, with an error that names the place.
pub(crate) fn read_yaml(text: &str) -> Result<Value, String> {
    yaml::read(text).map_err(|error| error.to_string())
}

/// A proxy config with the fields that a text sets; `proxyMetadata` is merged by key, and unset `proxyHeaders` stay.
///
/// # Errors
/// A value that its field cannot hold.
pub(crate) fn merged_proxy_config(
    given: &Value,
    mut onto: ProxyConfig,
) -> Result<ProxyConfig, String> {
    let metadata = onto
        .get("proxyMetadata")
        .and_then(Value::as_object)
        .cloned();
    let headers = onto.get("proxyHeaders").and_then(Value::as_object).cloned();
    proto::apply(&MESH, *PROXY_CONFIG, given, &mut onto)
        .map_err(|error| format!("could not parse proxy config: {error}"))?;
    if let Some(mut metadata) = metadata {
        if let Some(Value::Object(new)) = onto.get("proxyMetadata") {
            metadata.extend(new.clone());
        }
        onto.insert("proxyMetadata".to_owned(), Value::Object(metadata));
    }
    if let (Some(before), Some(Value::Object(now))) = (headers, onto.get_mut("proxyHeaders")) {
        for key in [
            "forwardedClientCert",
            "requestId",
            "attemptCount",
            "server",
            "envoyDebugHeaders",
        ] {
            if let (None, Some(value)) = (now.get(key), before.get(key)) {
                now.insert(key.to_owned(), value.clone());
            }
        }
    }
    Ok(onto)
}

/// The proxy config that an annotation's text makes of another.
///
/// # Errors
/// A text that is no YAML, or a value that its field cannot hold.
pub(crate) fn annotated_proxy_config(yaml: &str, onto: ProxyConfig) -> Result<ProxyConfig, String> {
    let given =
        read_yaml(yaml).map_err(|error| format!("could not parse proxy config: {error}"))?;
    merged_proxy_config(&given, onto)
}

/// A ProxyConfig object, as far as injection reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct ProxyConfigObject {
    /// Its namespace.
    pub namespace: String,
    /// Its `spec` as JSON.
    pub spec: Value,
}

/// The proxy config of a pod: istiod's defaults, the mesh's, the root namespace's, the pod's namespace's, the annotation's, and that of
/// the workload, later ones winning (Istio 1.31: EffectiveProxyConfig). Of each level the oldest object counts: `objects` are in the order
/// of their creation.
pub(crate) fn effective_proxy_config(
    pod: &Value,
    mesh: &MeshConfig,
    objects: &[ProxyConfigObject],
) -> ProxyConfig {
    let ns = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let root = mesh.root_namespace();
    let for_namespace = |ns: &str| {
        objects
            .iter()
            .find(|object| {
                object.namespace == ns && object.spec.get("selector").is_none_or(Value::is_null)
            })
            .map(levelled)
    };
    let for_workload = objects
        .iter()
        .find(|object| object.namespace == ns && selects(&object.spec, pod))
        .map(levelled);
    let annotation = pod::annotation(pod, pod::PROXY_CONFIG)
        .and_then(|text| annotated_proxy_config(text, ProxyConfig::new()).ok())
        .map(Value::Object);
    let levels = [
        Some(Value::Object(mesh.default_config())),
        (!root.is_empty()).then(|| for_namespace(root)).flatten(),
        (ns != root).then(|| for_namespace(ns)).flatten(),
        annotation,
        for_workload,
    ];
    let mut effective = default_proxy_config();
    for level in levels.into_iter().flatten() {
        // What is in canonical form cannot fail; an object that does is left out.
        match merged_proxy_config(&level, effective.clone()) {
            Ok(merged) => effective = merged,
            Err(error) => tracing::warn!(%error, "a ProxyConfig is left out"),
        }
    }
    effective
}

fn selects(spec: &Value, pod: &Value) -> bool {
    spec["selector"]["matchLabels"]
        .as_object()
        .is_some_and(|labels| {
            !labels.is_empty()
                && labels
                    .iter()
                    .all(|(key, value)| pod::label(pod, key) == value.as_str())
        })
}

/// The fields of the mesh-wide proxy config that an object sets.
fn levelled(object: &ProxyConfigObject) -> Value {
    let mut out = Map::new();
    for (from, to) in [
        ("concurrency", "concurrency"),
        ("environmentVariables", "proxyMetadata"),
        ("image", "image"),
    ] {
        if let Some(value) = object.spec.get(from).filter(|value| !value.is_null()) {
            out.insert(to.to_owned(), value.clone());
        }
    }
    Value::Object(out)
}

/// What a proxy config sets beyond the defaults: it makes pods smaller (Istio 1.31: cleanProxyConfig).
pub(crate) fn without_defaults(config: &ProxyConfig) -> ProxyConfig {
    const CLEANED: [&str; 13] = [
        "configPath",
        "binaryPath",
        "controlPlaneAuthPolicy",
        "serviceCluster",
        "drainDuration",
        "terminationDrainDuration",
        "discoveryAddress",
        "envoyMetricsService",
        "envoyAccessLogService",
        "tracing",
        "proxyAdminPort",
        "statNameLength",
        "statusPort",
    ];
    let defaults = default_proxy_config();
    config
        .iter()
        .filter(|(key, value)| {
            !(CLEANED.contains(&key.as_str()) && defaults.get(*key) == Some(*value))
        })
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_cleaned() {
        assert!(without_defaults(&default_proxy_config()).is_empty());
        let changed = annotated_proxy_config(
            "configPath: /foo/bar\ndrainDuration: 7s\nproxyMetadata: {foo: barr}",
            default_proxy_config(),
        );
        assert_eq!(
            Value::Object(without_defaults(&changed.unwrap())),
            json!({"configPath": "/foo/bar", "drainDuration": "7s", "proxyMetadata": {"foo": "barr"}})
        );
    }

    #[test]
    fn the_mesh_config_merges_what_istiod_merges() {
        let mesh = MeshConfig::parse(
            "defaultConfig: {statusPort: 1, proxyMetadata: {A: b}}\ntrustDomainAliases: [z, a]\n\
             extensionProviders: [{name: envoy, envoyFileAccessLog: {path: /x}}, {name: o, opentelemetry: {service: s, port: 1}}]\n\
             defaultProviders: {metrics: [prometheus]}",
        )
        .unwrap();
        assert_eq!(mesh.status_port(), 1);
        assert_eq!(
            mesh.0["defaultConfig"]["discoveryAddress"],
            "istiod.istio-system.svc:15012"
        );
        assert_eq!(mesh.0["trustDomainAliases"], json!(["a", "z"]));
        let names: Vec<_> = mesh.0["extensionProviders"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["name"].clone())
            .collect();
        assert_eq!(names, ["prometheus", "stackdriver", "envoy", "o"]);
        assert_eq!(
            mesh.0["extensionProviders"][2]["envoyFileAccessLog"]["path"],
            "/x"
        );
        assert_eq!(
            mesh.0["defaultProviders"],
            json!({"metrics": ["prometheus"]})
        );
        assert!(MeshConfig::parse("a: [").is_err());
        assert!(MeshConfig::parse("connectTimeout: soon").is_err());
    }

    #[test]
    fn levels_of_proxy_configs() {
        let object = |ns: &str, spec: Value| ProxyConfigObject {
            namespace: ns.to_owned(),
            spec,
        };
        let objects = [
            object(
                "istio-system",
                json!({"concurrency": 1, "environmentVariables": {"A": "root", "B": "root"}}),
            ),
            object("ns", json!({"environmentVariables": {"A": "ns"}})),
            object(
                "ns",
                json!({"selector": {"matchLabels": {"app": "a"}}, "environmentVariables": {"C": "workload"}}),
            ),
        ];
        let pod = json!({"metadata": {"namespace": "ns", "labels": {"app": "a"}, "annotations": {
            "proxy.istio.io/config": "concurrency: 3\nproxyMetadata: {C: annotation, D: annotation}"}}});
        let found = effective_proxy_config(&pod, &MeshConfig::default(), &objects);
        assert_eq!(found["concurrency"], 3);
        assert_eq!(
            found["proxyMetadata"],
            json!({"A": "ns", "B": "root", "C": "workload", "D": "annotation"})
        );
    }
}
