//! Istio's kinds. The parts of a spec are chosen from what users write, good and less good.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::kubernetes::pod_address;
use super::{ROOT, created, maybe, metadata, namespace, one_of, set};

const GROUP: &str = "networking.istio.io";
const SECURITY: &str = "security.istio.io";

pub(super) fn object(kind: &str, version: &str, metadata: Value, spec: Value) -> Value {
    let mut object = json!({"apiVersion": format!("{GROUP}/{version}"), "kind": kind});
    object["metadata"] = metadata;
    object["spec"] = spec;
    object
}

fn export_to() -> impl Strategy<Value = Option<Value>> {
    maybe([
        json!(["."]),
        json!(["*"]),
        json!(["a"]),
        json!(["~"]),
        json!(["a", "b"]),
    ])
}

/// A host as a VirtualService or DestinationRule names it.
fn host() -> impl Strategy<Value = &'static str> {
    one_of([
        "s1",
        "s2",
        "s3",
        "s1.a.svc.cluster.local",
        "s2.b.svc.cluster.local",
        "s4.a.svc.cluster.local",
        "ext.example.com",
        "db.example.com",
        "one.wild.example.com",
        "*.wild.example.com",
        "*.a.svc.cluster.local",
        "*",
    ])
}

/// A host that can be sent to.
fn destination() -> impl Strategy<Value = Value> {
    let host = host().prop_filter("one service", |host| !host.contains('*'));
    (
        host,
        maybe([json!("v1"), json!("v2"), json!("none")]),
        maybe([json!({"number": 80}), json!({"number": 9000})]),
    )
        .prop_map(|(host, subset, port)| {
            let mut destination = json!({"host": host});
            set(&mut destination, "subset", subset);
            set(&mut destination, "port", port);
            destination
        })
}

pub(super) fn service_entry() -> impl Strategy<Value = Value> {
    let names = (namespace(), 1..4_u8, created());
    let hosts = one_of([
        json!(["ext.example.com"]),
        json!(["ext.example.com", "db.example.com"]),
        json!(["*.wild.example.com"]),
        json!(["db.example.com"]),
        json!(["s1.a.svc.cluster.local"]),
    ]);
    let ports = one_of([
        json!([{"number": 80, "name": "http", "protocol": "HTTP"}]),
        json!([{"number": 443, "name": "tls", "protocol": "TLS"}]),
        json!([{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 8080}, {"number": 9000, "name": "tcp", "protocol": "TCP"}]),
        json!([{"number": 443, "name": "https", "protocol": "HTTPS"}]),
    ]);
    let ends = one_of([
        ("NONE", json!({})),
        (
            "STATIC",
            json!({"endpoints": [{"address": "10.3.0.1"}, {"address": "10.3.0.2", "labels": {"version": "v2"}, "weight": 3}]}),
        ),
        (
            "STATIC",
            json!({"workloadSelector": {"labels": {"app": "x"}}}),
        ),
        ("DNS", json!({})),
        (
            "DNS",
            json!({"endpoints": [{"address": "one.example.com"}, {"address": "two.example.com", "locality": "r1/z2"}]}),
        ),
        ("DNS", json!({"workloadSelector": {"labels": {"app": "y"}}})),
        (
            "DNS_ROUND_ROBIN",
            json!({"endpoints": [{"address": "one.example.com"}]}),
        ),
        ("DYNAMIC_DNS", json!({})),
    ]);
    let location = one_of(["MESH_EXTERNAL", "MESH_INTERNAL"]);
    let addresses = maybe([json!(["10.4.0.1"]), json!(["10.4.0.0/24"])]);
    (names, hosts, ports, ends, location, addresses, export_to()).prop_map(
        |((namespace, number, created), hosts, ports, (resolution, ends), location, addresses, export_to)| {
            let mut spec = json!({"hosts": hosts, "ports": ports, "resolution": resolution, "location": location});
            if let Value::Object(fields) = ends {
                fields.into_iter().for_each(|(key, value)| spec[key] = value);
            }
            set(&mut spec, "addresses", addresses);
            set(&mut spec, "exportTo", export_to);
            object("ServiceEntry", "v1", metadata(namespace, &format!("e{number}"), created), spec)
        },
    )
}

pub(super) fn workload_entry() -> impl Strategy<Value = Value> {
    let names = (namespace(), 1..3_u8, created());
    let labels = (one_of(["x", "y"]), one_of(["v1", "v2"]));
    let more = maybe([
        json!({"ports": {"http": 8181}}),
        json!({"locality": "r1/z1"}),
        json!({"network": "far"}),
        json!({"network": "far", "address": null}),
        json!({"weight": 7}),
    ]);
    (names, labels, 1..8_u8, more).prop_map(|((namespace, number, created), (app, version), address, more)| {
        let address = if address == 7 { "vm.example.com".to_owned() } else { pod_address(namespace, address) };
        let mut spec = json!({"address": address, "labels": {"app": app, "version": version}, "serviceAccount": format!("sa-{app}")});
        if let Some(Value::Object(fields)) = more {
            fields.into_iter().for_each(|(key, value)| spec[key] = value);
        }
        object("WorkloadEntry", "v1beta1", metadata(namespace, &format!("w{number}"), created), spec)
    })
}

fn http_rule() -> impl Strategy<Value = Value> {
    let matches = maybe([
        json!([{"uri": {"prefix": "/one"}}, {"uri": {"exact": "/two"}, "method": {"exact": "GET"}}]),
        json!([{"headers": {"end-user": {"exact": "jason"}}}]),
        json!([{"sourceLabels": {"app": "x"}}]),
        json!([{"port": 80}]),
        json!([{"gateways": ["mesh"]}]),
        json!([{"gateways": ["g1"], "uri": {"regex": "/[a-z]+"}}]),
        json!([{"sourceNamespace": "b"}]),
        json!([{"authority": {"prefix": "s1"}, "queryParams": {"q": {"exact": "1"}}}]),
    ]);
    let more = maybe([
        json!({"timeout": "2s"}),
        json!({"retries": {"attempts": 3, "perTryTimeout": "1s", "retryOn": "5xx"}}),
        json!({"fault": {"delay": {"percentage": {"value": 10}, "fixedDelay": "1s"}}}),
        json!({"rewrite": {"uri": "/"}}),
        json!({"headers": {"request": {"set": {"x": "1"}}}}),
        json!({"mirror": {"host": "s3"}}),
    ]);
    let action = prop_oneof![
        4 => (destination(), destination(), 0..3_u8).prop_map(|(one, two, count)| match count {
            0 => json!({"route": [{"destination": one}]}),
            1 => json!({"route": [{"destination": one, "weight": 50}, {"destination": two, "weight": 50}]}),
            _ => json!({"route": [{"destination": one, "weight": 100}, {"destination": two, "weight": 0}]}),
        }),
        1 => one_of([json!({"redirect": {"uri": "/new"}}), json!({"directResponse": {"status": 418}})]),
    ];
    (matches, more, action).prop_map(|(matches, more, action)| {
        let mut rule = action;
        set(&mut rule, "match", matches);
        if let Some(Value::Object(fields)) = more {
            fields
                .into_iter()
                .for_each(|(key, value)| rule[key] = value);
        }
        rule
    })
}

pub(super) fn virtual_service() -> impl Strategy<Value = Value> {
    let names = (namespace(), 1..4_u8, created());
    let hosts = proptest::collection::btree_set(host(), 1..3);
    let gateways = maybe([
        json!(["g1"]),
        json!(["mesh", "g1"]),
        json!(["a/g1", "b/g2"]),
    ]);
    let http = proptest::collection::vec(http_rule(), 0..3);
    let level4 = (destination(), one_of([0_u8, 0, 0, 1, 2]));
    (names, hosts, gateways, http, level4, export_to()).prop_map(
        |((namespace, number, created), hosts, gateways, http, (destination, level4), export_to)| {
            let mut spec = json!({"hosts": hosts.into_iter().collect::<Vec<_>>()});
            set(&mut spec, "gateways", gateways);
            set(&mut spec, "exportTo", export_to);
            if level4 == 0 && http.is_empty() {
                spec["http"] = json!([{"route": [{"destination": destination}]}]);
            } else if !http.is_empty() {
                spec["http"] = json!(http);
            }
            if level4 == 1 {
                spec["tcp"] = json!([{"match": [{"port": 9000}], "route": [{"destination": destination}]}]);
            }
            if level4 == 2 {
                let sni = spec["hosts"].clone();
                spec["tls"] = json!([{"match": [{"port": 443, "sniHosts": sni}], "route": [{"destination": destination}]}]);
            }
            object("VirtualService", "v1alpha3", metadata(namespace, &format!("v{number}"), created), spec)
        },
    )
}

fn traffic_policy() -> impl Strategy<Value = Option<Value>> {
    maybe([
        json!({"loadBalancer": {"simple": "RANDOM"}}),
        json!({"loadBalancer": {"simple": "PASSTHROUGH"}}),
        json!({"loadBalancer": {"consistentHash": {"httpHeaderName": "x-user"}}}),
        json!({"loadBalancer": {"localityLbSetting": {"failover": [{"from": "r1", "to": "r2"}]}}, "outlierDetection": {"consecutive5xxErrors": 5}}),
        json!({"loadBalancer": {"localityLbSetting": {"distribute": [{"from": "r1/z1/*", "to": {"r1/z1/*": 80, "r1/z2/*": 20}}]}}}),
        json!({"tls": {"mode": "ISTIO_MUTUAL"}}),
        json!({"tls": {"mode": "DISABLE"}}),
        json!({"tls": {"mode": "SIMPLE", "sni": "ext.example.com"}}),
        json!({"connectionPool": {"tcp": {"maxConnections": 9}, "http": {"http1MaxPendingRequests": 8, "h2UpgradePolicy": "UPGRADE"}}}),
        json!({"portLevelSettings": [{"port": {"number": 80}, "loadBalancer": {"simple": "LEAST_REQUEST"}}]}),
        json!({"outlierDetection": {"minHealthPercent": 20}}),
    ])
}

pub(super) fn destination_rule() -> impl Strategy<Value = Value> {
    let names = (one_of(["a", "b", ROOT]), 1..4_u8, created());
    let selector = prop::bool::weighted(0.1);
    (
        names,
        host(),
        traffic_policy(),
        traffic_policy(),
        0..3_usize,
        export_to(),
        selector,
    )
        .prop_map(
            |(
                (namespace, number, created),
                host,
                policy,
                subset_policy,
                subsets,
                export_to,
                selects,
            )| {
                let mut spec = json!({"host": host});
                set(&mut spec, "trafficPolicy", policy);
                let mut list = vec![
                    json!({"name": "v1", "labels": {"version": "v1"}}),
                    json!({"name": "v2", "labels": {"version": "v2"}}),
                ];
                set(&mut list[0], "trafficPolicy", subset_policy);
                list.truncate(subsets);
                spec["subsets"] = json!(list);
                set(&mut spec, "exportTo", export_to);
                if selects {
                    spec["workloadSelector"] = json!({"matchLabels": {"app": "x"}});
                }
                object(
                    "DestinationRule",
                    "v1",
                    metadata(namespace, &format!("d{number}"), created),
                    spec,
                )
            },
        )
}

pub(super) fn gateway() -> impl Strategy<Value = Value> {
    let names = (namespace(), 1..3_u8, created());
    let hosts = one_of([
        json!(["*"]),
        json!(["s1.a.svc.cluster.local", "ext.example.com"]),
        json!(["a/*"]),
        json!(["*.wild.example.com"]),
        json!(["./db.example.com"]),
    ]);
    let servers = one_of([
        json!([{"port": {"number": 80, "name": "http", "protocol": "HTTP"}}]),
        json!([{"port": {"number": 8080, "name": "http-8080", "protocol": "HTTP"}}, {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "tls": {"httpsRedirect": true}}]),
        json!([{"port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "tls": {"mode": "SIMPLE", "credentialName": "cert"}}]),
        json!([{"port": {"number": 443, "name": "tls", "protocol": "TLS"}, "tls": {"mode": "PASSTHROUGH"}}]),
        json!([{"port": {"number": 443, "name": "tls", "protocol": "TLS"}, "tls": {"mode": "AUTO_PASSTHROUGH"}}]),
        json!([{"port": {"number": 9000, "name": "tcp", "protocol": "TCP"}}]),
        json!([{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "bind": "10.9.0.9"}]),
    ]);
    let selector = one_of([
        json!({"istio": "edge"}),
        json!({"istio": "edge"}),
        json!({}),
        json!({"app": "x"}),
    ]);
    (names, hosts, servers, selector).prop_map(
        |((namespace, number, created), hosts, servers, selector)| {
            let mut servers = servers;
            for server in servers.as_array_mut().into_iter().flatten() {
                server["hosts"] = hosts.clone();
            }
            let spec = json!({"selector": selector, "servers": servers});
            object(
                "Gateway",
                "v1",
                metadata(namespace, &format!("g{number}"), created),
                spec,
            )
        },
    )
}

pub(super) fn sidecar() -> impl Strategy<Value = Value> {
    let names = (
        one_of(["a", "b", ROOT]),
        one_of(["default", "own"]),
        created(),
    );
    let egress = maybe([
        json!([{"hosts": ["./*"]}]),
        json!([{"hosts": ["*/*"]}]),
        json!([{"hosts": ["./s1.a.svc.cluster.local", "b/*"]}]),
        json!([{"hosts": ["~/*"]}]),
        json!([{"port": {"number": 80, "protocol": "HTTP", "name": "http"}, "hosts": ["./*"]}, {"hosts": ["*/ext.example.com"]}]),
        json!([{"port": {"number": 9000, "protocol": "TCP", "name": "tcp"}, "bind": "127.0.0.1", "captureMode": "NONE", "hosts": ["*/*"]}]),
    ]);
    let ingress = maybe([
        json!([{"port": {"number": 8080, "protocol": "HTTP", "name": "http"}, "defaultEndpoint": "127.0.0.1:8080"}]),
        json!([{"port": {"number": 9443, "protocol": "TCP", "name": "tcp"}, "defaultEndpoint": "0.0.0.0:9000"}]),
    ]);
    let policy = maybe([
        json!({"mode": "REGISTRY_ONLY"}),
        json!({"mode": "ALLOW_ANY"}),
    ]);
    (names, egress, ingress, policy).prop_map(
        |((namespace, name, created), egress, ingress, policy)| {
            let mut spec = json!({});
            set(&mut spec, "egress", egress);
            set(&mut spec, "ingress", ingress);
            set(&mut spec, "outboundTrafficPolicy", policy);
            if name == "own" && namespace != ROOT {
                spec["workloadSelector"] = json!({"labels": {"app": "x"}});
            }
            object("Sidecar", "v1", metadata(namespace, name, created), spec)
        },
    )
}

pub(super) fn peer_authentication() -> impl Strategy<Value = Value> {
    let names = (
        one_of(["a", "b", ROOT]),
        one_of(["default", "p1", "p2"]),
        created(),
    );
    let selector = maybe([
        json!({"matchLabels": {"app": "x"}}),
        json!({"matchLabels": {"app": "y", "version": "v1"}}),
    ]);
    let mode = || one_of(["STRICT", "STRICT", "PERMISSIVE", "DISABLE", "UNSET"]);
    // Without a selector the modes of ports are refused.
    let ports = proptest::collection::btree_map(one_of(["8080", "9000", "9999"]), mode(), 0..3);
    (names, selector, mode(), ports).prop_map(
        |((namespace, name, created), selector, mode, ports)| {
            let mut spec = json!({"mtls": {"mode": mode}});
            if selector.is_some() || name == "p2" {
                for (port, mode) in ports {
                    spec["portLevelMtls"][port] = json!({"mode": mode});
                }
            }
            set(&mut spec, "selector", selector);
            let mut object = object(
                "PeerAuthentication",
                "v1",
                metadata(namespace, name, created),
                spec,
            );
            object["apiVersion"] = json!(format!("{SECURITY}/v1"));
            object
        },
    )
}

pub(super) fn request_authentication() -> impl Strategy<Value = Value> {
    let names = (
        one_of(["a", "b", ROOT]),
        one_of(["default", "j1", "j2"]),
        created(),
    );
    let selector = maybe([json!({"matchLabels": {"app": "x"}})]);
    let keys = json!({"keys": [{"kty": "RSA", "e": "AQAB", "n": "AQAB"}]}).to_string();
    let rule = one_of([
        json!({"issuer": "https://i1", "jwks": keys}),
        json!({"issuer": "https://i2", "jwks": keys, "fromHeaders": [{"name": "x-jwt"}]}),
        json!({"issuer": "https://i2", "outputClaimToHeaders": [{"header": "x-sub", "claim": "sub"}]}),
        json!({"issuer": "https://i3", "jwksUri": "http://keys.example.com/jwks"}),
    ]);
    let rules = proptest::collection::vec(rule, 1..3);
    (names, selector, rules).prop_map(|((namespace, name, created), selector, rules)| {
        let mut spec = json!({"jwtRules": rules});
        set(&mut spec, "selector", selector);
        let mut object = object(
            "RequestAuthentication",
            "v1",
            metadata(namespace, name, created),
            spec,
        );
        object["apiVersion"] = json!(format!("{SECURITY}/v1"));
        object
    })
}

pub(super) fn authorization_policy() -> impl Strategy<Value = Value> {
    let names = (
        one_of(["a", "b", ROOT]),
        one_of(["default", "p1", "p2"]),
        created(),
    );
    let target = maybe([
        json!({"selector": {"matchLabels": {"app": "x"}}}),
        json!({"selector": {"matchLabels": {"istio": "ingressgateway"}}}),
        json!({"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "g1"}]}),
    ]);
    let action = one_of(["ALLOW", "ALLOW", "DENY", "AUDIT", "CUSTOM"]);
    let rule = one_of([
        json!({}),
        json!({"to": [{"operation": {"methods": ["GET"], "paths": ["/a*", "/b/{**}"]}}]}),
        json!({"to": [{"operation": {"ports": ["8080"], "notHosts": ["*.test"]}}]}),
        json!({"from": [{"source": {"ipBlocks": ["10.0.0.0/8"]}}]}),
        json!({"when": [{"key": "request.headers[x-a]", "values": ["1"]}]}),
        json!({"from": [{"source": {"principals": ["cluster.local/ns/a/sa/*"]}}]}),
        // Refused: what it guards is closed.
        json!({"from": [{"source": {"remoteIpBlocks": ["nowhere"]}}]}),
    ]);
    let rules = proptest::collection::vec(rule, 1..3);
    let provider = one_of(["asked", "gone"]);
    let dry_run = proptest::bool::weighted(0.1);
    (names, target, action, rules, (provider, dry_run)).prop_map(
        |((namespace, name, created), target, action, rules, (provider, dry_run))| {
            let mut spec = target.unwrap_or_else(|| json!({}));
            spec["action"] = json!(action);
            spec["rules"] = json!(rules);
            if action == "CUSTOM" {
                spec["provider"] = json!({"name": provider});
            }
            let mut metadata = metadata(namespace, name, created);
            if dry_run && ["ALLOW", "DENY"].contains(&action) {
                metadata["annotations"] = json!({"istio.io/dry-run": "true"});
            }
            let mut object = object("AuthorizationPolicy", "v1", metadata, spec);
            object["apiVersion"] = json!(format!("{SECURITY}/v1"));
            object
        },
    )
}

pub(super) fn proxy_config() -> impl Strategy<Value = Value> {
    let names = (one_of(["a", "b", ROOT]), one_of(["p1", "p2"]), created());
    (
        names,
        maybe([json!({"matchLabels": {"app": "x"}})]),
        0..3_i32,
    )
        .prop_map(|((namespace, name, created), selector, concurrency)| {
            let mut spec = json!({"concurrency": concurrency});
            set(&mut spec, "selector", selector);
            let metadata = metadata(namespace, name, created);
            object("ProxyConfig", "v1beta1", metadata, spec)
        })
}

pub(super) fn workload_group() -> impl Strategy<Value = Value> {
    let names = (namespace(), one_of(["g1", "g2"]), created());
    (names, one_of(["sa1", "sa2"])).prop_map(|((namespace, name, created), account)| {
        let metadata = metadata(namespace, name, created);
        let spec = json!({"template": {"serviceAccount": account}});
        object("WorkloadGroup", "v1", metadata, spec)
    })
}
