//! The form of a case's file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::unrecorded;

/// One test case of istiod and one proxy of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Case {
    /// `TestName/case`.
    pub name: String,
    /// The proxy.
    pub proxy: ProxySpec,
    /// Objects of Istio and of the Gateway API.
    pub configs: Vec<Value>,
    /// Objects of Kubernetes, by cluster.
    pub kubernetes: BTreeMap<String, Vec<Value>>,
    /// Services of the in-memory registry.
    pub services: Vec<RegistryService>,
    /// Its endpoints.
    pub instances: Vec<Instance>,
    /// Laid over the suite's mesh configuration; `null` takes a key away.
    pub mesh_config_override: Option<Value>,
    /// The mesh networks.
    pub mesh_networks: Option<Value>,
    /// istiod's environment variables that are not at their defaults.
    pub features: BTreeMap<String, String>,
    /// What the suite adds: what was recorded, calls.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
    /// `TestName/file`, which tells cases apart; the name need not.
    #[serde(skip)]
    pub id: String,
}

/// A proxy.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProxySpec {
    /// `sidecar`, `router` or `waypoint`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `name.namespace` of the node id.
    pub id: String,
    /// Its addresses, the first one primary.
    pub ip_addresses: Vec<String>,
    /// Its configuration namespace, whatever its metadata say.
    pub namespace: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The last part of its node id.
    pub dns_domain: String,
    /// `Node.metadata`.
    pub metadata: Map<String, Value>,
    /// `Node.locality`.
    pub locality: Locality,
}

/// A locality in Go's spelling.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Locality {
    /// Region.
    pub region: String,
    /// Zone.
    pub zone: String,
    /// Sub-zone.
    #[serde(alias = "subzone", alias = "sub_zone")]
    pub sub_zone: String,
}

/// A service of the in-memory registry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RegistryService {
    /// Its host name.
    pub hostname: String,
    /// Its address; `0.0.0.0`, `::` and nothing mean none.
    pub default_address: String,
    /// Its ports.
    pub ports: Vec<Port>,
    /// `ClientSide`, `DNS` or `Passthrough`.
    pub resolution: String,
    /// Whether it is outside of the mesh.
    pub mesh_external: bool,
    /// Namespace and labels.
    pub attributes: Attributes,
}

/// What a registry says of a service besides its host name.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Attributes {
    /// Its namespace.
    pub namespace: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A port of a service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Its number.
    pub port: u16,
    /// In Istio's spelling.
    pub protocol: String,
}

/// An endpoint of a service's port.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Instance {
    /// The service's host name.
    pub service: String,
    /// The service's namespace.
    pub service_namespace: String,
    /// The service's port.
    pub service_port: Port,
    /// Where it is.
    pub endpoint: InstanceEndpoint,
}

/// Where an instance is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct InstanceEndpoint {
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Its own port.
    pub port: u16,
    /// Its weight; 0: not said.
    pub lb_weight: u32,
    /// Its locality.
    pub locality: InstanceLocality,
    /// `istio` when it takes mutual TLS.
    pub tls_mode: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its service account.
    pub service_account: String,
    /// Its network.
    pub network: String,
}

/// A locality in one text.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct InstanceLocality {
    /// `region/zone/subzone`.
    #[serde(rename = "Label")]
    pub label: String,
}

impl Case {
    /// Reads a case from JSON or YAML.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let mut value: Value = if path.extension().is_some_and(|ending| ending == "json") {
            serde_json::from_str(&text).with_context(|| path.display().to_string())?
        } else {
            serde_yaml::from_str(&text).with_context(|| path.display().to_string())?
        };
        rename_short_hosts(&mut value);
        let mut case: Self =
            serde_json::from_value(value).with_context(|| path.display().to_string())?;
        let part = |part: Option<&std::ffi::OsStr>| {
            part.map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default()
        };
        let folder = part(path.parent().and_then(Path::file_name));
        case.id = format!("{folder}/{}", part(path.file_stem()));
        case.add_unrecorded_instances();
        unrecorded::add(&mut case)?;
        Ok(case)
    }

    /// istiod's tests of listeners add an endpoint at the proxy for the first port of each service, after the point at
    /// which the inputs were recorded. Istio 1.31: `buildListeners` of `listener_builder_test.go`.
    fn add_unrecorded_instances(&mut self) {
        let recorded = !self.instances.is_empty() || !self.rest.contains_key("listeners");
        if recorded || self.test() == "TestVirtualListenerBuilder" {
            return;
        }
        for service in &self.services {
            let Some(port) = service.ports.first() else {
                continue;
            };
            self.instances.push(Instance {
                service: service.hostname.clone(),
                service_namespace: service.attributes.namespace.clone(),
                service_port: port.clone(),
                endpoint: InstanceEndpoint {
                    addresses: vec!["1.1.1.1".to_owned()],
                    port: 8080,
                    ..InstanceEndpoint::default()
                },
            });
        }
    }

    /// The test of istiod that it was recorded from.
    pub fn test(&self) -> &str {
        self.id
            .split_once('/')
            .map_or(self.id.as_str(), |(test, _)| test)
    }
}

/// Registries in memory hold hosts such as `leastrequest` and `empty lb type`. No rule of a user can name them: the one
/// would be completed, the other refused. They are renamed, in what was recorded as well.
fn rename_short_hosts(case: &mut Value) {
    let services = case.get("services").and_then(Value::as_array);
    let short: Vec<String> = services
        .into_iter()
        .flatten()
        .filter_map(|service| service.get("hostname")?.as_str())
        .filter(|host| !host.contains('.'))
        .map(str::to_owned)
        .collect();
    for host in short {
        let renamed = format!("{}.test", host.replace(' ', "-"));
        rename(case, &host, &renamed);
    }
}

fn rename(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) => {
            let ends =
                |before: &str, after: &str| text.ends_with(&format!("{before}{from}{after}"));
            if text == from {
                *text = to.to_owned();
            } else if ends("|", "") || ends("|", ";") || ends("_.", "") {
                *text = text.replace(from, to);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, from, to)),
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|field| rename(field, from, to)),
        _ => {}
    }
}

/// The files of all cases of a suite, sorted: `<suite>/<TestName>/<case>.json` or `.yaml`. `fixtures` holds no cases.
pub fn cases(suite: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in entries(suite)? {
        if folder.is_dir() && folder.file_name().is_some_and(|name| name != "fixtures") {
            found.extend(entries(&folder)?.into_iter().filter(|file| {
                file.extension()
                    .is_some_and(|ending| ending == "json" || ending == "yaml")
            }));
        }
    }
    found.sort();
    Ok(found)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}
