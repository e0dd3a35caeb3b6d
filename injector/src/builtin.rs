//! Meltemi's own templates and the configuration that they make: what `meltemi inject` takes where no ConfigMap is given. The chart writes
//! the same files into the ConfigMap.

use std::collections::BTreeMap;

use crate::config::{Config, ConfigError};
use crate::decision::Policy;
use crate::functions::{self, Environment};
use crate::template::Template;

/// The templates that pods may name.
pub const TEMPLATES: [(&str, &str); 4] = [
    (
        "sidecar",
        include_str!("../../charts/meltemi/files/sidecar.yaml"),
    ),
    (
        "gateway",
        include_str!("../../charts/meltemi/files/gateway.yaml"),
    ),
    (
        "grpc-simple",
        include_str!("../../charts/meltemi/files/grpc-simple.yaml"),
    ),
    (
        "grpc-agent",
        include_str!("../../charts/meltemi/files/grpc-agent.yaml"),
    ),
];

/// The values that the templates need where nobody gives any: the chart's defaults.
pub const VALUES: &str = include_str!("builtin/values.yaml");

/// The configuration with Meltemi's own templates.
///
/// # Errors
/// A template that cannot be parsed; a test shows that they can.
pub fn config(environment: &Environment) -> Result<Config, ConfigError> {
    let functions = functions::all(environment);
    let mut templates = BTreeMap::new();
    let mut raw_templates = BTreeMap::new();
    for (name, text) in TEMPLATES {
        templates.insert(name.to_owned(), Template::parse(name, text, &functions)?);
        raw_templates.insert(name.to_owned(), text.to_owned());
    }
    Ok(Config {
        policy: Policy::Enabled,
        policy_text: "enabled".to_owned(),
        default_templates: vec!["sidecar".to_owned()],
        templates,
        raw_templates,
        ..Config::default()
    })
}
