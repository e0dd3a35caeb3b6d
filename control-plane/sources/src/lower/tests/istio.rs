use std::time::Duration;

use meltemi_model::Locality;
use meltemi_model::gateway::ServerTlsMode;
use meltemi_model::port::Protocol;
use meltemi_model::routing::{
    AbortStatus, HttpAction, HttpRoute, PerMillion, RedirectPort, ResponseBody, StringMatch,
};
use meltemi_model::service::{ExportTo, Resolution};
use meltemi_model::sidecar::{CaptureMode, OutboundPolicy};
use meltemi_model::traffic::{Algorithm, DestinationRule, HashKey, PortPolicy, Ring, TlsMode};
use meltemi_model::{Object, Severity, Shared};

use super::{get, istio, lowered, words};

/// The first HTTP route of a VirtualService with this rest of a route.
fn route(rest: &str) -> HttpRoute {
    let rest = rest.replace('\n', "\n  ");
    let spec =
        format!("hosts: [reviews]\nhttp:\n- route: [{{destination: {{host: reviews}}}}]\n  {rest}");
    get!(VirtualService, istio("VirtualService", &spec)).http[0].clone()
}

/// The first HTTP route of a VirtualService with this route.
fn whole_route(route: &str) -> HttpRoute {
    let spec = format!("hosts: [reviews]\nhttp:\n- {}", route.replace('\n', "\n  "));
    get!(VirtualService, istio("VirtualService", &spec)).http[0].clone()
}

fn rule(policy: &str) -> Shared<DestinationRule> {
    let spec = format!(
        "host: reviews\ntrafficPolicy:\n  {}",
        policy.replace('\n', "\n  ")
    );
    get!(DestinationRule, istio("DestinationRule", &spec))
}

fn policy(policy: &str) -> PortPolicy {
    rule(policy).policy.clone().expect("a policy").all
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

#[test]
fn virtual_services_have_full_names() {
    let vs = get!(
        VirtualService,
        istio(
            "VirtualService",
            "hosts: [reviews, other.com]\ngateways: [gw, b/gw, mesh]\nexportTo: [.]\nhttp:\n- route:\n  - destination: \
             {host: reviews, subset: v1, port: {number: 80}}\n    weight: 90\n  - destination: {host: a.b}\n    weight: 10"
        )
    );
    let hosts: Vec<&str> = vs.hosts.iter().map(|h| h.as_str()).collect();
    assert_eq!(hosts, ["reviews.ns.svc.cluster.local", "other.com"]);
    assert_eq!(vs.gateways, ["ns/gw".into(), "b/gw".into(), "mesh".into()]);
    assert_eq!(vs.export_to, ExportTo::Namespaces(["ns".into()].into()));
    let HttpAction::Forward(destinations) = &vs.http[0].action else {
        panic!("{:?}", vs.http[0].action);
    };
    let (one, two) = (&destinations[0], &destinations[1]);
    assert_eq!(
        one.destination.host.as_str(),
        "reviews.ns.svc.cluster.local"
    );
    assert_eq!(
        (&*one.destination.subset, one.destination.port, one.weight),
        ("v1", Some(80), 90)
    );
    assert_eq!(
        (
            two.destination.host.as_str(),
            two.destination.port,
            two.weight
        ),
        ("a.b", None, 10)
    );
}

#[test]
fn without_gateways_a_virtual_service_is_for_sidecars() {
    let spec = "hosts: [a]\ntcp: [{route: [{destination: {host: a}}]}]";
    let vs = get!(VirtualService, istio("VirtualService", spec));
    assert_eq!(vs.gateways, ["mesh".into()]);
    assert_eq!(vs.tcp[0].destinations.len(), 1);
}

#[test]
fn http_matches() {
    let route = route(
        "match:\n- name: m\n  uri: {prefix: /a}\n  ignoreUriCase: true\n  scheme: {exact: https}\n  method: {regex: \
         GET|PUT}\n  authority: {prefix: x}\n  headers: {z: {exact: '1'}, a: {}, s: {regex: '*'}}\n  withoutHeaders: {w: \
         {prefix: p}}\n  queryParams: {q: {exact: v}}\n  port: 80\n  sourceLabels: {app: x}\n  sourceNamespace: other\n  \
         gateways: [gw]\n  statPrefix: s\n- uri: {prefix: ''}",
    );
    let m = &route.matches[0];
    assert_eq!(m.uri, Some(StringMatch::Prefix("/a".into())));
    assert_eq!(m.scheme, Some(StringMatch::Exact("https".into())));
    assert_eq!(m.method, Some(StringMatch::Regex("GET|PUT".into())));
    let exact = |v: &str| Some(StringMatch::Exact(v.into()));
    assert_eq!(
        m.headers,
        [
            ("a".into(), None),
            ("s".into(), None),
            ("z".into(), exact("1"))
        ]
    );
    assert_eq!(
        m.without_headers,
        [("w".into(), Some(StringMatch::Prefix("p".into())))]
    );
    assert_eq!(m.query_params, [("q".into(), exact("v"))]);
    assert_eq!(
        (m.port, m.source_namespace.as_str(), m.name.as_str()),
        (80, "other", "m")
    );
    assert_eq!(
        (m.gateways.clone(), m.ignore_uri_case),
        (vec!["ns/gw".into()], true)
    );
    assert_eq!(route.matches[1].uri, Some(StringMatch::Prefix("".into())));
}

#[test]
fn http_actions() {
    let HttpAction::Redirect(redirect) =
        whole_route("redirect: {uri: /x, authority: b.com, redirectCode: 302, port: 8080}").action
    else {
        panic!("no redirect");
    };
    assert_eq!(
        (&*redirect.uri, &*redirect.authority, redirect.code),
        ("/x", "b.com", 302)
    );
    assert_eq!(redirect.port, Some(RedirectPort::Number(8080)));
    let HttpAction::Redirect(redirect) =
        whole_route("redirect: {scheme: https, derivePort: FROM_REQUEST_PORT}").action
    else {
        panic!("no redirect");
    };
    assert_eq!(
        (redirect.port, redirect.code),
        (Some(RedirectPort::FromRequestPort), 0)
    );
    for (body, want) in [
        ("{string: hi}", ResponseBody::Text("hi".into())),
        ("{bytes: aGk=}", ResponseBody::Bytes(b"hi".to_vec())),
    ] {
        let HttpAction::Respond(response) =
            whole_route(&format!("directResponse: {{status: 503, body: {body}}}")).action
        else {
            panic!("no response");
        };
        assert_eq!((response.status, response.body), (503, Some(want)));
    }
}

#[test]
fn http_options() {
    let route = route(
        "name: r\ntimeout: 1.5s\nretries: {attempts: 3, perTryTimeout: 2s, retryOn: '5xx,503', backoff: 25ms}\nrewrite: \
         {uri: /, authority: x}\nmirror: {host: m, subset: v2}\nmirrorPercent: 50\nheaders:\n  request: {set: {b: '1', a: \
         '%REQ(x)%'}, add: {c: '2'}, remove: [d]}\n  response: {remove: [server]}\ncorsPolicy: {allowOrigin: [a.com], \
         allowMethods: [GET], maxAge: 24h, allowCredentials: true}",
    );
    assert_eq!(
        (&*route.name, route.timeout),
        ("r", Some(Duration::from_millis(1500)))
    );
    let retries = route.retries.expect("retries");
    assert_eq!((retries.attempts, &*retries.retry_on), (3, "5xx,503"));
    assert_eq!(retries.per_try_timeout, Some(Duration::from_secs(2)));
    assert_eq!(
        route.rewrite.map(|r| (r.uri, r.authority)),
        Some(("/".into(), "x".into()))
    );
    assert_eq!(
        route.mirrors[0].destination.host.as_str(),
        "m.ns.svc.cluster.local"
    );
    assert_eq!(route.mirrors[0].share, Some(PerMillion(500_000)));
    let request = &route.headers.request;
    assert_eq!(
        request.set,
        [("a".into(), "%REQ(x)%".into()), ("b".into(), "1".into())]
    );
    assert_eq!(
        (request.add.len(), request.remove.clone()),
        (1, vec!["d".into()])
    );
    assert_eq!(route.headers.response.remove, ["server".into()]);
    let cors = route.cors.expect("a policy");
    assert_eq!(cors.allow_origins, [StringMatch::Exact("a.com".into())]);
    assert_eq!(cors.max_age, Some(Duration::from_secs(86_400)));
}

#[test]
fn faults_and_percentages() {
    let delay = |text: &str| {
        route(&format!("fault: {{delay: {{fixedDelay: 7s, {text}}}}}"))
            .fault
            .and_then(|f| f.delay)
    };
    let seven = Duration::from_secs(7);
    assert_eq!(
        delay("percentage: {value: 0.1}"),
        Some((PerMillion(1_000), seven))
    );
    assert_eq!(
        delay("percentage: {value: 100}"),
        Some((PerMillion(1_000_000), seven))
    );
    assert_eq!(delay("percent: 10"), Some((PerMillion(100_000), seven)));
    let abort = |text: &str| {
        let fault = route(&format!(
            "fault: {{abort: {{percentage: {{value: 1}}, {text}}}}}"
        ))
        .fault;
        fault.and_then(|f| f.abort).map(|a| a.1)
    };
    assert_eq!(abort("httpStatus: 503"), Some(AbortStatus::Http(503)));
    assert_eq!(
        abort("grpcStatus: UNAVAILABLE"),
        Some(AbortStatus::Grpc(14))
    );
}

#[test]
fn a_mirror_of_nothing_is_none() {
    for (percentage, want) in [
        ("{value: 0}", None),
        ("{value: 2.5}", Some(Some(PerMillion(25_000)))),
        ("null", Some(None)),
    ] {
        let route = route(&format!(
            "mirror: {{host: m}}\nmirrorPercentage: {percentage}"
        ));
        assert_eq!(route.mirrors.first().map(|m| m.share), want, "{percentage}");
        let route = whole_route(&format!(
            "route: [{{destination: {{host: a}}}}]\nmirrors: [{{destination: {{host: m}}, percentage: {percentage}}}]"
        ));
        assert_eq!(route.mirrors.first().map(|m| m.share), want, "{percentage}");
    }
}

#[test]
fn routes_of_connections() {
    let vs = get!(
        VirtualService,
        istio(
            "VirtualService",
            "hosts: ['*.a.com']\ntls:\n- match: [{sniHosts: [X.a.com], port: 443, destinationSubnets: [10.0.0.0/8]}]\n  \
             route: [{destination: {host: b}, weight: 100}]"
        )
    );
    let m = &vs.tls[0].matches[0];
    assert_eq!((m.sni_hosts.clone(), m.port), (vec!["x.a.com".into()], 443));
    assert_eq!(vs.tls[0].destinations[0].1, 100);
}

#[test]
fn what_istio_leaves_out_is_left_out_and_said() {
    let base = "hosts: [a]\nhttp:\n- route: [{destination: {host: a}}]\n  ";
    for (rest, says) in [
        (
            "headers: {request: {set: {':path': /x}}}",
            "cannot be changed here",
        ),
        (
            "headers: {response: {set: {host: x}}}",
            "cannot be changed here",
        ),
        (
            "fault: {delay: {percentage: {value: 1}, exponentialDelay: 1s}}",
            "no effect, as in Istio",
        ),
        (
            "retries: {attempts: 1, retryOn: sometimes}",
            "is not a condition",
        ),
        (
            "match: [{headers: {'@request.auth.claims.sub': {exact: x}}}]",
            "not supported yet",
        ),
    ] {
        let (object, words) = warned(&istio("VirtualService", &format!("{base}{rest}")));
        assert!(words.contains(says), "{rest}: {words}");
        let Some(Object::VirtualService(vs)) = object else {
            panic!("{rest}: no object");
        };
        let headers = &vs.http[0].headers;
        assert!(
            headers.request.set.is_empty() && headers.response.set.is_empty(),
            "{rest}"
        );
        assert!(vs.http[0].fault.is_none(), "{rest}");
    }
    let (object, words) = warned(&istio(
        "VirtualService",
        "http: [{route: [{destination: {host: a}}]}]",
    ));
    assert!(
        object.is_none() && words.contains("spec.hosts: not supported yet"),
        "{words}"
    );
    let (object, words) = warned(&istio(
        "VirtualService",
        "hosts: [a]\nhttp: [{delegate: {name: b}}]",
    ));
    assert!(
        words.contains("spec.http[0].delegate: not supported yet"),
        "{words}"
    );
    let Some(Object::VirtualService(vs)) = object else {
        panic!("no object");
    };
    assert_eq!(vs.http[0].action, HttpAction::Nothing);
}

#[test]
fn destination_rules() {
    let rule = get!(
        DestinationRule,
        istio(
            "DestinationRule",
            "host: reviews\nexportTo: ['*']\nworkloadSelector: null\nsubsets:\n- name: v1\n  labels: {version: v1}\n- name: \
             v2\n  trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}"
        )
    );
    assert_eq!(rule.host.as_str(), "reviews.ns.svc.cluster.local");
    assert_eq!(
        (&rule.export_to, rule.policy.is_none()),
        (&ExportTo::Everybody, true)
    );
    assert_eq!(
        rule.subsets[0].labels,
        [("version", "v1")].into_iter().collect()
    );
    let policy = rule.subsets[1].policy.as_ref().expect("a policy");
    let algorithm = policy
        .all
        .load_balancer
        .as_ref()
        .and_then(|lb| lb.algorithm.clone());
    assert_eq!(algorithm, Some(Algorithm::RoundRobin));
}

#[test]
fn load_balancers() {
    let algorithm = |text: &str| {
        let lb = policy(&format!("loadBalancer: {text}"))
            .load_balancer
            .expect("a load balancer");
        lb.algorithm
    };
    for (text, want) in [
        ("{simple: UNSPECIFIED}", Algorithm::LeastRequest),
        ("{simple: LEAST_CONN}", Algorithm::LeastRequest),
        ("{simple: RANDOM}", Algorithm::Random),
        ("{simple: PASSTHROUGH}", Algorithm::Passthrough),
    ] {
        assert_eq!(algorithm(text), Some(want), "{text}");
    }
    assert_eq!(algorithm("{warmup: {duration: 1s}}"), None);
    for (text, key, ring) in [
        (
            "httpHeaderName: x",
            HashKey::Header("x".into()),
            Ring::RingHash(Some(1024)),
        ),
        (
            "useSourceIp: true, minimumRingSize: 9",
            HashKey::SourceIp,
            Ring::RingHash(Some(9)),
        ),
        (
            "httpQueryParameterName: q, maglev: {tableSize: 65537}",
            HashKey::QueryParameter("q".into()),
            Ring::Maglev(Some(65_537)),
        ),
        (
            "httpHeaderName: x, maglev: {}",
            HashKey::Header("x".into()),
            Ring::Maglev(None),
        ),
        (
            "httpCookie: {name: c, path: /, ttl: 0s, attributes: [{name: SameSite, value: Lax}]}",
            HashKey::Cookie {
                name: "c".into(),
                path: "/".into(),
                ttl: Some(Duration::ZERO),
                attributes: vec![("SameSite".into(), "Lax".into())],
            },
            Ring::RingHash(Some(1024)),
        ),
    ] {
        let Some(Algorithm::ConsistentHash(hash)) =
            algorithm(&format!("{{consistentHash: {{{text}}}}}"))
        else {
            panic!("{text}");
        };
        assert_eq!((hash.key, hash.ring), (key, ring), "{text}");
    }
}

#[test]
fn localities_and_warmup() {
    let lb = policy(
        "loadBalancer:\n  localityLbSetting: {enabled: true, distribute: [{from: r/z/*, to: {r/z: 80, r2: 20}}], \
         failoverPriority: [a]}\n  warmup: {duration: 10s, minimumPercent: 10.5, aggression: 1.25}",
    )
    .load_balancer
    .expect("a load balancer");
    let locality = lb.locality.expect("locality");
    assert_eq!(
        locality.distribute,
        [("r/z/*".into(), vec![("r/z".into(), 80), ("r2".into(), 20)])]
    );
    let warmup = lb.warmup.expect("warmup");
    assert_eq!(
        (warmup.minimum_percent_millis, warmup.aggression_millis),
        (Some(10_500), Some(1_250))
    );
}

#[test]
fn pools_outliers_and_tls() {
    let policy = policy(
        "connectionPool:\n  tcp: {maxConnections: 5, connectTimeout: 30ms, idleTimeout: 0s, tcpKeepalive: {probes: 2}}\n  \
         http: {h2UpgradePolicy: DO_NOT_UPGRADE, http2MaxRequests: 7, maxRetries: 3}\noutlierDetection: \
         {consecutive5xxErrors: 0, interval: 5m, maxEjectionPercent: 100}\ntls: {mode: MUTUAL, clientCertificate: c, \
         privateKey: k, sni: s, subjectAltNames: [a]}",
    );
    let pool = policy.connection_pool.expect("a pool");
    assert_eq!(
        (
            pool.max_connections,
            pool.http2_max_requests,
            pool.max_retries
        ),
        (5, 7, 3)
    );
    assert_eq!(pool.connect_timeout, Some(Duration::from_millis(30)));
    assert_eq!(
        (pool.tcp_idle_timeout, pool.h2_upgrade),
        (Some(Duration::ZERO), Some(false))
    );
    let outlier = policy.outlier_detection.expect("outlier detection");
    assert_eq!(
        (outlier.consecutive_5xx_errors, outlier.max_ejection_percent),
        (Some(0), 100)
    );
    let tls = policy.tls.expect("tls");
    assert_eq!(
        (tls.mode, tls.client_certificate.as_str(), tls.sni.as_str()),
        (TlsMode::Mutual, "c", "s")
    );
}

#[test]
fn policies_per_port() {
    let rule = rule(
        "portLevelSettings: [{port: {number: 80}, tls: {mode: ISTIO_MUTUAL}}]\nproxyProtocol: {version: V2}",
    );
    let policy = rule.policy.as_ref().expect("a policy");
    let (port, settings) = &policy.ports[0];
    assert_eq!(
        (*port, settings.tls.as_ref().map(|t| t.mode)),
        (80, Some(TlsMode::IstioMutual))
    );
    assert_eq!(policy.proxy_protocol, Some(2));
}

#[test]
fn gateways() {
    let gateway = get!(
        Gateway,
        istio(
            "Gateway",
            "selector: {istio: ingressgateway}\nservers:\n- port: {number: 80, name: http, protocol: HTTP}\n  hosts: ['*', \
             ./a.com, b/c.com, '*.d.com']\n  tls: {httpsRedirect: true}\n- port: {number: 443, name: https, protocol: \
             HTTPS}\n  hosts: [a.com]\n  tls: {mode: SIMPLE, credentialName: c, minProtocolVersion: TLSV1_2}\n- port: \
             {number: 9443, name: files, protocol: TLS}\n  hosts: [a.com]\n  tls: {mode: MUTUAL, serverCertificate: s, \
             privateKey: k, caCertificates: ca}"
        )
    );
    let hosts: Vec<String> = gateway.servers[0]
        .hosts
        .iter()
        .map(|h| format!("{}/{}", h.namespace, h.host))
        .collect();
    assert_eq!(hosts, ["*/*", "ns/a.com", "b/c.com", "*/*.d.com"]);
    let tls: Vec<_> = gateway
        .servers
        .iter()
        .filter_map(|s| s.tls.as_ref())
        .collect();
    assert!(tls[0].https_redirect);
    assert_eq!(
        (tls[1].mode, tls[1].min_version),
        (ServerTlsMode::Simple, 12)
    );
    assert_eq!(tls[1].credential_names, ["c".into()]);
    assert_eq!(tls[2].certificates, [("s".into(), "k".into())]);
    assert_eq!(gateway.servers[2].protocol, Protocol::Tls);
}

#[test]
fn sidecars() {
    let sidecar = get!(
        Sidecar,
        istio(
            "Sidecar",
            "workloadSelector: {labels: {app: a}}\noutboundTrafficPolicy: {mode: REGISTRY_ONLY}\ningress:\n- port: {number: \
             9080, protocol: HTTP, name: in}\n  defaultEndpoint: 127.0.0.1:8080\negress:\n- port: {number: 3306, protocol: \
             MYSQL, name: db}\n  bind: 127.0.0.1\n  captureMode: NONE\n  hosts: ['*/db.com']\n- hosts: [./*, istio-system/*, \
             ~/*]"
        )
    );
    assert_eq!(sidecar.outbound_policy, Some(OutboundPolicy::RegistryOnly));
    assert_eq!(&*sidecar.ingress[0].default_endpoint, "127.0.0.1:8080");
    let db = &sidecar.egress[0];
    assert_eq!(
        (db.capture_mode, &*db.bind),
        (CaptureMode::None, "127.0.0.1")
    );
    assert_eq!(
        db.port.as_ref().map(|p| (p.number, p.protocol)),
        Some((3306, Protocol::Mysql))
    );
    let hosts: Vec<String> = sidecar.egress[1]
        .hosts
        .iter()
        .map(|h| format!("{}/{}", h.namespace, h.host))
        .collect();
    assert_eq!(hosts, ["./*", "istio-system/*", "~/*"]);
    let (object, words) = warned(&istio(
        "Sidecar",
        "workloadSelector: {}\negress: [{hosts: ['*/*']}]",
    ));
    assert!(words.contains("selects every workload"), "{words}");
    let Some(Object::Sidecar(sidecar)) = object else {
        panic!("no object");
    };
    assert_eq!(
        (sidecar.workload_selector.clone(), sidecar.outbound_policy),
        (None, None)
    );
}

#[test]
fn service_entries() {
    let entry = get!(
        ServiceEntry,
        istio(
            "ServiceEntry",
            "hosts: [A.example.com]\naddresses: [10.1.0.0/16, 10.2.0.1/32, 10.3.0.1]\nports:\n- {number: 80, name: http, \
             protocol: HTTP, targetPort: 8080}\n- {number: 81, name: auto}\nlocation: MESH_INTERNAL\nresolution: \
             STATIC\nexportTo: ['~']\nendpoints:\n- {address: 1.2.3.4, ports: {http: 9090}, locality: r/z, weight: 3, labels: \
             {a: b}}\n- {address: 'fd00::1', labels: {istio-locality: r2.z2}}"
        ) + "\nstatus: {addresses: [{value: 240.240.0.1, host: a.example.com}]}"
    );
    assert_eq!(entry.hosts[0].as_str(), "a.example.com");
    let addresses: Vec<&str> = entry.addresses.iter().map(|a| &**a).collect();
    assert_eq!(addresses, ["10.1.0.0/16", "10.2.0.1", "10.3.0.1"]);
    assert_eq!(entry.ports[0].target, 8080);
    assert_eq!(entry.ports[1].protocol, Protocol::Unsupported);
    assert_eq!(
        (entry.mesh_internal, entry.resolution),
        (true, Resolution::ClientSideLb)
    );
    assert_eq!(entry.export_to, ExportTo::Nobody);
    assert_eq!(entry.endpoints[0].ports, [("http".into(), 9090)]);
    assert_eq!(
        (entry.endpoints[0].weight, &entry.endpoints[0].locality),
        (3, &Locality::parse("r/z"))
    );
    assert_eq!(entry.endpoints[1].locality, Locality::parse("r2/z2"));
    assert_eq!(
        (entry.allocated[0].0.as_str(), &*entry.allocated[0].1),
        ("a.example.com", "240.240.0.1")
    );
}

#[test]
fn resolutions() {
    for (text, hosts, want) in [
        ("NONE", "[a.com]", Resolution::Passthrough),
        ("DNS", "[a.com]", Resolution::Dns),
        ("DNS_ROUND_ROBIN", "[a.com]", Resolution::DnsRoundRobin),
        ("DYNAMIC_DNS", "['*.a.com']", Resolution::DynamicDns),
    ] {
        let spec = format!(
            "hosts: {hosts}\nports: [{{number: 80, name: http, protocol: HTTP}}]\nresolution: {text}"
        );
        let entry = get!(ServiceEntry, istio("ServiceEntry", &spec));
        assert_eq!(entry.resolution, want, "{text}");
    }
}

#[test]
fn workload_entries_have_the_labels_of_both() {
    let text = istio(
        "WorkloadEntry",
        "address: vm.example.com\nlabels: {a: spec, b: spec}\nserviceAccount: sa",
    )
    .replace("namespace: ns", "namespace: ns, labels: {a: object}");
    let entry = get!(WorkloadEntry, text);
    assert_eq!(
        entry.spec.labels,
        [("a", "object"), ("b", "spec")].into_iter().collect()
    );
    assert_eq!(
        (&*entry.spec.service_account, &*entry.spec.address),
        ("sa", "vm.example.com")
    );
}
