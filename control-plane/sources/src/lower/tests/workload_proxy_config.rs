use meltemi_model::Severity;
use meltemi_model::testing::labels;

use super::{get, lowered, words};

fn object(spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1beta1\nkind: ProxyConfig\nmetadata: {{name: x, namespace: ns}}\nspec: {spec}"
    )
}

#[test]
fn proxy_configs() {
    let found = get!(
        ProxyConfig,
        object(
            "{selector: {matchLabels: {app: a}}, concurrency: 0, environmentVariables: {A: b}, image: {imageType: debug}}"
        )
    );
    assert_eq!(found.selector, Some(labels("app=a")));
    assert_eq!(found.concurrency, Some(0));
    assert_eq!(found.environment.get("A").map(|v| &**v), Some("b"));
    assert_eq!(found.image_type.as_deref(), Some("debug"));
    for spec in ["{}", "{image: {}}", "{selector: null, concurrency: null}"] {
        let found = get!(ProxyConfig, object(spec));
        assert_eq!(
            (&found.selector, found.concurrency, &found.image_type),
            (&None, None, &None),
            "{spec}"
        );
    }
}

#[test]
fn mistakes() {
    for (spec, severity, path, says) in [
        (
            "{concurrency: -1}",
            Severity::Error,
            "spec.concurrency",
            "greater than or equal to 0",
        ),
        (
            "{selector: {}}",
            Severity::Warning,
            "spec.selector",
            "workload selector specified without labels",
        ),
        (
            "{concurency: 1}",
            Severity::Warning,
            "spec.concurency",
            "unknown field",
        ),
        (
            "{concurrency: many}",
            Severity::Error,
            "spec.concurrency",
            "",
        ),
    ] {
        let found = lowered(&object(spec));
        let told = found
            .diagnostics
            .iter()
            .any(|d| d.severity == severity && d.path == path && d.message.contains(says));
        assert!(told, "{spec}: {}", words(&found.diagnostics));
        assert_eq!(
            found.object.is_some(),
            severity == Severity::Warning,
            "{spec}"
        );
    }
}
