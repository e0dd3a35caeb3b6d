//! Keys that the operator plugs in: a folder, usually the mounted Secret `cacerts`.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::SystemTime;

use tracing::{error, info};

use super::{CA_CERT, CA_KEY, CERT_CHAIN, GENERATED, Live, ROOT_CERT, RootsError, accept};
use crate::authority::{Material, same_roots};
use crate::settings::{Lifetimes, Roots};

/// The layout of a Secret of type `kubernetes.io/tls`, as cert-manager writes it.
const TLS_CERT: &str = "tls.crt";
const TLS_KEY: &str = "tls.key";
const TLS_ROOT: &str = "ca.crt";

/// What was in the folder at the last look, so that a mistake is reported once and not at every look.
#[derive(PartialEq, Eq)]
pub(super) struct Seen(Result<Material, String>);

impl Seen {
    pub(super) fn of(material: &Material) -> Self {
        Self(Ok(material.clone()))
    }
}

/// What the folder holds; `None`: no signing key, or one that we made ourselves.
///
/// Istio 1.31: `tls.crt` decides for the layout of TLS Secrets, `ca-key.pem` or `ca-cert.pem` for Istio's own; one file of
/// a layout without the others is an error.
pub(super) fn read(dir: &Path) -> Result<Option<Material>, RootsError> {
    let there = |name: &str| text(dir, name).map(|text| text.is_some());
    if there(GENERATED)? {
        return Ok(None);
    }
    if there(TLS_CERT)? {
        let [certificate, key, roots] = all(dir, [TLS_CERT, TLS_KEY, TLS_ROOT])?;
        return Ok(Some(Material {
            chain: format!("{}\n{roots}", certificate.trim()),
            certificate,
            key,
            roots,
        }));
    }
    if !there(CA_KEY)? && !there(CA_CERT)? {
        return Ok(None);
    }
    let [certificate, key, chain, roots] = all(dir, [CA_CERT, CA_KEY, CERT_CHAIN, ROOT_CERT])?;
    Ok(Some(Material {
        certificate,
        key,
        chain,
        roots,
    }))
}

/// A file; `None`: there is none.
fn text(dir: &Path, name: &str) -> Result<Option<String>, RootsError> {
    let path = dir.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(RootsError::Files(format!("{}: {error}", path.display()))),
    }
}

/// Files that make sense only together.
fn all<const N: usize>(dir: &Path, names: [&'static str; N]) -> Result<[String; N], RootsError> {
    let mut texts = [const { String::new() }; N];
    let mut missing = Vec::new();
    for (slot, name) in texts.iter_mut().zip(names) {
        match text(dir, name)? {
            Some(text) => *slot = text,
            None => missing.push(name),
        }
    }
    if missing.is_empty() {
        return Ok(texts);
    }
    Err(RootsError::Files(format!(
        "{} is incomplete: {} missing (needed: {})",
        dir.display(),
        missing.join(", "),
        names.join(", ")
    )))
}

/// Looks at the folder again. What cannot be used is reported, and the authority stays as it is.
///
/// Istio 1.31: with the same roots any new signer is taken. Other roots are taken only with `ISTIO_MULTIROOT_MESH`, and
/// only when one bundle holds the other: roots come before their first use and go after their last.
pub(super) fn reload(
    live: &Live,
    settings: &Roots,
    lifetimes: Lifetimes,
    seen: &mut Seen,
    now: SystemTime,
) {
    let place = settings.dir.display().to_string();
    let found = match read(&settings.dir) {
        Ok(Some(material)) => Ok(material),
        Ok(None) => Err(format!("{place}: the signing key is gone")),
        Err(error) => Err(error.to_string()),
    };
    let found = Seen(found);
    if *seen == found {
        return;
    }
    let result = match &found.0 {
        Ok(material) if *live.authority().material() == *material => Ok(()),
        Ok(material) => take(live, settings, lifetimes, material, now),
        Err(error) => Err(error.clone()),
    };
    match result {
        Ok(()) => info!(dir = %place, "took over the plugged-in keys"),
        Err(error) => {
            error!(dir = %place, %error, "plugged-in keys are ignored; the old ones stay in use")
        }
    }
    *seen = found;
}

fn take(
    live: &Live,
    settings: &Roots,
    lifetimes: Lifetimes,
    material: &Material,
    now: SystemTime,
) -> Result<(), String> {
    let place = settings.dir.display().to_string();
    let authority = accept(material.clone(), lifetimes, &place).map_err(|e| e.to_string())?;
    if authority.expired(now) {
        return Err(RootsError::Expired(place).to_string());
    }
    let old = live.authority();
    if !same_roots(old.roots(), authority.roots()) {
        if !settings.multi_root {
            return Err("the roots changed, and ISTIO_MULTIROOT_MESH is not set".to_owned());
        }
        let within = |a: &[_], b: &[_]| a.iter().all(|root| b.contains(root));
        if !within(old.roots(), authority.roots()) && !within(authority.roots(), old.roots()) {
            return Err(
                "the roots changed, and neither the old nor the new bundle holds the other"
                    .to_owned(),
            );
        }
    }
    live.replace(authority);
    Ok(())
}
