//! L04: timeouts, retries, circuit breaking, outlier detection, local rate limits.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::calls::{Visitor, all, apply, apps, curl, delete, lines, log_lines, logged, statuses};
use super::mesh::{EFFECT, name, nothing_rejected, pods, pods_are};
use crate::cluster::Cluster;
use crate::report::{Step, needed, step};
use crate::run::eventually;

mod breaking;

pub(super) const STEPS: &[Step] = &[
    needed("L04.1", "reviews answers with black stars", v2),
    step("L04.2", "a delay of 2 s by the deprecated `percent`", delay),
    step("L04.3", "a timeout of 1 s, twice, gives 504", timeout),
    step("L04.4", "ratings is asked exactly twice", asked_twice),
    step("L04.6", "a timeout of 3 s at a caller", timeout_3s),
    step(
        "L04.7",
        "three retries, and none for what is not named",
        retries,
    ),
    step("L04.9", "a timeout for each try", per_try),
    step("L04.8", "retries can be switched off", no_retries),
    step(
        "L04.12",
        "a connection and a waiting request are too few for many",
        breaking::overflow,
    ),
    step(
        "L04.15",
        "the proxy counts what it refused",
        breaking::counted,
    ),
    step("L04.16", "a pod that fails is ejected", breaking::ejected),
    step(
        "L04.17",
        "without the rule everything answers",
        breaking::healed,
    ),
    step("L04.18", "an EnvoyFilter limits the rate to 4", rate_limit),
    step("L04.19", "two pods share the load", shares),
    step("L04.20", "no proxy has rejected anything", nothing_rejected),
];

const FOLDER: &str = "L04-resilience";
const REVIEWS: &str = "/api/v1/products/0/reviews";

fn file(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

fn v2(cluster: &Cluster) -> Result<String> {
    apps(cluster)?;
    apply(cluster, "L03-routing/destination-rule-all.yaml")?;
    apply(cluster, &file("reviewsv2.yaml"))?;
    Visitor::default().sees_only(cluster, "v2")?;
    Ok(String::new())
}

/// A page, and how long it took.
fn page(cluster: &Cluster, path: &str, status: u16) -> Result<(String, f64)> {
    let begun = std::time::Instant::now();
    let answer = Visitor::default().get(cluster, path)?;
    ensure!(
        answer.status == status,
        "status {}, not {status}: {}",
        answer.status,
        answer.body
    );
    Ok((answer.body, begun.elapsed().as_secs_f64()))
}

fn delay(cluster: &Cluster) -> Result<String> {
    apply(cluster, &file("delay.yaml"))?;
    let took = eventually(EFFECT, "2 s", || {
        let (body, took) = page(cluster, "/productpage", 200)?;
        ensure!((2.0..=3.0).contains(&took), "it took {took} s");
        ensure!(body.contains("text-black-500"), "no black stars");
        Ok(took)
    })?;
    logged(
        cluster,
        "default",
        "deploy/reviews-v2",
        &["/ratings/0", " 200 DI via_upstream "],
    )?;
    Ok(format!("{took:.2} s"))
}

fn timeout(cluster: &Cluster) -> Result<String> {
    apply(cluster, &file("timeout.yaml"))?;
    let took = eventually(EFFECT, "2 tries of 1 s", || {
        let (body, took) = page(cluster, "/productpage", 200)?;
        ensure!((2.0..=3.0).contains(&took), "it took {took} s");
        ensure!(
            body.contains("Sorry, product reviews are currently unavailable for this book."),
            "reviews are there"
        );
        Ok(took)
    })?;
    page(cluster, REVIEWS, 504)?;
    eventually(EFFECT, "the log", || {
        let target = "deploy/productpage-v1";
        let found = log_lines(
            cluster,
            "default",
            target,
            &["/reviews/0", " 504 UT response_timeout "],
        )?;
        ensure!(found.len() >= 4, "{} lines with 504 UT", found.len());
        Ok(())
    })?;
    Ok(format!("{took:.2} s"))
}

fn asked_twice(cluster: &Cluster) -> Result<String> {
    apply(cluster, &file("retry.yaml"))?;
    let asked = || -> Result<usize> {
        let words = ["GET /ratings/0", " 200 ", "inbound|9080||"];
        Ok(log_lines(cluster, "default", "deploy/ratings-v1", &words)?.len())
    };
    // Delayed calls of earlier pages end first.
    let mut before = asked()?;
    eventually(EFFECT, "quiet", || {
        let now = asked()?;
        let quiet = now == before;
        before = now;
        ensure!(quiet, "still asked");
        Ok(())
    })?;
    page(cluster, "/productpage", 200)?;
    eventually(EFFECT, "two lines", || {
        let more = asked()? - before;
        ensure!(more == 2, "{more} more");
        Ok(())
    })?;
    for name in ["virtual-service-all-v1.yaml", "destination-rule-all.yaml"] {
        delete(cluster, &format!("L03-routing/{name}"))?;
    }
    Ok(String::new())
}

fn timeout_3s(cluster: &Cluster) -> Result<String> {
    apply(cluster, &file("timeout-3s.yaml"))?;
    let answer = eventually(EFFECT, "504", || {
        let answer = curl(cluster, &["http://httpbin:8000/delay/5"])?.is(504)?;
        answer.has("upstream request timeout")?.took(3.0, 4.0)
    })?;
    curl(cluster, &["http://httpbin:8000/delay/2"])?.is(200)?;
    delete(cluster, &file("timeout-3s.yaml"))?;
    Ok(format!("{:.2} s", answer.seconds))
}

/// How many requests of one path httpbin itself has seen so far.
fn seen(cluster: &Cluster, path: &str) -> Result<usize> {
    let words = format!("GET {path} ");
    Ok(lines(cluster, "default", "deploy/httpbin", "httpbin", &[&words])?.len())
}

/// Waits until httpbin has seen so many more requests of a path for one of the caller's.
fn seen_for_one(cluster: &Cluster, path: &str, status: u16, times: usize) -> Result<()> {
    eventually(EFFECT, path, || {
        let before = seen(cluster, path)?;
        curl(cluster, &[&format!("http://httpbin:8000{path}")])?.is(status)?;
        let more = seen(cluster, path)? - before;
        ensure!(more == times, "httpbin saw {more} requests, not {times}");
        Ok(())
    })
}

fn retries(cluster: &Cluster) -> Result<String> {
    seen_for_one(cluster, "/status/503", 503, 1)?;
    apply(cluster, &file("retry-attempts.yaml"))?;
    seen_for_one(cluster, "/status/503", 503, 4)?;
    seen_for_one(cluster, "/status/404", 404, 1)?;
    logged(
        cluster,
        "default",
        "deploy/sleep",
        &["/status/503", " 503 URX "],
    )?;
    Ok(String::new())
}

fn per_try(cluster: &Cluster) -> Result<String> {
    let answer = curl(cluster, &["http://httpbin:8000/delay/5"])?.is(504)?;
    let answer = answer.took(8.0, 9.5)?;
    logged(
        cluster,
        "default",
        "deploy/sleep",
        &["/delay/5", "upstream_per_try_timeout"],
    )?;
    Ok(format!("{:.2} s", answer.seconds))
}

fn no_retries(cluster: &Cluster) -> Result<String> {
    let none = json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "httpbin", "namespace": "default"},
        "spec": {
            "hosts": ["httpbin"],
            "http": [{"route": [{"destination": {"host": "httpbin"}}], "retries": {"attempts": 0}}],
        },
    });
    cluster.apply(&[], &none.to_string())?;
    seen_for_one(cluster, "/status/503", 503, 1)?;
    cluster.kubectl(&["delete", "virtualservice", "httpbin"])?;
    Ok(String::new())
}

fn rate_limit(cluster: &Cluster) -> Result<String> {
    let path = super::manifests()?.join(file("ratelimit-envoyfilter.yaml"));
    cluster.apply_file(&[], &path)?;
    let counts = eventually(EFFECT, "429", || {
        let counts = statuses(cluster, "http://httpbin:8000/get", "", 10)?;
        ensure!(counts.contains_key(&429), "statuses {counts:?}");
        Ok(counts)
    })?;
    // The bucket is full once; what the first requests took before the filter was there does not count.
    let passed = counts.get(&200).copied().unwrap_or(0);
    ensure!(passed <= 4 && counts.len() <= 2, "statuses {counts:?}");
    curl(cluster, &["http://httpbin:8000/get"])?
        .is(429)?
        .has("local_rate_limited")?;
    delete(cluster, &file("ratelimit-envoyfilter.yaml"))?;
    eventually(EFFECT, "no limit", || {
        all(&statuses(cluster, "http://httpbin:8000/get", "", 10)?, 200)
    })?;
    Ok(format!("{counts:?}"))
}

fn shares(cluster: &Cluster) -> Result<String> {
    cluster.kubectl(&["scale", "deployment/httpbin", "--replicas=2"])?;
    pods_are(cluster, "default", "app=httpbin", 2, 2)?;
    let names: Vec<String> = pods(cluster, "default", "app=httpbin")?
        .iter()
        .map(|pod: &Value| name(pod).to_owned())
        .collect();
    let requests = |pod: &str| -> Result<usize> {
        Ok(lines(cluster, "default", pod, "httpbin", &["GET /ip "])?.len())
    };
    let found = eventually(EFFECT, "both pods", || {
        let mut before = Vec::new();
        for name in &names {
            before.push(requests(name)?);
        }
        all(&statuses(cluster, "http://httpbin:8000/ip", "", 200)?, 200)?;
        let mut shares = Vec::new();
        for (name, before) in names.iter().zip(before) {
            shares.push(requests(name)? - before);
        }
        ensure!(
            shares.iter().all(|share| (70..=130).contains(share)),
            "shares {shares:?}"
        );
        Ok(format!("{shares:?}"))
    })?;
    cluster.kubectl(&["scale", "deployment/httpbin", "--replicas=1"])?;
    pods_are(cluster, "default", "app=httpbin", 1, 2).context("one pod")?;
    Ok(found)
}
