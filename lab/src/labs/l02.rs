//! L02: Bookinfo, unmodified, with automatic injection.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use meltemi_demo::{Answer, Call};
use serde_json::Value;

use super::manifests;
use super::mesh::{
    EFFECT, INGRESS, ISTIO, PODS, admin, container, containers, name, nothing_rejected, pods,
    pods_are, proxies, same, status,
};
use crate::cluster::Cluster;
use crate::report::{Step, needed, step};
use crate::run::eventually;

pub(super) const STEPS: &[Step] = &[
    needed("L02.1", "the namespace is labelled", label),
    needed("L02.2", "the unmodified Bookinfo is applied", bookinfo),
    needed("L02.3", "its pods are 2/2", two_of_two),
    step(
        "L02.4",
        "the injected pods have what Istio's template gives",
        injected,
    ),
    step(
        "L02.5",
        "pods that opt out, and those of unlabelled namespaces, keep one container",
        not_injected,
    ),
    needed("L02.7", "productpage answers inside the mesh", inside),
    needed("L02.8", "sleep reaches it, too", from_sleep),
    step(
        "L02.9",
        "plain text from outside the mesh is accepted",
        plain_text,
    ),
    step(
        "L02.10",
        "no proxy rejects anything, and agents have their certificate from us",
        agents,
    ),
    step(
        "L02.11",
        "Bookinfo in a namespace of its own, Deployments before their ServiceAccounts",
        own_namespace,
    ),
    step(
        "L02.12",
        "a second Service on the same pods, with a NodePort",
        second_service,
    ),
    step("L02.13", "three versions of reviews answer in turn", shares),
    step("L02.15", "a Gateway without routes answers 404", no_routes),
    needed(
        "L02.14",
        "the Gateway and its VirtualService are applied",
        gateway,
    ),
    needed(
        "L02.16",
        "productpage answers through the ingress gateway",
        ingress,
    ),
    step(
        "L02.17",
        "the gateway's NodePorts and address can be read",
        node_ports,
    ),
    step(
        "L02.18",
        "another port: opened where the Service leads to one that the pod may bind, else left out with a warning",
        other_port,
    ),
    step("L02.19", "1000 of 1000 requests answer 200", load),
    step(
        "L02.20",
        "a pod that goes loses no request",
        endpoint_leaves,
    ),
    step(
        "figures",
        "memory of the control plane, and pods' time to Ready",
        figures,
    ),
    step(
        "L02.10b",
        "at the end no proxy has rejected anything",
        nothing_rejected,
    ),
];

const TITLE: &str = "<title>Simple Bookstore App</title>";
const APPS: [(&str, usize); 4] = [
    ("app=details", 1),
    ("app=productpage", 1),
    ("app=ratings", 1),
    ("app=reviews", 3),
];

fn label(cluster: &Cluster) -> Result<String> {
    let label = [
        "label",
        "namespace",
        "default",
        "istio-injection=enabled",
        "--overwrite",
    ];
    Ok(cluster.kubectl(&label)?.trim().to_owned())
}

fn bookinfo(cluster: &Cluster) -> Result<String> {
    let made = cluster.apply_file(&[], &manifests()?.join("apps/bookinfo.yaml"))?;
    Ok(format!("{} objects", made.lines().count()))
}

fn two_of_two(cluster: &Cluster) -> Result<String> {
    for (labels, count) in APPS {
        pods_are(cluster, "default", labels, count, 2)?;
    }
    Ok("6 pods".to_owned())
}

fn injected(cluster: &Cluster) -> Result<String> {
    let reviews = pods(cluster, "default", "app=reviews,version=v2")?;
    let pod = reviews.first().context("there is no reviews-v2")?;
    let meta = &pod["metadata"];
    for (key, value) in [
        ("security.istio.io/tlsMode", "istio"),
        ("service.istio.io/canonical-name", "reviews"),
        ("service.istio.io/canonical-revision", "v2"),
    ] {
        same(key, &meta["labels"][key], &Value::from(value))?;
    }
    for (key, value) in [
        ("istio.io/rev", "default"),
        ("kubectl.kubernetes.io/default-container", "reviews"),
        ("kubectl.kubernetes.io/default-logs-container", "reviews"),
        ("prometheus.io/path", "/stats/prometheus"),
        ("prometheus.io/port", "15020"),
        ("prometheus.io/scrape", "true"),
    ] {
        same(key, &meta["annotations"][key], &Value::from(value))?;
    }
    let note = meta["annotations"]["sidecar.istio.io/status"]
        .as_str()
        .unwrap_or_default();
    let note: Value = serde_json::from_str(note).context("the status annotation")?;
    same(
        "the status annotation's revision",
        &note["revision"],
        &Value::from("default"),
    )?;
    let init = container(pod, "istio-init")?;
    let init_words: Vec<&str> = init["args"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for word in ["istio-iptables", "15001", "15006", "1337", "REDIRECT"] {
        ensure!(
            init_words.contains(&word),
            "istio-init has no {word}: {init_words:?}"
        );
    }
    let proxy = container(pod, "istio-proxy")?;
    let env: BTreeMap<&str, &Value> = proxy["env"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|variable| Some((variable["name"].as_str()?, &variable["value"])))
        .collect();
    for (key, value) in [
        ("PILOT_CERT_PROVIDER", "istiod"),
        ("CA_ADDR", "istiod.istio-system.svc:15012"),
        ("ISTIO_META_CLUSTER_ID", "Kubernetes"),
        ("ISTIO_META_WORKLOAD_NAME", "reviews-v2"),
        ("ISTIO_META_INTERCEPTION_MODE", "REDIRECT"),
        ("TRUST_DOMAIN", "cluster.local"),
    ] {
        let found = env
            .get(key)
            .with_context(|| format!("istio-proxy has no {key}"))?;
        same(key, found, &&Value::from(value))?;
    }
    for volume in [
        "workload-socket",
        "istio-envoy",
        "istio-data",
        "istio-podinfo",
        "istio-token",
        "istiod-ca-cert",
    ] {
        let volumes = pod["spec"]["volumes"].as_array();
        ensure!(
            volumes
                .into_iter()
                .flatten()
                .any(|one| one["name"] == volume),
            "there is no volume {volume}"
        );
    }
    Ok(String::new())
}

fn not_injected(cluster: &Cluster) -> Result<String> {
    cluster.apply_file(&[], &manifests()?.join("apps/tomcat-plain.yaml"))?;
    pods_are(cluster, "default", "app=tomcat", 1, 1)?;
    // The value is `enabled`, and nothing else.
    cluster.kubectl(&["create", "namespace", "enable"])?;
    cluster.kubectl(&["label", "namespace", "enable", "istio-injection=enable"])?;
    cluster.apply_file(&["-n", "enable"], &manifests()?.join("apps/sleep.yaml"))?;
    pods_are(cluster, "enable", "app=sleep", 1, 1)?;
    cluster.kubectl(&["delete", "namespace", "enable", "--wait=false"])?;
    let host = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "on-the-host", "namespace": "default"},
        "spec": {"hostNetwork": true, "containers": [{"name": "sleep", "image": "curl", "command": ["sleep", "infinity"]}]},
    });
    cluster.apply(&[], &host.to_string())?;
    let pod = cluster.get(&["-n", "default", "pod", "on-the-host"])?;
    same("the number of containers", &containers(&pod).len(), &1)?;
    cluster.kubectl(&["delete", "pod", "on-the-host", "--now", "--wait=false"])?;
    Ok(String::new())
}

fn inside(cluster: &Cluster) -> Result<String> {
    eventually(EFFECT, "productpage", || {
        let url = "http://productpage:9080/productpage";
        let page = super::mesh::body(cluster, "default", "deploy/ratings-v1", "ratings", url)?;
        ensure!(page.contains(TITLE), "there is no title: {page}");
        ensure!(
            page.contains("Reviews served by"),
            "there are no reviews: {page}"
        );
        Ok(())
    })?;
    Ok(String::new())
}

fn from_sleep(cluster: &Cluster) -> Result<String> {
    cluster.apply_file(&[], &manifests()?.join("apps/sleep.yaml"))?;
    pods_are(cluster, "default", "app=sleep", 1, 2)?;
    eventually(EFFECT, "productpage", || {
        let words = ["curl", "-s", "-i", "-m", "10", "http://productpage:9080"];
        let answer = cluster.exec("default", "deploy/sleep", "sleep", &words)?;
        let server = answer
            .lines()
            .any(|line| line.trim().eq_ignore_ascii_case("server: envoy"));
        ensure!(answer.contains("200 OK") && server, "{answer}");
        Ok(())
    })?;
    Ok(String::new())
}

fn plain_text(cluster: &Cluster) -> Result<String> {
    let address = cluster.get(&["-n", "default", "service", "productpage"])?;
    let address = address["spec"]["clusterIP"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    // The platform's pod is in no mesh.
    let words = [
        "curl",
        "-s",
        "-i",
        "-m",
        "10",
        &format!("http://{address}:9080/"),
    ];
    let answer = cluster.exec("platform", "deploy/client", "client", &words)?;
    let server = answer
        .lines()
        .any(|line| line.trim().eq_ignore_ascii_case("server: istio-envoy"));
    ensure!(answer.contains("200 OK") && server, "{answer}");
    Ok(String::new())
}

fn agents(cluster: &Cluster) -> Result<String> {
    let found = eventually(EFFECT, "acknowledgements", || nothing_rejected(cluster))?;
    for (ns, pod) in proxies(cluster)? {
        let log = cluster.logs(&ns, &pod, "istio-proxy")?;
        for line in [
            "connected to delta upstream XDS server: istiod.istio-system.svc:15012",
            "Envoy proxy is ready",
        ] {
            ensure!(
                log.contains(line),
                "{ns}/{pod}'s agent does not say `{line}`"
            );
        }
        let certificates = admin(cluster, &ns, &pod, "certs")?;
        ensure!(
            certificates.contains("spiffe://cluster.local/ns/"),
            "{ns}/{pod} has no identity: {certificates}"
        );
    }
    Ok(found)
}

/// The split manifests, in the seed's order: pods appear when their accounts do.
fn own_namespace(cluster: &Cluster) -> Result<String> {
    let ns = "bookinfo";
    cluster.kubectl(&["create", "namespace", ns])?;
    cluster.kubectl(&["label", "namespace", ns, "istio-injection=enabled"])?;
    let folder = manifests()?.join("L02-bookinfo-injection/bookinfo-ns");
    let listed = std::fs::read_dir(&folder).context("bookinfo-ns")?;
    let mut files = Vec::new();
    for entry in listed {
        files.push(entry.context("bookinfo-ns")?.path());
    }
    files.sort();
    for end in ["_deploy.yaml", "_svc.yaml", "_sa.yaml"] {
        for file in &files {
            let name = file.to_string_lossy();
            if name.ends_with(end) && !name.ends_with("_tmpsvc.yaml") {
                cluster.apply_file(&["-n", ns], file)?;
            }
        }
    }
    for (labels, count) in APPS {
        pods_are(cluster, ns, labels, count, 2)?;
    }
    eventually(EFFECT, "productpage of bookinfo", || {
        let url = "http://productpage:9080/productpage";
        let ratings = pods(cluster, ns, "app=ratings")?;
        let pod = ratings.first().map(name).context("no ratings")?;
        let page = super::mesh::body(cluster, ns, pod, "ratings", url)?;
        ensure!(page.contains(TITLE), "there is no title: {page}");
        ensure!(
            page.contains("Reviews served by"),
            "there are no reviews: {page}"
        );
        Ok(())
    })?;
    let found = nothing_rejected(cluster)?;
    cluster.kubectl(&["delete", "namespace", ns, "--wait=false"])?;
    Ok(found)
}

fn second_service(cluster: &Cluster) -> Result<String> {
    let file = manifests()?.join("L02-bookinfo-injection/bookinfo-ns/productpage_tmpsvc.yaml");
    let text = std::fs::read_to_string(&file).context("productpage_tmpsvc.yaml")?;
    let service: Value = serde_yaml::from_str(&text).context("productpage_tmpsvc.yaml")?;
    cluster.apply(&["-n", "default"], &text)?;
    let found = cluster.get(&["-n", "default", "service", name(&service)])?;
    let port = found["spec"]["ports"][0]["nodePort"]
        .as_u64()
        .context("no NodePort")?;
    let port = u16::try_from(port).context("a port")?;
    eventually(EFFECT, "the NodePort", || {
        let answer = cluster.ask_port(port, |call| call, "/productpage?u=normal")?;
        ensure!(answer.status == 200, "status {}", answer.status);
        Ok(())
    })?;
    nothing_rejected(cluster)
}

fn shares(cluster: &Cluster) -> Result<String> {
    let script = "for i in $(seq 200); do curl -s -m 10 http://productpage:9080/productpage; done \
                  | grep -o 'served by: reviews-v[123]'";
    let words = ["sh", "-c", script];
    let lines = cluster.exec("default", "deploy/sleep", "sleep", &words)?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in lines.lines() {
        *counts
            .entry(line.rsplit('-').next().unwrap_or_default())
            .or_default() += 1;
    }
    let all: usize = counts.values().sum();
    for version in ["v1", "v2", "v3"] {
        let share = 100 * counts.get(version).unwrap_or(&0) / all.max(1);
        ensure!(
            (15..=55).contains(&share),
            "{version} has {share} %: {counts:?}"
        );
    }
    // Two reviews on each page.
    same("the number of reviews", &all, &400)?;
    Ok(format!("{counts:?}"))
}

/// A request through the ingress gateway, from the machine.
pub(super) fn through_ingress(
    cluster: &Cluster,
    path: &str,
    call: impl FnOnce(Call) -> Call,
) -> Result<Answer> {
    let port = cluster.node_port(ISTIO, INGRESS, "http2")?;
    cluster.ask_port(port, call, path)
}

/// Waits until a path has a status.
fn ingress_says(cluster: &Cluster, path: &str, expected: u16) -> Result<Answer> {
    eventually(EFFECT, path, || {
        let answer = through_ingress(cluster, path, |call| call)?;
        ensure!(
            answer.status == expected,
            "status {}, not {expected}",
            answer.status
        );
        Ok(answer)
    })
}

/// The documents of bookinfo-gateway.yaml: the Gateway, the VirtualService.
fn gateway_documents() -> Result<[String; 2]> {
    let file = manifests()?.join("L02-bookinfo-injection/bookinfo-gateway.yaml");
    let text = std::fs::read_to_string(&file).context("bookinfo-gateway.yaml")?;
    let mut parts = text.splitn(2, "\n---\n").map(str::to_owned);
    match (parts.next(), parts.next()) {
        (Some(gateway), Some(routes)) => Ok([gateway, routes]),
        _ => bail!("bookinfo-gateway.yaml has not two documents"),
    }
}

fn no_routes(cluster: &Cluster) -> Result<String> {
    cluster.apply(&[], &gateway_documents()?[0])?;
    ingress_says(cluster, "/productpage", 404)?;
    Ok(String::new())
}

fn gateway(cluster: &Cluster) -> Result<String> {
    let file = manifests()?.join("L02-bookinfo-injection/bookinfo-gateway.yaml");
    cluster.apply_file(&[], &file)?;
    let listed = cluster.kubectl(&["get", "gw", "--no-headers"])?;
    ensure!(listed.contains("bookinfo-gateway"), "{listed}");
    let listed = cluster.kubectl(&["get", "vs"])?;
    for word in [
        "NAME",
        "GATEWAYS",
        "HOSTS",
        "AGE",
        "bookinfo",
        "[\"bookinfo-gateway\"]",
        "[\"*\"]",
    ] {
        ensure!(
            listed.contains(word),
            "kubectl get vs has no {word}: {listed}"
        );
    }
    Ok(String::new())
}

fn ingress(cluster: &Cluster) -> Result<String> {
    let page = ingress_says(cluster, "/productpage", 200)?;
    ensure!(page.body.contains(TITLE), "there is no title");
    for path in ["/static/x", "/api/v1/products", "/api/v1/products/0"] {
        ingress_says(cluster, path, 200)?;
    }
    let login = through_ingress(cluster, "/login", |call| Call {
        method: "POST".to_owned(),
        body: "username=jason&passwd=x".to_owned(),
        ..call.header("content-type", "application/x-www-form-urlencoded")
    })?;
    ensure!(
        login.status == 302 && login.header("set-cookie").is_some(),
        "login: status {}",
        login.status
    );
    for path in ["/", "/productpages", "/health", "/details/0"] {
        let answer = ingress_says(cluster, path, 404)?;
        same(
            "the server of a refusal",
            &answer.header("server"),
            &Some("istio-envoy"),
        )?;
    }
    Ok(String::new())
}

fn node_ports(cluster: &Cluster) -> Result<String> {
    for port in ["http2", "https", "tcp"] {
        cluster.node_port(ISTIO, INGRESS, port)?;
    }
    let pods = pods(cluster, ISTIO, "istio=ingressgateway")?;
    let host = pods
        .first()
        .and_then(|pod| pod["status"]["hostIP"].as_str());
    same("the gateway's node", &host, &Some(crate::node::ADDRESS))?;
    Ok(String::new())
}

/// The Gateway's port, and the port of the pod that the ingress Service's port 666 leads to.
fn port_666(cluster: &Cluster, gateway: u16, target: u16) -> Result<u16> {
    let port = serde_json::json!({"spec": {"ports": [{"name": "book", "port": 666, "targetPort": target}]}});
    let place = ["-n", ISTIO, "patch", "service", INGRESS, "-p"];
    cluster.kubectl(&[&place[..], &[&port.to_string()]].concat())?;
    let server = serde_json::json!({"spec": {"servers": [
        {"port": {"number": gateway, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]},
    ]}});
    let words = [
        "patch",
        "gateways.networking.istio.io",
        "bookinfo-gateway",
        "--type=merge",
        "-p",
    ];
    cluster.kubectl(&[&words[..], &[&server.to_string()]].concat())?;
    cluster.node_port(ISTIO, INGRESS, "book")
}

/// Whatever comes of it, the later steps find the gateway as it was.
fn other_port(cluster: &Cluster) -> Result<String> {
    let found = on_port_666(cluster);
    let removed = r#"{"spec": {"ports": [{"$patch": "delete", "port": 666}]}}"#;
    let patch = ["-n", ISTIO, "patch", "service", INGRESS, "-p", removed];
    cluster.kubectl(&patch)?;
    unprivileged(cluster, "-")?;
    let file = manifests()?.join("L02-bookinfo-injection/bookinfo-gateway.yaml");
    cluster.apply_file(&[], &file)?;
    ingress_says(cluster, "/productpage", 200)?;
    found
}

/// Sets (`=true`) or removes (`-`) what tells us that the gateway may not bind low ports. The chart's own pods may.
fn unprivileged(cluster: &Cluster, change: &str) -> Result<()> {
    let variable = format!("ISTIO_META_UNPRIVILEGED_POD{change}");
    let target = format!("deployment/{INGRESS}");
    cluster.kubectl(&["-n", ISTIO, "set", "env", &target, &variable])?;
    cluster.available(ISTIO, INGRESS, PODS)
}

fn on_port_666(cluster: &Cluster) -> Result<String> {
    let book = port_666(cluster, 666, 10666)?;
    eventually(EFFECT, "port 666", || {
        let answer = cluster.ask_port(book, |call| call, "/productpage")?;
        same("the status", &answer.status, &200)
    })?;
    // No listener is left behind on the port that nobody asks for any more.
    eventually(EFFECT, "port 80", || {
        match through_ingress(cluster, "/productpage", |call| call) {
            Ok(answer) => same("the status", &answer.status, &404),
            Err(_) => Ok(()),
        }
    })?;
    // The pod may not bind 666: no listener, a warning, and whatever else it has goes on.
    port_666(cluster, 666, 666)?;
    unprivileged(cluster, "=true")?;
    eventually(EFFECT, "a warning", || {
        let log = cluster.logs(ISTIO, "deploy/istiod", "discovery")?;
        let told = log
            .lines()
            .any(|line| line.contains("bookinfo-gateway") && line.contains("port 666"));
        ensure!(told, "the control plane says nothing of port 666");
        Ok(())
    })?;
    nothing_rejected(cluster)
}

fn load(cluster: &Cluster) -> Result<String> {
    let port = cluster.node_port(ISTIO, INGRESS, "http2")?;
    for number in 1..=1000 {
        let answer = cluster.ask_port(port, |call| call, "/productpage");
        let answer = answer.with_context(|| format!("request {number}"))?;
        ensure!(
            answer.status == 200,
            "request {number}: status {}",
            answer.status
        );
    }
    Ok(String::new())
}

fn endpoint_leaves(cluster: &Cluster) -> Result<String> {
    let old = pods(cluster, "default", "app=reviews,version=v1")?;
    let old = old
        .first()
        .map(|pod| name(pod).to_owned())
        .context("no reviews-v1")?;
    cluster.kubectl(&["delete", "pod", &old, "--wait=false"])?;
    let begun = std::time::Instant::now();
    let mut requests = 0;
    let mut last = Duration::ZERO;
    // The pod leaves, its successor comes; for all of that time every request is answered.
    while begun.elapsed() < Duration::from_secs(8) {
        let answer = through_ingress(cluster, "/productpage", |call| call)?;
        let sorry = answer.body.contains("Sorry, product reviews");
        ensure!(
            answer.status == 200 && !sorry,
            "request {requests} fails: {}",
            answer.body
        );
        if answer.body.contains(&old) {
            last = begun.elapsed();
        }
        requests += 1;
    }
    ensure!(
        last < Duration::from_secs(4),
        "{old} answers still after {last:?}"
    );
    pods_are(cluster, "default", "app=reviews,version=v1", 1, 2)?;
    let code = status(
        cluster,
        "default",
        "deploy/sleep",
        "sleep",
        "http://reviews:9080/reviews/0",
    )?;
    same("the status of reviews", &code, &200)?;
    Ok(format!("{requests} requests"))
}

/// Never fails for a figure; only for one that cannot be had.
fn figures(cluster: &Cluster) -> Result<String> {
    let stats = cluster.kubectl(&["get", "--raw", "/api/v1/nodes/lab/proxy/stats/summary"])?;
    let stats: Value = serde_json::from_str(&stats).context("the kubelet's figures")?;
    let pods_of = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let istiod = pods_of(&stats["pods"])
        .into_iter()
        .find(|pod| {
            pod["podRef"]["name"]
                .as_str()
                .is_some_and(|name| name.starts_with("istiod-"))
        })
        .context("the kubelet has no figures of istiod")?;
    let bytes = istiod["memory"]["workingSetBytes"]
        .as_u64()
        .context("no memory")?;
    let script = r#"{range .items[*]}{.metadata.creationTimestamp} {.status.conditions[?(@.type=="Ready")].lastTransitionTime}{"\n"}{end}"#;
    let times = cluster.kubectl(&[
        "-n",
        "default",
        "get",
        "pods",
        "-o",
        &format!("jsonpath={script}"),
    ])?;
    let mut waits: Vec<u64> = times
        .lines()
        .filter_map(|line| {
            let (created, ready) = line.split_once(' ')?;
            seconds(ready)?.checked_sub(seconds(created)?)
        })
        .collect();
    waits.sort_unstable();
    Ok(format!(
        "istiod {} MiB; seconds from creation to Ready: {waits:?}",
        bytes / 1_048_576
    ))
}

/// The second of the day of a time as Kubernetes writes it.
fn seconds(time: &str) -> Option<u64> {
    let clock = time.split_once('T')?.1.trim_end_matches('Z');
    clock
        .split(':')
        .try_fold(0, |sum, part| Some(sum * 60 + part.parse::<u64>().ok()?))
}
