//! Label selectors of Kubernetes.

use serde_json::Value;

/// Whether labels match a selector. An empty selector matches nothing here (Istio 1.31 skips empty ones).
///
/// # Errors
/// A selector that Kubernetes would refuse.
pub(crate) fn matches(selector: &Value, labels: &Value) -> Result<bool, String> {
    let label = |key: &str| labels.get(key).and_then(Value::as_str);
    let wanted = selector["matchLabels"].as_object();
    let expressions = selector["matchExpressions"].as_array();
    let mut empty = true;
    let mut all = true;
    for (key, value) in wanted.into_iter().flatten() {
        empty = false;
        all &= label(key) == value.as_str();
    }
    for expression in expressions.into_iter().flatten() {
        empty = false;
        let key = expression["key"].as_str().unwrap_or_default();
        let operator = expression["operator"].as_str().unwrap_or_default();
        let values = expression["values"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let found = label(key);
        let listed = found.is_some_and(|found| values.iter().any(|v| v.as_str() == Some(found)));
        all &= match operator {
            "In" | "NotIn" if values.is_empty() => {
                return Err(format!(
                    "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty (key {key:?})"
                ));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                return Err(format!(
                    "values set must be empty for exists and does not exist (key {key:?})"
                ));
            }
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => found.is_some(),
            "DoesNotExist" => found.is_none(),
            other => return Err(format!("{other:?} is not a valid label selector operator")),
        };
    }
    Ok(!empty && all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_match_labels() {
        let labels = json!({"app": "a", "tier": "web"});
        for (selector, expected) in [
            (json!({}), Ok(false)),
            (json!({"matchLabels": {"app": "a"}}), Ok(true)),
            (json!({"matchLabels": {"app": "a", "x": "y"}}), Ok(false)),
            (
                json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]}),
                Ok(true),
            ),
            (
                json!({"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}),
                Ok(true),
            ),
            (
                json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["b", "a"]}]}),
                Ok(true),
            ),
            (
                json!({"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["b"]}]}),
                Ok(true),
            ),
        ] {
            assert_eq!(matches(&selector, &labels), expected, "{selector}");
        }
        assert!(
            matches(
                &json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
                &labels
            )
            .is_err()
        );
        assert!(
            matches(
                &json!({"matchExpressions": [{"key": "a", "operator": "Is"}]}),
                &labels
            )
            .is_err()
        );
    }
}
