//! The cluster as a lab's steps see it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use meltemi_demo::{Answer, Call, Resolver};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::golang::{self, AGENT, COREDNS, HELM, KUBERNETES};
use crate::images::{Programs, Store};
use crate::node::{self, ADDRESS, API_SERVER_NAME, Node, REGISTRY};
use crate::run::{Hopeless, eventually, fed, said};
use crate::{Choice, registry, settings};

/// How long the platform's own parts may take on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(120);
/// A container that has been restarted so often does not get well.
const CRASHES: u64 = 3;
/// Of one question to the API server.
const REQUEST_LIMIT: &str = "--request-timeout=30s";

/// The administrator's kubeconfig, in the folder of a run.
pub(crate) const KUBECONFIG: &str = "root/etc/kubernetes/pki/admin.kubeconfig";

/// A running cluster. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Cluster {
    node: Node,
    folder: PathBuf,
    kubectl: PathBuf,
    helm: PathBuf,
    meltemi: PathBuf,
    runtime: Runtime,
}

impl Cluster {
    /// Builds what is missing and starts everything, until the node is Ready and names resolve.
    pub(crate) fn start(choice: &Choice, folder: &Path, say: &dyn Fn(&str)) -> Result<Self> {
        let meltemi = &choice.meltemi;
        let begun = Instant::now();
        let kubernetes = golang::programs(&KUBERNETES, say)?;
        let helm = golang::programs(&HELM, say)?.join("helm");
        let programs = Programs {
            agent: golang::programs(&AGENT, say)?.join("pilot-agent"),
            envoy: meltemi_demo::find_or_install_envoy(None, &mut |line| say(line))?,
            coredns: golang::programs(&COREDNS, say)?.join("coredns"),
            meltemi: meltemi.clone(),
            image: choice.image.clone(),
            stand_in: std::env::current_exe().context("where this program is")?,
        };
        say(&format!("programs: {:.1} s", begun.elapsed().as_secs_f32()));
        let begun = Instant::now();
        let images = folder.join("images");
        fs::create_dir_all(&images).with_context(|| format!("creating {}", images.display()))?;
        let store = Store::pack(&programs, &images, say)?;
        say(&format!("images: {:.1} s", begun.elapsed().as_secs_f32()));
        let begun = Instant::now();
        let runtime = Runtime::new().context("starting the runtime")?;
        node::bridge()?;
        runtime.block_on(registry::serve(REGISTRY, store))?;
        let cluster = Self {
            node: Node::start(folder)?,
            folder: folder.to_owned(),
            kubectl: kubernetes.join("kubectl"),
            helm,
            meltemi: meltemi.to_owned(),
            runtime,
        };
        cluster.node.start_control(&kubernetes)?;
        eventually(START_LIMIT, "the API server", || {
            cluster.kubectl(&["get", "--raw=/readyz"])
        })?;
        say(&format!(
            "API server: {:.1} s",
            begun.elapsed().as_secs_f32()
        ));
        cluster.node.start_rest(&kubernetes)?;
        cluster.wait_for(START_LIMIT, "node/lab", "Ready", "True")?;
        say(&format!(
            "node Ready: {:.1} s",
            begun.elapsed().as_secs_f32()
        ));
        for ns in ["default", "kube-system"] {
            eventually(START_LIMIT, "the service account", || {
                cluster.kubectl(&["-n", ns, "get", "serviceaccount", "default"])
            })?;
        }
        cluster.apply(
            &["-n", "kube-system"],
            include_str!("../files/coredns.yaml"),
        )?;
        cluster.available("kube-system", "coredns", START_LIMIT)?;
        say(&format!(
            "cluster with DNS: {:.1} s",
            begun.elapsed().as_secs_f32()
        ));
        Ok(cluster)
    }

    /// Ends everything in order.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.node.end()
    }

    /// Where logs and the node's files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The control plane's program, for its verbs.
    pub(crate) fn meltemi(&self, words: &[&str]) -> Result<String> {
        said(self.environed(&self.meltemi).args(words))
    }

    /// kubectl; what it prints.
    pub(crate) fn kubectl(&self, words: &[&str]) -> Result<String> {
        said(self.environed(&self.kubectl).arg(REQUEST_LIMIT).args(words))
    }

    /// kubectl with an input.
    pub(crate) fn kubectl_fed(&self, words: &[&str], input: &str) -> Result<String> {
        fed(
            self.environed(&self.kubectl).arg(REQUEST_LIMIT).args(words),
            input,
        )
    }

    /// Applies a text; `place` is `["-n", ns]` or nothing.
    pub(crate) fn apply(&self, place: &[&str], text: &str) -> Result<String> {
        let words = [place, &["apply", "-f", "-"]].concat();
        self.kubectl_fed(&words, text)
    }

    /// Applies a file as it is.
    pub(crate) fn apply_file(&self, place: &[&str], file: &Path) -> Result<String> {
        let text =
            fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        self.apply(place, &text)
    }

    /// `kubectl get … -o json`.
    pub(crate) fn get(&self, words: &[&str]) -> Result<Value> {
        let words = [&["get", "-o", "json"], words].concat();
        serde_json::from_str(&self.kubectl(&words)?).context("kubectl's JSON")
    }

    /// helm; what it prints.
    pub(crate) fn helm(&self, words: &[&str]) -> Result<String> {
        said(self.environed(&self.helm).args(words))
    }

    fn environed(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // Helm keeps its own files where we can remove them; no proxy stands between the machine and its own node.
        command
            .env("KUBECONFIG", self.folder.join(KUBECONFIG))
            .env("HELM_CACHE_HOME", self.folder.join("helm"))
            .env("HELM_CONFIG_HOME", self.folder.join("helm"))
            .env("HELM_DATA_HOME", self.folder.join("helm"))
            .env("NO_PROXY", "*")
            .env("no_proxy", "*")
            .current_dir(settings::root());
        command
    }

    /// Waits for a condition of an object, `node/lab` or with `-n ns` before it.
    pub(crate) fn wait_for(
        &self,
        limit: Duration,
        object: &str,
        kind: &str,
        status: &str,
    ) -> Result<()> {
        eventually(limit, object, || {
            let object = self.get(&object.split(' ').collect::<Vec<_>>())?;
            match condition(&object, kind) {
                Some(found) if found["status"] == status => Ok(()),
                Some(found) => bail!("{kind} is {}: {}", found["status"], found["message"]),
                None => bail!("it has no {kind} yet"),
            }
        })
    }

    /// Waits until a Deployment's newest pods are all there and Ready, and the old ones are gone.
    pub(crate) fn available(&self, ns: &str, deployment: &str, limit: Duration) -> Result<()> {
        eventually(limit, deployment, || {
            let found = self.get(&["-n", ns, "deployment", deployment])?;
            let status = &found["status"];
            let wanted = found["spec"]["replicas"].as_u64();
            let current = status["observedGeneration"] == found["metadata"]["generation"];
            let count = |field: &str| status[field].as_u64();
            let all = ["replicas", "updatedReplicas", "availableReplicas"]
                .iter()
                .all(|field| count(field) == wanted);
            if !current || !all {
                self.crashes(ns)?;
                bail!(
                    "{} of {} replicas are available",
                    count("availableReplicas").unwrap_or(0),
                    wanted.unwrap_or(0)
                );
            }
            Ok(())
        })
    }

    /// Runs a program in a container of a pod or `deploy/NAME`; what it prints.
    pub(crate) fn exec(
        &self,
        ns: &str,
        target: &str,
        container: &str,
        words: &[&str],
    ) -> Result<String> {
        let words = [&["-n", ns, "exec", target, "-c", container, "--"], words].concat();
        self.kubectl(&words)
    }

    /// A container's log.
    pub(crate) fn logs(&self, ns: &str, target: &str, container: &str) -> Result<String> {
        self.kubectl(&["-n", ns, "logs", target, "-c", container])
    }

    /// A request from the machine to a port of the node.
    pub(crate) fn ask_port(
        &self,
        port: u16,
        call: impl FnOnce(Call) -> Call,
        path: &str,
    ) -> Result<Answer> {
        let call = call(Call::get(&format!("{ADDRESS}:{port}"), path));
        self.runtime
            .block_on(meltemi_demo::call(&Resolver::default(), &call))
    }

    /// Stops the API server where it is.
    pub(crate) fn freeze_api_server(&self) -> Result<()> {
        self.node.freeze(API_SERVER_NAME)
    }

    /// Lets the API server go on.
    pub(crate) fn thaw_api_server(&self) -> Result<()> {
        self.node.thaw(API_SERVER_NAME)
    }

    /// Kills (-9) the first process of a pod's container.
    pub(crate) fn kill_container(&self, pod: &Value, container: &str) -> Result<()> {
        let status = statuses(pod).find(|status| status["name"] == container);
        let id = status.and_then(|status| status["containerID"].as_str());
        let id = id.and_then(|id| id.strip_prefix("containerd://"));
        self.node
            .kill_container(id.with_context(|| format!("container {container} does not run"))?)
    }

    /// The node's port of a Service's port.
    pub(crate) fn node_port(&self, ns: &str, service: &str, port: &str) -> Result<u16> {
        let found = self.get(&["-n", ns, "service", service])?;
        let ports = found["spec"]["ports"].as_array();
        let port = ports.into_iter().flatten().find(|one| one["name"] == port);
        let number = port.and_then(|one| one["nodePort"].as_u64());
        let number = number.with_context(|| format!("{service} has no such NodePort"))?;
        u16::try_from(number).context("a port")
    }

    /// Fails for good when a container of a namespace ends again and again.
    pub(crate) fn crashes(&self, ns: &str) -> Result<()> {
        let pods = self.get(&["-n", ns, "pods"])?;
        for pod in pods["items"].as_array().into_iter().flatten() {
            for status in statuses(pod) {
                if status["restartCount"].as_u64().unwrap_or(0) >= CRASHES
                    && status["ready"] == false
                {
                    let (pod, container) = (&pod["metadata"]["name"], &status["name"]);
                    return Err(
                        Hopeless(format!("container {container} of pod {pod} crashes")).into(),
                    );
                }
            }
        }
        Ok(())
    }

    /// One line for each container that does not run, with the last that it said.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let pods = self.get(&["pods", "-A"]).unwrap_or_default();
        for pod in pods["items"].as_array().into_iter().flatten() {
            let meta = &pod["metadata"];
            let (Some(ns), Some(name)) = (meta["namespace"].as_str(), meta["name"].as_str()) else {
                continue;
            };
            for status in statuses(pod).filter(|status| status["ready"] == false) {
                let Some(container) = status["name"].as_str() else {
                    continue;
                };
                if status["state"]["terminated"]["exitCode"] == 0 {
                    continue;
                }
                let reason = &status["state"]["waiting"]["reason"];
                let log = self.kubectl(&["-n", ns, "logs", name, "-c", container, "--tail=3"]);
                let log = log.unwrap_or_default().trim().replace('\n', " | ");
                lines.push(format!("{ns}/{name} {container} {reason}: {log}"));
            }
        }
        lines
    }

    /// What a reader needs to find out why a step failed.
    pub(crate) fn evidence(&self) -> String {
        let mut text = String::new();
        let mut show = |title: &str, shown: Result<String>| {
            let shown = shown.unwrap_or_else(|error| format!("{error:#}"));
            let _infallible = writeln!(text, "=== {title}\n{}\n", shown.trim_end());
        };
        show("pods", self.kubectl(&["get", "pods", "-A", "-o", "wide"]));
        show(
            "events",
            self.kubectl(&["get", "events", "-A", "--sort-by=.lastTimestamp"]),
        );
        let pods = self.get(&["pods", "-A"]).unwrap_or_default();
        for pod in pods["items"].as_array().into_iter().flatten() {
            if condition(pod, "Ready").is_some_and(|ready| ready["status"] == "True") {
                continue;
            }
            let meta = &pod["metadata"];
            let (Some(ns), Some(name)) = (meta["namespace"].as_str(), meta["name"].as_str()) else {
                continue;
            };
            let title = format!("{ns}/{name}");
            show(&title, self.kubectl(&["-n", ns, "describe", "pod", name]));
            let logs = [
                "-n",
                ns,
                "logs",
                name,
                "--all-containers",
                "--prefix",
                "--tail=60",
            ];
            show(&format!("{title}: logs"), self.kubectl(&logs));
        }
        let control = [
            "-n",
            "istio-system",
            "logs",
            "-l",
            "app=istiod",
            "--tail=200",
        ];
        show("control plane", self.kubectl(&control));
        text
    }
}

/// The statuses of a pod's containers, init containers first.
pub(crate) fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .flat_map(|list| pod["status"][list].as_array().into_iter().flatten())
}

/// A condition of an object's status.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == kind)
}
