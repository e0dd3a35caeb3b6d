//! What istiod's tests set in Go, past what was recorded (`tests/recorded/unrecorded.yaml`).

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Case;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unrecorded {
    case: String,
    #[serde(default)]
    metadata: Map<String, Value>,
    #[serde(default)]
    features: BTreeMap<String, String>,
    #[serde(default)]
    configs: Vec<Value>,
}

impl Unrecorded {
    fn is_for(&self, id: &str) -> bool {
        match self.case.split_once('*') {
            None => self.case == id,
            Some((before, after)) => {
                id.len() >= before.len() + after.len()
                    && id.starts_with(before)
                    && id.ends_with(after)
            }
        }
    }
}

/// Adds it to a case.
pub(super) fn add(case: &mut Case) -> Result<()> {
    let all: Vec<Unrecorded> =
        serde_yaml::from_str(include_str!("../../recorded/unrecorded.yaml"))?;
    for more in all.into_iter().filter(|more| more.is_for(&case.id)) {
        case.proxy.metadata.extend(more.metadata);
        case.features.extend(more.features);
        case.configs.extend(more.configs);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_for_the_cases_of_its_pattern() {
        for (pattern, id, want) in [
            ("T/base", "T/base", true),
            ("T/base", "T/base-2", false),
            ("T/*", "T/base", true),
            ("T/*-1", "T/base-1", true),
            ("T/*-1", "T/base-2", false),
            ("T/a*a", "T/a", false),
        ] {
            let entry = Unrecorded {
                case: pattern.to_owned(),
                metadata: Map::new(),
                features: BTreeMap::new(),
                configs: Vec::new(),
            };
            assert_eq!(entry.is_for(id), want, "{pattern} {id}");
        }
    }

    #[test]
    fn the_file_can_be_read() {
        let mut case = Case {
            id: "TestBuildStaticClusterWithCredentialSocket/base".to_owned(),
            ..Case::default()
        };
        add(&mut case).unwrap();
        assert_eq!(case.proxy.metadata["credential"], "true");
    }
}
