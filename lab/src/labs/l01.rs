//! L01: the charts installed by Helm, and what an administrator sees afterwards.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::manifests;
use super::mesh::{EFFECT, INGRESS, ISTIO, PODS, name, pods, pods_are, same};
use crate::cluster::Cluster;
use crate::report::{Step, needed, step};
use crate::run::eventually;

pub(super) const STEPS: &[Step] = &[
    needed("L01.16a", "helm installs the chart base", base),
    step("L01.6", "the kinds are exactly Istio's", kinds),
    step(
        "L01.7",
        "versions and short names are Istio's, and an old form is read back as the new one",
        versions,
    ),
    needed(
        "L01.16b",
        "helm installs the control plane, and it becomes available",
        control_plane,
    ),
    step("L01.9", "the Service istiod has Istio's ports", ports),
    step("L01.11", "/version answers", version),
    needed(
        "L01.12",
        "the webhooks have a CA, and the validating one refuses",
        webhooks,
    ),
    step("L01.13", "every namespace has the root certificate", roots),
    needed(
        "L01.16c",
        "helm installs the ingress gateway, and it is injected and Ready",
        gateway,
    ),
    step(
        "L01.14",
        "the gateway's readiness page answers",
        gateway_ready,
    ),
    step("L01.17", "a second installation changes nothing", again),
];

const KINDS: [&str; 15] = [
    "authorizationpolicies.security.istio.io",
    "destinationrules.networking.istio.io",
    "envoyfilters.networking.istio.io",
    "gateways.networking.istio.io",
    "peerauthentications.security.istio.io",
    "proxyconfigs.networking.istio.io",
    "requestauthentications.security.istio.io",
    "serviceentries.networking.istio.io",
    "sidecars.networking.istio.io",
    "telemetries.telemetry.istio.io",
    "trafficextensions.extensions.istio.io",
    "virtualservices.networking.istio.io",
    "wasmplugins.extensions.istio.io",
    "workloadentries.networking.istio.io",
    "workloadgroups.networking.istio.io",
];

/// Plural, preferred version, short names.
const NAMES: [(&str, &str, &str); 11] = [
    ("destinationrules", "networking.istio.io/v1", "dr"),
    ("envoyfilters", "networking.istio.io/v1alpha3", ""),
    ("gateways", "networking.istio.io/v1", "gw"),
    ("serviceentries", "networking.istio.io/v1", "se"),
    ("virtualservices", "networking.istio.io/v1", "vs"),
    ("workloadentries", "networking.istio.io/v1", "we"),
    ("workloadgroups", "networking.istio.io/v1", "wg"),
    ("authorizationpolicies", "security.istio.io/v1", "ap"),
    ("peerauthentications", "security.istio.io/v1", "pa"),
    ("requestauthentications", "security.istio.io/v1", "ra"),
    ("telemetries", "telemetry.istio.io/v1", "telemetry"),
];

/// What helm installs, in this order.
pub(super) const RELEASES: [&str; 3] = [BASE, ISTIOD, INGRESS];
pub(super) const BASE: &str = "istio-base";
pub(super) const ISTIOD: &str = "istiod";

pub(super) const VALUES: &str = include_str!("../../files/values.yaml");
const GATEWAY_VALUES: &str = include_str!("../../files/gateway-values.yaml");
const HELM_LIMIT: &str = "--timeout=120s";

/// Installs a release, or upgrades it.
pub(super) fn install(cluster: &Cluster, release: &str, chart: &str, values: &str) -> Result<()> {
    let file = cluster.folder().join(format!("{release}.yaml"));
    std::fs::write(&file, values).context("values")?;
    let file = file.to_string_lossy();
    let words = [
        "upgrade",
        "--install",
        release,
        chart,
        "-n",
        ISTIO,
        "--create-namespace",
    ];
    cluster.helm(&[&words[..], &["-f", &file, HELM_LIMIT]].concat())?;
    Ok(())
}

fn base(cluster: &Cluster) -> Result<String> {
    install(cluster, BASE, "charts/base", "")?;
    Ok(String::new())
}

fn istio_kinds(cluster: &Cluster) -> Result<Vec<Value>> {
    let Value::Array(all) = cluster.get(&["crd"])?["items"].take() else {
        bail!("kubectl lists no kinds");
    };
    Ok(all
        .into_iter()
        .filter(|crd| name(crd).ends_with(".istio.io"))
        .collect())
}

fn kinds(cluster: &Cluster) -> Result<String> {
    eventually(EFFECT, "the kinds", || {
        let kinds = istio_kinds(cluster)?;
        let found: BTreeSet<&str> = kinds.iter().map(name).collect();
        same("the set of kinds", &found, &KINDS.into())?;
        for crd in &kinds {
            let established = crate::cluster::condition(crd, "Established");
            ensure!(
                established.is_some_and(|found| found["status"] == "True"),
                "{} is not established",
                name(crd)
            );
        }
        Ok(format!("{} kinds", found.len()))
    })
}

fn versions(cluster: &Cluster) -> Result<String> {
    let listed = cluster.kubectl(&["api-resources", "--no-headers"])?;
    for (plural, version, short) in NAMES {
        let fits = |line: &&str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.first() == Some(&plural) && words.contains(&version)
        };
        let line = listed
            .lines()
            .find(fits)
            .with_context(|| format!("{plural} is not preferred in {version}"))?;
        let names = line.split_whitespace().nth(1).unwrap_or_default();
        ensure!(
            short.is_empty() || names.split(',').any(|one| one == short),
            "{plural} has no short name {short}: {line}"
        );
    }
    let old = serde_json::json!({
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "VirtualService",
        "metadata": {"name": "old-form", "namespace": "default"},
        "spec": {"hosts": ["old.example.com"], "http": [{"route": [{"destination": {"host": "old"}}]}]},
    });
    cluster.apply(&[], &old.to_string())?;
    let read = cluster.get(&["virtualservices.v1.networking.istio.io", "old-form"])?;
    cluster.kubectl(&["delete", "virtualservice", "old-form"])?;
    same("the specification as v1", &read["spec"], &old["spec"])?;
    Ok(String::new())
}

fn control_plane(cluster: &Cluster) -> Result<String> {
    install(cluster, ISTIOD, "charts/meltemi", VALUES)?;
    cluster.available(ISTIO, "istiod", PODS)?;
    pods_are(
        cluster,
        ISTIO,
        "app=istiod,istio=pilot,istio.io/rev=default",
        1,
        1,
    )
}

fn ports(cluster: &Cluster) -> Result<String> {
    let service = cluster.get(&["-n", ISTIO, "service", "istiod"])?;
    let list = service["spec"]["ports"].as_array().context("no ports")?;
    let mut found: Vec<u64> = list
        .iter()
        .filter_map(|port| port["port"].as_u64())
        .collect();
    found.sort_unstable();
    same("the list of ports", &found, &vec![443, 15010, 15012, 15014])?;
    Ok(String::new())
}

/// A page of a pod, by way of the API server.
fn page(cluster: &Cluster, labels: &str, port: u16, path: &str) -> Result<String> {
    let pods = pods(cluster, ISTIO, labels)?;
    let pod = pods
        .first()
        .with_context(|| format!("no pod with {labels}"))?;
    let url = format!(
        "/api/v1/namespaces/{ISTIO}/pods/{}:{port}/proxy/{path}",
        name(pod)
    );
    cluster.kubectl(&["get", "--raw", &url])
}

fn version(cluster: &Cluster) -> Result<String> {
    let version = page(cluster, "app=istiod", 15014, "version")?;
    ensure!(!version.trim().is_empty(), "the answer is empty");
    Ok(version.trim().replace('\n', " "))
}

fn webhooks(cluster: &Cluster) -> Result<String> {
    let injector = "istio-sidecar-injector";
    let validator = "istio-validator-istio-system";
    eventually(EFFECT, "the webhooks", || {
        for (kind, name) in [
            ("mutatingwebhookconfiguration", injector),
            ("validatingwebhookconfiguration", validator),
        ] {
            let found = cluster.get(&[kind, name])?;
            let hooks = found["webhooks"].as_array().context("no webhooks")?;
            ensure!(!hooks.is_empty(), "{name} has no webhooks");
            for hook in hooks {
                let ca = hook["clientConfig"]["caBundle"]
                    .as_str()
                    .unwrap_or_default();
                ensure!(!ca.is_empty(), "{name} has no CA for {}", hook["name"]);
                ensure!(
                    kind.starts_with("mutating") || hook["failurePolicy"] == "Fail",
                    "{name}: {}",
                    hook["failurePolicy"]
                );
            }
        }
        Ok(())
    })?;
    let file = manifests()?.join("L10-istioctl/negative/wildcard-mesh.yaml");
    eventually(EFFECT, "a refusal", || {
        match cluster.apply_file(&[], &file) {
            Ok(_) => {
                cluster.kubectl(&["delete", "virtualservice", "bookinfo", "--ignore-not-found"])?;
                bail!("a `*` host on the mesh is accepted")
            }
            Err(error) => {
                let text = format!("{error:#}");
                ensure!(
                    text.contains("admission webhook") && text.contains("denied"),
                    "{text}"
                );
                Ok(())
            }
        }
    })?;
    Ok(String::new())
}

fn roots(cluster: &Cluster) -> Result<String> {
    cluster.kubectl(&["create", "namespace", "later"])?;
    let mut certificates = BTreeSet::new();
    for ns in ["default", "kube-system", ISTIO, "later"] {
        let map = eventually(EFFECT, ns, || {
            cluster.get(&["-n", ns, "configmap", "istio-ca-root-cert"])
        })?;
        let certificate = map["data"]["root-cert.pem"].as_str().unwrap_or_default();
        ensure!(
            certificate.contains("BEGIN CERTIFICATE"),
            "{ns}: {certificate}"
        );
        certificates.insert(certificate.to_owned());
    }
    ensure!(certificates.len() == 1, "namespaces have different roots");
    cluster.kubectl(&["delete", "namespace", "later", "--wait=false"])?;
    Ok(String::new())
}

fn gateway(cluster: &Cluster) -> Result<String> {
    install(cluster, INGRESS, "charts/gateway", GATEWAY_VALUES)?;
    cluster.available(ISTIO, INGRESS, PODS)?;
    let found = pods_are(cluster, ISTIO, "istio=ingressgateway", 1, 1)?;
    let pods = pods(cluster, ISTIO, "istio=ingressgateway")?;
    let pod = pods.first().context("no pod")?;
    let image = super::mesh::container(pod, "istio-proxy")?["image"].as_str();
    ensure!(
        image.is_some_and(|image| image.contains("proxyv2")),
        "the injector left the image {image:?}"
    );
    Ok(found)
}

fn gateway_ready(cluster: &Cluster) -> Result<String> {
    eventually(Duration::from_secs(10), "readiness", || {
        page(cluster, "istio=ingressgateway", 15021, "healthz/ready")
    })?;
    Ok(String::new())
}

fn again(cluster: &Cluster) -> Result<String> {
    let generation = |name: &str| -> Result<Value> {
        Ok(cluster.get(&["-n", ISTIO, "deployment", name])?["metadata"]["generation"].take())
    };
    let before = (generation("istiod")?, generation(INGRESS)?);
    install(cluster, BASE, "charts/base", "")?;
    install(cluster, ISTIOD, "charts/meltemi", VALUES)?;
    install(cluster, INGRESS, "charts/gateway", GATEWAY_VALUES)?;
    same(
        "the generation",
        &(generation("istiod")?, generation(INGRESS)?),
        &before,
    )?;
    Ok(String::new())
}
