//! The injector's configuration: the keys `config` and `values` of the ConfigMap `istio-sidecar-injector`, or the files that hold them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::decision::Policy;
use crate::functions::{self, Environment};
use crate::template::Template;
use crate::{template, yaml};

/// The key `config`.
#[derive(Debug, Default)]
pub struct Config {
    /// What happens to pods that say nothing.
    pub policy: Policy,
    /// The policy as it is written.
    pub policy_text: String,
    /// The templates of pods that name none.
    pub default_templates: Vec<String>,
    /// The templates by name.
    pub templates: BTreeMap<String, Template>,
    /// Their texts, for the debug page.
    pub raw_templates: BTreeMap<String, String>,
    /// Names that stand for several templates.
    pub aliases: BTreeMap<String, Vec<String>>,
    /// Label selectors of pods that are not injected unless they ask for it.
    pub never_inject_selector: Vec<Value>,
    /// Label selectors of pods that are injected unless they refuse.
    pub always_inject_selector: Vec<Value>,
    /// Annotations that every injected pod gets.
    pub injected_annotations: BTreeMap<String, String>,
}

/// Why a configuration cannot be used. The previous one stays.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The text is no YAML, or a field has the wrong form.
    #[error("failed to unmarshal injection template: {0}")]
    Form(String),
    /// A template cannot be parsed.
    #[error(transparent)]
    Template(#[from] template::Error),
    /// The values are no map.
    #[error("could not parse configuration values: {0}")]
    Values(String),
    /// A ConfigMap or the like was given where its key is wanted.
    #[error(
        "this is a whole {kind}; give the text of its key {key:?} alone, for example: kubectl -n istio-system get configmap {name} -o jsonpath='{{.data.{key}}}'"
    )]
    Whole {
        /// What was given.
        kind: String,
        /// Its name, or the usual one.
        name: String,
        /// The key that is wanted.
        key: &'static str,
    },
    /// The mesh config cannot be read.
    #[error("{0}")]
    Mesh(String),
}

impl Config {
    /// Reads the key `config`. Templates may ask for the environment that is given.
    ///
    /// # Errors
    /// What is wrong with it; templates are named with their line.
    pub fn parse(text: &str, environment: &Environment) -> Result<Config, ConfigError> {
        let value = yaml::read(text).map_err(|error| ConfigError::Form(error.to_string()))?;
        whole(&value, "config")?;
        let map = match value {
            Value::Object(map) => map,
            Value::Null => Map::new(),
            _ => return Err(ConfigError::Form("it is no map".to_owned())),
        };
        let form = |key: &str, wanted: &str| ConfigError::Form(format!("{key} must be {wanted}"));
        let string = |key: &'static str, value: &Value| match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
            Value::Null => Ok(String::new()),
            _ => Err(form(key, "a string")),
        };
        let strings = |key: &'static str, value: &Value| match value {
            Value::Null => Ok(Vec::new()),
            Value::Array(items) => items.iter().map(|item| string(key, item)).collect(),
            _ => Err(form(key, "a list of strings")),
        };
        let at = |key: &str| map.get(key).unwrap_or(&Value::Null);
        let entries = |key: &'static str| match at(key) {
            Value::Null => Ok(Map::new()),
            Value::Object(map) => Ok(map.clone()),
            _ => Err(form(key, "a map")),
        };
        let list = |key: &'static str| match at(key) {
            Value::Null => Ok(Vec::new()),
            Value::Array(items) => Ok(items.clone()),
            _ => Err(form(key, "a list")),
        };

        let policy_text = string("policy", at("policy"))?;
        let mut config = Config {
            policy: match policy_text.as_str() {
                "enabled" => Policy::Enabled,
                "disabled" => Policy::Disabled,
                _ => Policy::Illegal,
            },
            policy_text,
            default_templates: strings("defaultTemplates", at("defaultTemplates"))?,
            never_inject_selector: list("neverInjectSelector")?,
            always_inject_selector: list("alwaysInjectSelector")?,
            ..Config::default()
        };
        if config.default_templates.is_empty() {
            config.default_templates = vec!["sidecar".to_owned()];
        }
        for (name, value) in entries("aliases")? {
            config.aliases.insert(name, strings("aliases", &value)?);
        }
        for (name, value) in entries("injectedAnnotations")? {
            let value = string("injectedAnnotations", &value)?;
            config.injected_annotations.insert(name, value);
        }
        let functions = functions::all(environment);
        for (name, value) in entries("templates")? {
            let text = string("templates", &value)?;
            let template = Template::parse(&name, &text, &functions)?;
            config.templates.insert(name.clone(), template);
            config.raw_templates.insert(name, text);
        }
        if config.templates.is_empty() {
            tracing::warn!(
                "the injector's configuration has no templates; is it that of another version?"
            );
        }
        Ok(config)
    }
}

/// Refuses a Kubernetes object where the text of one of its keys is wanted.
pub(crate) fn whole(value: &Value, key: &'static str) -> Result<(), ConfigError> {
    let (Some(kind), Some(_)) = (value["kind"].as_str(), value["apiVersion"].as_str()) else {
        return Ok(());
    };
    let usual = if key == "mesh" {
        "istio"
    } else {
        "istio-sidecar-injector"
    };
    Err(ConfigError::Whole {
        kind: kind.to_owned(),
        name: value["metadata"]["name"]
            .as_str()
            .unwrap_or(usual)
            .to_owned(),
        key,
    })
}

/// The key `values`: Helm's values as far as injection reads them.
#[derive(Debug, Clone)]
pub struct Values {
    json: Value,
    /// The same as templates see it.
    pub(crate) seen: template::Value,
}

impl Default for Values {
    fn default() -> Self {
        Values::from_json(Value::Object(Map::new()))
    }
}

impl Values {
    /// Reads the key `values`, JSON or YAML.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Values, ConfigError> {
        let value = yaml::read(text).map_err(|error| ConfigError::Values(error.to_string()))?;
        whole(&value, "values")?;
        match value {
            Value::Null => Ok(Values::default()),
            Value::Object(_) => Ok(Values::from_json(value)),
            _ => Err(ConfigError::Values("they are no map".to_owned())),
        }
    }

    fn from_json(json: Value) -> Values {
        let seen = template::Value::from(json.clone());
        Values { json, seen }
    }

    /// A value by its JSON pointer.
    pub(crate) fn at(&self, pointer: &str) -> &Value {
        self.json.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// A string by its JSON pointer; empty if it is not set.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.at(pointer).as_str().unwrap_or_default()
    }

    /// A boolean by its JSON pointer; false if it is not set.
    pub(crate) fn flag(&self, pointer: &str) -> bool {
        self.at(pointer) == &Value::Bool(true)
    }
}
