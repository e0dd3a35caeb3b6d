//! Client certificates at the gateway.

use anyhow::{Result, ensure};

use super::super::calls::apply;
use super::super::mesh::EFFECT;
use super::client::{HELLOWORLD, HTTPBIN, NEW_ROOT, ROOT, Said, curl, file, not_shown, shown};
use super::{CREDENTIAL, TEAPOT, create, manifest, pair, remove};
use crate::cluster::Cluster;
use crate::run::eventually;

const OF_CA: &str = "client.example.com";
const OF_ANOTHER: &str = "new_certificates/client.example.com";

/// Asks with a client certificate, or without one.
fn ask(cluster: &Cluster, ca: &str, own: Option<&str>, more: &[&str]) -> Result<Said> {
    let own = own.map(|own| (format!("{own}.crt"), format!("{own}.key")));
    let mut words = more.to_vec();
    if let Some((certificate, key)) = &own {
        words.extend(["--cert", certificate, "--key", key]);
    }
    curl(cluster, HTTPBIN, TEAPOT, ca, &words)
}

/// The flags of a generic Secret: keys and the files that they hold.
fn keys(cluster: &Cluster, files: &[(&str, &str)]) -> Result<Vec<String>> {
    let flag = |(key, name): &(&str, &str)| -> Result<String> {
        Ok(format!("--from-file={key}={}", file(cluster, name)?))
    };
    files.iter().map(flag).collect()
}

pub(super) fn asked(cluster: &Cluster) -> Result<String> {
    remove(cluster, &[CREDENTIAL])?;
    let secret = keys(
        cluster,
        &[
            ("tls.key", "httpbin.example.com.key"),
            ("tls.crt", "httpbin.example.com.crt"),
            ("ca.crt", ROOT),
        ],
    )?;
    create(cluster, "generic", CREDENTIAL, &secret)?;
    apply(cluster, &manifest("mygatewayv2.yaml"))?;
    let answer = eventually(EFFECT, "a refusal", || {
        ask(cluster, ROOT, None, &[])?.refused()
    })?;
    answer.has("Request CERT (13)")?;
    ask(cluster, ROOT, None, &["--tls-max", "1.2"])?.refused()?;
    // Who may come is told, by the name of the CA.
    let text = not_shown(
        cluster,
        &["-servername", HTTPBIN, "-CAfile", ROOT, "-tls1_2"],
    )?;
    for words in [
        "Acceptable client certificate CA names\nO = example Inc., CN = example.com",
        "alert",
    ] {
        ensure!(text.contains(words), "no {words}: {text}");
    }
    // Its server is gone from the Gateway.
    curl(cluster, HELLOWORLD, "/hello", ROOT, &[])?.refused()?;
    Ok(String::new())
}

pub(super) fn shown_certificates(cluster: &Cluster) -> Result<String> {
    eventually(EFFECT, "the teapot", || {
        ask(cluster, ROOT, Some(OF_CA), &[])?.is(418)
    })?;
    ask(cluster, ROOT, Some(OF_CA), &["--tls-max", "1.2"])?.is(418)?;
    ask(cluster, ROOT, Some(OF_ANOTHER), &[])?.refused()?;
    ask(cluster, NEW_ROOT, Some(OF_CA), &[])?.refused()?;
    let own = ["-cert", "client.example.com.crt"];
    let own = [&own[..], &["-key", "client.example.com.key"]].concat();
    shown(cluster, HTTPBIN, &own, &["Verify return code: 0 (ok)"])?;
    Ok(String::new())
}

/// Every kind of Secret in turn. Each has another server certificate than the one before, so that it is this one that is
/// seen.
pub(super) fn kinds(cluster: &Cluster) -> Result<String> {
    const CA_SECRET: &str = "httpbin-credential-cacert";
    let new = "new_certificates/httpbin.example.com";
    let (new_key, new_crt) = (format!("{new}.key"), format!("{new}.crt"));
    let old = ["httpbin.example.com.key", "httpbin.example.com.crt"];
    let opaque = |key, crt, ca| keys(cluster, &[("key", key), ("cert", crt), ("cacert", ca)]);

    for (what, secret, of_ca, seen_by) in [
        (
            "generic: key, cert, cacert",
            vec![("generic", CREDENTIAL, opaque(&new_key, &new_crt, ROOT)?)],
            true,
            NEW_ROOT,
        ),
        (
            "tls and -cacert with cacert",
            vec![
                ("generic", CA_SECRET, keys(cluster, &[("cacert", ROOT)])?),
                ("tls", CREDENTIAL, pair(cluster, HTTPBIN)?),
            ],
            true,
            ROOT,
        ),
        (
            "tls and -cacert with ca.crt, of another CA",
            vec![
                (
                    "generic",
                    CA_SECRET,
                    keys(cluster, &[("ca.crt", NEW_ROOT)])?,
                ),
                ("tls", CREDENTIAL, pair(cluster, new)?),
            ],
            false,
            NEW_ROOT,
        ),
        (
            "generic: tls.key, tls.crt, ca.crt",
            vec![(
                "generic",
                CREDENTIAL,
                keys(
                    cluster,
                    &[("tls.key", old[0]), ("tls.crt", old[1]), ("ca.crt", ROOT)],
                )?,
            )],
            true,
            ROOT,
        ),
    ] {
        remove(cluster, &[CREDENTIAL, CA_SECRET])?;
        for (kind, name, words) in &secret {
            create(cluster, kind, name, words)?;
        }
        let (welcome, stranger) = if of_ca {
            (OF_CA, OF_ANOTHER)
        } else {
            (OF_ANOTHER, OF_CA)
        };
        eventually(EFFECT, what, || {
            ask(cluster, seen_by, Some(welcome), &[])?.is(418)?;
            ask(cluster, seen_by, Some(stranger), &[])?.refused()?;
            ask(cluster, seen_by, None, &[])?.refused()
        })?;
    }
    Ok("4 kinds".to_owned())
}

/// The Secret is one of its own: what Envoy has of an old one stays while the old listener drains.
pub(super) fn no_ca(cluster: &Cluster) -> Result<String> {
    create(cluster, "tls", "bare-credential", &pair(cluster, HTTPBIN)?)?;
    let path = super::super::manifests()?.join(manifest("mygatewayv2.yaml"));
    let text = std::fs::read_to_string(path)?.replace(CREDENTIAL, "bare-credential");
    cluster.apply(&[], &text)?;
    eventually(EFFECT, "nobody gets in", || {
        ask(cluster, ROOT, Some(OF_CA), &[])?.refused()
    })?;
    for own in [None, Some(OF_CA), Some(OF_ANOTHER)] {
        ask(cluster, ROOT, own, &[])?.refused()?;
    }
    apply(cluster, &manifest("mygatewayv2.yaml"))?;
    eventually(EFFECT, "the teapot again", || {
        ask(cluster, ROOT, Some(OF_CA), &[])?.is(418)
    })?;
    Ok(String::new())
}
