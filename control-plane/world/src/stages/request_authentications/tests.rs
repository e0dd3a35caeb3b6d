use meltemi_model::mesh::Mesh;
use meltemi_model::security::{JwksFetch, PolicyTarget};
use meltemi_model::testing::{labels, meta, service_entry};
use meltemi_model::{Kind, Meta, Object};

use super::*;
use crate::store::{Change, Store};
use crate::world::World;

fn policy(
    namespace: &str,
    name: &str,
    created: i64,
    target: PolicyTarget,
    rules: Vec<JwtRule>,
) -> Object {
    RequestAuthentication {
        meta: Meta {
            created,
            ..meta(Kind::RequestAuthentication, namespace, name)
        },
        target,
        rules,
    }
    .into()
}

fn selector(text: &str) -> PolicyTarget {
    PolicyTarget {
        selector: labels(text),
        gateways: None,
    }
}

fn gateway(name: &str) -> PolicyTarget {
    PolicyTarget {
        selector: Labels::default(),
        gateways: Some(vec![name.into()]),
    }
}

fn rule(issuer: &str, uri: &str, jwks: &str) -> JwtRule {
    JwtRule {
        issuer: issuer.into(),
        jwks_uri: uri.into(),
        jwks: jwks.into(),
        ..JwtRule::default()
    }
}

fn world(mesh: Mesh, objects: Vec<Object>) -> World {
    let mut store = Store::default();
    store.apply(objects.into_iter().map(Change::Apply));
    let mesh = Shared::new(mesh);
    World::empty(mesh.clone()).next(&store, &mesh)
}

fn fetched(source: &KeySource, keys: Option<&str>, problem: &str) -> Object {
    let found = FetchedKeys {
        keys: keys.map(Str::from),
        problem: problem.into(),
    };
    Object::Jwks(source.key(), Shared::new(found))
}

#[test]
fn the_own_namespace_comes_before_the_root_one_and_the_oldest_first() {
    let world = world(
        Mesh::default(),
        vec![
            policy("ns", "b-old", 1, selector(""), Vec::new()),
            policy("ns", "a-new", 2, selector("app=x"), Vec::new()),
            policy("ns", "foreign", 1, selector("app=other"), Vec::new()),
            policy("istio-system", "root", 0, selector(""), Vec::new()),
            policy("istio-system", "root-x", 5, selector("app=x"), Vec::new()),
            policy("istio-system", "gateway", 5, gateway("edge"), Vec::new()),
            policy("ns", "gateway", 5, gateway("edge"), Vec::new()),
            policy("elsewhere", "no", 0, selector(""), Vec::new()),
        ],
    );
    let names = |namespace: &str, own: &str| -> Vec<String> {
        let own = labels(own);
        let found = world
            .request_authentications
            .workload(namespace, &own, &world.mesh);
        found
            .map(|row| row.policy.meta.key.name.to_string())
            .collect()
    };
    assert_eq!(
        names("ns", "app=x"),
        ["b-old", "a-new", "root", "root-x"],
        "a workload"
    );
    assert_eq!(names("istio-system", "app=x"), ["root", "root-x"]);
    assert_eq!(names("empty", "app=y"), ["root"]);
    let edge = "gateway.networking.k8s.io/gateway-name=edge";
    assert_eq!(names("ns", edge), ["b-old", "gateway", "root"]);
}

#[test]
fn keys_are_inline_fetched_or_such_that_no_token_fits() {
    let (a, b) = ("http://a.example.com/keys", "https://b.example.com");
    let uri = KeySource::Uri(a.into());
    let issuer = KeySource::Issuer(b.into());
    let rules = || vec![rule("x", "", "{inline}"), rule("y", a, ""), rule(b, "", "")];
    for (objects, want, warnings) in [
        (vec![], ["{inline}", NO_KEYS, NO_KEYS], 0),
        (
            vec![fetched(&uri, Some("{a}"), "")],
            ["{inline}", "{a}", NO_KEYS],
            0,
        ),
        (
            vec![
                fetched(&uri, Some("{a}"), "late"),
                fetched(&issuer, None, "gone"),
            ],
            ["{inline}", "{a}", NO_KEYS],
            2,
        ),
    ] {
        let mut objects = objects;
        objects.push(policy("ns", "p", 0, selector(""), rules()));
        let world = world(Mesh::default(), objects);
        let found = &world.request_authentications;
        let row = &found.namespaces["ns"][0];
        let keys = row.providers.iter().map(|p| p.keys.clone());
        let want = want.map(|text| Keys::Inline(text.into()));
        assert_eq!(keys.collect::<Vec<_>>(), want);
        assert_eq!(found.diagnostics.len(), warnings, "{:?}", found.diagnostics);
        let wanted: Vec<_> = found.wanted.keys().collect();
        assert_eq!(wanted, [&uri, &issuer]);
    }
}

#[test]
fn the_longest_timeout_of_a_source_counts() {
    let rules = [None, Some(9), Some(2)].map(|seconds| JwtRule {
        timeout: seconds.map(Duration::from_secs),
        ..rule("x", "http://a/keys", "")
    });
    let world = world(
        Mesh::default(),
        vec![policy("ns", "p", 0, selector(""), rules.into())],
    );
    let wanted: Vec<_> = world.request_authentications.wanted.values().collect();
    assert_eq!(wanted, [&Duration::from_secs(9)]);
}

#[test]
fn proxies_fetch_from_services_of_the_mesh_where_the_flag_says_so() {
    let inside = "http://in.example.com:8000/keys";
    let outside = "https://out.example.com/keys";
    let rules = || {
        vec![
            rule("x", inside, ""),
            rule("y", outside, ""),
            rule("z", "", "{}"),
        ]
    };
    let remote = |uri: &str, cluster: &str| Keys::Remote {
        uri: uri.into(),
        cluster: cluster.into(),
    };
    let none = || Keys::Inline(NO_KEYS.into());
    let inner = || remote(inside, "outbound|8000||in.example.com");
    let outer = || remote(outside, "outbound|443||out.example.com");
    for (mode, want, fetched, warnings) in [
        (JwksFetch::ControlPlane, [none(), none()], 2, 0),
        (JwksFetch::Hybrid, [inner(), none()], 1, 0),
        (JwksFetch::Envoy, [inner(), outer()], 0, 1),
    ] {
        let mesh = Mesh {
            jwks_fetch: mode,
            ..Mesh::default()
        };
        let entry = service_entry("ns", "in.example.com", &[]);
        let world = world(
            mesh,
            vec![policy("ns", "p", 0, selector(""), rules()), entry.into()],
        );
        let found = &world.request_authentications;
        let keys: Vec<_> = found.namespaces["ns"][0]
            .providers
            .iter()
            .map(|p| p.keys.clone())
            .collect();
        assert_eq!(keys[..2], want, "{mode:?}");
        assert_eq!(keys[2], Keys::Inline("{}".into()));
        assert_eq!(found.wanted.len(), fetched, "{mode:?}");
        assert_eq!(found.diagnostics.len(), warnings, "{mode:?}");
    }
}

#[test]
fn hosts_of_addresses_are_read() {
    for (uri, want) in [
        ("http://a.com/keys", Some(("a.com", 80))),
        ("https://a.com", Some(("a.com", 443))),
        ("https://user:pass@a.com:8443/k?x=1", Some(("a.com", 8443))),
        ("http://[::1]:80/k", Some(("::1", 80))),
        ("http://[::1]/k", Some(("::1", 80))),
        ("http://10.0.0.1:27490/jwks.json", Some(("10.0.0.1", 27490))),
        ("http://a.com:port/", None),
        ("ftp://a.com/", None),
        ("http:///keys", None),
        ("", None),
    ] {
        let want = want.map(|(host, port)| (Hostname::new(host), port));
        assert_eq!(host_of(uri), want, "{uri}");
    }
}
