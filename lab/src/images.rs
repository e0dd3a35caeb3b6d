//! The images of the lab, and what a registry answers for their names.
//!
//! Every registry name leads here, so manifests run unmodified. A name that is not one of ours is an application, played
//! by a stand-in that is chosen by that name.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::golang::{self, AGENT};
use crate::layer::{self, Layer};
use crate::{debian, stand_in};

/// The folder of the bootstrap template in the module that pilot-agent is built from.
const TEMPLATE: &str = "tools/packaging/common/envoy_bootstrap.json";
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What images are made from.
#[derive(Debug)]
pub(crate) struct Programs {
    /// pilot-agent of Istio.
    pub(crate) agent: PathBuf,
    /// Envoy.
    pub(crate) envoy: PathBuf,
    /// CoreDNS.
    pub(crate) coredns: PathBuf,
    /// The control plane under test.
    pub(crate) meltemi: PathBuf,
    /// This program, which plays the applications.
    pub(crate) stand_in: PathBuf,
}

/// The layers that images consist of.
#[derive(Debug)]
pub(crate) struct Store {
    root: Layer,
    proxy: Layer,
    pilot: Layer,
    coredns: Layer,
    stand_in: Layer,
}

/// What a registry serves for one name.
#[derive(Debug)]
pub(crate) struct Image {
    /// The image's configuration, which the manifest names.
    pub(crate) config: Vec<u8>,
    /// The manifest.
    pub(crate) manifest: Vec<u8>,
}

/// How an image's program starts.
#[derive(Debug, Default)]
struct Start {
    entrypoint: Vec<String>,
    command: Vec<String>,
    env: Vec<String>,
    user: &'static str,
}

impl Store {
    /// Packs all layers into a folder.
    pub(crate) fn pack(programs: &Programs, folder: &Path, say: &dyn Fn(&str)) -> Result<Self> {
        let template = golang::source(&AGENT)?.join(TEMPLATE);
        let template = std::fs::read(&template)
            .with_context(|| format!("Istio's bootstrap template {}", template.display()))?;
        Ok(Self {
            root: debian::root(say)?,
            proxy: layer::write(folder.join("proxy.tar"), |writer| {
                writer.proxy_folder("etc/istio/proxy")?;
                writer.proxy_folder("var/lib/istio/data")?;
                writer.file(
                    "var/lib/istio/envoy/envoy_bootstrap_tmpl.json",
                    0o644,
                    &template,
                )?;
                writer.program(Path::new("usr/local/bin/pilot-agent"), &programs.agent)?;
                writer.program(Path::new("usr/local/bin/envoy"), &programs.envoy)
            })?,
            pilot: layer::write(folder.join("pilot.tar"), |writer| {
                writer.program(
                    Path::new("usr/local/bin/pilot-discovery"),
                    &programs.meltemi,
                )
            })?,
            coredns: layer::write(folder.join("coredns.tar"), |writer| {
                debian::accounts(writer)?;
                writer.program(Path::new("coredns"), &programs.coredns)
            })?,
            stand_in: layer::write(folder.join("stand-in.tar"), |writer| {
                writer.program(stand_in::program(), &programs.stand_in)?;
                writer.file(
                    "usr/local/bin/gunicorn",
                    0o755,
                    b"#!/bin/sh\nexec /usr/local/bin/stand-in stand-in httpbin \"$@\"\n",
                )
            })?,
        })
    }

    /// The image of a name, by its last part; the tag and the registry do not matter.
    pub(crate) fn image(&self, name: &str) -> Result<Image> {
        let last = name.rsplit('/').next().unwrap_or(name);
        let stand_in = format!("/{}", stand_in::program().display());
        let entrypoint = |words: &[&str]| Start {
            entrypoint: words.iter().map(|word| (*word).to_owned()).collect(),
            ..Start::default()
        };
        let (layers, start) = match last {
            "proxyv2" => (
                vec![&self.root, &self.proxy],
                Start {
                    env: vec![
                        "ISTIO_META_ISTIO_PROXY_SHA=upstream".to_owned(),
                        "ISTIO_META_ISTIO_VERSION=1.31.0".to_owned(),
                    ],
                    ..entrypoint(&["/usr/local/bin/pilot-agent"])
                },
            ),
            // The charts say runAsNonRoot, so that the image must name a user by number.
            "pilot" | "meltemi" => (
                vec![&self.root, &self.pilot],
                Start {
                    user: "1337:1337",
                    ..entrypoint(&["/usr/local/bin/pilot-discovery"])
                },
            ),
            "coredns" => (vec![&self.coredns], entrypoint(&["/coredns"])),
            "pause" => (
                vec![&self.root, &self.stand_in],
                entrypoint(&[&stand_in, "pause"]),
            ),
            "curl" | "base" | "sleep" | "busybox" => (
                vec![&self.root],
                Start {
                    command: vec!["/bin/sh".to_owned()],
                    ..Start::default()
                },
            ),
            image => (
                vec![&self.root, &self.stand_in],
                entrypoint(&[&stand_in, "stand-in", image]),
            ),
        };
        described(&layers, &start)
    }

    /// The file of a layer, by its digest.
    pub(crate) fn layer(&self, digest: &str) -> Option<&Layer> {
        [
            &self.root,
            &self.proxy,
            &self.pilot,
            &self.coredns,
            &self.stand_in,
        ]
        .into_iter()
        .find(|layer| layer.digest == digest)
    }
}

fn described(layers: &[&Layer], start: &Start) -> Result<Image> {
    let mut env = vec![PATH.to_owned()];
    env.extend(start.env.iter().cloned());
    let mut config = json!({"Env": env, "User": start.user, "WorkingDir": "/"});
    for (name, words) in [("Entrypoint", &start.entrypoint), ("Cmd", &start.command)] {
        if !words.is_empty() {
            config[name] = json!(words);
        }
    }
    let diffs: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
    let created = "1970-01-01T00:00:00Z";
    let history: Vec<Value> = diffs.iter().map(|_| json!({"created": created})).collect();
    let config = serde_json::to_vec(&json!({
        "architecture": architecture(),
        "os": "linux",
        "created": created,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": diffs},
        "history": history,
    }))?;
    let listed: Vec<Value> = layers
        .iter()
        .map(|layer| {
            json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": layer.digest,
                "size": layer.size,
            })
        })
        .collect();
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": layer::digest(&config),
            "size": config.len(),
        },
        "layers": listed,
    }))?;
    Ok(Image { config, manifest })
}

/// The media type of a manifest.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// In the words of the image format, which are Go's.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    }
}
