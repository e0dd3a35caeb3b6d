use meltemi_model::mesh::Mesh;
use meltemi_model::port::Protocol;
use meltemi_model::proxy::ProxyKind;
use meltemi_model::service::{KubeService, ServiceEntry};
use meltemi_model::testing::{kube_service, meta, pod, service_entry};
use meltemi_model::workload::Pod;
use meltemi_model::{Kind, Object};
use serde_json::{Value, json};

use super::*;
use crate::classify;
use crate::fixtures::{class_of_client, scope_of, sidecar, world};

/// The table of a proxy in `default` with this metadata beside `DNS_CAPTURE`: `host addresses registry short`.
fn table(objects: Vec<Object>, ip: &str, metadata: Value) -> Vec<String> {
    let world = world(objects);
    let mut metadata = metadata;
    metadata["DNS_CAPTURE"] = json!("true");
    let class = classify(&world, &sidecar("client", ip, &metadata), None);
    let table = name_table(&scope_of(&world, &class), &class).expect("it answers DNS queries");
    let line = |name: &Shared<NameInput>| {
        let registry = if name.kubernetes {
            "Kubernetes"
        } else {
            "External"
        };
        let short = name
            .short
            .as_ref()
            .map(|(name, ns)| format!(" {name}/{ns}"));
        let addresses = name.addresses.join(",");
        format!(
            "{} {addresses} {registry}{}",
            name.host,
            short.unwrap_or_default()
        )
    };
    table.names.iter().map(line).collect()
}

const TCP: &[(u16, Protocol)] = &[(80, Protocol::Tcp)];

fn with_ips(name: &str, ips: &[&str]) -> Object {
    KubeService {
        cluster_ips: ips.iter().map(|ip| Str::from(*ip)).collect(),
        ..kube_service("default", name, TCP)
    }
    .into()
}

fn entry(name: &str, host: &str, addresses: &[&str], allocated: &[&str]) -> Object {
    let host = Hostname::new(host);
    ServiceEntry {
        hosts: vec![host.clone()],
        addresses: addresses.iter().map(|a| Str::from(*a)).collect(),
        allocated: allocated
            .iter()
            .map(|a| (host.clone(), Str::from(*a)))
            .collect(),
        meta: meta(Kind::ServiceEntry, "default", name),
        ..service_entry("default", host.as_str(), TCP)
    }
    .into()
}

#[test]
fn only_agents_that_answer_have_a_table() {
    let world = world([with_ips("a", &["10.96.0.1"])]);
    let class = class_of_client(ProxyKind::Sidecar);
    assert_eq!(name_table(&scope_of(&world, &class), &class), None);
}

#[test]
fn names_have_the_addresses_that_the_proxy_can_use() {
    let objects = || {
        vec![
            with_ips("a", &["10.96.0.1", "fd00::1"]),
            with_ips("six", &["fd00::2"]),
            entry(
                "vips",
                "vips.com",
                &["1.2.3.4", "fd00::3", "10.0.0.0/8"],
                &[],
            ),
            entry("auto", "auto.com", &[], &["240.240.0.1", "2001:2::1"]),
            entry("none", "none.com", &[], &[]),
            entry("wild", "*.wild.com", &["1.2.3.5"], &[]),
        ]
    };
    let four = table(objects(), "10.0.0.9", json!({}));
    assert_eq!(
        four,
        [
            "*.wild.com 1.2.3.5 External",
            "a.default.svc.cluster.local 10.96.0.1 Kubernetes a/default",
            "auto.com 240.240.0.1 External",
            "vips.com 1.2.3.4,fd00::3 External",
        ]
    );
    let first = table(
        objects(),
        "10.0.0.9",
        json!({"INSTANCE_IPS": "10.0.0.9,fd00::9"}),
    );
    assert_eq!(
        first,
        [
            "*.wild.com 1.2.3.5 External",
            "a.default.svc.cluster.local 10.96.0.1 Kubernetes a/default",
            "auto.com 240.240.0.1 External",
            "six.default.svc.cluster.local fd00::2 Kubernetes six/default",
            "vips.com 1.2.3.4,fd00::3 External",
        ]
    );
    let served = Mesh {
        dual_stack: true,
        ..Mesh::default()
    };
    let both = table(
        objects().into_iter().chain([served.into()]).collect(),
        "10.0.0.9",
        json!({"INSTANCE_IPS": "10.0.0.9,fd00::9"}),
    );
    assert_eq!(
        both,
        [
            "*.wild.com 1.2.3.5 External",
            "a.default.svc.cluster.local 10.96.0.1,fd00::1 Kubernetes a/default",
            "auto.com 240.240.0.1,2001:2::1 External",
            "six.default.svc.cluster.local fd00::2 Kubernetes six/default",
            "vips.com 1.2.3.4,fd00::3 External",
        ]
    );
}

#[test]
fn a_headless_service_has_its_pods_and_their_names() {
    let headless = |publish_not_ready| {
        Object::from(KubeService {
            cluster_ips: Vec::new(),
            headless: true,
            publish_not_ready,
            ..kube_service("default", "db", TCP)
        })
    };
    let of = |name: &str, ip: &str, network: &str, ready| {
        let mut pod = Pod {
            subdomain: "db".into(),
            ready,
            ..pod("default", name, ip)
        };
        let mut labels = vec![("app", "db")];
        if !network.is_empty() {
            labels.push(("topology.istio.io/network", network));
        }
        pod.meta.labels = labels.into_iter().collect();
        Object::from(pod)
    };
    let objects = |publish| {
        vec![
            headless(publish),
            of("db-0", "10.1.0.1", "", true),
            of("db-1", "10.1.0.2", "near", true),
            of("db-2", "10.1.0.3", "far", true),
            of("db-3", "10.1.0.4", "", false),
        ]
    };
    let near = json!({"NETWORK": "near"});
    assert_eq!(
        table(objects(false), "10.0.0.9", near.clone()),
        [
            "db-0.db.default.svc.cluster.local 10.1.0.1 Kubernetes db-0.db/default",
            "db-1.db.default.svc.cluster.local 10.1.0.2 Kubernetes db-1.db/default",
            "db.default.svc.cluster.local 10.1.0.1,10.1.0.2 Kubernetes db/default",
        ]
    );
    let all = table(objects(true), "10.0.0.9", near);
    assert!(
        all.contains(
            &"db.default.svc.cluster.local 10.1.0.1,10.1.0.2,10.1.0.4 Kubernetes db/default"
                .to_owned()
        ),
        "{all:?}"
    );
}

#[test]
fn one_host_of_several_entries_has_the_addresses_of_all_and_kubernetes_wins() {
    let found = table(
        vec![
            entry("one", "x.com", &["1.1.1.1"], &[]),
            entry("two", "x.com", &["1.1.1.1", "1.1.1.2"], &[]),
            entry("extra", "a.default.svc.cluster.local", &["9.9.9.9"], &[]),
            with_ips("a", &["10.96.0.1"]),
        ],
        "10.0.0.9",
        json!({}),
    );
    assert_eq!(
        found,
        [
            "a.default.svc.cluster.local 10.96.0.1 Kubernetes a/default",
            "x.com 1.1.1.1,1.1.1.2 External",
        ]
    );
}
