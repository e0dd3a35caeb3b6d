//! Tables per kind: an object as a user writes it, and the fields that matter.

mod authorization_policy;
mod envoy_filter;
mod ingress;
mod istio;
mod kubernetes;
mod mesh;
mod peer_authentication;
mod request_authentication;
mod virtual_service;
mod workload;
mod workload_proxy_config;

use meltemi_model::{Diagnostic, Object, Severity};

use super::{LowerSettings, Lowered, lower};
use crate::yaml;

/// Lowers one YAML document.
fn lowered(text: &str) -> Lowered {
    let value = yaml::read_one(text).unwrap_or_else(|problem| panic!("{problem:?}\n{text}"));
    lower(&value, &LowerSettings::default())
}

/// Lowers one YAML document about which there is nothing to say.
fn object(text: &str) -> Object {
    let lowered = lowered(text);
    assert_eq!(words(&lowered.diagnostics), "", "{text}");
    lowered
        .object
        .unwrap_or_else(|| panic!("no object: {text}"))
}

/// Lowers one YAML document that is used, whatever validation says about it.
fn served(text: &str) -> Object {
    let (object, words) = warned(text);
    object.unwrap_or_else(|| panic!("no object: {text}: {words}"))
}

/// Lowers what is used with something to say; the words.
fn warned(text: &str) -> (Option<Object>, String) {
    let lowered = lowered(text);
    let errors = lowered
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .count();
    assert_eq!(errors, 0, "{}", words(&lowered.diagnostics));
    (lowered.object, words(&lowered.diagnostics))
}

fn words(diagnostics: &[Diagnostic]) -> String {
    let lines: Vec<String> = diagnostics.iter().map(Diagnostic::to_string).collect();
    lines.join("\n")
}

/// An object of Istio's with this spec; indentation of the spec is its own.
fn istio(kind: &str, spec: &str) -> String {
    let spec = spec.replace('\n', "\n  ");
    format!(
        "apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: x, namespace: ns}}\nspec:\n  {spec}"
    )
}

/// An object of a kind: one about which there is nothing to say, or with `served` any that is used.
macro_rules! get {
    (served $kind:ident, $text:expr) => {
        match $crate::lower::tests::served(AsRef::<str>::as_ref(&$text)) {
            meltemi_model::Object::$kind(object) => object,
            other => panic!("{other:?}"),
        }
    };
    ($kind:ident, $text:expr) => {
        match $crate::lower::tests::object(AsRef::<str>::as_ref(&$text)) {
            meltemi_model::Object::$kind(object) => object,
            other => panic!("{other:?}"),
        }
    };
}
pub(crate) use get;

#[test]
fn kinds_are_told_apart() {
    for (api_version, kind, says) in [
        ("apps/v1", "Deployment", ""),
        ("example.com/v1", "VirtualService", ""),
        ("v1", "Secret", ""),
        ("v1", "ConfigMap", ""),
        (
            "extensions.istio.io/v1alpha1",
            "WasmPlugin",
            "WasmPlugin ns/x is not supported yet",
        ),
        ("telemetry.istio.io/v1", "Telemetry", "not supported yet"),
        (
            "gateway.networking.k8s.io/v1",
            "Gateway",
            "not supported yet",
        ),
        (
            "networking.k8s.io/v1beta1",
            "Ingress",
            "write networking.k8s.io/v1",
        ),
        (
            "networking.istio.io/v2",
            "Sidecar",
            "write networking.istio.io/v1",
        ),
        (
            "telemetry.istio.io/v1",
            "Telemetri",
            "Telemetri is not a kind of telemetry.istio.io/v1; write Telemetry",
        ),
        ("networking.istio.io/v1", "Gatewya", "Gateway, "),
        (
            "discovery.k8s.io/v1beta1",
            "EndpointSlice",
            "write discovery.k8s.io/v1",
        ),
    ] {
        let text = format!(
            "apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: x, namespace: ns}}"
        );
        let lowered = lowered(&text);
        assert!(lowered.object.is_none(), "{text}");
        let words = words(&lowered.diagnostics);
        assert_eq!(words.is_empty(), says.is_empty(), "{text}: {words}");
        assert!(words.contains(says), "{text}: {words}");
    }
}

#[test]
fn every_served_version_is_read() {
    for version in ["v1", "v1beta1", "v1alpha3"] {
        let text =
            istio("WorkloadEntry", "address: 1.2.3.4").replace("io/v1", &format!("io/{version}"));
        get!(WorkloadEntry, text);
    }
}

#[test]
fn metadata_is_read() {
    let text = "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: x\n  labels: {b: '2', a: '1'}\n  annotations:\n    \
                kubectl.kubernetes.io/last-applied-configuration: '{}'\n    networking.istio.io/exportTo: '.'\n  \
                creationTimestamp: '2026-01-01T00:00:00Z'\n";
    let account = get!(ServiceAccount, text);
    assert_eq!(account.meta.key.to_string(), "ServiceAccount default/x");
    assert_eq!(account.meta.created, 1_767_225_600);
    assert_eq!(
        account.meta.labels,
        [("a", "1"), ("b", "2")].into_iter().collect()
    );
    let kept = [("networking.istio.io/exportTo", ".")]
        .into_iter()
        .collect();
    assert_eq!(account.meta.annotations, kept);
}

#[test]
fn unknown_fields_are_warnings_with_their_path() {
    for (text, path) in [
        (istio("WorkloadEntry", "address: 1.2.3.4\nadress: 1"), "spec.adress"),
        (istio("Gateway", "servers: [{hosts: ['*'], port: {number: 1, name: a, protocol: HTTP, x: 1}}]"), "spec.servers[0].port.x"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: 1, targetport: 2}], sessionAffinity: None}".into(), "spec.ports[0].targetport"),
    ] {
        let lowered = lowered(&text);
        assert!(lowered.object.is_some(), "{text}");
        assert_eq!(lowered.diagnostics.len(), 1, "{text}: {}", words(&lowered.diagnostics));
        assert_eq!(lowered.diagnostics[0].path, path);
    }
}
