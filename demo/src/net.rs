//! The network of a pod: commands and tables, as text. Who runs them is in `agent` and `node`.
//!
//! The node is a network namespace with a bridge; each pod is one with a veth pair to that bridge. Nothing of it touches
//! the machine's own network.

use std::net::Ipv4Addr;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::address::{NODE, OUTSIDE, POD_PREFIX};
use crate::plan::PROXY_UID;

/// The bridge of the node.
const BRIDGE: &str = "pods";

/// The bridge's hardware address. Without one of its own a bridge takes the lowest of its ports', so that it would change
/// when a pod comes, and the other pods' packets to the node would be lost until they ask for it again.
const BRIDGE_HARDWARE: &str = "0a:58:0a:f4:00:01";

/// `ip -batch` commands that make the node.
#[must_use]
pub(crate) fn node_commands() -> String {
    format!(
        "link set lo up\n\
         link add name {BRIDGE} address {BRIDGE_HARDWARE} type bridge forward_delay 0\n\
         address add {NODE}/{POD_PREFIX} dev {BRIDGE}\n\
         address add {OUTSIDE}/32 dev lo\n\
         link set {BRIDGE} up\n"
    )
}

/// `ip -batch` commands, run on the node, that plug a pod into the bridge. The process `pid` is in the pod's namespace.
#[must_use]
pub(crate) fn plug_commands(number: u32, pid: u32) -> String {
    format!(
        "link add veth{number} type veth peer name eth0 netns {pid}\n\
         link set veth{number} master {BRIDGE}\n\
         link set veth{number} up\n"
    )
}

/// `ip -batch` commands, run in the pod. Cluster IPs need no route of their own: they take the default route, and the
/// redirection catches them before they leave.
#[must_use]
pub(crate) fn pod_commands(address: Ipv4Addr) -> String {
    format!(
        "link set lo up\n\
         address add {address}/{POD_PREFIX} dev eth0\n\
         link set eth0 up\n\
         route add default via {NODE}\n"
    )
}

/// The redirection of a pod with a sidecar, for `iptables-restore` (Istio 1.31, `istio-iptables -p 15001 -z 15006 -u 1337
/// -m REDIRECT -i '*' -b '*' -d 15090,15021,15020`; 15000 is left alone as well).
#[must_use]
pub(crate) fn redirection() -> String {
    let mut rules = String::from(
        "*nat\n:ISTIO_INBOUND - [0:0]\n:ISTIO_IN_REDIRECT - [0:0]\n:ISTIO_OUTPUT - [0:0]\n:ISTIO_REDIRECT - [0:0]\n\
         -A PREROUTING -p tcp -j ISTIO_INBOUND\n\
         -A OUTPUT -p tcp -j ISTIO_OUTPUT\n",
    );
    for port in [15008, 15090, 15021, 15020, 15000] {
        rules.push_str(&format!(
            "-A ISTIO_INBOUND -p tcp --dport {port} -j RETURN\n"
        ));
    }
    rules.push_str(
        "-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT\n\
         -A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006\n\
         -A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001\n\
         -A ISTIO_OUTPUT -s 127.0.0.6/32 -o lo -j RETURN\n",
    );
    for who in ["uid", "gid"] {
        let owner = format!("--{who}-owner {PROXY_UID}");
        rules.push_str(&format!(
            "-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -p tcp ! --dport 15008 -m owner {owner} -j ISTIO_IN_REDIRECT\n\
             -A ISTIO_OUTPUT -o lo -m owner ! {owner} -j RETURN\n\
             -A ISTIO_OUTPUT -m owner {owner} -j RETURN\n"
        ));
    }
    rules.push_str(
        "-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN\n-A ISTIO_OUTPUT -j ISTIO_REDIRECT\nCOMMIT\n",
    );
    rules
}

/// Runs a program with a text as its input; its complaint becomes the error.
pub(crate) async fn run_with_input(program: &str, arguments: &[&str], input: &str) -> Result<()> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(input.as_bytes())
            .await
            .with_context(|| format!("{program}: input"))?;
    }
    let output = child
        .wait_with_output()
        .await
        .with_context(|| format!("waiting for {program}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{program} {}: {}: {}",
            arguments.join(" "),
            output.status,
            complaint.trim()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a packet of a pod meets, by the rules' own order; only the matches that the rules use are understood.
    fn verdict(chain: &str, packet: &[(&str, &str)]) -> String {
        let value = |key: &str| {
            packet
                .iter()
                .find(|(name, _)| *name == key)
                .map_or("", |(_, value)| value)
        };
        for rule in redirection().lines().filter_map(|line| {
            line.strip_prefix(&format!("-A {chain} "))
                .map(str::to_owned)
        }) {
            let words: Vec<&str> = rule.split_whitespace().collect();
            let mut matches = true;
            let mut negated = false;
            let mut target = "";
            let mut at = 0;
            while at < words.len() {
                match words[at] {
                    "!" => {
                        negated = true;
                        at += 1;
                        continue;
                    }
                    "-j" => target = words[at + 1],
                    "-p" | "-m" => {}
                    "--to-ports" => return format!("to {}", words[at + 1]),
                    option => {
                        let holds = value(option) == words[at + 1].trim_end_matches("/32");
                        matches &= holds != negated;
                    }
                }
                negated = false;
                at += 2;
            }
            if matches {
                return match target {
                    "RETURN" => "pass".to_owned(),
                    "REDIRECT" => rule
                        .rsplit(' ')
                        .next()
                        .map(|port| format!("to {port}"))
                        .unwrap(),
                    chain => verdict(chain, packet),
                };
            }
        }
        "pass".to_owned()
    }

    #[test]
    fn redirection_catches_the_application_and_lets_the_proxy_pass() {
        let app = ("--uid-owner", "1000");
        let app_group = ("--gid-owner", "1000");
        let envoy = ("--uid-owner", "1337");
        let envoy_group = ("--gid-owner", "1337");
        let out = [
            (
                "a call to a Service",
                vec![("-d", "10.96.1.1"), ("-o", "eth0"), app, app_group],
                "to 15001",
            ),
            (
                "a call within the pod",
                vec![("-d", "127.0.0.1"), ("-o", "lo"), app, app_group],
                "pass",
            ),
            (
                "Envoy's call to an endpoint",
                vec![("-d", "10.244.1.2"), ("-o", "eth0"), envoy, envoy_group],
                "pass",
            ),
            (
                "Envoy's call to its own pod",
                vec![("-d", "10.244.1.1"), ("-o", "lo"), envoy, envoy_group],
                "to 15006",
            ),
            (
                "Envoy's call to the application",
                vec![
                    ("-s", "127.0.0.6"),
                    ("-d", "10.244.1.1"),
                    ("-o", "lo"),
                    envoy,
                ],
                "pass",
            ),
        ];
        for (what, packet, expected) in out {
            assert_eq!(verdict("OUTPUT", &packet), expected, "{what}");
        }
        for (port, expected) in [
            ("9080", "to 15006"),
            ("15021", "pass"),
            ("15090", "pass"),
            ("15000", "pass"),
        ] {
            assert_eq!(
                verdict("PREROUTING", &[("--dport", port)]),
                expected,
                "port {port}"
            );
        }
    }
}
