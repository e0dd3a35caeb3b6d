use meltemi_model::{Object, Severity};

use super::super::{Features, LowerSettings, lower};
use super::{get, lowered, words};
use crate::yaml;

const CHECKED: &str = "proxy.istio.io/health-checks-enabled";

#[test]
fn whose_health_is_checked_must_be_healthy() {
    for (annotation, status, unhealthy) in [
        (None, "{}", false),
        (
            None,
            "{conditions: [{type: Healthy, status: 'False'}]}",
            false,
        ),
        (Some("false"), "{}", false),
        (Some("maybe"), "{}", false),
        (Some("true"), "{}", true),
        (Some("true"), "null", true),
        (Some("true"), "of no form", true),
        (
            Some("true"),
            "{conditions: [{type: Other, status: 'True'}]}",
            true,
        ),
        (
            Some("true"),
            "{conditions: [{type: Healthy, status: 'False'}]}",
            true,
        ),
        (
            Some("true"),
            "{conditions: [{type: Healthy, status: 'True'}]}",
            false,
        ),
        (
            Some("1"),
            "{conditions: [{type: Healthy, status: Unknown}]}",
            true,
        ),
    ] {
        let annotations = annotation.map_or_else(String::new, |text| {
            format!(", annotations: {{{CHECKED}: '{text}'}}")
        });
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n\
             metadata: {{name: x, namespace: ns{annotations}}}\nspec: {{address: 10.0.0.1}}\nstatus: {status}"
        );
        assert_eq!(get!(WorkloadEntry, text).unhealthy, unhealthy, "{text}");
        // Switched off, all are healthy.
        let settings = LowerSettings {
            features: Features {
                workload_entry_health: false,
                ..Features::default()
            },
            ..LowerSettings::default()
        };
        let lowered = lower(&yaml::read_one(&text).unwrap(), &settings);
        let Some(Object::WorkloadEntry(entry)) = lowered.object else {
            panic!("{text}")
        };
        assert!(!entry.unhealthy, "{text}");
    }
}

#[test]
fn workload_groups() {
    let group = |version: &str, spec: &str| {
        format!(
            "apiVersion: networking.istio.io/{version}\nkind: WorkloadGroup\nmetadata: {{name: x, namespace: ns}}\nspec: {spec}"
        )
    };
    for version in ["v1", "v1beta1", "v1alpha3"] {
        let found = get!(
            WorkloadGroup,
            group(
                version,
                "{metadata: {labels: {a: b}}, template: {ports: {http: 80}}, probe: {httpGet: {port: 80, path: /}}}"
            )
        );
        assert_eq!(&*found.meta.key.name, "x");
    }
    for (spec, severity, path, says) in [
        (
            "{}",
            Severity::Warning,
            "spec.template",
            "template is required",
        ),
        (
            "{template: {}, probe: {}}",
            Severity::Warning,
            "spec.probe",
            "unknown health check method",
        ),
        (
            "{template: {}, probe: {exec: {command: []}}}",
            Severity::Warning,
            "spec.probe.exec.command",
            "required",
        ),
        (
            "{template: {}, metadata: {labels: {'-': b}}}",
            Severity::Warning,
            "",
            "invalid labels",
        ),
        (
            "{template: {adress: a}}",
            Severity::Warning,
            "spec.template.adress",
            "unknown field",
        ),
        (
            "{template: {weight: heavy}}",
            Severity::Error,
            "spec.template.weight",
            "",
        ),
    ] {
        let found = lowered(&group("v1", spec));
        let told = found.diagnostics.iter().any(|d| {
            d.severity == severity && d.path.starts_with(path) && d.message.contains(says)
        });
        assert!(told, "{spec}: {}", words(&found.diagnostics));
        assert_eq!(
            found.object.is_some(),
            severity == Severity::Warning,
            "{spec}"
        );
    }
}
