use meltemi_model::secret::{Credential, KeyPair, Root, Sealed, Validity};
use meltemi_model::testing::{destination_rule, kube_service, labels, meta, subset};
use meltemi_model::traffic::{PortPolicy, TrafficPolicy};
use meltemi_model::{Object, Shared};

use super::*;
use crate::fixtures::{HTTP, class_of_client, scope_of, world};

const ALWAYS: Validity = Validity {
    from: 0,
    until: i64::MAX,
};

fn tls(mode: TlsMode, credential: &str) -> PortPolicy {
    PortPolicy {
        tls: Some(ClientTls {
            mode,
            credential_name: credential.to_owned(),
            ..ClientTls::default()
        }),
        ..PortPolicy::default()
    }
}

fn policy(all: PortPolicy) -> TrafficPolicy {
    TrafficPolicy {
        all,
        ..TrafficPolicy::default()
    }
}

/// A Secret with a certificate, a CA, or both.
fn secret(name: &str, pair: bool, root: bool) -> Object {
    Object::Secret(Shared::new(Credential {
        meta: meta(Kind::Secret, "default", name),
        pair: pair.then(|| KeyPair {
            chain: Sealed::new("chain"),
            key: Sealed::new("key"),
            staple: None,
            valid: ALWAYS,
        }),
        root: root.then(|| Root {
            certificates: Sealed::new("roots"),
            crl: None,
            valid: ALWAYS,
        }),
    }))
}

/// The fields that are reported for a rule in a namespace with these Secrets.
fn found(kind: ProxyKind, rule: &DestinationRule, secrets: Vec<Object>) -> Vec<String> {
    let web = kube_service("default", "web", HTTP);
    let rows = [web.into(), Object::from(rule.clone())];
    let world = world(rows.into_iter().chain(secrets));
    let class = class_of_client(kind);
    let found = missing_for_clients(&world, &scope_of(&world, &class), &class);
    found.into_iter().map(|d| d.path).collect()
}

#[test]
fn credentials_of_clients_that_are_missing() {
    use ProxyKind::{Router, Sidecar};
    let host = "web.default.svc.cluster.local";
    let rule = |policy: TrafficPolicy| DestinationRule {
        policy: Some(policy),
        ..destination_rule("default", "r", host)
    };
    let everywhere = "spec.trafficPolicy.tls.credentialName";
    let mutual = || rule(policy(tls(TlsMode::Mutual, "c")));
    let simple = || rule(policy(tls(TlsMode::Simple, "c")));
    let selecting = DestinationRule {
        workload_selector: Some(labels("")),
        ..mutual()
    };
    let of_subset = DestinationRule {
        subsets: vec![subset(
            "v1",
            "version=v1",
            Some(policy(tls(TlsMode::Simple, "c"))),
        )],
        ..rule(TrafficPolicy {
            ports: vec![(80, tls(TlsMode::Mutual, "d"))],
            ..TrafficPolicy::default()
        })
    };
    for (what, kind, rule, secrets, want) in [
        (
            "nothing is there",
            Router,
            mutual(),
            vec![],
            &[everywhere][..],
        ),
        (
            "all is there",
            Router,
            mutual(),
            vec![secret("c", true, true)],
            &[],
        ),
        (
            "no CA",
            Router,
            mutual(),
            vec![secret("c", true, false)],
            &[everywhere],
        ),
        (
            "no certificate is needed",
            Router,
            simple(),
            vec![secret("c", false, true)],
            &[],
        ),
        (
            "a CA of its own",
            Router,
            mutual(),
            vec![secret("c", true, false), secret("c-cacert", false, true)],
            &[],
        ),
        (
            "no TLS",
            Router,
            rule(policy(tls(TlsMode::Disable, "c"))),
            vec![],
            &[],
        ),
        ("sidecars do not ask", Sidecar, mutual(), vec![], &[]),
        (
            "but where they are selected",
            Sidecar,
            selecting,
            vec![],
            &[everywhere],
        ),
        (
            "ports and subsets",
            Router,
            of_subset,
            vec![],
            &[
                "spec.trafficPolicy.portLevelSettings[0].tls.credentialName",
                "spec.subsets[0].trafficPolicy.tls.credentialName",
            ],
        ),
    ] {
        assert_eq!(found(kind, &rule, secrets), want, "{what}");
    }
}
