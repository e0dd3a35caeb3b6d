//! Each folder `golden/<area>/<case>`: the proxy of `node.yaml`, in the world of `world.yaml`, is served `out.yaml`.
//!
//! `MELTEMI_UPDATE_GOLDEN=1 cargo test -p meltemi-tests --test golden` writes every `out.yaml` again; what has changed is
//! then to be read in the diff of the commit.

use std::fs;

use meltemi::{offline, render};
use meltemi_model::Locality;
use meltemi_model::proxy::Proxy;
use meltemi_sources::yaml;
use meltemi_tests::golden::{Case, cases};
use serde_json::Value;
use similar::TextDiff;

const HOW_TO_ACCEPT: &str =
    "MELTEMI_UPDATE_GOLDEN=1 cargo test -p meltemi-tests --test golden accepts what is right";

#[test]
fn every_case_is_served_what_its_golden_says() {
    let update = std::env::var_os("MELTEMI_UPDATE_GOLDEN").is_some();
    let cases = cases().expect("the goldens can be read");
    assert!(!cases.is_empty(), "there are no goldens");
    let mut wrong = Vec::new();
    for case in &cases {
        let got = answer(case);
        if update {
            fs::write(case.out(), &got).expect("the golden can be written");
            continue;
        }
        let want = fs::read_to_string(case.out()).unwrap_or_default();
        if got != want {
            wrong.push(difference(case, &want, &got));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} goldens differ\n\n{}{HOW_TO_ACCEPT}",
        wrong.len(),
        cases.len(),
        wrong.concat()
    );
}

fn difference(case: &Case, want: &str, got: &str) -> String {
    let golden = format!("golden/{}/out.yaml", case.name);
    TextDiff::from_lines(want, got)
        .unified_diff()
        .context_radius(6)
        .header(&golden, "what is served now")
        .to_string()
}

fn proxy(case: &Case) -> Proxy {
    let node = &case.node;
    let listed = node
        .extensions
        .iter()
        .map(|e| (e.category.as_str(), e.disabled, e.type_urls.as_slice()));
    let locality = Locality::parse(&node.locality);
    let metadata = Value::Object(node.metadata.clone());
    Proxy::parse(&node.id, &node.cluster, locality, &metadata, listed).expect("a valid node")
}

/// The resources that the case shows, and all findings.
fn answer(case: &Case) -> String {
    let settings = case.settings().expect("known flags");
    let input = offline::read(&[case.world()], &settings).expect("a world");
    let proxy = proxy(case);
    let answer = offline::compile_for(&input, &proxy);
    let (secrets, refused) = offline::secrets(&input, &proxy, &case.node.secrets);
    let snapshot = answer.snapshot.with_secrets(secrets);
    let Value::Object(mut lists) = render::snapshot(&snapshot) else {
        panic!("a snapshot is rendered as a map");
    };
    let show = &case.node.show;
    for wanted in show {
        assert!(lists.contains_key(wanted), "{}: show {wanted}", case.name);
    }
    lists.retain(|list, _| show.is_empty() || show.contains(list));
    let folder = format!("{}/", case.dir.display());
    let found: Vec<Value> = answer
        .diagnostics
        .iter()
        .map(|diagnostic| diagnostic.to_string().replace(&folder, "").into())
        .collect();
    if !found.is_empty() {
        lists.insert("diagnostics".to_owned(), found.into());
    }
    if !refused.is_empty() {
        let said = refused.iter().map(|(name, why)| format!("{name}: {why}"));
        lists.insert("refused secrets".to_owned(), said.collect());
    }
    let mut page = Value::Object(lists);
    page.sort_all_objects();
    yaml::write(&page).expect("it can be written")
}
