//! The applications of `fixtures/world.yaml` as objects, and what their proxies are served.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use meltemi::offline::{self, Input};
use meltemi::simulation;
use meltemi_compile::secrets::{Reader, secret};
use meltemi_model::proxy::{Capabilities, Proxy};
use meltemi_model::{Diagnostics, Hostname, Labels, Locality, ResourceType, Str};
use meltemi_proto::envoy::config::listener::v3::filter::ConfigType;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use meltemi_proto::istio::nds::NameTable;
use meltemi_simulator::{Call, Outcome, Resources, Stage};
use meltemi_sources::lower::{LowerSettings, lower};
use prost::Message as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::peers::{From, GATEWAY};

/// The fixture.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct World {
    apps: Vec<App>,
    ports: Vec<AppPort>,
    default_config: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct App {
    name: String,
    #[serde(default)]
    headless: bool,
    #[serde(default)]
    pod_annotations: BTreeMap<String, String>,
    #[serde(default, rename = "deployAsVM")]
    on_machine: bool,
    #[serde(default)]
    stateful_set: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AppPort {
    name: String,
    service_port: i32,
    workload_port: i32,
    #[serde(default)]
    server_first: bool,
    #[serde(default, rename = "instanceIP")]
    on_pod_address: bool,
    #[serde(default, rename = "localhostIP")]
    on_loopback: bool,
    #[serde(default, rename = "tLS")]
    ends_tls: bool,
    #[serde(default, rename = "mTLS")]
    ends_mtls: bool,
}

impl App {
    /// What Istio's tests call its kind.
    fn class(&self) -> &'static str {
        match self.name.as_str() {
            "external" => "external",
            "naked" => "naked",
            "proxyless-grpc" => "proxyless",
            "sotw" => "sotw",
            "tproxy" => "tproxy",
            _ if self.on_machine => "vm",
            _ if self.stateful_set => "statefulset",
            _ if self.headless => "headless",
            _ => "standard",
        }
    }
}

/// Reads the fixture.
pub(crate) fn world(suite: &Path) -> World {
    let text = fs::read_to_string(suite.join("fixtures/world.yaml")).expect("the fixture");
    let mut world: World = serde_yaml::from_str(&text).expect("the fixture");
    // Outside of the mesh, after all others.
    world.apps.push(App {
        name: "external".to_owned(),
        headless: false,
        pod_annotations: BTreeMap::new(),
        on_machine: false,
        stateful_set: false,
    });
    world
}

impl World {
    fn index(&self, app: &str) -> Option<usize> {
        self.apps.iter().position(|other| other.name == app)
    }

    /// The address of an application's pod.
    pub(super) fn address(&self, app: &str) -> IpAddr {
        let index = self.index(app).unwrap_or_default();
        IpAddr::from([10, 1, 0, u8::try_from(index + 1).unwrap_or(u8::MAX)])
    }

    pub(super) fn has_sidecar(&self, app: &str) -> bool {
        !["naked", "external", "proxyless-grpc"].contains(&app)
    }

    pub(super) fn is_server_first(&self, port: &str) -> bool {
        self.ports.iter().any(|p| p.name == port && p.server_first)
    }

    /// Whether the applications end TLS at a port of theirs.
    pub(super) fn is_tls(&self, port: u16) -> bool {
        let port = i32::from(port);
        let mut ports = self.ports.iter();
        ports.any(|p| p.workload_port == port && (p.ends_tls || p.ends_mtls))
    }

    /// Whether an application listens where the call goes: some ports are bound to one address only.
    pub(super) fn listens(&self, call: &Call) -> bool {
        let port = i32::from(call.port);
        let of_port = self.ports.iter().find(|p| p.workload_port == port);
        of_port.is_none_or(|port| {
            let local = call.address.is_loopback();
            !(port.on_pod_address && local || port.on_loopback && !local)
        })
    }

    fn namespace(&self, app: &str) -> &'static str {
        if app == "external" {
            "external"
        } else {
            "echo"
        }
    }

    fn objects(&self) -> Vec<Value> {
        let apps = self.apps.iter().enumerate();
        let mut objects: Vec<Value> = apps.flat_map(|(at, app)| self.app(at, app)).collect();
        objects.extend(gateway());
        objects.extend(self.default_config.iter().cloned());
        objects
    }

    fn app(&self, at: usize, app: &App) -> Vec<Value> {
        let namespace = self.namespace(&app.name);
        let ip = self.address(&app.name).to_string();
        let mut labels = json!({"app": app.name, "version": "v1"});
        if self.has_sidecar(&app.name) {
            labels["security.istio.io/tlsMode"] = json!("istio");
        }
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("{}-0", app.name), "namespace": namespace, "labels": labels,
                "annotations": app.pod_annotations},
            "spec": {"serviceAccountName": app.name, "containers": []},
            "status": {"podIP": ip, "podIPs": [{"ip": ip}], "phase": "Running", "conditions": ready},
        });
        let ports = || self.ports.iter().filter(|port| port.service_port > 0);
        let of_service: Vec<Value> = ports()
            .map(|port| {
                let number = if app.headless {
                    port.workload_port
                } else {
                    port.service_port
                };
                json!({"name": port.name, "port": number, "targetPort": port.workload_port})
            })
            .collect();
        let cluster_ip = if app.headless {
            "None".to_owned()
        } else {
            format!("10.0.0.{}", at + 1)
        };
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": app.name, "namespace": namespace, "labels": {"app": app.name}},
            "spec": {"clusterIP": cluster_ip, "selector": {"app": app.name}, "ports": of_service},
        });
        let of_slice: Vec<Value> = ports()
            .map(|port| json!({"name": port.name, "port": port.workload_port, "protocol": "TCP"}))
            .collect();
        if app.on_machine {
            // What its agent registers. It answers at the ports that the Service names.
            let entry = json!({
                "apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
                "metadata": {"name": format!("{}-{ip}", app.name), "namespace": namespace, "labels": labels},
                "spec": {"address": ip, "labels": labels, "serviceAccount": app.name},
            });
            return vec![entry, service];
        }
        let slice = self.slice(&[app], &app.name, namespace, &of_slice);
        vec![pod, service, slice]
    }

    fn slice(&self, apps: &[&App], service: &str, namespace: &str, ports: &[Value]) -> Value {
        let endpoint = |app: &&App| {
            let of = self.namespace(&app.name);
            let pod = json!({"kind": "Pod", "name": format!("{}-0", app.name), "namespace": of});
            let address = self.address(&app.name).to_string();
            json!({"addresses": [address], "conditions": {"ready": true}, "targetRef": pod})
        };
        let endpoints: Vec<Value> = apps.iter().map(endpoint).collect();
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": format!("{service}-1"), "namespace": namespace,
                "labels": {"kubernetes.io/service-name": service}},
            "ports": ports,
            "endpoints": endpoints,
        })
    }

    /// The endpoints that Kubernetes would find for a Service of a case.
    fn slice_of(&self, service: &Value) -> Option<Value> {
        let selector = service.pointer("/spec/selector")?.as_object()?;
        let selected = |app: &&App| {
            let labels = [
                ("app", app.name.as_str()),
                ("test.istio.io/class", app.class()),
            ];
            let mut wanted = selector.iter();
            wanted.all(|(name, value)| labels.iter().any(|(n, v)| n == name && value == v))
        };
        let apps: Vec<&App> = self.apps.iter().filter(selected).collect();
        let namespace = service.pointer("/metadata/namespace")?.as_str()?;
        let ports = service.pointer("/spec/ports")?.as_array()?.iter();
        let ports: Vec<Value> = ports
            .map(|port| {
                let target = port.get("targetPort").unwrap_or(&port["port"]);
                json!({"name": port["name"], "port": target, "protocol": "TCP"})
            })
            .collect();
        let name = service.pointer("/metadata/name")?.as_str()?;
        Some(self.slice(&apps, name, namespace, &ports))
    }
}

/// A world with the configuration of a run, and what its proxies were served so far.
pub(super) struct Mesh {
    input: Input,
    served: BTreeMap<String, Served>,
}

/// What one proxy is served.
struct Served {
    resources: Resources,
    names: NameTable,
}

/// The name under which the gateway's resources are kept; no application is called so.
const OUTSIDE: &str = "ingress:";

impl Mesh {
    pub(super) fn new(world: &World, config: &[Value]) -> Self {
        let settings = LowerSettings::default();
        let mut objects = world.objects();
        for object in config {
            objects.push(with_address(object));
            if object["kind"] == "Service" {
                objects.extend(world.slice_of(object));
            }
        }
        let lowered = objects
            .iter()
            .filter_map(|raw| lower(raw, &settings).object);
        Self {
            input: offline::of_objects(lowered, Diagnostics::new(), &settings),
            served: BTreeMap::new(),
        }
    }

    /// What the proxy of an application has.
    pub(super) fn resources(&mut self, world: &World, app: &str) -> &Resources {
        &self.served(world, app).resources
    }

    fn served(&mut self, world: &World, app: &str) -> &Served {
        let input = &self.input;
        self.served
            .entry(app.to_owned())
            .or_insert_with(|| served(input, world, app))
    }

    /// What the proxy beside who calls has; none where there is no proxy.
    pub(super) fn resources_of(&mut self, world: &World, from: From<'_>) -> Option<&Resources> {
        match from {
            From::Outside => Some(self.resources(world, OUTSIDE)),
            From::App(app) if world.has_sidecar(app) => Some(self.resources(world, app)),
            From::App(_) => None,
        }
    }

    /// Why the gateway is not served the certificate that it would show, if it shows one.
    pub(super) fn lacks_secret(&self, outcome: &Outcome) -> Option<String> {
        let tls = outcome.steps.iter().find(|step| step.stage == Stage::Tls)?;
        let reader = Reader {
            namespace: Str::from(GATEWAY.namespace),
            lists_secrets: true,
        };
        let labels = || Labels::from_iter([("istio", GATEWAY.label)]);
        let mut names = tls.chosen.split(' ').filter(|name| !name.is_empty());
        names.find_map(|name| {
            let answer = secret(&self.input.world, &reader, &Str::from(name), labels);
            answer.err().map(|refusal| format!("{name}: {refusal}"))
        })
    }

    /// Whether a sidecar takes from requests what the sender's proxy tells of itself.
    pub(super) fn takes_peer_metadata(&mut self, world: &World, app: &str) -> bool {
        let listeners = self.resources(world, app).listeners.values();
        let inbound = listeners.filter(|listener| listener.name == "virtualInbound");
        inbound.flat_map(|l| &l.filter_chains).any(|chain| {
            let filters = chain.filters.iter().filter_map(|f| match &f.config_type {
                Some(ConfigType::TypedConfig(any)) => Some(&any.value),
                _ => None,
            });
            let managers = filters.filter_map(|v| HttpConnectionManager::decode(v.as_slice()).ok());
            managers
                .flat_map(|m| m.http_filters)
                .any(|filter| filter.name == "istio.metadata_exchange")
        })
    }

    /// The addresses that the agent of an application answers for a name; none where it passes the query on.
    pub(super) fn name_table(
        &mut self,
        world: &World,
        app: &str,
        name: &str,
    ) -> Option<Vec<String>> {
        if !world.has_sidecar(app) {
            return None;
        }
        let namespace = world.namespace(app);
        let table = &self.served(world, app).names.table;
        // The search path of a pod.
        let names = [
            name.to_owned(),
            format!("{name}.{namespace}.svc.cluster.local"),
            format!("{name}.svc.cluster.local"),
        ];
        let found = names.iter().find_map(|name| table.get(name))?;
        Some(found.ips.clone())
    }

    pub(super) fn address_of(&self, world: &World, app: &str) -> Option<IpAddr> {
        world.index(app).map(|_| world.address(app))
    }

    /// An address as the agent of an application, or else the DNS of the cluster, gives it.
    pub(super) fn resolve(&mut self, world: &World, app: &str, name: &str) -> Option<String> {
        if name == "localhost" {
            return Some("127.0.0.1".to_owned());
        }
        let known = self.name_table(world, app, name);
        if let Some(address) = known.and_then(|addresses| addresses.into_iter().next()) {
            return Some(address);
        }
        self.cluster_dns(world, name)
    }

    fn cluster_dns(&self, world: &World, name: &str) -> Option<String> {
        if name.parse::<IpAddr>().is_ok() {
            return Some(name.to_owned());
        }
        let names = [
            name.to_owned(),
            format!("{name}.echo.svc.cluster.local"),
            format!("{name}.svc.cluster.local"),
        ];
        let services = &self.input.world.services;
        let names = names.map(|name| Hostname::new(&name));
        let found = names.iter().find_map(|name| services.owners(name).next());
        let Some(service) = found else {
            // The host of a pod of a headless service.
            let (_, parent) = name.split_once('.')?;
            return parent
                .contains('.')
                .then(|| self.cluster_dns(world, parent))
                .flatten();
        };
        if let Some(address) = service.addresses.first() {
            return Some(address.to_string());
        }
        if service.headless {
            let app = service.key.host.as_str().split('.').next()?;
            return Some(world.address(app).to_string());
        }
        let target = service.external_name.as_ref()?;
        self.cluster_dns(world, target.as_str())
    }

    /// The application, and its own port, that packets to an address reach: a pod, or one of a Service's.
    pub(super) fn endpoint(&self, world: &World, ip: IpAddr, port: u16) -> Option<(String, u16)> {
        if let Some(app) = world.apps.iter().find(|app| world.address(&app.name) == ip) {
            return Some((app.name.clone(), port));
        }
        let services = &self.input.world.services.sorted;
        let at = ip.to_string();
        let service = services
            .iter()
            .find(|s| s.addresses.iter().any(|a| **a == *at))?;
        let app = service
            .selector
            .0
            .iter()
            .find(|(name, _)| ***name == *"app")?
            .1
            .to_string();
        let target = world
            .ports
            .iter()
            .find(|p| p.service_port == i32::from(port))?
            .workload_port;
        Some((app, u16::try_from(target).ok()?))
    }
}

/// Kubernetes gives an address to a Service that asks for none.
fn with_address(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(first) = object.pointer("/spec/clusterIPs/0").cloned() {
        object["spec"]["clusterIP"] = first;
    }
    let external = object.pointer("/spec/type") == Some(&json!("ExternalName"));
    let has = object.pointer("/spec/clusterIP").is_some();
    if object["kind"] == "Service" && !external && !has {
        object["spec"]["clusterIP"] = json!("10.96.100.1");
    }
    object
}

/// The ingress gateway of the cluster.
fn gateway() -> [Value; 3] {
    let labels = json!({"app": GATEWAY.name, "istio": GATEWAY.label});
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("{}-0", GATEWAY.name), "namespace": GATEWAY.namespace, "labels": labels},
        "spec": {"serviceAccountName": GATEWAY.name, "containers": []},
        "status": {"podIP": GATEWAY.address, "podIPs": [{"ip": GATEWAY.address}], "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}]},
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": GATEWAY.name, "namespace": GATEWAY.namespace, "labels": labels},
        "spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.100", "selector": labels, "ports": [
            {"name": "http2", "port": 80, "targetPort": 8080}, {"name": "https", "port": 443, "targetPort": 8443},
        ]},
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": format!("{}-1", GATEWAY.name), "namespace": GATEWAY.namespace,
            "labels": {"kubernetes.io/service-name": GATEWAY.name}},
        "ports": [{"name": "http2", "port": 8080, "protocol": "TCP"}, {"name": "https", "port": 8443, "protocol": "TCP"}],
        "endpoints": [{"addresses": [GATEWAY.address], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": format!("{}-0", GATEWAY.name), "namespace": GATEWAY.namespace}}],
    });
    [pod, service, slice]
}

fn served(input: &Input, world: &World, app: &str) -> Served {
    let (kind, name, namespace, ip, labels) = if app == OUTSIDE {
        let labels = json!({"app": GATEWAY.name, "istio": GATEWAY.label});
        let ip = GATEWAY.address.to_owned();
        ("router", GATEWAY.name, GATEWAY.namespace, ip, labels)
    } else {
        let labels = json!({"app": app, "version": "v1"});
        let ip = world.address(app).to_string();
        ("sidecar", app, world.namespace(app), ip, labels)
    };
    let metadata = json!({
        "NAME": format!("{name}-0"),
        "NAMESPACE": namespace,
        "ISTIO_VERSION": "1.31.0",
        "INSTANCE_IPS": ip,
        "DNS_CAPTURE": "true",
        "LABELS": labels,
    });
    let id = format!("{kind}~{ip}~{name}-0.{namespace}~{namespace}.svc.cluster.local");
    let locality = Locality::default();
    let mut proxy = Proxy::parse(&id, name, locality, &metadata, []).expect("a node");
    proxy.capabilities = Capabilities::istio_proxy();
    let answer = offline::compile_for(input, &proxy);
    let (resources, problems) = simulation::resources(&answer.snapshot);
    assert!(problems.is_empty(), "{problems:?}");
    let tables = answer
        .snapshot
        .set(ResourceType::NameTable)
        .by_name
        .values();
    let mut tables = tables.map(|table| NameTable::decode(table.body.as_ref()).expect("a table"));
    Served {
        resources,
        names: tables.next_back().unwrap_or_default(),
    }
}
