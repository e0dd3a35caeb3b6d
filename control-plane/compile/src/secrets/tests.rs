use meltemi_model::object::Object;
use meltemi_model::secret::{Credential, KeyPair, Root, Sealed, Validity};
use meltemi_model::testing;

use super::*;
use crate::fixtures::world;

const VALID: Validity = Validity { from: 0, until: 1 };

fn credential(kind: Kind, namespace: &str, name: &str, pair: bool, root: bool) -> Object {
    let credential = Shared::new(Credential {
        meta: testing::meta(kind, namespace, name),
        pair: pair.then(|| KeyPair {
            chain: Sealed::new("chain"),
            key: Sealed::new("key"),
            staple: None,
            valid: VALID,
        }),
        root: root.then(|| Root {
            certificates: Sealed::new("ca"),
            crl: None,
            valid: VALID,
        }),
    });
    match kind {
        Kind::Secret => Object::Secret(credential),
        _ => Object::CaConfigMap(credential),
    }
}

fn gateway(mode: ServerTlsMode, credential: &str) -> Object {
    use meltemi_model::gateway::{Server, ServerTls};
    use meltemi_model::port::Protocol;
    let server = Server {
        port: 443,
        protocol: Protocol::Https,
        port_name: "https".into(),
        bind: "".into(),
        hosts: Vec::new(),
        tls: Some(ServerTls {
            credential_names: vec![credential.into()],
            ..testing::server_tls(mode)
        }),
        name: "".into(),
    };
    let mut gateway = testing::gateway("ns", "gw", vec![server]);
    gateway.selector = testing::labels("istio=edge");
    Object::Gateway(Shared::new(gateway))
}

/// `pair` or `root` of the object that is served, or why none is.
fn answer(world: &World, lists_secrets: bool, name: &str, labels: &str) -> String {
    let reader = Reader {
        namespace: "ns".into(),
        lists_secrets,
    };
    let found = secret(world, &reader, &name.into(), || testing::labels(labels));
    match found {
        Ok(input) => {
            assert_eq!(&*input.name, name);
            let part = if input.root { "root" } else { "pair" };
            format!("{part} of {}", input.credential.meta.key)
        }
        Err(refusal) => refusal.to_string(),
    }
}

#[test]
fn names_and_who_may_have_what_they_stand_for() {
    let world = world([
        credential(Kind::Secret, "ns", "both", true, true),
        credential(Kind::Secret, "ns", "pair", true, false),
        credential(Kind::Secret, "ns", "pair-cacert", false, true),
        credential(Kind::Secret, "ns", "ca", false, true),
        credential(Kind::Secret, "other", "both", true, true),
        credential(Kind::CaConfigMap, "other", "ca", false, true),
    ]);
    let elsewhere = "it is in another namespace than the proxy";
    let denied = "the proxy's service account may not list the Secrets of its namespace";
    let unknown = "this is not the name of a secret that is served here";
    let no_pair = "Secret ns/none does not exist, or does not hold tls.crt and tls.key, or cert and key, that belong together";
    let no_root = "Secret ns/none does not exist, or does not hold ca.crt or cacert";
    let no_map = "ConfigMap ns/ca does not exist, or does not hold ca.crt or cacert";
    for (name, allowed, not_allowed) in [
        ("kubernetes://both", "pair of Secret ns/both", denied),
        ("kubernetes://ns/both", "pair of Secret ns/both", denied),
        ("kubernetes://ns/both/x", "pair of Secret ns/both", denied),
        (
            "kubernetes://both-cacert",
            "root of Secret ns/both",
            "root of Secret ns/both",
        ),
        (
            "kubernetes://pair-cacert",
            "root of Secret ns/pair-cacert",
            "root of Secret ns/pair-cacert",
        ),
        ("kubernetes://ca", "root of Secret ns/ca", denied),
        ("kubernetes://none", no_pair, denied),
        ("kubernetes://none-cacert", no_root, no_root),
        ("kubernetes://other/both", elsewhere, elsewhere),
        ("kubernetes://other/both-cacert", elsewhere, elsewhere),
        ("kubernetes-gateway://other/both", elsewhere, elsewhere),
        (
            "configmap://other/ca",
            "root of ConfigMap other/ca",
            "root of ConfigMap other/ca",
        ),
        (
            "configmap://other/ca-cacert",
            "root of ConfigMap other/ca",
            "root of ConfigMap other/ca",
        ),
        ("configmap://ns/ca", no_map, no_map),
        ("configmap://ca", unknown, unknown),
        ("kubernetes-gateway://both", unknown, unknown),
        ("kubernetes://", unknown, unknown),
        ("kubernetes:///both", unknown, unknown),
        ("default", unknown, unknown),
        ("", unknown, unknown),
    ] {
        assert_eq!(answer(&world, true, name, ""), allowed, "{name}");
        assert_eq!(answer(&world, false, name, ""), not_allowed, "{name}");
        let asks = needs_permission(name, "ns");
        assert_eq!(asks, not_allowed == denied, "{name}");
    }
    assert!(answer(&world, true, "invalid://", "").contains("could not be found out"));
}

#[test]
fn a_gateways_secret_must_be_named_by_a_gateway() {
    let name = "kubernetes-gateway://ns/both";
    let ca = "kubernetes-gateway://ns/both-cacert";
    let not_named = "no Gateway of its namespace that selects the proxy names it";
    for (mode, labels, pair, root) in [
        (
            ServerTlsMode::Simple,
            "istio=edge",
            "pair of Secret ns/both",
            not_named,
        ),
        (
            ServerTlsMode::Mutual,
            "istio=edge",
            "pair of Secret ns/both",
            "root of Secret ns/both",
        ),
        (ServerTlsMode::Mutual, "istio=other", not_named, not_named),
    ] {
        let world = world([
            credential(Kind::Secret, "ns", "both", true, true),
            gateway(mode, name),
        ]);
        assert_eq!(
            answer(&world, false, name, labels),
            pair,
            "{mode:?} {labels}"
        );
        assert_eq!(answer(&world, false, ca, labels), root, "{mode:?} {labels}");
    }
}
