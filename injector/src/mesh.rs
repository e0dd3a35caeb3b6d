//! The mesh config and the proxy config as the injector needs them: canonical proto JSON with istiod's defaults, and how the settings of
//! the mesh, of ProxyConfig objects and of a pod's annotation come together.

use std::collections::BTreeMap;
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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxyConfigObject {
    /// Its namespace.
    pub namespace: String,
    /// `selector.matchLabels`; `None`: no selector. A selector without labels selects nothing.
    pub selector: Option<BTreeMap<String, String>>,
    /// `concurrency`.
    pub concurrency: Option<i32>,
    /// `environmentVariables`.
    pub environment: BTreeMap<String, String>,
    /// `image.imageType`.
    pub image_type: Option<String>,
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
            .find(|object| object.namespace == ns && object.selector.is_none())
            .map(levelled)
    };
    let for_workload = objects
        .iter()
        .find(|object| object.namespace == ns && selects(object, pod))
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

fn selects(object: &ProxyConfigObject, pod: &Value) -> bool {
    let is_of = |(key, value): (&String, &String)| pod::label(pod, key) == Some(value);
    let selector = object.selector.as_ref();
    selector.is_some_and(|labels| !labels.is_empty() && labels.iter().all(is_of))
}

/// The fields of the mesh-wide proxy config that an object sets.
fn levelled(object: &ProxyConfigObject) -> Value {
    let mut out = Map::new();
    if let Some(threads) = object.concurrency {
        out.insert("concurrency".to_owned(), threads.into());
    }
    if !object.environment.is_empty() {
        out.insert("proxyMetadata".to_owned(), json!(object.environment));
    }
    if let Some(kind) = &object.image_type {
        out.insert("image".to_owned(), json!({"imageType": kind}));
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

    /// Each object is `NAMESPACE [SELECTOR|*]: SPEC`, the oldest first; a pod has a namespace, labels and an annotation.
    #[test]
    fn levels_of_proxy_configs() {
        let object = |ns: &str, selector: Option<Value>, spec: Value| {
            let map = |value: &Value| {
                let map = value.as_object().cloned().unwrap_or_default();
                map.into_iter()
                    .map(|(key, value)| (key, value.as_str().unwrap_or_default().to_owned()))
                    .collect::<BTreeMap<_, _>>()
            };
            ProxyConfigObject {
                namespace: ns.to_owned(),
                selector: selector.map(|labels| map(&labels)),
                concurrency: spec["concurrency"]
                    .as_i64()
                    .map(|n| i32::try_from(n).unwrap()),
                environment: map(&spec["env"]),
                image_type: spec["image"].as_str().map(str::to_owned),
            }
        };
        let root = "istio-system";
        let app = || Some(json!({"app": "a"}));
        let threads = |n: i32| json!({"concurrency": n});
        for (what, objects, annotation, expected) in [
            (
                "an object of the namespace",
                vec![object(
                    "ns",
                    None,
                    json!({"concurrency": 3, "image": "debug"}),
                )],
                "",
                json!([3, null, "debug"]),
            ),
            (
                "the root namespace wins over the mesh",
                vec![object(root, None, threads(3))],
                "",
                json!([3, null, null]),
            ),
            (
                "the namespace wins over the root namespace",
                vec![
                    object(root, None, threads(3)),
                    object("ns", None, threads(4)),
                ],
                "",
                json!([4, null, null]),
            ),
            (
                "a selector wins over the namespace",
                vec![
                    object("ns", app(), threads(3)),
                    object("ns", None, threads(2)),
                ],
                "",
                json!([3, null, null]),
            ),
            (
                "a selector wins over the annotation",
                vec![object(
                    "ns",
                    app(),
                    json!({"concurrency": 3, "image": "debug"}),
                )],
                "{concurrency: 5, image: {imageType: distroless}}",
                json!([3, null, "debug"]),
            ),
            (
                "the annotation wins over the namespace",
                vec![object(
                    "ns",
                    None,
                    json!({"concurrency": 3, "image": "debug"}),
                )],
                "{concurrency: 5}",
                json!([5, null, "debug"]),
            ),
            (
                "objects of other namespaces do not count",
                vec![
                    object("other", None, threads(1)),
                    object("other", app(), threads(2)),
                    object(root, None, threads(3)),
                    object(root, app(), threads(4)),
                ],
                "",
                json!([3, null, null]),
            ),
            (
                "the oldest of a level counts alone",
                vec![
                    object("ns", app(), json!({"env": {"A": "1"}})),
                    object("ns", app(), json!({"env": {"B": "2"}})),
                    object("ns", None, json!({"env": {"C": "3"}})),
                    object("ns", None, json!({"env": {"D": "4"}})),
                ],
                "",
                json!([2, {"A": "1", "C": "3"}, null]),
            ),
            (
                "a selector without labels selects nothing, and is no object for all",
                vec![object("ns", Some(json!({})), threads(7))],
                "",
                json!([2, null, null]),
            ),
            (
                "zero threads are said, too",
                vec![object("ns", None, threads(0))],
                "",
                json!([0, null, null]),
            ),
            (
                "variables are merged by name over all levels",
                vec![
                    object(root, None, json!({"env": {"A": "root", "B": "root"}})),
                    object("ns", None, json!({"env": {"A": "ns"}})),
                    object("ns", app(), json!({"env": {"C": "workload"}})),
                ],
                "{concurrency: 3, proxyMetadata: {C: annotation, D: annotation}}",
                json!([3, {"A": "ns", "B": "root", "C": "workload", "D": "annotation"}, null]),
            ),
            (
                "an annotation that cannot be read is left out",
                vec![object("ns", None, threads(3))],
                "concurrency: many",
                json!([3, null, null]),
            ),
        ] {
            let mesh = MeshConfig::parse("defaultConfig: {concurrency: 2}").unwrap();
            let mut pod =
                json!({"metadata": {"namespace": "ns", "labels": {"app": "a", "v": "1"}}});
            if !annotation.is_empty() {
                pod["metadata"]["annotations"] = json!({"proxy.istio.io/config": annotation});
            }
            let found = effective_proxy_config(&pod, &mesh, &objects);
            let field = |name: &str| found.get(name).cloned().unwrap_or_default();
            let image = field("image")["imageType"].clone();
            assert_eq!(
                json!([field("concurrency"), field("proxyMetadata"), image]),
                expected,
                "{what}"
            );
        }
    }

    #[test]
    fn the_root_namespaces_own_pods_have_its_object_once() {
        let objects = [ProxyConfigObject {
            namespace: "istio-system".to_owned(),
            concurrency: Some(9),
            ..ProxyConfigObject::default()
        }];
        let pod = json!({"metadata": {"namespace": "istio-system"}});
        let found = effective_proxy_config(&pod, &MeshConfig::default(), &objects);
        assert_eq!(found["concurrency"], 9);
    }
}
