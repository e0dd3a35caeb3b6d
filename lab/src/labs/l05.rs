//! L05: injected faults, mirrored requests.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::calls::{Visitor, all, apply, curl, delete, lines, log_lines, logged, statuses};
use super::manifests;
use super::mesh::{EFFECT, admin, name, nothing_rejected, pods, pods_are};
use crate::cluster::Cluster;
use crate::report::{Step, needed, step};
use crate::run::eventually;

pub(super) const STEPS: &[Step] = &[
    needed("L05.1", "jason sees v2, others v1", start),
    step("L05.2", "a delay of 7 s for jason only", delayed),
    step(
        "L05.4",
        "ratings fails for jason only, and is not asked",
        aborted,
    ),
    step("L05.5", "a fault acts in the caller's proxy", by_header),
    step("L05.6", "30 % of the requests fail", share),
    step(
        "L05.8",
        "without the rules all versions answer",
        without_rules,
    ),
    needed("L05.10", "v1 answers, v2 sees nothing", v1_only),
    step(
        "L05.11",
        "v2 sees every request, and nobody sees v2",
        mirrored,
    ),
    step("L05.13", "other spellings of the share", spellings),
    step("L05.14", "30 %, and none", mirrored_share),
    step("L05.15", "without pods of v2 v1 answers", nobody_there),
    step("L05.16", "nothing is left behind", clean_up),
    step("L05.17", "no proxy has rejected anything", nothing_rejected),
];

const FOLDER: &str = "L05-faults-mirroring";
const RATINGS: &str = "http://ratings:9080/ratings/0";
const HTTPBIN: &str = "http://httpbin:8000/headers";

fn file(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

fn start(cluster: &Cluster) -> Result<String> {
    apply(cluster, "apps/sleep.yaml")?;
    pods_are(cluster, "default", "app=sleep", 1, 2)?;
    for name in [
        "destination-rule-all.yaml",
        "virtual-service-all-v1.yaml",
        "virtual-service-reviews-test-v2.yaml",
    ] {
        apply(cluster, &format!("L03-routing/{name}"))?;
    }
    Visitor::default().sees_only(cluster, "v1")?;
    Visitor::named(cluster, "jason")?.sees_only(cluster, "v2")?;
    Ok(String::new())
}

fn timed(cluster: &Cluster, visitor: &Visitor) -> Result<(String, f64)> {
    let begun = std::time::Instant::now();
    let answer = visitor.get(cluster, "/productpage")?;
    ensure!(answer.status == 200, "status {}", answer.status);
    Ok((answer.body, begun.elapsed().as_secs_f64()))
}

fn delayed(cluster: &Cluster) -> Result<String> {
    let jason = Visitor::named(cluster, "jason")?;
    let mut found = 0.0;
    for folder in ["", "current/"] {
        apply(
            cluster,
            &file(&format!("{folder}virtual-service-ratings-test-delay.yaml")),
        )?;
        found = eventually(EFFECT, "6 s", || {
            let (body, took) = timed(cluster, &jason)?;
            ensure!((6.0..=7.5).contains(&took), "it took {took} s");
            ensure!(
                body.contains("Error fetching product reviews"),
                "no error: {body}"
            );
            Ok(took)
        })?;
    }
    let (body, took) = timed(cluster, &Visitor::default())?;
    ensure!(
        took < 3.0 && body.contains("Reviews served by"),
        "it took {took} s: {body}"
    );
    let direct = curl(
        cluster,
        &["-H", "end-user: jason", "http://reviews:9080/reviews/0"],
    )?;
    direct.is(200)?.has("black")?.took(7.0, 8.5)?;
    Ok(format!("{found:.2} s"))
}

fn aborted(cluster: &Cluster) -> Result<String> {
    let jason = Visitor::named(cluster, "jason")?;
    for folder in ["", "current/"] {
        apply(
            cluster,
            &file(&format!("{folder}virtual-service-ratings-test-abort.yaml")),
        )?;
        eventually(EFFECT, "no stars", || {
            let (body, took) = timed(cluster, &jason)?;
            ensure!(took < 2.0, "it took {took} s");
            let unavailable = body
                .matches("Ratings service is currently unavailable")
                .count();
            ensure!(unavailable == 2, "{unavailable} errors: {body}");
            Ok(())
        })?;
    }
    logged(
        cluster,
        "default",
        "deploy/reviews-v2",
        &["GET /ratings/0", " 500 FI fault_filter_abort ", " 18 "],
    )?;
    Visitor::default().sees_only(cluster, "v1")?;
    Ok(String::new())
}

fn by_header(cluster: &Cluster) -> Result<String> {
    let answer = curl(cluster, &["-H", "end-user: jason", RATINGS])?;
    answer.is(500)?.has("fault filter abort")?;
    curl(cluster, &[RATINGS])?.is(200)?;
    // The platform's client has no proxy.
    let words = [
        "curl",
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-H",
        "end-user: jason",
    ];
    let url = "http://ratings.default:9080/ratings/0";
    let said = cluster.exec(
        "platform",
        "deploy/client",
        "client",
        &[&words[..], &[url]].concat(),
    )?;
    ensure!(said.trim() == "200", "without a proxy: {said}");
    Ok(String::new())
}

fn share(cluster: &Cluster) -> Result<String> {
    let text = std::fs::read_to_string(
        manifests()?.join(file("current/virtual-service-ratings-test-abort.yaml")),
    )?;
    let mut object: serde_json::Value = serde_yaml::from_str(&text)?;
    object["spec"]["http"][0]["fault"]["abort"]["percentage"]["value"] = json!(30.0);
    cluster.apply(&[], &object.to_string())?;
    eventually(EFFECT, "30 %", || {
        let counts = statuses(cluster, RATINGS, "-H 'end-user: jason'", 300)?;
        let failed = counts.get(&500).copied().unwrap_or(0);
        ensure!((60..=120).contains(&failed), "statuses {counts:?}");
        Ok(format!("{counts:?}"))
    })
}

fn without_rules(cluster: &Cluster) -> Result<String> {
    delete(cluster, "L03-routing/virtual-service-all-v1.yaml")?;
    eventually(EFFECT, "all versions", || {
        let counts = Visitor::default().reviews(cluster, 60)?;
        ensure!(counts.len() == 3, "reviews {counts:?}");
        Ok(format!("{counts:?}"))
    })
}

fn v1_only(cluster: &Cluster) -> Result<String> {
    delete(cluster, "apps/httpbin.yaml")?;
    pods_are(cluster, "default", "app=httpbin", 0, 2)?;
    for name in ["httpbin-v1.yaml", "httpbin-v2.yaml", "httpbinsvc.yaml"] {
        apply(cluster, &file(name))?;
    }
    for version in ["v1", "v2"] {
        pods_are(
            cluster,
            "default",
            &format!("app=httpbin,version={version}"),
            1,
            2,
        )?;
    }
    apply(cluster, &file("httpbinvs.yaml"))?;
    // The file names subsets in a route before it declares them: a request in between has no cluster, with reason.
    eventually(EFFECT, "the subsets", || {
        let clusters = clusters_of_sleep(cluster)?;
        ensure!(clusters.contains("outbound|8000|v1|httpbin."), "no subset");
        Ok(())
    })?;
    let answer = eventually(EFFECT, "httpbin", || curl(cluster, &[HTTPBIN])?.is(200))?;
    let answer = answer.has("By=spiffe://cluster.local/ns/default/sa/default")?;
    answer.has("URI=spiffe://cluster.local/ns/default/sa/sleep")?;
    eventually(EFFECT, "only v1", || seen(cluster, (50, 50), (0, 0)))?;
    Ok(String::new())
}

/// The requests that a version has seen so far.
fn count(cluster: &Cluster, version: &str) -> Result<usize> {
    let target = format!("deploy/httpbin-{version}");
    Ok(lines(cluster, "default", &target, "httpbin", &["GET /headers "])?.len())
}

/// Fifty requests; v1 and v2 must see so many of them, from and to.
fn seen(cluster: &Cluster, v1: (usize, usize), v2: (usize, usize)) -> Result<()> {
    let before = (count(cluster, "v1")?, count(cluster, "v2")?);
    all(&statuses(cluster, HTTPBIN, "", 50)?, 200)?;
    // Mirrored requests may still be on their way.
    eventually(std::time::Duration::from_secs(3), "the logs", || {
        let after = (
            count(cluster, "v1")? - before.0,
            count(cluster, "v2")? - before.1,
        );
        ensure!(
            (v1.0..=v1.1).contains(&after.0) && (v2.0..=v2.1).contains(&after.1),
            "v1 saw {}, v2 saw {}",
            after.0,
            after.1
        );
        Ok(())
    })
}

fn mirrored(cluster: &Cluster) -> Result<String> {
    apply(cluster, &file("mirror.yaml"))?;
    eventually(EFFECT, "both", || seen(cluster, (50, 50), (50, 50)))?;
    Ok(String::new())
}

fn spellings(cluster: &Cluster) -> Result<String> {
    for name in ["mirror-snake.yaml", "mirror-percentage.yaml"] {
        apply(cluster, &file("mirror-none.yaml"))?;
        eventually(EFFECT, "only v1", || seen(cluster, (50, 50), (0, 0)))?;
        apply(cluster, &file(name))?;
        eventually(EFFECT, name, || seen(cluster, (50, 50), (50, 50)))?;
    }
    Ok(String::new())
}

fn mirrored_share(cluster: &Cluster) -> Result<String> {
    apply(cluster, &file("mirror-30.yaml"))?;
    // 15 of 50 are expected; fewer than 3 or more than 30 have a chance of one in a hundred thousand.
    eventually(EFFECT, "30 %", || seen(cluster, (50, 50), (3, 30)))?;
    apply(cluster, &file("mirror-none.yaml"))?;
    eventually(EFFECT, "none", || seen(cluster, (50, 50), (0, 0)))?;
    Ok(String::new())
}

fn nobody_there(cluster: &Cluster) -> Result<String> {
    apply(cluster, &file("mirror.yaml"))?;
    cluster.kubectl(&["scale", "deployment/httpbin-v2", "--replicas=0"])?;
    pods_are(cluster, "default", "app=httpbin,version=v2", 0, 2)?;
    all(&statuses(cluster, HTTPBIN, "", 50)?, 200)?;
    Ok(String::new())
}

/// What the proxy of the visitor says of its clusters.
fn clusters_of_sleep(cluster: &Cluster) -> Result<String> {
    let pods = pods(cluster, "default", "app=sleep")?;
    let pod = pods.first().map(name).context("no sleep")?;
    admin(cluster, "default", pod, "clusters")
}

fn clean_up(cluster: &Cluster) -> Result<String> {
    for name in [
        "httpbinvs.yaml",
        "httpbin-v1.yaml",
        "httpbin-v2.yaml",
        "httpbinsvc.yaml",
    ] {
        delete(cluster, &file(name))?;
    }
    eventually(EFFECT, "no cluster of httpbin", || {
        let clusters = clusters_of_sleep(cluster)?;
        ensure!(
            !clusters.contains("httpbin"),
            "there are clusters of httpbin"
        );
        Ok(())
    })?;
    let lost = log_lines(
        cluster,
        "default",
        "deploy/sleep",
        &["httpbin:8000", " 503 NC "],
    )?;
    ensure!(lost.is_empty(), "requests without a cluster: {lost:?}");
    Ok(String::new())
}
