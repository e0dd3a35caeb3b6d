//! The calls of istiod's own simulation tests (`../shared/corpus/simulation`): our resources take each of them where
//! istiod's took it.

use std::collections::BTreeMap;

use meltemi::simulation::resources;
use meltemi_simulator::{Call, End, MissKind, Mode, Outcome, Protocol, Tls, simulate};
use meltemi_tests::recorded::{Case, Expected, build, cases};
use meltemi_tests::shared;
use serde::Deserialize;
use serde_json::Value;

/// Calls that may differ; it only goes down.
const MOST_EXCEPTIONS: usize = 1;

#[test]
fn every_call_goes_where_istiods_went() {
    let Some(suite) = shared::suite("simulation") else {
        shared::skipped("no corpus");
        return;
    };
    let list = shared::repo_root().join("tests/simulation/expected-differences.txt");
    let list = std::fs::read_to_string(list).expect("the list of exceptions");
    let expected = Expected::parse(&list).expect("a list of exceptions").0;
    assert!(
        expected.len() <= MOST_EXCEPTIONS,
        "{} exceptions, {MOST_EXCEPTIONS} are allowed",
        expected.len()
    );

    let mut wrong = Vec::new();
    let mut total = 0;
    for path in cases(&suite).expect("the cases") {
        let case = Case::read(&path).expect("a case");
        let results = run(&case).unwrap_or_else(|error| {
            BTreeMap::from([(
                case.id.clone(),
                Some(format!("does not compile: {error:#}")),
            )])
        });
        total += results.len();
        for (name, difference) in results {
            match (difference, expected.contains_key(&name)) {
                (Some(difference), false) => wrong.push(format!("{name}: {difference}")),
                (None, true) => wrong.push(format!("{name} is equal: take it off the list")),
                _ => {}
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {total} calls:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The differences of the calls of a case, by `TEST/FILE#NUMBER NAME`.
fn run(case: &Case) -> anyhow::Result<BTreeMap<String, Option<String>>> {
    let (resources, problems) = resources(&build(case)?.compile().snapshot);
    anyhow::ensure!(problems.is_empty(), "{problems:?}");
    let calls = case.rest.get("calls").cloned().unwrap_or(Value::Null);
    let calls: Vec<Recorded> = serde_json::from_value(calls)?;
    let outcomes = calls.iter().enumerate().map(|(at, recorded)| {
        let name = format!("{}#{} {}", case.id, at + 1, recorded.name);
        let outcome = simulate(&resources, &call(&recorded.call, &case.proxy.kind));
        (name, difference(recorded, &outcome))
    });
    Ok(outcomes.collect())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recorded {
    #[serde(default)]
    name: String,
    call: RecordedCall,
    want: Want,
    #[serde(default)]
    strict: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct RecordedCall {
    address: String,
    port: u16,
    path: String,
    protocol: String,
    tls: String,
    alpn: String,
    host_header: String,
    headers: BTreeMap<String, Vec<String>>,
    sni: String,
    call_mode: String,
    mtls_secret_config_name: String,
}

#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Want {
    error: String,
    listener_matched: String,
    filter_chain_matched: String,
    route_config_matched: String,
    virtual_host_matched: String,
    route_matched: String,
    cluster_matched: String,
}

/// The call with what the corpus's README says of what is left out.
fn call(recorded: &RecordedCall, proxy: &str) -> Call {
    let address = match recorded.address.as_str() {
        "" => "1.3.3.7",
        address => address,
    };
    let (protocol, plain_alpn, mesh_alpn) = match recorded.protocol.as_str() {
        "http" => (Protocol::Http1, "http/1.1", "istio-http/1.1"),
        "http2" => (Protocol::Http2, "h2", "istio-h2"),
        _ => (Protocol::Tcp, "", "istio"),
    };
    let (tls, alpn) = match recorded.tls.as_str() {
        "tls" => (Tls::Tls, plain_alpn),
        "mtls" => (Tls::Mtls, mesh_alpn),
        _ => (Tls::Plaintext, ""),
    };
    let alpn = match recorded.alpn.as_str() {
        "" => alpn,
        alpn => alpn,
    };
    let plain = Call::to(address, recorded.port);
    Call {
        mode: match (recorded.call_mode.as_str(), proxy) {
            ("inbound", _) => Mode::Inbound,
            ("gateway", _) | ("", "router") => Mode::Direct,
            _ => Mode::Outbound,
        },
        protocol,
        tls,
        sni: match (recorded.sni.as_str(), tls) {
            ("", Tls::Tls) => recorded.host_header.clone(),
            (sni, _) => sni.to_owned(),
        },
        alpn: [alpn]
            .into_iter()
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
        trusts: match recorded.mtls_secret_config_name.as_str() {
            "" => plain.trusts.clone(),
            name => name.to_owned(),
        },
        host: recorded.host_header.clone(),
        path: match recorded.path.as_str() {
            "" => "/".to_owned(),
            path => path.to_owned(),
        },
        headers: recorded
            .headers
            .iter()
            .flat_map(|(name, values)| values.iter().map(|value| (name.clone(), value.clone())))
            .collect(),
        ..plain
    }
}

/// What is not as it was asserted.
fn difference(recorded: &Recorded, outcome: &Outcome) -> Option<String> {
    let got = got(outcome);
    let want = &recorded.want;
    let fields = [
        ("error", &want.error, &got.error),
        ("listener", &want.listener_matched, &got.listener_matched),
        (
            "chain",
            &want.filter_chain_matched,
            &got.filter_chain_matched,
        ),
        (
            "routes",
            &want.route_config_matched,
            &got.route_config_matched,
        ),
        (
            "vhost",
            &want.virtual_host_matched,
            &got.virtual_host_matched,
        ),
        ("route", &want.route_matched, &got.route_matched),
        ("cluster", &want.cluster_matched, &got.cluster_matched),
    ];
    let wrong: Vec<String> = fields
        .iter()
        .filter(|(name, want, got)| {
            let asserted = recorded.strict || !want.is_empty() || *name == "error";
            asserted && want != got
        })
        .map(|(name, want, got)| format!("{name} {got:?}, istiod {want:?}"))
        .collect();
    let why = outcome.miss().map_or("", |miss| miss.why.as_str());
    (!wrong.is_empty()).then(|| format!("{} ({:?}) {why}", wrong.join("; "), recorded.call))
}

fn got(outcome: &Outcome) -> Want {
    let error = match &outcome.end {
        End::Redirected {
            tls_required: true, ..
        } => "tls required, sending 301".to_owned(),
        // istiod's engine ends at the name of the cluster.
        End::Missed(miss) if !matches!(miss.kind, MissKind::NoCluster | MissKind::NoEndpoint) => {
            miss.kind.to_string()
        }
        _ => String::new(),
    };
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    Want {
        error,
        listener_matched: text(&outcome.listener),
        filter_chain_matched: text(&outcome.filter_chain),
        route_config_matched: text(&outcome.route_config),
        virtual_host_matched: text(&outcome.virtual_host),
        route_matched: text(&outcome.route),
        cluster_matched: text(&outcome.cluster),
    }
}
