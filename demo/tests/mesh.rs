//! The demo's machinery without Meltemi's control plane: real namespaces, redirection and Envoys, fed by a stand-in that
//! turns the generated Pods into endpoint files. It shows that the mesh works, follows edits, loses no request while pods
//! come and go, and leaves nothing behind.
//!
//! The test is its own executable in the namespaces, so it has its own `main`.
#![allow(clippy::print_stdout)]

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use meltemi_demo::{MetricNames, Options, Section};
use serde_json::{Value, json};

const SERVICES: [&str; 4] = ["details", "productpage", "ratings", "reviews"];
const LIMIT: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    match verb() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn verb() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["demo-part", ..] => runtime()?.block_on(meltemi_demo::part(&arguments[1..])),
        [
            "serve",
            "--config-dir",
            folder,
            "--grpc-addr",
            _,
            "--http-addr",
            http,
            "--monitoring-addr",
            monitoring,
        ] => serve(Path::new(folder), http, monitoring),
        ["bootstrap", "--node", node, "--metadata", metadata, ..] => {
            bootstrap(node, Path::new(metadata))
        }
        ["run", folder, port] => {
            let options = Options {
                dir: Some(PathBuf::from(folder)),
                ingress_port: Some(port.parse()?),
                ..Options::default()
            };
            runtime()?.block_on(meltemi_demo::run(options))
        }
        ["check", folder] => check(Path::new(folder)),
        words if words.contains(&"--list") => {
            if !words.contains(&"--ignored") {
                println!("mesh: test");
            }
            Ok(())
        }
        _ => test(),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("runtime")
}

fn test() -> Result<()> {
    if let Err(reason) = meltemi_demo::check_machine() {
        println!("skipped: {reason:#}");
        return Ok(());
    }
    if let Err(reason) = meltemi_demo::find_or_install_envoy(None, &mut |line| println!("{line}")) {
        println!("skipped: {reason:#}");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/bookinfo");
    for entry in std::fs::read_dir(examples)? {
        let entry = entry?;
        std::fs::copy(entry.path(), folder.path().join(entry.file_name()))?;
    }
    // The runs' folders are in one of this test, so that what they leave behind is not somebody else's.
    let runs = tempfile::tempdir()?;
    std::fs::set_permissions(runs.path(), std::fs::Permissions::from_mode(0o711))?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut demo = Command::new(std::env::current_exe()?)
        .args(["run", &folder.path().to_string_lossy(), &port.to_string()])
        .env("TMPDIR", runs.path())
        .stdin(Stdio::null())
        .spawn()?;
    let outcome = tour(folder.path(), port);
    let signalled = Command::new("kill")
        .args(["-TERM", &demo.id().to_string()])
        .status()?;
    ensure!(signalled.success(), "the demo has ended by itself");
    let status = demo.wait()?;
    outcome?;
    ensure!(status.success(), "the demo ends with {status}");
    ensure!(
        TcpStream::connect(("127.0.0.1", port)).is_err(),
        "the port is still open"
    );
    let checked = Command::new(std::env::current_exe()?)
        .args(["check", &folder.path().to_string_lossy()])
        .env("TMPDIR", runs.path())
        .stdin(Stdio::null())
        .status()?;
    ensure!(checked.success(), "the checks end with {checked}");
    ensure!(
        std::fs::read_dir(runs.path())?.next().is_none(),
        "a run's folder is left"
    );
    let mark = runs.path().to_string_lossy();
    let left = eventually("no process is left", || Ok(processes_of(&mark).is_empty()));
    left.with_context(|| format!("{:?}", processes_of(&mark)))
}

/// The checks under load, as far as the stand-in for the control plane can serve them.
fn check(folder: &Path) -> Result<()> {
    let metrics = MetricNames {
        connected: "connected".to_owned(),
        resources_sent: "sent".to_owned(),
        bytes_sent: "bytes".to_owned(),
    };
    let options = Options {
        dir: Some(folder.to_owned()),
        ingress_port: Some(0),
        metrics,
        ..Options::default()
    };
    let report = runtime()?.block_on(meltemi_demo::check(
        options,
        &[Section::Changes, Section::Restart],
    ))?;
    println!("{report}");
    ensure!(report.passed(), "a check has failed");
    Ok(())
}

fn tour(folder: &Path, port: u16) -> Result<()> {
    eventually("the page has details and reviews", || {
        let (status, body) = get(port, "/productpage")?;
        Ok(status == 200
            && body.contains("PublisherA")
            && body.contains("Reviews served by: reviews-v"))
    })?;
    eventually("all three versions answer", || {
        Ok(pods_of_reviews(port, 30)?.len() == 3)
    })?;
    let file = folder.join("reviews.yaml");
    let one = std::fs::read_to_string(&file)?;
    std::fs::write(&file, one.replacen("replicas: 1", "replicas: 3", 1))?;
    eventually("two more pods answer", || {
        Ok(pods_of_reviews(port, 60)?.len() == 5)
    })?;
    std::fs::write(&file, one)?;
    eventually("the two pods are gone", || {
        Ok(pods_of_reviews(port, 60)?.len() == 3)
    })
}

fn pods_of_reviews(port: u16, requests: usize) -> Result<BTreeSet<String>> {
    let mut pods = BTreeSet::new();
    for _ in 0..requests {
        let (status, body) = get(port, "/api/v1/products/0/reviews")?;
        ensure!(status == 200, "status {status}: {body}");
        let body: Value = serde_json::from_str(&body)?;
        pods.insert(body["podname"].as_str().unwrap_or_default().to_owned());
    }
    Ok(pods)
}

/// Asks until it is so; errors count as not yet.
fn eventually(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    loop {
        let last = is_so();
        match last {
            Ok(true) => {
                println!("ok: {what} ({:.1} s)", begun.elapsed().as_secs_f64());
                return Ok(());
            }
            Err(error) if begun.elapsed() > LIMIT => return Err(error.context(what.to_owned())),
            Ok(false) if begun.elapsed() > LIMIT => bail!("not within {LIMIT:?}: {what}"),
            Ok(false) | Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn get(port: u16, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(15)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: books\r\nconnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    // Envoy may send the body in chunks; a JSON body is the longest line then.
    let body = if head.contains("chunked") {
        unchunked(body)
    } else {
        body.to_owned()
    };
    Ok((status, body))
}

fn unchunked(mut text: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or_default();
        body.push_str(rest.get(..size).unwrap_or_default());
        text = rest.get(size + 2..).unwrap_or_default();
    }
    body
}

/// The processes of the machine that have a text in their command line.
fn processes_of(mark: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(mark)).collect()
}

/// The stand-in for the control plane: endpoint files that follow the generated Pods.
fn serve(folder: &Path, http: &str, monitoring: &str) -> Result<()> {
    let endpoints = folder.with_file_name("endpoints");
    std::fs::create_dir_all(&endpoints)?;
    write_endpoints(folder, &endpoints)?;
    for address in [http, monitoring] {
        let listener = TcpListener::bind(address)?;
        std::thread::spawn(move || answer_all(&listener));
    }
    loop {
        write_endpoints(folder, &endpoints)?;
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Ready, and a word on the metrics, whatever is asked.
fn answer_all(listener: &TcpListener) {
    for mut stream in listener.incoming().flatten() {
        let mut request = [0_u8; 1024];
        let _read = stream.read(&mut request);
        let metrics = "connected 100\nsent 0\n";
        let length = metrics.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{metrics}"
        );
        let _written = stream.write_all(answer.as_bytes());
    }
}

fn write_endpoints(folder: &Path, endpoints: &Path) -> Result<()> {
    for service in SERVICES {
        let mut addresses = Vec::new();
        let pods = std::fs::read_dir(folder.join("cluster.generated/pods"))
            .into_iter()
            .flatten()
            .flatten();
        for pod in pods {
            // A pod's file may vanish while this reads.
            let Ok(text) = std::fs::read_to_string(pod.path()) else {
                continue;
            };
            let pod: Value = serde_json::from_str(&text)?;
            let ready = pod["status"]["conditions"][3]["status"] == "True";
            if ready && pod["metadata"]["labels"]["app"] == service {
                addresses.push(pod["status"]["podIP"].clone());
            }
        }
        let endpoint = |address: &Value| json!({"endpoint": {"address": {"socket_address": {"address": address, "port_value": 9080}}}});
        let text = json!({"resources": [{
            "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": service,
            "endpoints": [{"lb_endpoints": addresses.iter().map(endpoint).collect::<Vec<_>>()}],
        }]})
        .to_string();
        replace(&endpoints.join(format!("{service}.json")), &text)?;
    }
    replace(
        &endpoints.join("routes.json"),
        &resource_file(&routes(folder)),
    )
}

fn replace(target: &Path, text: &str) -> Result<()> {
    if std::fs::read_to_string(target).is_ok_and(|former| former == text) {
        return Ok(());
    }
    let temporary = target.with_extension("next");
    std::fs::write(&temporary, text)?;
    Ok(std::fs::rename(&temporary, target)?)
}

fn resource_file(resource: &Value) -> String {
    json!({"resources": resource}).to_string()
}

/// The routes of a sidecar: a host for each Service, and the header that the check's VirtualService sets.
fn routes(folder: &Path) -> Value {
    // Each check has its file and its header; the last document is the VirtualService.
    let mark = |file: &str, header: &str| {
        let written = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
        let last = written.rsplit("\n---\n").next().unwrap_or_default();
        let routes: Value = serde_json::from_str(last).unwrap_or_default();
        let value = &routes["spec"]["http"][0]["headers"]["response"]["set"][header];
        let value = value.as_str()?;
        Some(json!({"header": {"key": header, "value": value}}))
    };
    let marks: Vec<Value> = [
        mark("check-routes.yaml", "x-demo-edit"),
        mark("check-subsets.yaml", "x-demo-round"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut hosts: Vec<Value> = SERVICES
        .iter()
        .map(|service| host(service, &[service, &format!("{service}:9080")], service))
        .collect();
    hosts.push(host("others", &["*"], "passthrough"));
    if !marks.is_empty() {
        hosts[3]["response_headers_to_add"] = json!(marks);
    }
    json!([{"@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "name": "outbound", "virtual_hosts": hosts}])
}

/// A bootstrap with everything static but the endpoints.
fn bootstrap(node: &str, metadata: &Path) -> Result<()> {
    let run = metadata.ancestors().nth(3).context("the run's folder")?;
    let endpoints = run.join("endpoints");
    let mut clusters: Vec<Value> = SERVICES
        .iter()
        .map(|service| cluster(service, &endpoints))
        .collect();
    clusters.push(json!({"name": "app", "type": "STATIC", "load_assignment": {"cluster_name": "app", "endpoints": [
        {"lb_endpoints": [{"endpoint": {"address": socket("127.0.0.1", 9080)}}]}]}}));
    clusters.push(
        json!({"name": "passthrough", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"}),
    );
    let listeners = if node.starts_with("router~") {
        vec![listener("gateway", 8080, &inline("gateway", "productpage"))]
    } else {
        let rds = json!({"rds": {"route_config_name": "outbound", "config_source": file(&endpoints.join("routes.json"))}});
        vec![
            listener("outbound", 15001, &rds),
            listener("inbound", 15006, &inline("inbound", "app")),
        ]
    };
    let typed = |kind: &str, resources: Vec<Value>| -> Value {
        let typed = |mut resource: Value| {
            resource["@type"] = json!(format!("type.googleapis.com/envoy.config.{kind}"));
            resource
        };
        resources.into_iter().map(typed).collect()
    };
    let cds = metadata.with_file_name("cds.json");
    let lds = metadata.with_file_name("lds.json");
    std::fs::write(&cds, resource_file(&typed("cluster.v3.Cluster", clusters)))?;
    std::fs::write(
        &lds,
        resource_file(&typed("listener.v3.Listener", listeners)),
    )?;
    let text = json!({
        "node": {"id": node, "cluster": "demo"},
        "admin": {"address": socket("127.0.0.1", 15000)},
        "dynamic_resources": {"cds_config": file(&cds), "lds_config": file(&lds)},
    });
    println!("{text}");
    Ok(())
}

fn file(path: &Path) -> Value {
    json!({"path_config_source": {"path": path}, "resource_api_version": "V3"})
}

fn inline(name: &str, cluster: &str) -> Value {
    json!({"route_config": {"name": name, "virtual_hosts": [host("any", &["*"], cluster)]}})
}

fn socket(address: &str, port: u16) -> Value {
    json!({"socket_address": {"address": address, "port_value": port}})
}

fn cluster(service: &str, endpoints: &Path) -> Value {
    let source = file(&endpoints.join(format!("{service}.json")));
    json!({"name": service, "type": "EDS", "eds_cluster_config": {"service_name": service, "eds_config": source}})
}

fn host(name: &str, domains: &[&str], cluster: &str) -> Value {
    let route = json!({"match": {"prefix": "/"}, "route": {"cluster": cluster, "retry_policy": {"retry_on": "connect-failure,refused-stream"}}});
    json!({"name": name, "domains": domains, "routes": [route]})
}

fn listener(name: &str, port: u16, routes: &Value) -> Value {
    let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    let manager = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    let original =
        "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst";
    let mut http = json!({
        "@type": manager,
        "stat_prefix": name,
        "http_filters": [{"name": "router", "typed_config": {"@type": router}}],
    });
    if let (Some(http), Some(routes)) = (http.as_object_mut(), routes.as_object()) {
        http.extend(routes.clone());
    }
    json!({
        "name": name,
        "address": socket("0.0.0.0", port),
        "listener_filters": [{"name": "original_dst", "typed_config": {"@type": original}}],
        "filter_chains": [{"filters": [{"name": "http", "typed_config": http}]}],
    })
}
