//! L03: request routing, traffic shifting, several Gateways, what is outside of the mesh, egress.

use anyhow::{Result, ensure};

use super::calls::{Visitor, apply, curl, delete, logged};
use super::l02::through_ingress;
use super::mesh::{EFFECT, nothing_rejected, same};
use crate::cluster::Cluster;
use crate::report::{Step, needed, step};
use crate::run::eventually;

mod hosts;
mod outside;

pub(super) const STEPS: &[Step] = &[
    needed(
        "L03.4",
        "a subset that nobody defines answers 503 NC, and the DestinationRule heals it",
        undefined_subset,
    ),
    step("L03.1", "DestinationRules alone change nothing", rules),
    step("L03.2", "all requests go to v1", all_v1),
    step("L03.3", "jason's requests go to v2", jason),
    step(
        "L03.5",
        "without the rules all versions answer again",
        without_rules,
    ),
    step("L03.7", "half of the requests go to v3, none to v2", half),
    step("L03.8", "all requests go to v3", all_v3),
    step(
        "L03.11",
        "Gateways of equal port and host merge, and their routes",
        hosts::merged,
    ),
    step("L03.22", "a host of its own at the gateway", hosts::httpbin),
    step(
        "L03.25",
        "the host becomes `*`, and merges",
        hosts::any_host,
    ),
    step(
        "L03.27",
        "redirect, rewrite, CORS",
        hosts::redirect_rewrite_cors,
    ),
    needed(
        "L03.14",
        "what is outside of the mesh is reached by default",
        outside::allowed,
    ),
    step(
        "L03.16",
        "REGISTRY_ONLY refuses it, without a restart",
        outside::registry_only,
    ),
    step(
        "L03.18",
        "a ServiceEntry opens one host",
        outside::service_entry,
    ),
    step(
        "L03.19",
        "ALLOW_ANY is back, without a restart",
        outside::allowed_again,
    ),
    step(
        "L03.33",
        "requests leave through the egress gateway",
        outside::egress,
    ),
    step("L03.34", "and directly again", outside::egress_removed),
    step(
        "L03.35",
        "a workload outside of Kubernetes",
        outside::workload_entry,
    ),
    step("L03.36", "no proxy has rejected anything", nothing_rejected),
];

const FOLDER: &str = "L03-routing";

/// The tutorials' forms of a file, and today's.
fn forms(file: &str) -> [String; 2] {
    [
        format!("{FOLDER}/{file}"),
        format!("{FOLDER}/current/{file}"),
    ]
}

fn undefined_subset(cluster: &Cluster) -> Result<String> {
    super::calls::apps(cluster)?;
    apply(cluster, &forms("virtual-service-all-v1.yaml")[0])?;
    eventually(EFFECT, "503", || {
        curl(cluster, &["http://reviews:9080/reviews/0"])?.is(503)
    })?;
    logged(
        cluster,
        "default",
        "deploy/sleep",
        &["/reviews/0", " 503 NC cluster_not_found "],
    )?;
    curl(cluster, &["http://httpbin:8000/get"])?.is(200)?;
    apply(cluster, &forms("destination-rule-all.yaml")[0])?;
    Visitor::default().sees_only(cluster, "v1")?;
    delete(cluster, &forms("virtual-service-all-v1.yaml")[0])?;
    Ok(String::new())
}

fn every_version(cluster: &Cluster) -> Result<String> {
    let visitor = Visitor::default();
    eventually(EFFECT, "all versions", || {
        let counts = visitor.reviews(cluster, 60)?;
        ensure!(counts.len() == 3, "reviews {counts:?}");
        Ok(format!("{counts:?}"))
    })
}

fn rules(cluster: &Cluster) -> Result<String> {
    for form in forms("destination-rule-all.yaml") {
        apply(cluster, &form)?;
    }
    every_version(cluster)
}

fn all_v1(cluster: &Cluster) -> Result<String> {
    for form in forms("virtual-service-all-v1.yaml") {
        apply(cluster, &form)?;
        Visitor::default().sees_only(cluster, "v1")?;
    }
    Visitor::named(cluster, "jason")?.sees_only(cluster, "v1")?;
    Ok(String::new())
}

fn jason(cluster: &Cluster) -> Result<String> {
    let jason = Visitor::named(cluster, "jason")?;
    for form in forms("virtual-service-reviews-test-v2.yaml") {
        apply(cluster, &form)?;
        jason.sees_only(cluster, "v2")?;
        Visitor::default().sees_only(cluster, "v1")?;
    }
    // The match is exact.
    Visitor::named(cluster, "Jason")?.sees_only(cluster, "v1")?;
    Ok(String::new())
}

fn without_rules(cluster: &Cluster) -> Result<String> {
    delete(cluster, &forms("virtual-service-all-v1.yaml")[0])?;
    delete(cluster, &forms("virtual-service-reviews-test-v2.yaml")[0])?;
    every_version(cluster)
}

fn half(cluster: &Cluster) -> Result<String> {
    apply(cluster, &forms("virtual-service-all-v1.yaml")[0])?;
    let visitor = Visitor::default();
    visitor.sees_only(cluster, "v1")?;
    let mut found = String::new();
    for form in forms("virtual-service-reviews-50-v3.yaml") {
        apply(cluster, &form)?;
        eventually(EFFECT, "v3", || {
            let counts = visitor.reviews(cluster, 10)?;
            ensure!(counts.contains_key("v3"), "reviews {counts:?}");
            Ok(())
        })?;
        let counts = visitor.reviews(cluster, 200)?;
        let v3 = counts.get("v3").copied().unwrap_or(0);
        ensure!(
            (80..=120).contains(&v3) && !counts.contains_key("v2"),
            "reviews {counts:?}"
        );
        found = format!("{counts:?}");
    }
    Ok(found)
}

fn all_v3(cluster: &Cluster) -> Result<String> {
    for form in forms("virtual-service-reviews-v3.yaml") {
        apply(cluster, &form)?;
        Visitor::default().sees_only(cluster, "v3")?;
    }
    delete(cluster, &forms("virtual-service-all-v1.yaml")[0])?;
    every_version(cluster)
}

/// A request through the ingress gateway for a host.
fn host(cluster: &Cluster, name: &str, path: &str) -> Result<meltemi_demo::Answer> {
    through_ingress(cluster, path, |call| call.header("host", name))
}

/// Waits until a host and path answer with a status.
fn host_says(
    cluster: &Cluster,
    name: &str,
    path: &str,
    status: u16,
) -> Result<meltemi_demo::Answer> {
    eventually(EFFECT, &format!("{name}{path}"), || {
        let answer = host(cluster, name, path)?;
        same("the status", &answer.status, &status)?;
        Ok(answer)
    })
}
