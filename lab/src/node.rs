//! The node: a set of namespaces with a whole Kubernetes in it. The machine sees a bridge, a link to it and control
//! groups; all of them are gone at the end, and with the node's first process everything in it ends, however we end.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use parking_lot::Mutex;

use crate::run::{eventually, said};
use crate::{cgroups, pki, settings};

/// The node's name.
pub(crate) const NODE: &str = "lab";
/// The node's address.
pub(crate) const ADDRESS: &str = "10.77.0.11";
/// The API server's name among the node's programs.
pub(crate) const API_SERVER_NAME: &str = "kube-apiserver";
/// Where the API server listens.
pub(crate) const API_SERVER: &str = "10.77.0.11:6443";
/// Where the machine's registry listens for the node.
pub(crate) const REGISTRY: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1)), 5000);

const MACHINE: &str = "10.77.0.1/24";
const BRIDGE: &str = "mlabbr0";
const LINK: &str = "mlab0";
const SERVICES: &str = "10.96.0.0/16";
/// The kubelet writes these for the whole machine.
const SYSCTLS: [&str; 3] = [
    "vm/overcommit_memory",
    "kernel/panic",
    "kernel/panic_on_oops",
];
/// Where containerd notes the processes of containers.
const TASKS: &str = "/run/containerd/io.containerd.runtime.v2.task/k8s.io";
const END_LIMIT: Duration = Duration::from_secs(20);

/// The first process of the running node, for those who must end it without having it; 0 without one.
static RUNNING: AtomicU32 = AtomicU32::new(0);

/// The running node. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Node {
    folder: PathBuf,
    /// `unshare`, which ends with the node's first process.
    holder: Child,
    /// The first process ends when this closes, so also when we are killed.
    input: Option<ChildStdin>,
    /// As the machine sees it.
    pid: u32,
    /// The `nsenter` of each program, as the machine sees it.
    programs: Arc<Mutex<BTreeMap<&'static str, u32>>>,
    ending: Arc<AtomicBool>,
}

/// One of the node's programs.
struct Program {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
}

/// Removes what an earlier run could not.
pub(crate) fn remove_traces() -> Result<()> {
    for link in [LINK, BRIDGE] {
        let is_there = || Path::new("/sys/class/net").join(link).exists();
        if !is_there() {
            continue;
        }
        let deleted = ip(&["link", "delete", link]);
        // The link goes by itself when the node's namespace does, which can be just now.
        if is_there() {
            deleted?;
        }
    }
    restore_sysctls();
    cgroups::remove()
}

/// The bridge that the node hangs on, with the machine's address.
pub(crate) fn bridge() -> Result<()> {
    ip(&["link", "add", BRIDGE, "type", "bridge"])?;
    ip(&["address", "add", MACHINE, "dev", BRIDGE])?;
    ip(&["link", "set", BRIDGE, "up"])
}

fn ip(words: &[&str]) -> Result<()> {
    said(Command::new("ip").args(words)).map(drop)
}

impl Node {
    /// Makes the namespaces in a folder that is empty or absent, and connects them.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        prepare(folder)?;
        save_sysctls()?;
        cgroups::make()?;
        let log = log_file(folder, "node")?;
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "--net",
                "--uts",
                "--ipc",
                "--pid",
                "--fork",
                "--kill-child",
            ])
            .args(["--propagation", "private", "--mount-proc", "--", "bash"])
            .arg(folder.join("node.sh"))
            .arg(folder)
            .args([NODE, ADDRESS, SERVICES])
            .env("PATH", settings::node_path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C goes to us alone, and we end the node in order.
            .process_group(0);
        let mut holder = command.spawn().context("unshare")?;
        let input = holder.stdin.take();
        let output = holder.stdout.take().context("the node's output")?;
        let mut node = Self {
            folder: folder.to_owned(),
            pid: 0,
            holder,
            input,
            programs: Arc::default(),
            ending: Arc::default(),
        };
        let mut lines = BufReader::new(output).lines();
        node.expect(&mut lines, "namespaces")?;
        node.pid = first_child(node.holder.id())?;
        RUNNING.store(node.pid, Ordering::Release);
        let pid = node.pid.to_string();
        ip(&[
            "link", "add", LINK, "type", "veth", "peer", "name", "eth0", "netns", &pid,
        ])?;
        ip(&["link", "set", LINK, "master", BRIDGE, "up"])?;
        let input = node.input.as_mut().context("the node's input")?;
        writeln!(input).context("the node's input")?;
        node.expect(&mut lines, "network")?;
        Ok(node)
    }

    fn expect(
        &self,
        lines: &mut impl Iterator<Item = std::io::Result<String>>,
        expected: &str,
    ) -> Result<()> {
        match lines.next() {
            Some(Ok(line)) if line == expected => Ok(()),
            _ => bail!(
                "the node has no {expected}: {}",
                crate::run::tail(&self.folder.join("log/node.log"), 5)
            ),
        }
    }

    /// A command that runs in the node's namespaces.
    pub(crate) fn inside(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args([
                "-t",
                &self.pid.to_string(),
                "-m",
                "-n",
                "-p",
                "-u",
                "-i",
                "--",
            ])
            .arg(program)
            .env("PATH", settings::node_path());
        command
    }

    /// Starts what must be there before the API server is asked anything. `bin` holds Kubernetes' programs.
    pub(crate) fn start_control(&self, bin: &Path) -> Result<()> {
        self.run(containerd()?)?;
        self.run(etcd(&self.folder)?)?;
        self.run(api_server(bin))
    }

    /// Starts what asks the API server at once.
    pub(crate) fn start_rest(&self, bin: &Path) -> Result<()> {
        for program in [
            controller_manager(bin),
            scheduler(bin),
            kubelet(bin),
            kube_proxy(bin),
        ] {
            self.run(program)?;
        }
        Ok(())
    }

    /// Runs a program and starts it again when it ends, until the node ends.
    fn run(&self, program: Program) -> Result<()> {
        let Program {
            name,
            program,
            arguments,
        } = program;
        let mut log = log_file(&self.folder, name)?;
        let mut command = self.inside(self.folder.join("enter.sh"));
        command
            .arg(cgroups::PROGRAMS)
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("a log")?)
            .stderr(log.try_clone().context("a log")?)
            .process_group(0);
        let mut child = command
            .spawn()
            .with_context(|| format!("{name} does not start"))?;
        let ending = Arc::clone(&self.ending);
        let programs = Arc::clone(&self.programs);
        thread::spawn(move || {
            loop {
                programs.lock().insert(name, child.id());
                let status = child.wait();
                if ending.load(Ordering::Acquire) {
                    return;
                }
                // A full disk loses the line; the program matters more.
                let _unwritten =
                    writeln!(log, "lab: {name} ended: {status:?}; it is started again");
                // A program that cannot live must not take the machine.
                thread::sleep(Duration::from_secs(1));
                match command.spawn() {
                    Ok(again) => child = again,
                    Err(_) => return,
                }
            }
        });
        Ok(())
    }

    /// Stops one of the node's programs where it is: it keeps its connections and answers nobody.
    pub(crate) fn freeze(&self, name: &str) -> Result<()> {
        signal("STOP", first_child(self.holder_of(name)?)?)
    }

    /// Lets a program go on that was stopped.
    pub(crate) fn thaw(&self, name: &str) -> Result<()> {
        let holder = self.holder_of(name)?;
        // `nsenter` stops with its child.
        signal("CONT", holder)?;
        signal("CONT", first_child(holder)?)
    }

    fn holder_of(&self, name: &str) -> Result<u32> {
        let found = self.programs.lock().get(name).copied();
        found.with_context(|| format!("the node has no {name}"))
    }

    /// Kills the first process of a container, by the container's id.
    pub(crate) fn kill_container(&self, id: &str) -> Result<()> {
        let file = format!("{TASKS}/{id}/init.pid");
        let script = format!("kill -KILL \"$(cat {file})\"");
        said(self.inside("sh").args(["-c", &script])).map(drop)
    }

    /// Ends the node and removes its traces from the machine.
    pub(crate) fn end(&mut self) -> Result<()> {
        if self.ending.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        drop(self.input.take());
        let ended = end_running();
        kill(self.holder.id());
        self.holder.wait().context("the node's end")?;
        ended
    }
}

/// Ends the node of this program, if there is one, and removes its traces from the machine.
pub(crate) fn end_running() -> Result<()> {
    let pid = RUNNING.swap(0, Ordering::AcqRel);
    if pid != 0 {
        kill(pid);
        let proc = PathBuf::from(format!("/proc/{pid}"));
        eventually(END_LIMIT, "the end of the node", || {
            if proc.exists() && !is_zombie(pid) {
                bail!("process {pid} is alive");
            }
            Ok(())
        })?;
    }
    remove_traces()
}

/// Whether a process has ended and only waits for its parent to notice.
fn is_zombie(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ")
        .next()
        .is_some_and(|rest| rest.starts_with('Z'))
}

impl Drop for Node {
    fn drop(&mut self) {
        // Traces that cannot be removed now are removed by the next run.
        let _kept = self.end();
    }
}

/// Ends a process at once; it may have ended by itself.
fn kill(pid: u32) {
    let _ended = said(Command::new("kill").args(["-KILL", &pid.to_string()]));
}

fn signal(signal: &str, pid: u32) -> Result<()> {
    said(Command::new("kill").args([&format!("-{signal}"), &pid.to_string()])).map(drop)
}

fn first_child(parent: u32) -> Result<u32> {
    let file = format!("/proc/{parent}/task/{parent}/children");
    let text = fs::read_to_string(&file).with_context(|| format!("reading {file}"))?;
    let first = text
        .split_whitespace()
        .next()
        .context("unshare has no child")?;
    first.parse().context("a process id")
}

/// The files of the node.
fn prepare(folder: &Path) -> Result<()> {
    let kubernetes = folder.join("root/etc/kubernetes");
    let certificates = kubernetes.join("pki");
    pki::write(&certificates)?;
    let mirror =
        format!("[host.\"http://{REGISTRY}\"]\n  capabilities = [\"pull\", \"resolve\"]\n");
    for (path, text) in [
        ("node.sh", include_str!("../files/node.sh")),
        ("enter.sh", include_str!("../files/enter.sh")),
        (
            "root/etc/kubernetes/containerd.toml",
            include_str!("../files/containerd.toml"),
        ),
        (
            "root/etc/kubernetes/kubelet.yaml",
            include_str!("../files/kubelet.yaml"),
        ),
        (
            "root/etc/kubernetes/kube-proxy.yaml",
            include_str!("../files/kube-proxy.yaml"),
        ),
        ("root/etc/kubernetes/certs.d/_default/hosts.toml", &mirror),
        ("root/etc/kubernetes/resolv.conf", "nameserver 127.0.0.1\n"),
        (
            "root/etc/cni/net.d/10-lab.conflist",
            include_str!("../files/cni.json"),
        ),
    ] {
        let file = folder.join(path);
        let parent = file.parent().context("a folder")?;
        fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        fs::write(&file, text).with_context(|| format!("writing {path}"))?;
    }
    said(
        Command::new("chmod")
            .arg("755")
            .arg(folder.join("enter.sh")),
    )?;
    fs::create_dir_all(folder.join("log")).context("the logs' folder")
}

fn log_file(folder: &Path, name: &str) -> Result<File> {
    let path = folder.join("log").join(format!("{name}.log"));
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))
}

fn sysctl_notes() -> Result<PathBuf> {
    Ok(settings::cache()?.join("sysctl"))
}

/// Notes the machine's values, unless those of an earlier run are still to be restored.
fn save_sysctls() -> Result<()> {
    let mut text = String::new();
    for name in SYSCTLS {
        let value = fs::read_to_string(Path::new("/proc/sys").join(name)).context("sysctl")?;
        text.push_str(&format!("{name} {}\n", value.trim()));
    }
    fs::write(sysctl_notes()?, text).context("the machine's sysctls")
}

fn restore_sysctls() {
    let Ok(notes) = sysctl_notes() else { return };
    let Ok(text) = fs::read_to_string(&notes) else {
        return;
    };
    for (name, value) in text.lines().filter_map(|line| line.split_once(' ')) {
        // A value that cannot be written was not changed either.
        let _unwritten = fs::write(Path::new("/proc/sys").join(name), value);
    }
    let _gone = fs::remove_file(notes);
}

const PKI: &str = "/etc/kubernetes/pki";

fn program(name: &'static str, program: PathBuf, arguments: &[&str]) -> Program {
    Program {
        name,
        program,
        arguments: arguments
            .iter()
            .map(|word| word.replace("{pki}", PKI))
            .collect(),
    }
}

fn installed(name: &'static str) -> Result<PathBuf> {
    settings::on_path(name).with_context(|| format!("{name} is not installed"))
}

fn containerd() -> Result<Program> {
    let arguments = ["--config=/etc/kubernetes/containerd.toml"];
    Ok(program("containerd", installed("containerd")?, &arguments))
}

fn etcd(folder: &Path) -> Result<Program> {
    let data = format!("--data-dir={}", folder.join("etcd").display());
    let arguments = [
        "--name=lab",
        &data,
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--initial-advertise-peer-urls=http://127.0.0.1:2380",
        "--initial-cluster=lab=http://127.0.0.1:2380",
        // The state ends with the run.
        "--unsafe-no-fsync",
        "--auto-compaction-retention=1",
        "--logger=zap",
    ];
    Ok(program("etcd", installed("etcd")?, &arguments))
}

fn api_server(bin: &Path) -> Program {
    let advertise = format!("--advertise-address={ADDRESS}");
    let range = format!("--service-cluster-ip-range={SERVICES}");
    program(
        API_SERVER_NAME,
        bin.join(API_SERVER_NAME),
        &[
            &advertise,
            &range,
            "--etcd-servers=http://127.0.0.1:2379",
            "--bind-address=0.0.0.0",
            "--secure-port=6443",
            "--allow-privileged=true",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--client-ca-file={pki}/ca.crt",
            "--tls-cert-file={pki}/apiserver.crt",
            "--tls-private-key-file={pki}/apiserver.key",
            "--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt",
            "--kubelet-client-key={pki}/apiserver-kubelet-client.key",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--service-account-key-file={pki}/sa.pub",
            "--service-account-signing-key-file={pki}/sa.key",
            "--requestheader-client-ca-file={pki}/front-proxy-ca.crt",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--proxy-client-cert-file={pki}/front-proxy-client.crt",
            "--proxy-client-key-file={pki}/front-proxy-client.key",
            "--profiling=false",
            "--v=1",
        ],
    )
}

fn controller_manager(bin: &Path) -> Program {
    program(
        "kube-controller-manager",
        bin.join("kube-controller-manager"),
        &[
            "--kubeconfig={pki}/controller-manager.kubeconfig",
            "--authentication-kubeconfig={pki}/controller-manager.kubeconfig",
            "--authorization-kubeconfig={pki}/controller-manager.kubeconfig",
            "--service-account-private-key-file={pki}/sa.key",
            "--root-ca-file={pki}/ca.crt",
            "--cluster-signing-cert-file={pki}/ca.crt",
            "--cluster-signing-key-file={pki}/ca.key",
            "--use-service-account-credentials=true",
            // With the default limits the first service account takes 5 s.
            "--kube-api-qps=500",
            "--kube-api-burst=1000",
            "--leader-elect=false",
            // A lab that stops the API server for a minute must not lose its only node, and with it every endpoint.
            "--node-monitor-grace-period=10m",
            "--allocate-node-cidrs=false",
            "--bind-address=127.0.0.1",
            "--v=1",
        ],
    )
}

fn scheduler(bin: &Path) -> Program {
    program(
        "kube-scheduler",
        bin.join("kube-scheduler"),
        &[
            "--kubeconfig={pki}/scheduler.kubeconfig",
            "--authentication-kubeconfig={pki}/scheduler.kubeconfig",
            "--authorization-kubeconfig={pki}/scheduler.kubeconfig",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--v=1",
        ],
    )
}

fn kubelet(bin: &Path) -> Program {
    let name = format!("--hostname-override={NODE}");
    let address = format!("--node-ip={ADDRESS}");
    program(
        "kubelet",
        bin.join("kubelet"),
        &[
            &name,
            &address,
            "--config=/etc/kubernetes/kubelet.yaml",
            "--kubeconfig={pki}/kubelet.kubeconfig",
            "--node-labels=topology.kubernetes.io/region=r1,topology.kubernetes.io/zone=z1",
            "--v=2",
        ],
    )
}

fn kube_proxy(bin: &Path) -> Program {
    let arguments = ["--config=/etc/kubernetes/kube-proxy.yaml", "--v=2"];
    program("kube-proxy", bin.join("kube-proxy"), &arguments)
}
