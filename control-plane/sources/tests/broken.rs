//! Broken documents: each gives one clear Diagnostic, and the good objects beside it are there.

use std::fs;

use meltemi_model::{Diagnostic, Kind, ObjectKey, Severity};
use meltemi_sources::files::load;
use meltemi_sources::lower::LowerSettings;

const HEAD: &str =
    "apiVersion: v1\nkind: Service\nmetadata: {name: first}\nspec: {ports: [{port: 80}]}\n---\n";
const TAIL: &str =
    "\n---\napiVersion: v1\nkind: Service\nmetadata: {name: last}\nspec: {ports: [{port: 80}]}\n";

/// (the document, its line in the file counted from the document, the path, words of the message)
type Case = (String, u32, &'static str, &'static str);

fn case(text: impl Into<String>, line: u32, path: &'static str, words: &'static str) -> Case {
    (text.into(), line, path, words)
}

fn vs(spec: &str) -> String {
    let spec = spec.replace('\n', "\n  ");
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: bad}}\nspec:\n  {spec}\n"
    )
}

fn route(rest: &str) -> String {
    let rest = rest.replace('\n', "\n  ");
    vs(&format!(
        "hosts: [reviews]\nhttp:\n- route:\n  - destination: {{host: reviews}}\n  {rest}"
    ))
}

fn object(kind: &str, spec: &str) -> String {
    let (group, spec) = ("networking.istio.io/v1", spec.replace('\n', "\n  "));
    format!("apiVersion: {group}\nkind: {kind}\nmetadata: {{name: bad}}\nspec:\n  {spec}\n")
}

fn service(spec: &str) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata: {{name: bad}}\nspec: {spec}\n")
}

fn syntax() -> Vec<Case> {
    let deep = format!("kind: X\nspec: {}", "{a: ".repeat(300));
    vec![
        case("kind: [", 1, "", "did not find expected node content"),
        case(
            "kind: Service\n  spec: 1",
            2,
            "",
            "mapping values are not allowed",
        ),
        case("kind: Service\n\tspec: 1", 2, "", "tab character"),
        case("kind: \"Service", 1, "", "quoted scalar"),
        case("kind: A\nkind: B", 2, "", "duplicate key \"kind\""),
        case(
            "spec:\n  a: 1\n  b: {c: 1, c: 2}",
            3,
            "",
            "duplicate key \"c\"",
        ),
        case("a: &a [1]\nb: *c", 2, "", "unknown anchor"),
        case("a: !!binary x\nb: !x y", 2, "", "tags"),
        case("a: .inf", 1, "", "NaN nor an infinity"),
        case(deep, 2, "", "nested more than 100 levels"),
        case("just words", 1, "", "not an object"),
        case("- 1\n- 2", 1, "", "a list, not an object"),
        case("true", 1, "", "not an object"),
    ]
}

fn heads() -> Vec<Case> {
    vec![
        case("a: 1", 1, "", "kind is missing"),
        case(
            "kind: Service\nmetadata: {name: bad}",
            1,
            "",
            "apiVersion is missing",
        ),
        case(
            "apiVersion: 1\nkind: Service",
            1,
            "apiVersion",
            "1 is not a string",
        ),
        case(
            "apiVersion: v1\nkind: [Service]",
            2,
            "kind",
            "is not a string",
        ),
        case("apiVersion: v2\nkind: Service", 1, "apiVersion", "write v1"),
        case(
            "apiVersion: networking.istio.io/v9\nkind: Gateway",
            1,
            "apiVersion",
            "write networking.istio.io/v1",
        ),
        case(
            "apiVersion: v1\nkind: Service",
            1,
            "metadata.name",
            "name is missing",
        ),
        case(
            "apiVersion: v1\nkind: Service\nmetadata: {name: A_b}",
            3,
            "metadata.name",
            "not a valid name",
        ),
        case(
            "apiVersion: v1\nkind: Service\nmetadata: {name: 12}",
            3,
            "metadata.name",
            "write it in quotes",
        ),
        case(
            "apiVersion: v1\nkind: Service\nmetadata: no",
            3,
            "metadata",
            "is not an object",
        ),
        case(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  creationTimestamp: soon",
            5,
            "metadata.creationTimestamp",
            "is not a time",
        ),
        case(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels: {a: 1}",
            5,
            "metadata.labels.a",
            "write it in quotes",
        ),
    ]
}

fn kubernetes() -> Vec<Case> {
    vec![
        case(service("{ports: []}"), 4, "spec.ports", "at least one port"),
        case(
            service("{ports: [{port: 0}]}"),
            4,
            "spec.ports[0].port",
            "0 is not a port",
        ),
        case(
            service("{ports: [{port: 65536}]}"),
            4,
            "spec.ports[0].port",
            "out of range",
        ),
        case(
            service("{ports: [{port: 99999999999999999999999999}]}"),
            4,
            "spec.ports[0].port",
            "is not a whole number",
        ),
        case(
            service("{ports: [{port: -1}]}"),
            4,
            "spec.ports[0].port",
            "out of range",
        ),
        case(
            service("{ports: [{port: 1.5}]}"),
            4,
            "spec.ports[0].port",
            "not a whole number",
        ),
        case(
            service("{ports: [{port: x}]}"),
            4,
            "spec.ports[0].port",
            "not a whole number",
        ),
        case(
            service("{ports: [{port: 1, protocol: QUIC}]}"),
            4,
            "spec.ports[0].protocol",
            "TCP, UDP or SCTP",
        ),
        case(
            service("{ports: [{port: 1, name: a}, {port: 1, name: b}]}"),
            4,
            "spec.ports[1].port",
            "listed twice",
        ),
        case(
            service("{ports: [{port: 1}, {port: 2}]}"),
            4,
            "spec.ports[0].name",
            "needs a name",
        ),
        case(
            service("{clusterIP: 10.0.0.999, ports: [{port: 1}]}"),
            4,
            "spec.clusterIP",
            "not an IP address",
        ),
        case(
            service("{ports: {port: 1}}"),
            4,
            "spec.ports",
            "is not a list",
        ),
        case(
            service("{type: ExternalName}"),
            4,
            "spec.externalName",
            "needs an externalName",
        ),
        case(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nstatus: {podIP: here}",
            4,
            "status.podIP",
            "not an IP address",
        ),
        case(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: bad}\naddressType: IPv4\nendpoints:\n- \
             addresses: [x]",
            6,
            "endpoints[0].addresses[0]",
            "not an IP address",
        ),
        case(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: bad}\naddressType: MAC",
            4,
            "addressType",
            "IPv4, IPv6 or FQDN",
        ),
        case(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    \
             defaultConfig: {}\n    connectTimeout: 1\n",
            7,
            "data.mesh.connectTimeout",
            "write it in quotes",
        ),
        case(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: 'a: ['",
            5,
            "data.mesh",
            "did not find",
        ),
    ]
}

fn virtual_services() -> Vec<Case> {
    vec![
        case(vs("hosts: reviews"), 5, "spec.hosts", "is not a list"),
        case(
            vs("hosts: [a b]\nhttp: [{route: [{destination: {host: a}}]}]"),
            5,
            "spec.hosts[0]",
            "domain name",
        ),
        case(
            vs("hosts: [a]"),
            4,
            "spec",
            "must be provided in virtual service",
        ),
        case(
            vs("hosts: [a]\nhttp:\n- name: x"),
            7,
            "spec.http[0]",
            "HTTP route, redirect or direct_response is required",
        ),
        case(
            vs("hosts: [a]\nhttp:\n- route:\n  - weight: 1"),
            8,
            "spec.http[0].route[0].destination",
            "destination is required",
        ),
        case(
            vs("hosts: [a]\nhttp:\n- route:\n  - destination: {host: \"\"}"),
            8,
            "spec.http[0].route[0].destination.host",
            "empty",
        ),
        case(
            vs("hosts: [a]\nhttp:\n- route:\n  - destination: {host: a}\n    weight: -1"),
            9,
            "spec.http[0].route[0].weight",
            "weight -1 < 0",
        ),
        case(
            vs("hosts: [a]\nhttp:\n- route:\n  - destination: {host: a, port: {number: 70000}}"),
            8,
            "spec.http[0].route[0].destination.port.number",
            "must be in the range 1..65535",
        ),
        case(
            route("timeout: 5"),
            9,
            "spec.http[0].timeout",
            "write it in quotes",
        ),
        case(
            route("timeout: 5 seconds"),
            9,
            "spec.http[0].timeout",
            "not a duration",
        ),
        case(
            route("timeout: -1s"),
            9,
            "spec.http[0].timeout",
            "greater than 1ms",
        ),
        case(
            route("retries: {attempts: -1}"),
            9,
            "spec.http[0].retries.attempts",
            "negative",
        ),
        case(
            route("match:\n- uri: {regex: \"a(\"}"),
            10,
            "spec.http[0].match[0].uri",
            "error parsing regexp: unclosed group",
        ),
        case(
            route("match:\n- uri: {exact: a, prefix: b}"),
            10,
            "spec.http[0].match[0].uri",
            "exclude each other",
        ),
        case(
            route("match:\n- headers: {\"\": {exact: a}}"),
            10,
            "spec.http[0].match[0].headers[\"\"]",
            "header name cannot be empty",
        ),
        case(
            route("match:\n- method: {prefix: \"\"}"),
            10,
            "spec.http[0].match[0].method",
            "prefix string match should not be empty",
        ),
        case(
            route("fault: {abort: {percentage: {value: 101}, httpStatus: 500}}"),
            9,
            "spec.http[0].fault.abort.percentage",
            "nor in range",
        ),
        case(
            route("fault: {abort: {percentage: {value: 1}, httpStatus: 999}}"),
            9,
            "spec.http[0].fault.abort.httpStatus",
            "not in range 200-599",
        ),
        case(
            route("headers: {request: {set: {x: \"50%\"}}}"),
            9,
            "spec.http[0].headers.request.set[\"x\"]",
            "Un-escaped %",
        ),
        case(
            vs("hosts: [a]\nhttp:\n- redirect: {uri: /x, redirectCode: 200}"),
            7,
            "spec.http[0].redirect",
            "not a valid redirect code",
        ),
        case(
            vs(
                "hosts: [a]\ntls:\n- match: [{sniHosts: [a], destinationSubnets: [10.0.0.0/99]}]\n  route: [{destination: \
                {host: a}}]",
            ),
            7,
            "spec.tls[0].match[0].destinationSubnets[0]",
            "not a valid CIDR block",
        ),
    ]
}

fn others() -> Vec<Case> {
    vec![
        case(
            object("DestinationRule", "host: \"\""),
            5,
            "spec.host",
            "empty",
        ),
        case(
            object(
                "DestinationRule",
                "host: a\nsubsets:\n- name: v1\n- name: v1",
            ),
            8,
            "spec.subsets[1].name",
            "duplicate subset names: v1",
        ),
        case(
            object(
                "DestinationRule",
                "host: a\ntrafficPolicy:\n  tls: {mode: SOMETIMES}",
            ),
            7,
            "spec.trafficPolicy.tls.mode",
            "write one of DISABLE, SIMPLE",
        ),
        case(
            object(
                "DestinationRule",
                "host: a\ntrafficPolicy: {connectionPool: {tcp: {maxConnections: -5}}}",
            ),
            6,
            "spec.trafficPolicy.connectionPool.tcp.maxConnections",
            "negative",
        ),
        case(
            object(
                "DestinationRule",
                "host: a\ntrafficPolicy: {outlierDetection: {maxEjectionPercent: 200}}",
            ),
            6,
            "spec.trafficPolicy.outlierDetection.maxEjectionPercent",
            "not in range 0..100",
        ),
        case(
            object(
                "Gateway",
                "servers:\n- port: {number: 80, name: a, protocol: HTTPS}\n  hosts: [\"*\"]",
            ),
            6,
            "spec.servers[0].tls",
            "must have TLS settings",
        ),
        case(
            object(
                "Gateway",
                "servers:\n- port: {number: 80, name: a, protocol: HTTQ}\n  hosts: [\"*\"]",
            ),
            6,
            "spec.servers[0].port.protocol",
            "invalid protocol",
        ),
        case(
            object("Sidecar", "egress:\n- hosts: [\"*\"]"),
            6,
            "spec.egress[0].hosts[0]",
            "must be of form namespace/dnsName",
        ),
        case(
            object(
                "ServiceEntry",
                "hosts: [a.com]\nports: [{number: 1, name: a}]\naddresses: [1.2.3.4/x]",
            ),
            7,
            "spec.addresses[0]",
            "not a valid CIDR block",
        ),
        case(
            object(
                "ServiceEntry",
                "hosts: [a.com]\nresolution: STATIC\nendpoints:\n- address: b.com",
            ),
            8,
            "spec.endpoints[0].address",
            "is not a valid IP address",
        ),
        case(
            object("WorkloadEntry", "network: \"\""),
            4,
            "spec.address",
            "address is required",
        ),
    ]
}

fn cases() -> Vec<Case> {
    [
        syntax(),
        heads(),
        kubernetes(),
        virtual_services(),
        others(),
    ]
    .concat()
}

fn errors(diagnostics: &[Diagnostic]) -> Vec<&Diagnostic> {
    diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .collect()
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(Kind::Service, "default", name)
}

/// What is wrong with the answer to a case.
fn complaint((text, line, path, words): &Case) -> Option<String> {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("objects.yaml");
    fs::write(&file, format!("{HEAD}{text}{TAIL}")).expect("a file");
    let loaded = load(dir.path(), &LowerSettings::default());
    let names: Vec<&ObjectKey> = loaded.objects.keys().collect();
    let errors = errors(&loaded.diagnostics);
    let found = errors
        .iter()
        .find(|d| d.path == *path && d.message.contains(words));
    let place = found.and_then(|d| d.place.as_ref());
    let good = names == [&key("first"), &key("last")]
        && place.is_some_and(|p| p.line == line + 5 && *p.file == *file.to_string_lossy());
    let got: Vec<String> = errors.iter().map(|e| e.to_string()).collect();
    (!good).then(|| {
        format!(
            "{text:.300}\nwant line {}: {path}: {words}\ngot {names:?} {got:#?}\n",
            line + 5
        )
    })
}

#[test]
fn broken_documents_are_named_and_hide_nothing() {
    assert!(cases().len() > 60);
    let complaints: Vec<String> = cases().iter().filter_map(complaint).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn files_that_are_no_text_hide_no_other_file() {
    let huge = [HEAD.as_bytes(), b"# ", &vec![b'x'; 10 << 20]].concat();
    let mut binary = HEAD.as_bytes().to_vec();
    binary.extend(b"\n\xc3\x28\n");
    for (bytes, line, words) in [
        (huge, 0, "more than the 8388608 that are read"),
        (binary, 7, "invalid UTF-8"),
        (vec![0xff, 0xfe, b'a', 0], 1, "invalid UTF-8"),
        (b"kind: a\x00b".to_vec(), 1, "control characters"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("bad.yaml"), bytes).unwrap();
        fs::write(dir.path().join("good.yaml"), TAIL).unwrap();
        let loaded = load(dir.path(), &LowerSettings::default());
        assert_eq!(
            loaded.objects.keys().collect::<Vec<_>>(),
            [&key("last")],
            "{words}"
        );
        let found = &loaded.diagnostics[0];
        assert!(found.message.contains(words), "{found}");
        assert_eq!(found.place.as_ref().expect("a place").line, line, "{found}");
    }
}

#[test]
fn a_million_mistakes_are_cut_short() {
    let text = "---\na\n".repeat(5_000) + TAIL;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("bad.yaml"), text).unwrap();
    let loaded = load(dir.path(), &LowerSettings::default());
    assert_eq!((loaded.objects.len(), loaded.diagnostics.len()), (1, 1_001));
    assert!(
        loaded.diagnostics[1_000].message.contains("4000 more"),
        "{}",
        loaded.diagnostics[1_000]
    );
}

#[test]
fn a_path_that_is_not_there_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let loaded = load(&dir.path().join("nowhere"), &LowerSettings::default());
    assert!(loaded.objects.is_empty());
    assert!(
        loaded.diagnostics[0].message.contains("cannot be read"),
        "{}",
        loaded.diagnostics[0]
    );
}
