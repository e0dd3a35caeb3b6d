use std::time::Duration;

use meltemi_model::gateway::ServerTlsMode;
use meltemi_model::port::Protocol;
use meltemi_model::service::{ExportTo, Resolution};
use meltemi_model::sidecar::{CaptureMode, OutboundPolicy};
use meltemi_model::traffic::{Algorithm, DestinationRule, HashKey, PortPolicy, Ring, TlsMode};
use meltemi_model::{Locality, Object, Shared};

use super::{get, istio, warned};
use crate::lower::{Features, LowerSettings, lower};
use crate::yaml;

fn rule(policy: &str) -> Shared<DestinationRule> {
    let spec = format!(
        "host: reviews\ntrafficPolicy:\n  {}",
        policy.replace('\n', "\n  ")
    );
    get!(served DestinationRule, istio("DestinationRule", &spec))
}

fn policy(policy: &str) -> PortPolicy {
    rule(policy).policy.clone().expect("a policy").all
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
    assert!(
        words.contains("workload selector specified without labels"),
        "{words}"
    );
    let Some(Object::Sidecar(sidecar)) = object else {
        panic!("no object");
    };
    assert_eq!(
        (sidecar.workload_selector.clone(), sidecar.outbound_policy),
        (None, None)
    );
}

#[test]
fn tls_of_an_ingress_listener_needs_a_flag() {
    let text = istio(
        "Sidecar",
        "ingress:\n- port: {number: 9080, protocol: HTTPS, name: in}\n  defaultEndpoint: 127.0.0.1:8080\n  tls: {mode: \
         SIMPLE, serverCertificate: c, privateKey: k}",
    );
    let (object, words) = warned(&text);
    assert!(words.contains("ENABLE_TLS_ON_SIDECAR_INGRESS"), "{words}");
    let Some(Object::Sidecar(sidecar)) = object else {
        panic!("no object");
    };
    assert_eq!(sidecar.ingress[0].tls, None);
    let settings = LowerSettings {
        features: Features {
            tls_on_sidecar_ingress: true,
            ..Features::default()
        },
        ..LowerSettings::default()
    };
    let value = yaml::read_one(&text).expect("a document");
    let lowered = lower(&value, &settings);
    assert_eq!(super::words(&lowered.diagnostics), "");
    let Some(Object::Sidecar(sidecar)) = lowered.object else {
        panic!("no object");
    };
    let tls = sidecar.ingress[0].tls.as_ref().expect("tls");
    assert_eq!(
        (tls.mode, &*tls.certificates[0].0),
        (ServerTlsMode::Simple, "c")
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
        )
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
}

#[test]
fn addresses_that_were_given_to_a_service_entry() {
    let status = "\nstatus: {addresses: [{value: '2001:2::1', host: a.com}, {value: 240.240.0.1, host: a.com}, {value: 240.240.0.2, \
                  host: a.com}, {value: nonsense, host: a.com}, {value: 240.240.0.3, host: B.com}]}";
    let ports = "ports: [{number: 80, name: http, protocol: HTTP}]";
    let plain = istio(
        "ServiceEntry",
        &format!("hosts: [a.com]\n{ports}\nresolution: DNS"),
    );
    let out = plain.replacen(
        "metadata: {",
        "metadata: {labels: {networking.istio.io/enable-autoallocate-ip: \"False\"}, ",
        1,
    );
    assert_ne!(plain, out);
    let spec = format!("hosts: [a.com]\n{ports}\nresolution: NONE");
    let none = istio("ServiceEntry", &spec);
    let spec = format!("hosts: [a.com]\n{ports}\nresolution: DNS\naddresses: [10.0.0.1]");
    let written = istio("ServiceEntry", &spec);
    let all = "a.com=240.240.0.2 a.com=2001:2::1 b.com=240.240.0.3";
    for (what, text, want) in [
        ("one of each family, the last one", &plain, all),
        ("the label", &out, ""),
        ("no resolution", &none, ""),
        ("its own", &written, ""),
    ] {
        let entry = get!(ServiceEntry, text.clone() + status);
        let found = entry.allocated.iter();
        let found: Vec<String> = found.map(|(h, a)| format!("{}={a}", h.as_str())).collect();
        assert_eq!(found.join(" "), want, "{what}");
    }
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
