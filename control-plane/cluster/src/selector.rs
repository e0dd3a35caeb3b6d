//! Label selectors as plain data: `discoverySelectors` of the mesh configuration.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::core::SelectorExt;

/// A label selector; everything in it must hold, so an empty one selects all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    /// Labels that must have these values.
    pub match_labels: BTreeMap<String, String>,
    /// Further conditions.
    pub match_expressions: Vec<Expression>,
}

/// A condition on one label.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expression {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// The values that `In` and `NotIn` compare with.
    pub values: Vec<String>,
}

/// Selectors that have been checked; any of them selects.
#[derive(Debug, Clone, Default)]
pub(crate) struct AnyOf(Vec<kube::core::Selector>);

impl AnyOf {
    /// Checks selectors; the error is for the log.
    pub(crate) fn new(selectors: &[Selector]) -> Result<Self, String> {
        let checked = selectors.iter().map(|selector| {
            if let Some(wrong) = selector.match_expressions.iter().find(|e| !is_whole(e)) {
                return Err(format!(
                    "{:?} is no condition on {:?} with {} values",
                    wrong.operator,
                    wrong.key,
                    wrong.values.len()
                ));
            }
            kube::core::Selector::try_from(foreign(selector)).map_err(|error| error.0)
        });
        checked.collect::<Result<_, _>>().map(Self)
    }

    /// Whether labels are selected; without selectors all are (Istio 1.31: `pkg/kube/namespace/filter.go`).
    pub(crate) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.is_empty() || self.0.iter().any(|selector| selector.matches(labels))
    }
}

fn is_whole(expression: &Expression) -> bool {
    let has_values = !expression.values.is_empty();
    match expression.operator.as_str() {
        "In" | "NotIn" => has_values,
        "Exists" | "DoesNotExist" => !has_values,
        _ => false,
    }
}

fn foreign(selector: &Selector) -> LabelSelector {
    let requirement = |expression: &Expression| LabelSelectorRequirement {
        key: expression.key.clone(),
        operator: expression.operator.clone(),
        values: (!expression.values.is_empty()).then(|| expression.values.clone()),
    };
    LabelSelector {
        match_labels: Some(selector.match_labels.clone()),
        match_expressions: Some(selector.match_expressions.iter().map(requirement).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(own).collect()
    }

    fn expression(key: &str, operator: &str, values: &[&str]) -> Selector {
        Selector {
            match_expressions: vec![Expression {
                key: key.into(),
                operator: operator.into(),
                values: values.iter().map(|v| (*v).to_owned()).collect(),
            }],
            ..Selector::default()
        }
    }

    #[test]
    fn selectors_select() {
        let mesh = Selector {
            match_labels: labels(&[("mesh", "on")]),
            ..Selector::default()
        };
        let rows: [(Vec<Selector>, &[(&str, &str)], bool); 11] = [
            (vec![], &[], true),
            (vec![Selector::default()], &[], true),
            (vec![mesh.clone()], &[("mesh", "on")], true),
            (vec![mesh.clone()], &[("mesh", "off")], false),
            (vec![mesh.clone()], &[], false),
            (
                vec![mesh, expression("a", "Exists", &[])],
                &[("a", "")],
                true,
            ),
            (
                vec![expression("a", "In", &["1", "2"])],
                &[("a", "2")],
                true,
            ),
            (vec![expression("a", "NotIn", &["1"])], &[("a", "1")], false),
            (vec![expression("a", "NotIn", &["1"])], &[], true),
            (vec![expression("a", "DoesNotExist", &[])], &[], true),
            (
                vec![expression("a", "DoesNotExist", &[])],
                &[("a", "")],
                false,
            ),
        ];
        for (selectors, pairs, expected) in rows {
            let any = AnyOf::new(&selectors).unwrap();
            assert_eq!(
                any.selects(&labels(pairs)),
                expected,
                "{selectors:?} {pairs:?}"
            );
        }
    }

    #[test]
    fn wrong_conditions_are_refused() {
        for wrong in [
            expression("a", "Is", &["1"]),
            expression("a", "In", &[]),
            expression("a", "Exists", &["1"]),
        ] {
            assert!(
                AnyOf::new(std::slice::from_ref(&wrong)).is_err(),
                "{wrong:?}"
            );
        }
    }
}
