//! The compiled filters say to every request what the policies say, in both directions.

use meltemi::simulation;
use meltemi_proto::any::struct_from_json;
use meltemi_simulator::{Call, End, MissKind, Mode, Outcome, Protocol, Resources, Tls, simulate};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};

use crate::direct::{self, Request, TRUST_DOMAINS};
use crate::mesh;
use crate::random::{PROVIDERS, policies, request};

/// Requests that meet one set of policies.
const REQUESTS: usize = 200;
/// Sets of policies in a full run, which draws the same cases each time: 100,000 pairs.
const FULL: u32 = 500;
/// Elsewhere.
const FEW: u32 = 50;

fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    let least = match config.rng_seed {
        RngSeed::Fixed(_) => FULL,
        RngSeed::Random => FEW,
    };
    ProptestConfig {
        // PROPTEST_CASES may ask for more than proptest's default.
        cases: if config.cases > 256 {
            config.cases
        } else {
            least
        },
        max_shrink_iters: 100,
        failure_persistence: None,
        ..config
    }
}

/// What a sidecar of namespace `a` is served for these policies.
fn guarded(policies: &[Value]) -> Resources {
    let mut objects = policies.to_vec();
    objects.push(mesh::mesh_config(&json!({
        "trustDomain": TRUST_DOMAINS[0],
        "trustDomainAliases": [TRUST_DOMAINS[1]],
        "extensionProviders": [
            {"name": PROVIDERS[0], "envoyExtAuthzGrpc": {"service": "ask.test", "port": 9000}},
            {"name": PROVIDERS[1], "envoyExtAuthzHttp": {"service": "ask.test", "port": 9000}},
        ],
    })));
    objects.push(json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": "ask", "namespace": "a"},
        "spec": {
            "hosts": ["ask.test"],
            "resolution": "DNS",
            "ports": [{"number": 9000, "name": "grpc", "protocol": "GRPC"}],
        },
    }));
    let (world, said) = mesh::world(&objects);
    let refused = said.iter().find(|line| line.starts_with("error"));
    assert_eq!(refused, None, "every policy is good");
    let node = mesh::sidecar("a", &json!({"app": "web"}));
    let answer = meltemi::offline::compile(&world, &node).expect("a node");
    simulation::resources(&answer.snapshot).0
}

fn call(request: &Request) -> Call {
    let (address, port) = request.destination;
    let text = |text: &str| text.to_owned();
    let mut call = Call {
        mode: Mode::Inbound,
        source: request.source,
        provider_refuses: true,
        metadata: [(
            text("envoy.filters.test"),
            struct_from_json(&request.metadata),
        )]
        .into(),
        ..Call::to(&address.to_string(), port)
    };
    if let Some(identity) = &request.identity {
        call.tls = Tls::Mtls;
        call.principal = format!("spiffe://{identity}");
        call.sni.clone_from(&request.server_name);
        let offered: &[&str] = match request.http {
            Some(_) => &["istio-http/1.1", "istio", "http/1.1"],
            None => &["istio-peer-exchange", "istio"],
        };
        call.alpn = offered.iter().map(|name| text(name)).collect();
    }
    if let Some(http) = &request.http {
        call.protocol = Protocol::Http1;
        call.method.clone_from(&http.method);
        call.host.clone_from(&http.host);
        call.path.clone_from(&http.path);
        let headers = http.headers.iter();
        call.headers = headers.map(|(n, v)| (n.clone(), v.clone())).collect();
        let forwarded = request.forwarded.iter();
        let forwarded = forwarded.map(|value| (text("x-forwarded-for"), value.clone()));
        call.headers.extend(forwarded);
        if !http.claims.is_null() {
            let payload = struct_from_json(&json!({"payload": http.claims}));
            let filter = text("envoy.filters.http.jwt_authn");
            call.metadata.insert(filter, payload);
        }
    }
    call
}

/// Whether it passes; nothing but policies stops it.
fn passed(outcome: &Outcome) -> bool {
    match &outcome.end {
        End::Forwarded => true,
        End::Missed(miss) if miss.kind == MissKind::Denied => false,
        // The pod is not among the resources.
        End::Missed(miss) if miss.kind == MissKind::NoEndpoint => true,
        end => panic!("{end:?}"),
    }
}

fn difference(policies: &[Value], request: &Request, outcome: &Outcome) -> String {
    let policies = serde_json::to_string(policies).expect("JSON");
    let steps = &outcome.steps;
    format!(
        "{request:?}\n{policies}\nthe filters: {:?}\n{steps:#?}",
        outcome.end
    )
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn compiled_filters_say_what_policies_say(
        policies in policies(),
        requests in proptest::collection::vec(request(), REQUESTS),
    ) {
        let resources = guarded(&policies);
        for request in &requests {
            let want = direct::passes(&policies, request, PROVIDERS);
            let outcome = simulate(&resources, &call(request));
            if passed(&outcome) != want {
                return Err(TestCaseError::fail(difference(&policies, request, &outcome)));
            }
        }
    }
}
