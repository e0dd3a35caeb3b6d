//! The cases that rows name.

use std::collections::BTreeSet;
use std::fs;

use meltemi_api::shape::Shape;
use meltemi_tests::shared::{repo_root, skipped};
use serde::Deserialize as _;
use serde_json::Value;

use super::fields;

/// Whether there is such a case; why not.
pub(crate) fn exists(case: &str) -> Result<(), String> {
    let root = repo_root();
    if let Some(golden) = case.strip_prefix("golden/") {
        let found = root.join("tests/golden").join(golden).join("out.yaml");
        return found
            .exists()
            .then_some(())
            .ok_or_else(|| "no such golden".to_owned());
    }
    if let Some(world) = case.strip_prefix("world/") {
        let corpus = root.join("../shared/corpus/xds");
        if !corpus.exists() {
            skipped("no corpus");
            return Ok(());
        }
        return corpus
            .join(world)
            .exists()
            .then_some(())
            .ok_or_else(|| "no such recorded world".to_owned());
    }
    let Some((file, test)) = case.split_once("::") else {
        return Err("write golden/AREA/CASE, world/AREA/CASE or PATH.rs::TEST".to_owned());
    };
    let text = fs::read_to_string(root.join(file)).map_err(|error| error.to_string())?;
    text.contains(&format!("fn {test}("))
        .then_some(())
        .ok_or_else(|| "no such test".to_owned())
}

/// The fields that the objects of a kind in a golden's world say.
pub(crate) fn used(golden: &str, kind: &str, shape: &Shape) -> BTreeSet<String> {
    let path = repo_root()
        .join("tests/golden")
        .join(golden)
        .join("world.yaml");
    let text = fs::read_to_string(path).unwrap_or_default();
    let documents = serde_yaml::Deserializer::from_str(&text);
    documents
        .filter_map(|document| Value::deserialize(document).ok())
        .filter_map(|object| part(object, kind))
        .flat_map(|part| fields::said(shape, &part))
        .collect()
}

/// What an object says as a kind; `None`: it is of another.
fn part(mut object: Value, kind: &str) -> Option<Value> {
    match kind {
        fields::MESH | fields::MESH_PROXY if object["kind"] == "ConfigMap" => {
            let mut mesh: Value = serde_yaml::from_str(object["data"]["mesh"].as_str()?).ok()?;
            let is_proxy = kind == fields::MESH_PROXY;
            Some(if is_proxy {
                mesh["defaultConfig"].take()
            } else {
                mesh
            })
        }
        _ if object["kind"] == kind => Some(object["spec"].take()),
        _ => None,
    }
}
