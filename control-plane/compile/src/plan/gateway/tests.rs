use std::collections::BTreeMap;

use meltemi_model::proxy::ProxyKind;
use meltemi_model::service::ServiceKey;
use meltemi_model::testing;

use super::*;
use crate::fixtures::class_of_client;

fn class() -> ProxyClass {
    ProxyClass {
        namespace: "istio-system".into(),
        dns_domain: "istio-system.svc.cluster.local".into(),
        labels: [("istio", "ingressgateway")].into_iter().collect(),
        gateway_ports: BTreeMap::from([(80, vec![8080, 8081]), (443, vec![8443])]),
        ..class_of_client(ProxyKind::Router)
    }
}

/// `PROTOCOL port name hosts [bind]`; HTTPS and TLS are terminated unless the name says `pass`.
fn server(text: &str) -> Server {
    let parts: Vec<&str> = text.split(' ').collect();
    let protocol = Protocol::parse(parts[0]);
    let mode = if parts[2] == "pass" {
        ServerTlsMode::Passthrough
    } else {
        ServerTlsMode::Simple
    };
    Server {
        port: parts[1].parse().unwrap(),
        protocol,
        port_name: parts[2].into(),
        bind: parts.get(4).copied().unwrap_or_default().into(),
        hosts: parts[3]
            .split(',')
            .map(|host| ServerHost {
                namespace: "*".into(),
                host: Hostname::new(host),
            })
            .collect(),
        tls: protocol.is_tls().then(|| testing::server_tls(mode)),
        name: "".into(),
    }
}

fn gateway(name: &str, selector: &str, servers: &[&str]) -> Shared<Gateway> {
    let servers = servers.iter().map(|text| server(text)).collect();
    Shared::new(Gateway {
        selector: [("istio", selector)]
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect(),
        ..testing::gateway("default", name, servers)
    })
}

/// Ports as `port protocol bind: gateway#server …`, route names, and the number of servers that were left out.
fn summary(gateways: &[Shared<Gateway>]) -> (Vec<String>, Vec<String>, usize) {
    let merged = merge(gateways, &class(), false);
    let servers = |list: &[MergedServer]| -> String {
        list.iter()
            .map(|s| format!(" {}#{}", s.gateway.meta.key.name, s.index))
            .collect()
    };
    (
        merged
            .ports
            .iter()
            .map(|p| {
                format!(
                    "{} {} {}:{}",
                    p.port,
                    p.protocol.as_str(),
                    p.bind,
                    servers(&p.servers)
                )
            })
            .collect(),
        merged
            .routes
            .iter()
            .map(|(name, list)| format!("{name}:{}", servers(list)))
            .collect(),
        merged.refused.len(),
    )
}

#[test]
fn gateways_are_merged() {
    let one = |servers: &[&str]| vec![gateway("g", "", servers)];
    for (what, gateways, ports, routes, refused) in [
        (
            "the selector decides, and ports are those of the pod",
            vec![
                gateway("g", "ingressgateway", &["HTTP 80 http *"]),
                gateway("h", "other", &["HTTP 81 http *"]),
            ],
            vec!["8080 HTTP : g#0"],
            vec!["http.8080: g#0"],
            0,
        ),
        (
            "plain HTTP is shared between Gateways",
            vec![
                gateway("g", "", &["HTTP 80 http a.com"]),
                gateway("h", "", &["HTTP2 80 http2 b.com"]),
            ],
            vec!["8080 HTTP : g#0 h#0"],
            vec!["http.8080: g#0 h#0"],
            0,
        ),
        (
            "TCP is not",
            one(&["TCP 90 tcp *", "TCP 90 tcp2 *", "HTTP 90 http *"]),
            vec!["90 TCP : g#0"],
            vec![],
            2,
        ),
        (
            "addresses are apart",
            one(&[
                "HTTP 90 a * 1.1.1.1",
                "TCP 90 b * 1.1.1.2",
                "HTTP 90 c * 1.1.1.3",
            ]),
            vec![
                "90 HTTP 1.1.1.1: g#0",
                "90 TCP 1.1.1.2: g#1",
                "90 HTTP 1.1.1.3: g#2",
            ],
            vec!["http.90.1.1.1.1: g#0", "http.90.1.1.1.3: g#2"],
            0,
        ),
        (
            "TLS servers share a port by SNI; names are those of the Service's port",
            one(&[
                "HTTPS 443 one a.com",
                "HTTPS 443 two b.com",
                "HTTPS 443 pass c.com",
                "TLS 443 tls d.com",
            ]),
            vec!["8443 HTTPS : g#0 g#1 g#2", "8443 TLS : g#3"],
            vec![
                "https.443.one.g.default: g#0",
                "https.443.two.g.default: g#1",
            ],
            0,
        ),
        (
            "but not a host",
            one(&[
                "HTTPS 443 one a.com,b.com",
                "HTTPS 443 two b.com",
                "HTTPS 443 three b.com 1.1.1.1",
            ]),
            vec!["8443 HTTPS : g#0", "8443 HTTPS 1.1.1.1: g#2"],
            vec![
                "https.443.one.g.default: g#0",
                "https.443.three.g.default.1.1.1.1: g#2",
            ],
            1,
        ),
        (
            "plain text and TLS do not share an address",
            one(&["HTTP 443 http *", "HTTPS 443 https *"]),
            vec!["8443 HTTP : g#0"],
            vec!["http.8443: g#0"],
            1,
        ),
    ] {
        let (got_ports, got_routes, got_refused) = summary(&gateways);
        assert_eq!(got_ports, ports, "{what}");
        assert_eq!(got_routes, routes, "{what}");
        assert_eq!(got_refused, refused, "{what}");
    }
}

#[test]
fn sni_hosts_have_no_namespaces() {
    let merged = merge(
        &[gateway("g", "", &["HTTPS 443 https b.com,a.com"])],
        &class(),
        false,
    );
    let hosts: Vec<_> = merged.ports[0].servers[0]
        .sni_hosts()
        .into_iter()
        .map(|h| h.to_string())
        .collect();
    assert_eq!(hosts, ["a.com", "b.com"]);
    assert!(!merged.auto_passthrough());
}

#[test]
fn a_gateway_may_name_the_services_that_it_is_for() {
    let named = |services: &str, servers: &[&str]| {
        let mut gateway = (*gateway("named", "nobody", servers)).clone();
        gateway
            .meta
            .annotations
            .0
            .insert("internal.istio.io/gateway-service".into(), services.into());
        Shared::new(gateway)
    };
    let key = |host: &str, namespace: &str| ServiceKey {
        host: Hostname::new(host),
        namespace: namespace.into(),
    };
    let services = BTreeMap::from([
        (key("a.com", "default"), BTreeMap::from([(80, vec![8080])])),
        (key("b.com", "default"), BTreeMap::from([(80, vec![8081])])),
        (key("c.com", "other"), BTreeMap::from([(80, vec![8082])])),
    ]);
    let class = ProxyClass {
        gateway_services: services,
        ..class()
    };
    for (services, ports) in [
        ("a.com", vec![8080]),
        ("a.com,b.com", vec![8080, 8081]),
        // A Service of another namespace, and none.
        ("c.com", vec![]),
        ("d.com", vec![]),
    ] {
        // Port 81 is no port of theirs.
        let gateways = [named(services, &["HTTP 80 http a", "HTTP 81 other a"])];
        let merged = merge(&gateways, &class, false);
        let found: Vec<u16> = merged.ports.iter().map(|port| port.port).collect();
        assert_eq!(found, ports, "{services}");
    }
}

#[test]
fn a_gateway_of_another_namespace_selects_unless_a_flag_says_otherwise() {
    let own = gateway("g", "", &["HTTP 80 http a.com"]);
    let mut other = (*own).clone();
    other.meta.key.namespace = "other".into();
    other.servers[0].port = 81;
    let class = ProxyClass {
        namespace: "default".into(),
        ..class()
    };
    let ports = |own_namespace| {
        let merged = merge(
            &[own.clone(), Shared::new(other.clone())],
            &class,
            own_namespace,
        );
        merged.ports.iter().map(|p| p.port).collect::<Vec<_>>()
    };
    assert_eq!(ports(false), [8080, 81]);
    assert_eq!(ports(true), [8080]);
}
