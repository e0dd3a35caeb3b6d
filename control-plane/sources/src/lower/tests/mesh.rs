use std::time::Duration;

use serde_json::json;

use meltemi_model::mesh::{Mesh, PathNormalization};
use meltemi_model::network::{GatewayAt, MeshNetworks, NetworkFact};
use meltemi_model::security::TlsLimits;
use meltemi_model::service::ExportTo;
use meltemi_model::sidecar::OutboundPolicy;
use meltemi_model::{Hostname, LabelRequirement, LabelSelector, Object, Severity, Shared};

use super::{lowered, words};
use crate::lower::{LowerSettings, lower_mesh, lower_networks};

fn mesh(mesh: &str) -> (Shared<Mesh>, String) {
    let mesh = mesh.replace('\n', "\n    ");
    let text = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n    \
         {mesh}\n  meshNetworks: 'networks: {{}}'\n"
    );
    let lowered = lowered(&text);
    match lowered.object {
        Some(Object::Mesh(key, mesh)) => {
            assert_eq!(key.to_string(), "ConfigMap istio-system/istio");
            (mesh, words(&lowered.diagnostics))
        }
        other => panic!("{other:?} {}", words(&lowered.diagnostics)),
    }
}

fn local(hosts: &[(&str, bool)]) -> Vec<(Hostname, bool)> {
    hosts
        .iter()
        .map(|(h, is)| (Hostname::new(h), *is))
        .collect()
}

#[test]
fn hosts_of_the_cluster_itself() {
    let text = "serviceSettings:\n- settings: {clusterLocal: true}\n  hosts: ['*.a.svc.cluster.local']\n- settings: \
                {clusterLocal: false}\n  hosts: [b.a.svc.cluster.local, x.kube-system.svc.cluster.local]\ndefaultConfig: \
                {discoveryAddress: 'd.example.com:15012'}";
    let (mesh, says) = mesh(text);
    assert_eq!(says, "");
    for (host, want) in [
        ("c.a.svc.cluster.local", true),
        ("b.a.svc.cluster.local", false),
        ("kubernetes.default.svc.cluster.local", true),
        ("d.example.com.cluster.local", true),
        // What the user says of one host of it takes all of kube-system away, as with Istio.
        ("y.kube-system.svc.cluster.local", false),
        ("a.default.svc.cluster.local", false),
    ] {
        assert_eq!(mesh.is_cluster_local(&Hostname::new(host)), want, "{host}");
    }
}

#[test]
fn networks_are_read_and_wrong_ones_are_left_out() {
    let lowered = lower_networks(&json!({"networks": {
        "a": {
            "endpoints": [{"fromCidr": "10.0.0.0/8"}, {"fromCidr": "192.0.2.1"}, {"fromRegistry": "Kubernetes"}],
            "gateways": [{"address": "203.0.113.1", "port": 15443}, {"address": "lb.example.com", "port": 443}],
        },
        "b": {"gateways": [{"registryServiceName": "edge.istio-system.svc.cluster.local", "port": 15443}]},
        "c": {"endpoints": [{"fromCidr": "10.0.0.0/33"}]},
        "d": {"gateways": [{"address": "203.0.113.1"}]},
    }}));
    assert_eq!(
        words(&lowered.diagnostics),
        "error: MeshNetworks meshNetworks: networks[\"c\"].endpoints[0].fromCidr: invalid network c: 10.0.0.0/33 is not a \
         valid CIDR block; the network is left out\nerror: MeshNetworks meshNetworks: networks[\"d\"].gateways[0].port: \
         invalid network d: port number 0 must be in the range 1..65535; the network is left out"
    );
    let Some(Object::Network(_, fact)) = lowered.object else {
        panic!("no networks");
    };
    let NetworkFact::Configured(networks) = &*fact else {
        panic!("{fact:?}");
    };
    let names: Vec<&str> = networks.networks.iter().map(|n| &*n.name).collect();
    assert_eq!(names, ["a", "b"]);
    let first = &networks.networks[0];
    let cidrs: Vec<String> = first.cidrs.iter().map(ToString::to_string).collect();
    assert_eq!(cidrs, ["10.0.0.0/8", "192.0.2.1/32"]);
    assert_eq!(first.registries, ["Kubernetes".into()]);
    assert_eq!(
        first.gateways,
        [
            (GatewayAt::Address("203.0.113.1".into()), 15443),
            (GatewayAt::Address("lb.example.com".into()), 443)
        ]
    );
    let host = Hostname::new("edge.istio-system.svc.cluster.local");
    assert_eq!(
        networks.networks[1].gateways,
        [(GatewayAt::Service(host), 15443)]
    );
    let nothing = lower_networks(&json!("text"));
    assert!(nothing.object.is_none() && !nothing.diagnostics.is_empty());
}

#[test]
fn what_is_not_said_has_istios_default() {
    let mut want = Mesh::default();
    want.locality_lb.enabled = Some(true);
    want.networks = Some(MeshNetworks::default());
    want.cluster_local = local(&[
        ("*.kube-system.svc.cluster.local", true),
        ("istiod.istio-system.svc.cluster.local", true),
        ("kubernetes.default.svc.cluster.local", true),
    ]);
    for text in [
        "",
        "{}",
        "defaultConfig:\n  discoveryAddress: istiod.istio-system.svc:15012",
        "enableTracing: null",
    ] {
        let (mesh, says) = mesh(text);
        assert_eq!((&*mesh, says.as_str()), (&want, ""), "{text}");
    }
}

#[test]
fn fields_replace_defaults() {
    let (mesh, says) = mesh(
        "enableTracing: false\noutboundTrafficPolicy: {mode: REGISTRY_ONLY}\nconnect_timeout: 3s\nenableAutoMtls: \
         false\ndefaultServiceExportTo: ['.']\naccessLogFile: /dev/stdout\naccessLogEncoding: \
         JSON\ndefaultProviders: {metrics: [prometheus]}\npathNormalization: {normalization: \
         MERGE_SLASHES}\nlocalityLbSetting: {enabled: false}\nproxyHttpPort: 15080\nrootNamespace: root\ntrustDomain: \
         td\nh2UpgradePolicy: UPGRADE\ndefaultHttpRetryPolicy: {attempts: 5}\ndefaultTrafficPolicy: {connectionPool: \
         {tcp: {maxConnections: 7}}}\ntcpKeepalive: {time: 10s}",
    );
    assert_eq!(says, "");
    assert!(
        !mesh.enable_tracing
            && !mesh.auto_mtls
            && mesh.access_log_json
            && mesh.prometheus_metrics
            && mesh.h2_upgrade
    );
    assert_eq!(mesh.outbound_policy, OutboundPolicy::RegistryOnly);
    assert_eq!(mesh.connect_timeout, Duration::from_secs(3));
    assert_eq!(
        mesh.service_export_to,
        ExportTo::Namespaces([".".into()].into())
    );
    assert_eq!(mesh.path_normalization, PathNormalization::MergeSlashes);
    assert_eq!(mesh.locality_lb.enabled, Some(false));
    assert_eq!(
        (
            &*mesh.root_namespace,
            &*mesh.trust_domain,
            mesh.http_proxy_port
        ),
        ("root", "td", 15080)
    );
    assert_eq!(mesh.default_retries.as_ref().map(|r| r.attempts), Some(5));
    assert_eq!(
        mesh.default_connection_pool
            .as_ref()
            .map(|p| p.max_connections),
        Some(7)
    );
    assert_eq!(
        mesh.tcp_keepalive.as_ref().and_then(|k| k.time),
        Some(Duration::from_secs(10))
    );
}

#[test]
fn the_proxy_config_is_lowered() {
    let (mesh, says) = mesh(
        "defaultConfig:\n  tracing: {sampling: 12.5}\n  gatewayTopology: {numTrustedProxies: 2, \
         forwardClientCertDetails: APPEND_FORWARD}\n  proxyHeaders: {server: {value: me}, requestId: {disabled: true}}\n  \
         interceptionMode: TPROXY",
    );
    assert_eq!(says, "");
    let config = &mesh.default_config;
    assert_eq!(config.tracing_sampling, Some(125_000));
    assert_eq!(
        (
            config.num_trusted_proxies,
            config.forward_client_cert_details.as_str()
        ),
        (2, "APPEND_FORWARD")
    );
    assert_eq!(
        (
            config.headers.server_value.as_str(),
            config.headers.request_id_disabled
        ),
        ("me", true)
    );
    assert_eq!(config.interception_mode, "TPROXY");
}

#[test]
fn a_provider_of_the_users_may_be_prometheus() {
    let (mesh, says) = mesh(
        "defaultProviders: {metrics: [mine]}\nextensionProviders: [{name: mine, prometheus: {}}]",
    );
    assert_eq!((mesh.prometheus_metrics, says.as_str()), (true, ""));
}

#[test]
fn limits_of_tls_and_trust() {
    let (mesh, says) = mesh(
        "meshMTLS: {minProtocolVersion: TLSV1_3, cipherSuites: [A]}\ntlsDefaults: {ecdhCurves: [P-256]}\n\
         caCertificates: [{pem: x, trustDomains: [other.td]}]",
    );
    assert_eq!(says, "");
    assert_eq!(
        mesh.mesh_mtls,
        TlsLimits {
            min_version: 13,
            cipher_suites: vec!["A".into()],
            ecdh_curves: Vec::new(),
        }
    );
    assert_eq!(mesh.tls_defaults.ecdh_curves, ["P-256".into()]);
    assert_eq!(mesh.foreign_trust_domains, ["other.td".into()]);
    assert!(!mesh.any_trust_domain);
}

#[test]
fn what_is_not_acted_on_is_said() {
    for (text, path) in [
        (
            "defaultProviders: {tracing: [zipkin]}",
            "data.mesh.defaultProviders.tracing",
        ),
        (
            "defaultConfig: {connectionSettings: {profile: EDGE}}",
            "data.mesh.defaultConfig.connectionSettings",
        ),
    ] {
        let (_, says) = mesh(text);
        assert!(
            says.contains(&format!("{path}: not supported yet")),
            "{text}: {says}"
        );
    }
    let (_, says) = mesh("acessLogFile: x");
    assert!(
        says.contains("data.mesh.acessLogFile: unknown field"),
        "{says}"
    );
    assert!(!says.contains("not supported yet"), "{says}");
}

#[test]
fn a_mesh_configuration_may_stand_alone() {
    let settings = LowerSettings {
        domain: "corp".into(),
        ..LowerSettings::default()
    };
    let lowered = lower_mesh(&json!({"trustDomain": "td"}), &settings);
    let Some(Object::Mesh(_, mesh)) = lowered.object else {
        panic!("{}", words(&lowered.diagnostics));
    };
    assert_eq!((&*mesh.trust_domain, &*mesh.domain), ("td", "corp"));
    let bad = lower_mesh(&json!({"trustDomain": 1}), &settings);
    assert!(bad.object.is_none());
    assert_eq!(bad.diagnostics[0].path, "trustDomain");
}

#[test]
fn discovery_selectors_choose_namespaces() {
    let (found, says) = mesh(
        "discoverySelectors:\n- matchLabels: {mesh: 'yes'}\n  matchExpressions:\n  - {key: env, operator: NotIn, values: \
         [test]}\n- matchExpressions:\n  - {key: a, operator: Exists}\n  - {key: b, operator: DoesNotExist}",
    );
    assert_eq!(says, "");
    let expected = [
        LabelSelector(vec![
            LabelRequirement::In("mesh".into(), vec!["yes".into()]),
            LabelRequirement::NotIn("env".into(), vec!["test".into()]),
        ]),
        LabelSelector(vec![
            LabelRequirement::Exists("a".into()),
            LabelRequirement::DoesNotExist("b".into()),
        ]),
    ];
    assert_eq!(found.discovery_selectors, expected);

    for (expression, wrong) in [
        ("{key: a, operator: Is}", "\"Is\" is not an operator"),
        ("{key: a, operator: In}", "values are missing"),
        ("{key: a, operator: Exists, values: [x]}", "takes no values"),
    ] {
        let (found, says) = mesh(&format!(
            "discoverySelectors:\n- matchLabels: {{mesh: 'yes'}}\n- matchExpressions:\n  - {expression}"
        ));
        assert_eq!(found.discovery_selectors, []);
        assert!(says.contains(wrong), "{says}");
        assert!(
            says.contains("discoverySelectors[1].matchExpressions[0]"),
            "{says}"
        );
    }
}

#[test]
fn istios_rules_hold_for_the_mesh_configuration() {
    let error = Severity::Error;
    for (text, severity, path, says) in [
        ("proxyListenPort: 0", error, "proxyListenPort", "port"),
        (
            "connectTimeout: 0s",
            error,
            "connectTimeout",
            "invalid connect timeout",
        ),
        (
            "connectTimeout: 1us",
            error,
            "connectTimeout",
            "invalid connect timeout",
        ),
        ("trustDomain: ''", error, "trustDomain", "trustDomain: "),
        (
            "trustDomainAliases: [ok, 'not/ok']",
            error,
            "trustDomainAliases[1]",
            "domain `not/ok`",
        ),
        (
            "serviceSettings: [{hosts: ['a.*.b']}]",
            error,
            "serviceSettings[0].hosts[0]",
            "host `a.*.b`",
        ),
        (
            "meshMTLS: {ecdhCurves: [P-256]}",
            error,
            "meshMTLS.ecdhCurves",
            "does not support",
        ),
        (
            "tlsDefaults: {ecdhCurves: [P-0]}",
            Severity::Warning,
            "tlsDefaults.ecdhCurves",
            "unrecognized ECDH curves",
        ),
        (
            "localityLbSetting: {distribute: [{from: a, to: {b: 50}}]}",
            error,
            "localityLbSetting",
            "",
        ),
        (
            "defaultConfig: {proxyAdminPort: 70000}",
            error,
            "defaultConfig.proxyAdminPort",
            "invalid proxy admin port",
        ),
        (
            "default_config: {drain_duration: 10us}",
            error,
            "defaultConfig.drainDuration",
            "",
        ),
        (
            "defaultConfig: {discoveryAddress: ':::'}",
            error,
            "defaultConfig.discoveryAddress",
            "invalid discovery address",
        ),
        (
            "extensionProviders: [{name: p, zipkin: {service: 'a b', port: 9411}}]",
            Severity::Warning,
            "extensionProviders[0]",
            "",
        ),
    ] {
        let value = crate::yaml::read_one(text).unwrap();
        let lowered = lower_mesh(&value, &LowerSettings::default());
        let all = words(&lowered.diagnostics);
        let told = lowered.diagnostics.iter().filter(|d| {
            d.severity == severity && d.path.starts_with(path) && d.message.contains(says)
        });
        assert_eq!(told.count(), 1, "{text}: {all}");
        assert_eq!(lowered.object.is_some(), severity != error, "{text}: {all}");
        assert!(!all.contains("webhook"), "{text}: {all}");
    }
    // In the ConfigMap the field is named from the top.
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    \
                connectTimeout: 1us\n";
    let lowered = lowered(text);
    assert_eq!(lowered.diagnostics[0].path, "data.mesh.connectTimeout");
    assert!(lowered.object.is_none());
    // The name of the service may be that of the tracer.
    let (_, says) = mesh("defaultConfig: {tracingServiceName: CANONICAL_NAME_ONLY}");
    assert!(!says.contains("serviceCluster"), "{says}");
}

#[test]
fn every_field_of_the_mesh_that_is_served() {
    let (mesh, says) = mesh(
        "proxyListenPort: 1\nproxyInboundListenPort: 2\nproxyHttpPort: 3\nprotocolDetectionTimeout: \
         4s\ndnsRefreshRate: 5s\ntcpKeepalive: {probes: 6, time: 7s, interval: 8s}\ninboundTrafficPolicy: {mode: \
         LOCALHOST}\ntrustDomainAliases: [a.td]\nmeshMTLS: {minProtocolVersion: TLSV1_3, cipherSuites: \
         [A]}\ntlsDefaults: {minProtocolVersion: TLSV1_2, cipherSuites: [B], ecdhCurves: \
         [P-256]}\ndefaultServiceExportTo: ['~']\ndefaultVirtualServiceExportTo: [v]\ndefaultDestinationRuleExportTo: \
         [d]\ninboundClusterStatName: in\noutboundClusterStatName: out\naccessLogFormat: f\naccessLogFile: \
         /x\ndisableEnvoyListenerLog: true\ningressClass: c\ningressControllerMode: DEFAULT\ningressService: \
         s\ningressSelector: l\nextensionProviders: [{name: p, sds: {name: p, service: sds.local, port: 9}}]",
    );
    assert_eq!(says, "");
    let seconds = |n| Duration::from_secs(n);
    assert_eq!(
        (mesh.outbound_port, mesh.inbound_port, mesh.http_proxy_port),
        (1, 2, 3)
    );
    assert_eq!(mesh.protocol_detection_timeout, seconds(4));
    assert_eq!(mesh.dns_refresh_rate, seconds(5));
    let keepalive = mesh.tcp_keepalive.as_ref().unwrap();
    assert_eq!(
        (keepalive.probes, keepalive.time, keepalive.interval),
        (6, Some(seconds(7)), Some(seconds(8)))
    );
    assert!(mesh.inbound_localhost && mesh.disable_listener_log);
    assert_eq!(mesh.trust_domain_aliases, ["a.td".into()]);
    assert_eq!(
        (mesh.mesh_mtls.min_version, mesh.tls_defaults.min_version),
        (13, 12)
    );
    assert_eq!(mesh.tls_defaults.cipher_suites, ["B".into()]);
    assert_eq!(mesh.service_export_to, ExportTo::Nobody);
    let only = |ns: &str| ExportTo::Namespaces([ns.into()].into());
    assert_eq!(
        (
            &mesh.virtual_service_export_to,
            &mesh.destination_rule_export_to
        ),
        (&only("v"), &only("d"))
    );
    assert_eq!(
        (&*mesh.inbound_stat_name, &*mesh.outbound_stat_name),
        ("in", "out")
    );
    assert_eq!(
        (&*mesh.access_log_file, &*mesh.access_log_format),
        ("/x", "f")
    );
    let ingress = &mesh.ingress;
    assert_eq!(
        (&*ingress.class, &*ingress.service, &*ingress.selector),
        ("c", "s", "l")
    );
    assert_eq!(ingress.mode, meltemi_model::ingress::IngressMode::Default);
    assert_eq!(mesh.sds_provider, Some(("sds.local".into(), 9)));
}

#[test]
fn every_field_of_the_proxy_config_that_is_served() {
    use meltemi_model::mesh::TracingTag::{Environment, Header, Literal};
    let (mesh, says) = mesh(
        "defaultConfig:\n  tracing:\n    sampling: 50\n    maxPathTagLength: 9\n    enableIstioTags: false\n    \
         customTags: {a: {literal: {value: v}}, b: {environment: {name: E, defaultValue: d}}, c: {header: {name: h, \
         defaultValue: d}}}\n  gatewayTopology: {numTrustedProxies: 1, forwardClientCertDetails: SANITIZE, \
         proxyProtocol: {}}\n  interceptionMode: NONE\n  proxyHeaders: {forwardedClientCert: FORWARD_ONLY, requestId: \
         {disabled: true}, server: {disabled: true, value: s}, attemptCount: {disabled: true}, envoyDebugHeaders: \
         {disabled: true}, metadataExchangeHeaders: {mode: IN_MESH}, preserveHttp1HeaderCase: true}",
    );
    assert_eq!(says, "");
    let config = &mesh.default_config;
    assert_eq!(
        (config.tracing_sampling, config.tracing_max_path_tag_length),
        (Some(500_000), Some(9))
    );
    assert!(config.no_istio_tags && config.proxy_protocol);
    let tags = [
        ("a".into(), Literal("v".into())),
        ("b".into(), Environment("E".into(), "d".into())),
        ("c".into(), Header("h".into(), "d".into())),
    ];
    assert_eq!(config.tracing_tags, tags);
    assert_eq!(
        (
            config.num_trusted_proxies,
            &*config.forward_client_cert_details,
            &*config.interception_mode
        ),
        (1, "SANITIZE", "NONE")
    );
    let headers = &config.headers;
    assert_eq!(
        (&*headers.forwarded_client_cert, &*headers.server_value),
        ("FORWARD_ONLY", "s")
    );
    assert!(
        headers.request_id_disabled
            && headers.server_disabled
            && headers.attempt_count_disabled
            && headers.debug_headers_disabled
            && headers.metadata_exchange_in_mesh
            && headers.preserve_http1_case
    );
}
