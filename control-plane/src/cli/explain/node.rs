//! The proxy that is asked about: a pod of the world, or a node that a file or an argument describes.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Context as _;
use meltemi_model::Locality;
use meltemi_model::proxy::Proxy;
use meltemi_model::workload::Pod;
use meltemi_world::World;
use serde_json::{Map, Value, json};

/// The proxy of a pod, `NAME` or `NAME.NAMESPACE`; the beginning of a name is enough if it is the only one.
pub(super) fn of_pod(world: &World, wanted: &str, domain: &str) -> anyhow::Result<Proxy> {
    let (name, namespace) = match wanted.rsplit_once('.') {
        Some((name, namespace)) => (name, Some(namespace)),
        None => (wanted, None),
    };
    let pods = || {
        let all = world.store.pods.iter().map(|(_, pod)| pod);
        all.filter(|pod| namespace.is_none_or(|n| *pod.meta.key.namespace == *n))
    };
    let exact: Vec<_> = pods().filter(|pod| *pod.meta.key.name == *name).collect();
    let beginning = || pods().filter(|pod| pod.meta.key.name.starts_with(name));
    let found = if exact.is_empty() {
        beginning().collect()
    } else {
        exact
    };
    let listed = |pods: &mut dyn Iterator<Item = &Pod>| -> String {
        let names: Vec<String> = pods
            .map(|pod| format!("{}.{}", pod.meta.key.name, pod.meta.key.namespace))
            .collect();
        names.join(", ")
    };
    match found.as_slice() {
        [pod] => proxy(pod, domain),
        [] if world.store.pods.is_empty() => {
            anyhow::bail!("there are no pods among the objects; describe the proxy with --node")
        }
        [] => {
            let all = listed(&mut world.store.pods.iter().map(|(_, pod)| &**pod));
            anyhow::bail!("there is no pod {wanted}; there are {all}")
        }
        several => {
            let names = listed(&mut several.iter().map(|pod| &***pod));
            anyhow::bail!("several pods begin with {wanted}: {names}")
        }
    }
}

/// What the proxy of the pod would say of itself.
fn proxy(pod: &Pod, domain: &str) -> anyhow::Result<Proxy> {
    let key = &pod.meta.key;
    let ip = pod
        .ips
        .first()
        .with_context(|| format!("pod {}/{} has no address yet", key.namespace, key.name))?;
    let labels: Map<String, Value> = pod
        .meta
        .labels
        .0
        .iter()
        .map(|(name, value)| (name.to_string(), json!(&**value)))
        .collect();
    // Istio's charts label a gateway's pods, and nothing else has this label.
    let router = pod.meta.labels.0.iter().any(|(name, value)| {
        (&**name == "gateway.networking.k8s.io/gateway-name")
            || (&**name == "istio" && value.contains("gateway"))
    });
    let kind = if router { "router" } else { "sidecar" };
    let ips: Vec<String> = pod.ips.iter().map(IpAddr::to_string).collect();
    let metadata = json!({
        "NAME": &*key.name,
        "NAMESPACE": &*key.namespace,
        "LABELS": labels,
        "SERVICE_ACCOUNT": &*pod.service_account,
        "INSTANCE_IPS": ips.join(","),
        "ISTIO_VERSION": "1.31.0",
    });
    let ns = &key.namespace;
    let id = format!("{kind}~{ip}~{}.{ns}~{ns}.svc.{domain}", key.name);
    let cluster = format!("{}.{ns}", pod.workload);
    Ok(Proxy::parse(
        &id,
        &cluster,
        Locality::default(),
        &metadata,
        [],
    )?)
}

/// A node id, or a file with `id`, `cluster`, `locality` and `metadata`.
pub(super) fn of_description(text: &str) -> anyhow::Result<Proxy> {
    let path = Path::new(text);
    if !path.is_file() {
        let none = json!({});
        return Proxy::parse(text, "", Locality::default(), &none, []).with_context(|| {
            format!("{text} is neither a file nor a node id (TYPE~IP~NAME.NAMESPACE~DOMAIN)")
        });
    }
    let node = super::super::common::metadata(Some(path))?;
    let field = |name: &str| node.get(name).and_then(Value::as_str).unwrap_or_default();
    anyhow::ensure!(!field("id").is_empty(), "{}: id is missing", path.display());
    let metadata = node.get("metadata").cloned().unwrap_or_else(|| json!({}));
    let locality = Locality::parse(field("locality"));
    Proxy::parse(field("id"), field("cluster"), locality, &metadata, [])
        .with_context(|| path.display().to_string())
}
