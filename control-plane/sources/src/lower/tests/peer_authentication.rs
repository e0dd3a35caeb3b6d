use meltemi_model::Severity;
use meltemi_model::security::MtlsMode;
use meltemi_model::testing::labels;

use super::{get, lowered, words};

fn policy(spec: &str) -> String {
    let spec = spec.replace('\n', "\n  ");
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: x, namespace: ns}}\nspec:\n  {spec}"
    )
}

#[test]
fn peer_authentications() {
    let found = get!(
        PeerAuthentication,
        policy(
            "selector: {matchLabels: {app: a}}\nmtls: {mode: STRICT}\nportLevelMtls:\n  '8080': {mode: DISABLE}\n  81: {}"
        )
    );
    assert_eq!(
        (&found.selector, found.mode),
        (&labels("app=a"), Some(MtlsMode::Strict))
    );
    let ports: Vec<_> = found.ports.iter().map(|(p, m)| (*p, *m)).collect();
    assert_eq!(ports, [(81, None), (8080, Some(MtlsMode::Disable))]);
    for spec in ["{}", "mtls: {}", "mtls: {mode: UNSET}", "selector: null"] {
        let found = get!(PeerAuthentication, policy(spec));
        assert_eq!(
            (found.mode, found.selector.is_empty()),
            (None, true),
            "{spec}"
        );
    }
    // As quickly written labs have it: quoted keys, the older version.
    let old = policy("\"mtls\":\n  \"mode\": \"PERMISSIVE\"").replace("/v1\n", "/v1beta1\n");
    assert_eq!(
        get!(PeerAuthentication, old).mode,
        Some(MtlsMode::Permissive)
    );
}

#[test]
fn mistakes() {
    let (error, warning) = (Severity::Error, Severity::Warning);
    for (spec, severity, path, says) in [
        (
            "portLevelMtls: {8080: {mode: STRICT}}",
            error,
            "spec.portLevelMtls",
            "mesh/namespace peer authentication cannot have port level mTLS",
        ),
        (
            "selector: {matchLabels: {a: b}}\nportLevelMtls: {}",
            error,
            "spec.portLevelMtls",
            "port level mTLS, if defined, must have at least one element",
        ),
        (
            "selector: {matchLabels: {a: b}}\nportLevelMtls: {0: {}}",
            error,
            "spec.portLevelMtls.0",
            "range 1..65535",
        ),
        (
            "selector: {matchLabels: {a: b}}\nportLevelMtls: {65536: {}}",
            error,
            "spec.portLevelMtls.65536",
            "range 1..65535",
        ),
        ("mtls: {mode: strict}", error, "spec.mtls.mode", "STRICT"),
        (
            "selector: {matchLabels: {a: 'b*'}}",
            error,
            "spec.selector.matchLabels",
            "wildcard is not supported in selector",
        ),
        (
            "selector: {matchLabels: {}}",
            warning,
            "spec.selector",
            "workload selector specified without labels",
        ),
        (
            "mtls: {mod: STRICT}",
            warning,
            "spec.mtls.mod",
            "unknown field",
        ),
    ] {
        let lowered = lowered(&policy(spec));
        let found = lowered
            .diagnostics
            .iter()
            .find(|d| d.severity == severity && d.path == path);
        let all = words(&lowered.diagnostics);
        assert!(
            found.is_some_and(|d| d.message.contains(says)),
            "{spec}: {all}"
        );
        assert_eq!(lowered.object.is_none(), severity == error, "{spec}: {all}");
    }
}
