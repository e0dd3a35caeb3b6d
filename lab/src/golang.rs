//! Programs that are built from Go modules, once, into the cache. Nothing but the module proxy is asked.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::run::said;
use crate::settings;

/// From this release on `go` fetches the toolchain that a module asks for by itself.
const OLDEST: (u32, u32) = (1, 21);

/// A module and the programs that are built from it.
#[derive(Debug)]
pub(crate) struct Module {
    /// Its folder in the cache.
    name: &'static str,
    path: &'static str,
    version: &'static str,
    /// Modules whose version differs from what the module's own go.mod asks for.
    replaced: &'static [(&'static str, &'static str)],
    /// Name of the program and the package that it is built from.
    programs: &'static [(&'static str, &'static str)],
    flags: &'static [&'static str],
    linked: &'static str,
    /// A main.go of our own.
    source: Option<&'static str>,
}

/// Kubernetes. Its staging modules are replaced by their releases, which carry the same number with a 0.
pub(crate) const KUBERNETES: Module = Module {
    name: "kubernetes-1.36.3",
    path: "k8s.io/kubernetes",
    version: "v1.36.3",
    replaced: &[],
    programs: &[
        ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
        (
            "kube-controller-manager",
            "k8s.io/kubernetes/cmd/kube-controller-manager",
        ),
        ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
        ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
        ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
        ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    ],
    flags: &[],
    linked: "-X k8s.io/component-base/version.gitVersion=v1.36.3 \
             -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36",
    source: None,
};
const STAGING: &str = "v0.36.3";

/// CoreDNS with the plugins that a cluster needs: all of them would take many times as long to build.
pub(crate) const COREDNS: Module = Module {
    name: "coredns-1.14.6",
    path: "github.com/coredns/coredns",
    version: "v1.14.6",
    replaced: &[],
    programs: &[("coredns", ".")],
    flags: &[],
    linked: "",
    source: Some(include_str!("../files/coredns.go")),
};

/// Helm.
pub(crate) const HELM: Module = Module {
    name: "helm-3.22.0",
    path: "helm.sh/helm/v3",
    version: "v3.22.0",
    replaced: &[],
    programs: &[("helm", "helm.sh/helm/v3/cmd/helm")],
    flags: &[],
    linked: "",
    source: None,
};

/// Istio's agent. The proxy of Go modules does not serve the pre-releases that Istio pins: releases stand in.
pub(crate) const AGENT: Module = Module {
    name: "pilot-agent-1.31",
    path: "istio.io/istio",
    version: "v0.0.0-20260827124520-eed52ebb66ad",
    replaced: &[
        ("istio.io/api", "v1.31.1"),
        ("istio.io/client-go", "v1.31.1"),
        ("github.com/envoyproxy/go-control-plane/envoy", "v1.38.0"),
        (
            "github.com/envoyproxy/go-control-plane/contrib",
            "v1.36.1-0.20260729145720-a2d8c7492908",
        ),
    ],
    programs: &[("pilot-agent", "istio.io/istio/pilot/cmd/pilot-agent")],
    flags: &["-tags=vtprotobuf,agent"],
    linked: "",
    source: None,
};

/// Whether there is a `go` that can build them; if not, why.
pub(crate) fn check() -> Result<()> {
    if settings::on_path("go").is_none() {
        bail!(
            "there is no `go` on the PATH (Debian's golang-go is too old: take {}.{} or newer from go.dev)",
            OLDEST.0,
            OLDEST.1
        );
    }
    let version = said(Command::new("go").args(["env", "GOVERSION"]))?;
    let numbers: Vec<u32> = version
        .trim()
        .trim_start_matches("go")
        .split('.')
        .filter_map(|part| part.parse().ok())
        .collect();
    match numbers.as_slice() {
        [major, minor, ..] if (*major, *minor) >= OLDEST => Ok(()),
        _ => bail!(
            "{} is too old: {}.{} or newer is needed",
            version.trim(),
            OLDEST.0,
            OLDEST.1
        ),
    }
}

/// The folder with a module's programs; those that are missing are built. `say` hears what takes long.
pub(crate) fn programs(module: &Module, say: &dyn Fn(&str)) -> Result<PathBuf> {
    let home = settings::cache()?.join(module.name);
    let bin = home.join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("creating {}", bin.display()))?;
    for (program, package) in module.programs {
        let target = bin.join(program);
        if target.is_file() {
            continue;
        }
        say(&format!(
            "building {program} {} from its Go module",
            module.version
        ));
        let begun = Instant::now();
        let source = require(module, &home).with_context(|| {
            format!(
                "{} {} cannot be had from the Go module proxy",
                module.path, module.version
            )
        })?;
        let unfinished = bin.join(format!(".{program}"));
        let mut build = go(&source);
        build
            .args(["build", "-trimpath"])
            .args(module.flags)
            .arg(format!("-ldflags=-s -w {}", module.linked))
            .arg("-o")
            .arg(&unfinished)
            .arg(package);
        said(&mut build).with_context(|| format!("building {program}"))?;
        fs::rename(&unfinished, &target).with_context(|| format!("moving {program}"))?;
        say(&format!(
            "built {program} in {} s",
            begun.elapsed().as_secs()
        ));
    }
    Ok(bin)
}

/// The folder of a module's source in Go's cache.
pub(crate) fn source(module: &Module) -> Result<PathBuf> {
    let home = settings::cache()?.join(module.name);
    let folder = require(module, &home)?;
    let found = said(go(&folder).args(["list", "-m", "-f", "{{.Dir}}", module.path]))?;
    if found.trim().is_empty() {
        // The source can be gone from Go's cache while the program is still in ours.
        said(go(&folder).args(["mod", "download", module.path]))?;
        let found = said(go(&folder).args(["list", "-m", "-f", "{{.Dir}}", module.path]))?;
        return Ok(PathBuf::from(found.trim()));
    }
    Ok(PathBuf::from(found.trim()))
}

fn go(folder: &Path) -> Command {
    // The machine is shared: a build of minutes may not take it over.
    let mut go = Command::new("nice");
    go.arg("go")
        .current_dir(folder)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-buildvcs=false -mod=mod")
        .env("GOWORK", "off");
    go
}

/// A module of our own that requires the given one; its go.mod is written once.
fn require(module: &Module, home: &Path) -> Result<PathBuf> {
    let folder = home.join("source");
    let finished = folder.join("go.sum");
    if finished.is_file() {
        return Ok(folder);
    }
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let plain = format!(
        "module meltemi.example/{}\n\ngo 1.26\n",
        module.name.replace('.', "-")
    );
    let file = folder.join("go.mod");
    fs::write(&file, &plain).context("go.mod")?;
    let mut text = plain;
    for (path, version) in module.replaced {
        writeln!(text, "\nreplace {path} => {path} {version}")?;
    }
    if module.path == KUBERNETES.path {
        for path in staging(module, &folder)? {
            writeln!(text, "\nreplace {path} => {path} {STAGING}")?;
        }
    }
    fs::write(&file, text).context("go.mod")?;
    if let Some(source) = module.source {
        fs::write(folder.join("main.go"), source).context("main.go")?;
    }
    said(go(&folder).args(["get", &format!("{}@{}", module.path, module.version)]))?;
    Ok(folder)
}

/// The modules that Kubernetes' own go.mod takes from its staging folder.
fn staging(module: &Module, folder: &Path) -> Result<Vec<String>> {
    let spec = format!("{}@{}", module.path, module.version);
    let found = said(go(folder).args(["mod", "download", "-json", &spec]))?;
    let found: serde_json::Value = serde_json::from_str(&found).context("go mod download")?;
    let file = found["GoMod"].as_str().context("no go.mod")?;
    let text = fs::read_to_string(file).with_context(|| format!("reading {file}"))?;
    Ok(staged(&text))
}

fn staged(go_mod: &str) -> Vec<String> {
    let path = |line: &str| {
        let (path, target) = line.trim().split_once(" => ")?;
        let path = path.strip_prefix("replace ").unwrap_or(path);
        target.starts_with("./staging/").then(|| path.to_owned())
    };
    let mut found: Vec<String> = go_mod.lines().filter_map(path).collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staging_modules_are_read_from_go_mod() {
        let text = "replace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n\tother => ../x\n)\n\
                    replace k8s.io/kms => ./staging/src/k8s.io/kms\n";
        assert_eq!(staged(text), ["k8s.io/api", "k8s.io/kms"]);
    }
}
