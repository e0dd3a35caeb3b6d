//! Hosts at the ingress gateway.

use anyhow::{Context as _, Result, ensure};
use meltemi_demo::Call;

use super::super::calls::{apply, delete};
use super::super::l02::through_ingress;
use super::super::mesh::same;
use super::{FOLDER, host, host_says};
use crate::cluster::Cluster;

const EXAMPLE: &str = "httpbin.example.com";

pub(super) fn merged(cluster: &Cluster) -> Result<String> {
    apply(cluster, &format!("{FOLDER}/test-gateway.yaml"))?;
    let described = cluster.kubectl(&["describe", "gw", "test-gateway"])?;
    for words in ["networking.istio.io/v1", "ingressgateway", "HTTP"] {
        ensure!(described.contains(words), "no {words}: {described}");
    }
    apply(cluster, &format!("{FOLDER}/test-virtualservice.yaml"))?;
    let listed = cluster.kubectl(&["get", "vs"])?;
    for words in ["[\"bookinfo-gateway\"]", "[\"test-gateway\"]"] {
        ensure!(listed.contains(words), "no {words}: {listed}");
    }
    let details = host_says(cluster, "any", "/details/0", 200)?;
    same("the length of details", &details.body.len(), &178)?;
    let health = host_says(cluster, "any", "/health", 200)?;
    ensure!(
        health.body.contains("Details is healthy"),
        "{}",
        health.body
    );
    for (path, status) in [("/healthz", 404), ("/productpage", 200)] {
        same(path, &host(cluster, "any", path)?.status, &status)?;
    }
    // The prefix is textual, so that details is asked, and knows no such path.
    let textual = host(cluster, "any", "/detailsX")?;
    ensure!(
        textual.header("x-envoy-upstream-service-time").is_some(),
        "details was not asked: {textual:?}"
    );
    delete(cluster, &format!("{FOLDER}/test-gateway.yaml"))?;
    delete(cluster, &format!("{FOLDER}/test-virtualservice.yaml"))?;
    host_says(cluster, "any", "/details/0", 404)?;
    same(
        "productpage",
        &host(cluster, "any", "/productpage")?.status,
        &200,
    )?;
    Ok(String::new())
}

pub(super) fn httpbin(cluster: &Cluster) -> Result<String> {
    for file in ["ingressgateway.yaml", "ingressvs.yaml"] {
        apply(cluster, &format!("{FOLDER}/{file}"))?;
    }
    let ok = host_says(cluster, EXAMPLE, "/status/200", 200)?;
    same("the server", &ok.header("server"), &Some("istio-envoy"))?;
    ensure!(
        ok.header("x-envoy-upstream-service-time").is_some(),
        "{ok:?}"
    );
    let with_port = host(cluster, &format!("{EXAMPLE}:8080"), "/status/200")?;
    same("with a port", &with_port.status, &200)?;
    let delayed = host(cluster, EXAMPLE, "/delay/2")?;
    same("the delayed answer", &delayed.status, &200)?;
    let took: u64 = delayed
        .header("x-envoy-upstream-service-time")
        .context("no time")?
        .parse()
        .context("a time")?;
    ensure!((2000..=3000).contains(&took), "it took {took} ms");
    for (name, path, status) in [
        (EXAMPLE, "/headers", 404),
        (EXAMPLE, "/productpage", 404),
        ("other.example.com", "/productpage", 200),
    ] {
        same(path, &host(cluster, name, path)?.status, &status)?;
    }
    Ok(format!("{took} ms"))
}

pub(super) fn any_host(cluster: &Cluster) -> Result<String> {
    apply(cluster, &format!("{FOLDER}/ingressgateway2.yaml"))?;
    let headers = host_says(cluster, "any", "/headers", 200)?;
    ensure!(
        headers.body.contains("X-Forwarded-For")
            || headers.body.contains("X-Envoy-External-Address"),
        "{}",
        headers.body
    );
    for (path, status) in [("/status/200", 404), ("/productpage", 200)] {
        same(path, &host(cluster, "any", path)?.status, &status)?;
    }
    delete(cluster, &format!("{FOLDER}/ingressgateway2.yaml"))?;
    host_says(cluster, "any", "/headers", 404)?;
    Ok(String::new())
}

pub(super) fn redirect_rewrite_cors(cluster: &Cluster) -> Result<String> {
    for file in ["ingressgateway.yaml", "redirect-rewrite-cors.yaml"] {
        apply(cluster, &format!("{FOLDER}/{file}"))?;
    }
    let old = host_says(cluster, EXAMPLE, "/old", 302)?;
    let location = format!("http://{EXAMPLE}/status/200");
    same("the location", &old.header("location"), &Some(&*location))?;
    let rewritten = host_says(cluster, EXAMPLE, "/rewritten", 200)?;
    ensure!(
        rewritten
            .body
            .contains("\"X-Envoy-Original-Path\": \"/rewritten\""),
        "{}",
        rewritten.body
    );
    let preflight = |origin: &'static str| {
        through_ingress(cluster, "/get", |call| Call {
            method: "OPTIONS".to_owned(),
            ..call
                .header("host", EXAMPLE)
                .header("origin", origin)
                .header("access-control-request-method", "GET")
        })
    };
    let allowed = preflight("https://shop.example.com")?;
    same("the preflight", &allowed.status, &200)?;
    for (name, value) in [
        ("access-control-allow-origin", "https://shop.example.com"),
        ("access-control-allow-methods", "GET"),
        ("access-control-allow-headers", "x-token"),
        ("access-control-max-age", "86400"),
    ] {
        same(name, &allowed.header(name), &Some(value))?;
    }
    let other = preflight("https://other.example.com")?;
    same(
        "another's age",
        &other.header("access-control-max-age"),
        &None,
    )?;
    for file in ["ingressgateway.yaml", "redirect-rewrite-cors.yaml"] {
        delete(cluster, &format!("{FOLDER}/{file}"))?;
    }
    Ok(String::new())
}
