//! The applications of `fixtures/world.yaml` as objects, and what their proxies are served.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use meltemi::offline::{self, Input};
use meltemi::simulation;
use meltemi_model::proxy::{Capabilities, Proxy};
use meltemi_model::{Diagnostics, Hostname, Locality};
use meltemi_simulator::Resources;
use meltemi_sources::lower::{LowerSettings, lower};
use serde::Deserialize;
use serde_json::{Value, json};

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
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AppPort {
    name: String,
    service_port: i32,
    workload_port: i32,
    #[serde(default)]
    server_first: bool,
    #[serde(default, rename = "tLS")]
    ends_tls: bool,
    #[serde(default, rename = "mTLS")]
    ends_mtls: bool,
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
        objects.extend(self.default_config.iter().cloned());
        objects
    }

    fn app(&self, at: usize, app: &App) -> [Value; 3] {
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
        [
            pod,
            service,
            self.slice(app, &app.name, namespace, &of_slice),
        ]
    }

    fn slice(&self, app: &App, service: &str, namespace: &str, ports: &[Value]) -> Value {
        let pod = json!({"kind": "Pod", "name": format!("{}-0", app.name), "namespace": namespace});
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": format!("{service}-1"), "namespace": namespace,
                "labels": {"kubernetes.io/service-name": service}},
            "ports": ports,
            "endpoints": [{"addresses": [self.address(&app.name).to_string()], "conditions": {"ready": true},
                "targetRef": pod}],
        })
    }

    /// The endpoints that Kubernetes would find for a Service of a case.
    fn slice_of(&self, service: &Value) -> Option<Value> {
        let app = service.pointer("/spec/selector/app")?.as_str()?;
        let app = &self.apps[self.index(app)?];
        let ports = service.pointer("/spec/ports")?.as_array()?.iter();
        let ports: Vec<Value> = ports
            .map(|port| {
                let target = port.get("targetPort").unwrap_or(&port["port"]);
                json!({"name": port["name"], "port": target, "protocol": "TCP"})
            })
            .collect();
        let name = service.pointer("/metadata/name")?.as_str()?;
        Some(self.slice(app, name, "echo", &ports))
    }
}

/// A world with the configuration of a run, and what its proxies were served so far.
pub(super) struct Mesh {
    input: Input,
    served: BTreeMap<String, Resources>,
}

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
        let input = &self.input;
        self.served
            .entry(app.to_owned())
            .or_insert_with(|| served(input, world, app))
    }

    pub(super) fn address_of(&self, world: &World, app: &str) -> Option<IpAddr> {
        world.index(app).map(|_| world.address(app))
    }

    /// An address as the DNS of the cluster gives it to the applications.
    pub(super) fn resolve(&self, world: &World, name: &str) -> Option<String> {
        if name.parse::<IpAddr>().is_ok() {
            return Some(name.to_owned());
        }
        let names = [
            name.to_owned(),
            format!("{name}.echo.svc.cluster.local"),
            format!("{name}.svc.cluster.local"),
        ];
        let services = &self.input.world.services.by_host;
        let found = names
            .iter()
            .find_map(|name| services.get(&Hostname::new(name)));
        let Some(service) = found.and_then(|owners| owners.values().next()) else {
            // The host of a pod of a headless service.
            let (_, parent) = name.split_once('.')?;
            return parent
                .contains('.')
                .then(|| self.resolve(world, parent))
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
        self.resolve(world, target.as_str())
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
    let external = object.pointer("/spec/type") == Some(&json!("ExternalName"));
    let has = object.pointer("/spec/clusterIP").is_some();
    if object["kind"] == "Service" && !external && !has {
        object["spec"]["clusterIP"] = json!("10.96.100.1");
    }
    object
}

fn served(input: &Input, world: &World, app: &str) -> Resources {
    let namespace = world.namespace(app);
    let ip = world.address(app);
    let metadata = json!({
        "NAME": format!("{app}-0"),
        "NAMESPACE": namespace,
        "ISTIO_VERSION": "1.31.0",
        "INSTANCE_IPS": ip.to_string(),
        "LABELS": {"app": app, "version": "v1"},
    });
    let id = format!("sidecar~{ip}~{app}-0.{namespace}~{namespace}.svc.cluster.local");
    let locality = Locality::default();
    let mut proxy = Proxy::parse(&id, app, locality, &metadata, []).expect("a node");
    proxy.capabilities = Capabilities::istio_proxy();
    let answer = offline::compile_for(input, &proxy);
    let (resources, problems) = simulation::resources(&answer.snapshot);
    assert!(problems.is_empty(), "{problems:?}");
    resources
}
