//! Who makes certificates and asks over TLS: openssl and curl of the machine, in a folder of the run.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::super::mesh::{INGRESS, ISTIO};
use crate::cluster::Cluster;
use crate::node::ADDRESS;
use crate::run::{output, said};

/// The tutorial's first host.
pub(super) const HTTPBIN: &str = "httpbin.example.com";
/// Its second host.
pub(super) const HELLOWORLD: &str = "helloworld-v1.example.com";
/// The first root, in the folder of certificates.
pub(super) const ROOT: &str = "example.com.crt";
/// The root of the rotation.
pub(super) const NEW_ROOT: &str = "new_certificates/example.com.crt";

/// curl: the server's certificate is not to be trusted, the handshake fails, or the connection breaks in it.
const HANDSHAKE: [i32; 4] = [16, 35, 56, 60];

/// The folder of certificates.
pub(super) fn folder(cluster: &Cluster) -> Result<PathBuf> {
    let folder = cluster.folder().join("tls");
    for place in [folder.clone(), folder.join("new_certificates")] {
        fs::create_dir_all(&place).with_context(|| format!("creating {}", place.display()))?;
    }
    Ok(folder)
}

/// A file of the folder, for kubectl.
pub(super) fn file(cluster: &Cluster, name: &str) -> Result<String> {
    Ok(folder(cluster)?.join(name).to_string_lossy().into_owned())
}

fn openssl(cluster: &Cluster, words: &[&str]) -> Result<()> {
    said(
        Command::new("openssl")
            .current_dir(folder(cluster)?)
            .args(words),
    )
    .map(drop)
}

/// A root as the tutorial makes it; `place` is "" or `new_certificates/`.
pub(super) fn root(cluster: &Cluster, place: &str) -> Result<()> {
    let (key, certificate) = (
        format!("{place}example.com.key"),
        format!("{place}example.com.crt"),
    );
    let words = "req -x509 -sha256 -nodes -days 365 -newkey rsa:2048 -subj";
    let mut words: Vec<&str> = words.split(' ').collect();
    words.extend(["/O=example Inc./CN=example.com", "-keyout", &key]);
    words.extend(["-out", &certificate]);
    openssl(cluster, &words)
}

/// A certificate of the root in the same place: `place/NAME.example.com.{key,csr,crt}`.
pub(super) fn leaf(
    cluster: &Cluster,
    place: &str,
    name: &str,
    organization: &str,
    serial: &str,
) -> Result<()> {
    signed(cluster, place, name, organization, serial, &[])
}

/// An authority below the root in the same place.
pub(super) fn intermediate(cluster: &Cluster, name: &str) -> Result<()> {
    let extensions = folder(cluster)?.join("ca.ext");
    fs::write(&extensions, "basicConstraints=critical,CA:TRUE\n").context("extensions")?;
    let words = ["-extfile", "ca.ext"];
    signed(cluster, "", name, "example intermediate", "7", &words)
}

fn signed(
    cluster: &Cluster,
    place: &str,
    name: &str,
    organization: &str,
    serial: &str,
    more: &[&str],
) -> Result<()> {
    let root = format!("{place}example.com");
    by(
        cluster,
        &root,
        &format!("{place}{name}.example.com"),
        &format!("/CN={name}.example.com/O={organization}"),
        serial,
        more,
    )
}

/// A certificate by any authority of the folder: files without their endings, and the subject.
pub(super) fn by(
    cluster: &Cluster,
    authority: &str,
    files: &str,
    subject: &str,
    serial: &str,
    more: &[&str],
) -> Result<()> {
    let ending = |ending: &str| format!("{files}.{ending}");
    let (key, request, certificate) = (ending("key"), ending("csr"), ending("crt"));
    let words = ["req", "-out", &request, "-newkey", "rsa:2048", "-nodes"];
    let words = [&words[..], &["-keyout", &key, "-subj", subject]].concat();
    openssl(cluster, &words)?;
    let (ca, ca_key) = (format!("{authority}.crt"), format!("{authority}.key"));
    let words = [
        "x509",
        "-req",
        "-sha256",
        "-days",
        "365",
        "-CA",
        &ca,
        "-CAkey",
        &ca_key,
        "-set_serial",
        serial,
        "-in",
        &request,
        "-out",
        &certificate,
    ];
    openssl(cluster, &[&words, more].concat())
}

/// The gateway's port for HTTPS on the machine.
pub(super) fn port(cluster: &Cluster) -> Result<u16> {
    cluster.node_port(ISTIO, INGRESS, "https")
}

/// What curl said.
#[derive(Debug, Clone)]
pub(super) struct Said {
    /// curl's exit code.
    exit: i32,
    /// 0 without an answer.
    status: u16,
    /// What curl says of the handshake, head and body.
    text: String,
}

impl Said {
    /// An error unless the status is this.
    pub(super) fn is(self, status: u16) -> Result<Self> {
        ensure!(
            self.status == status && self.exit == 0,
            "status {}, exit {}, not {status}: {}",
            self.status,
            self.exit,
            self.text
        );
        Ok(self)
    }

    /// An error unless curl or the answer says these words.
    pub(super) fn has(self, words: &str) -> Result<Self> {
        ensure!(self.text.contains(words), "no {words}: {}", self.text);
        Ok(self)
    }

    /// An error unless the handshake failed: no answer of HTTP.
    pub(super) fn refused(self) -> Result<Self> {
        ensure!(
            self.status == 0 && HANDSHAKE.contains(&self.exit),
            "status {}, exit {}: {}",
            self.status,
            self.exit,
            self.text
        );
        Ok(self)
    }
}

/// The tutorial's curl, which trusts one file of the folder.
pub(super) fn curl(
    cluster: &Cluster,
    host: &str,
    path: &str,
    ca: &str,
    more: &[&str],
) -> Result<Said> {
    curl_as(cluster, host, host, path, ca, more)
}

/// The same with a header Host that may be another's.
pub(super) fn curl_as(
    cluster: &Cluster,
    host: &str,
    header: &str,
    path: &str,
    ca: &str,
    more: &[&str],
) -> Result<Said> {
    let port = port(cluster)?;
    let mut command = https(cluster, port, host, ca)?;
    command.arg(format!("-HHost:{header}"));
    command.args(["-v", "-w", "\n%{http_code}"]).args(more);
    command.arg(format!("https://{host}:{port}{path}"));
    let output = output(&mut command, "")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let (body, status) = printed.rsplit_once('\n').context("no status")?;
    let handshake = String::from_utf8_lossy(&output.stderr);
    Ok(Said {
        exit: output.status.code().unwrap_or(-1),
        status: status.parse().context("a status")?,
        text: format!("{handshake}\n{body}"),
    })
}

/// curl for a host of the gateway, without the address.
pub(super) fn https(cluster: &Cluster, port: u16, host: &str, ca: &str) -> Result<Command> {
    let mut command = Command::new("curl");
    command
        .current_dir(folder(cluster)?)
        .args(["-q", "-s", "-S", "-m", "20", "--noproxy", "*"])
        .args(["--resolve", &format!("{host}:{port}:{ADDRESS}")])
        .args(["--cacert", ca]);
    Ok(command)
}

/// `openssl s_client`: whether the handshake went well, and what it shows.
pub(super) fn handshake(cluster: &Cluster, words: &[&str]) -> Result<(bool, String)> {
    let address = format!("{ADDRESS}:{}", port(cluster)?);
    let mut command = Command::new("openssl");
    command.current_dir(folder(cluster)?).args(["s_client"]);
    command.args(["-connect", &address, "-verify_return_error"]);
    let output = output(command.args(["-showcerts"]).args(words), "")?;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok((output.status.success(), text))
}

/// A handshake with a host that goes well, and shows all of these words.
pub(super) fn shown(cluster: &Cluster, host: &str, more: &[&str], words: &[&str]) -> Result<()> {
    let (well, text) = handshake(
        cluster,
        &[&["-servername", host, "-CAfile", ROOT], more].concat(),
    )?;
    ensure!(well, "{host}: the handshake fails: {text}");
    for words in words {
        ensure!(text.contains(words), "{host}: no {words}: {text}");
    }
    Ok(())
}

/// A handshake that fails.
pub(super) fn not_shown(cluster: &Cluster, words: &[&str]) -> Result<String> {
    let (well, text) = handshake(cluster, words)?;
    ensure!(!well, "{words:?}: the handshake goes well: {text}");
    Ok(text)
}
