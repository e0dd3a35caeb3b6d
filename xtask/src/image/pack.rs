//! A root file system into an image file, with the system's tar, gzip and sha256sum.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::said;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const BLOBS: &str = "blobs/sha256";

/// A finished image.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packed {
    /// `sha256:` and the digest of the manifest: the name under which registries know the image.
    pub(super) digest: String,
    /// Of the file, in bytes.
    pub(super) size: u64,
}

/// The architecture as images name it.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Packs `root` into `output`; `work` is a folder for what lies between.
pub(super) fn pack(root: &Path, work: &Path, tag: &str, output: &Path) -> Result<Packed> {
    let layout = work.join("layout");
    let blobs = layout.join(BLOBS);
    fs::create_dir_all(&blobs).with_context(|| format!("creating {}", blobs.display()))?;

    let archive = work.join("layer.tar");
    tar(root, &archive, &["."])?;
    let unpacked = sum(&archive)?;
    said(Command::new("gzip").args(["-9", "-n", "-f"]).arg(&archive))?;
    let layer = blob(&blobs, &work.join("layer.tar.gz"))?;

    let config = text_blob(work, &blobs, &configuration(&unpacked))?;
    let manifest = text_blob(
        work,
        &blobs,
        &format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{},"layers":[{}]}}"#,
            config.described(CONFIG),
            layer.described(LAYER)
        ),
    )?;
    let name = quoted(tag);
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{MANIFEST}","digest":"sha256:{}","size":{},"annotations":{{"io.containerd.image.name":{name},"org.opencontainers.image.ref.name":{}}},"platform":{{"architecture":"{}","os":"linux"}}}}]}}"#,
        manifest.sum,
        manifest.size,
        quoted(
            tag.rsplit_once(':')
                .map_or("latest", |(_, version)| version)
        ),
        architecture()
    );
    // What `docker save` writes, for engines that know no OCI layouts.
    let docker = format!(
        r#"[{{"Config":"{BLOBS}/{}","RepoTags":[{name}],"Layers":["{BLOBS}/{}"]}}]"#,
        config.sum, layer.sum
    );
    for (file, text) in [
        ("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#),
        ("index.json", &index),
        ("manifest.json", &docker),
    ] {
        fs::write(layout.join(file), text).with_context(|| format!("writing {file}"))?;
    }
    if let Some(folder) = output.parent() {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    tar(
        &layout,
        output,
        &["oci-layout", "index.json", "manifest.json", "blobs"],
    )?;
    Ok(Packed {
        digest: format!("sha256:{}", manifest.sum),
        size: fs::metadata(output).context("the image")?.len(),
    })
}

/// How the image starts. Istio's charts give arguments only, so the program's older name is the entrypoint.
fn configuration(layer: &str) -> String {
    format!(
        r#"{{"architecture":"{}","os":"linux","created":"1970-01-01T00:00:00Z","config":{{"User":"1337:1337","Entrypoint":["/usr/local/bin/pilot-discovery"],"Env":["PATH=/usr/local/bin"],"WorkingDir":"/","ExposedPorts":{{"8080/tcp":{{}},"15010/tcp":{{}},"15012/tcp":{{}},"15014/tcp":{{}},"15017/tcp":{{}}}},"Labels":{{"org.opencontainers.image.title":"meltemi","org.opencontainers.image.version":"{}","org.opencontainers.image.licenses":"Apache-2.0"}}}},"rootfs":{{"type":"layers","diff_ids":["sha256:{layer}"]}},"history":[{{"created":"1970-01-01T00:00:00Z","created_by":"cargo xtask image"}}]}}"#,
        architecture(),
        env!("CARGO_PKG_VERSION"),
    )
}

/// A blob of the layout.
struct Blob {
    sum: String,
    size: u64,
}

impl Blob {
    fn described(&self, kind: &str) -> String {
        format!(
            r#"{{"mediaType":"{kind}","digest":"sha256:{}","size":{}}}"#,
            self.sum, self.size
        )
    }
}

/// Moves a file to the place that its content gives it.
fn blob(blobs: &Path, file: &Path) -> Result<Blob> {
    let sum = sum(file)?;
    let size = fs::metadata(file).context("a blob")?.len();
    fs::rename(file, blobs.join(&sum)).with_context(|| format!("moving {}", file.display()))?;
    Ok(Blob { sum, size })
}

fn text_blob(work: &Path, blobs: &Path, text: &str) -> Result<Blob> {
    let file = work.join("text");
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    blob(blobs, &file)
}

fn sum(file: &Path) -> Result<String> {
    let said = said(Command::new("sha256sum").arg("--").arg(file))?;
    let said = String::from_utf8_lossy(&said);
    let sum = said.split_whitespace().next().unwrap_or_default();
    // A name with odd characters makes sha256sum put a backslash first.
    Ok(sum.trim_start_matches('\\').to_owned())
}

/// An archive that says nothing about when, where and by whom it was made.
fn tar(folder: &Path, output: &Path, members: &[&str]) -> Result<()> {
    said(
        Command::new("tar")
            .arg("--create")
            .arg("--file")
            .arg(output)
            .arg("--directory")
            .arg(folder)
            .args([
                "--format=gnu",
                "--sort=name",
                "--mtime=@0",
                "--owner=0",
                "--group=0",
                "--numeric-owner",
                "--mode=u+rwX,go+rX,go-w",
            ])
            .args(members),
    )?;
    Ok(())
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
