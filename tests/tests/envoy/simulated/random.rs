//! Random worlds and calls. The universe is small, so that calls meet what the world routes.

use meltemi_simulator::{Call, Mode, Protocol, Tls};
use serde_json::{Value, json};

/// Numbers that are the same on every machine (SplitMix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        let at = self.next() % u64::try_from(of.len()).expect("few");
        of[usize::try_from(at).expect("few")]
    }

    /// Once in so many times.
    fn once_in(&mut self, times: u64) -> bool {
        self.next().is_multiple_of(times)
    }
}

const SERVICES: [&str; 4] = ["s0", "s1", "s2", "s3"];
const PATHS: [&str; 14] = [
    "/",
    "/a",
    "/a/b",
    "/A/b",
    "/ab",
    "/api/v1",
    "/api/v12?x=1",
    "/old/x?q=1",
    "/a//b",
    "/a/../b",
    "/%61/b",
    "/a?user=bob&v=2",
    "/a/?user=",
    "/b/c/d",
];
/// A path that every VirtualService lets scripts of other origins ask for.
const SHARED: &str = "/shared";
const OURS: &str = "https://ours.test";
const REGEXES: [&str; 5] = ["/a/.*", "/api/v[0-9]", "/[a-z]+", "(/a|/b)", "/.*"];
const HOSTS: [&str; 13] = [
    "s0",
    "s1",
    "s2",
    "s3",
    "s0.shop",
    "S1.SHOP.svc",
    "s2.shop.svc.cluster.local",
    "s0:80",
    "s3.shop.svc.cluster.local:80",
    "10.96.0.11",
    "www.ext.test",
    "api.ext.test",
    "nowhere.test",
];

/// The node that is asked.
pub(super) fn node(gateway: bool) -> (&'static str, Value) {
    if gateway {
        let labels = json!({"istio": "ingressgateway"});
        (
            "router~10.1.0.20~gateway-0.shop~shop.svc.cluster.local",
            json!({"MELTEMI_IDENTITY": "none", "NAMESPACE": "shop", "LABELS": labels}),
        )
    } else {
        (
            "sidecar~10.1.0.10~s0-0.shop~shop.svc.cluster.local",
            json!({"MELTEMI_IDENTITY": "none", "NAMESPACE": "shop", "LABELS": {"app": "s0"}}),
        )
    }
}

/// A world.
pub(super) fn objects(random: &mut Random, gateway: bool) -> Vec<Value> {
    let mut objects = vec![
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "s0-0", "namespace": "shop", "labels": {"app": "s0"}},
            "spec": {"containers": []},
            "status": {"podIP": "10.1.0.10", "podIPs": [{"ip": "10.1.0.10"}], "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}]},
        }),
        external(),
    ];
    for (at, name) in SERVICES.iter().enumerate() {
        let ports = json!([
            {"name": "http", "port": 80, "targetPort": 8080},
            {"name": "any", "port": 7000, "targetPort": 7000},
            {"name": "tcp", "port": 9000 + at, "targetPort": 9000},
        ]);
        objects.push(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"clusterIP": format!("10.96.0.1{at}"), "selector": {"app": name}, "ports": ports},
        }));
        objects.push(json!({
            "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"host": name, "subsets": [
                {"name": "v1", "labels": {"version": "v1"}}, {"name": "v2", "labels": {"version": "v2"}},
            ]},
        }));
    }
    objects.push(slice());
    let mut hosts: Vec<&str> = SERVICES.to_vec();
    hosts.extend(["*.ext.test", "api.ext.test"]);
    for (at, host) in hosts.iter().enumerate() {
        if gateway || !random.once_in(5) {
            objects.push(virtual_service(random, at, host, gateway));
        }
    }
    if gateway {
        objects.push(servers(random));
        objects.push(tls_routes());
    }
    objects
}

fn external() -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
        "metadata": {"name": "ext", "namespace": "shop"},
        "spec": {"hosts": ["*.ext.test", "api.ext.test"], "location": "MESH_EXTERNAL", "resolution": "NONE",
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}, {"number": 443, "name": "tls", "protocol": "TLS"}]},
    })
}

fn slice() -> Value {
    let ports = json!([
        {"name": "http", "port": 8080, "protocol": "TCP"},
        {"name": "any", "port": 7000, "protocol": "TCP"},
        {"name": "tcp", "port": 9000, "protocol": "TCP"},
    ]);
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "s0-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "s0"}},
        "ports": ports,
        "endpoints": [{"addresses": ["10.1.0.10"], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": "s0-0", "namespace": "shop"}}],
    })
}

/// Two ports of a gateway: HTTP for some hosts, with a redirect for one, and TLS that passes through.
fn servers(random: &mut Random) -> Value {
    let redirect = random.once_in(2);
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"name": "gateway", "namespace": "shop"},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": [
            {"port": {"number": 8080, "name": "http", "protocol": "HTTP"},
                "hosts": ["s0.shop.svc.cluster.local", "s1.shop.svc.cluster.local", "*.ext.test"]},
            {"port": {"number": 8080, "name": "http-more", "protocol": "HTTP"}, "hosts": ["s2.shop.svc.cluster.local"],
                "tls": {"httpsRedirect": redirect}},
            {"port": {"number": 8443, "name": "tls", "protocol": "TLS"}, "hosts": ["*.ext.test", "deep.api.ext.test"],
                "tls": {"mode": "PASSTHROUGH"}},
        ]},
    })
}

fn tls_routes() -> Value {
    let to = |host: &str| json!([{"destination": {"host": host, "port": {"number": 80}}}]);
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "tls", "namespace": "shop"},
        "spec": {"hosts": ["*.ext.test", "deep.api.ext.test"], "gateways": ["gateway"], "tls": [
            {"match": [{"sniHosts": ["api.ext.test"], "port": 8443}], "route": to("s0")},
            {"match": [{"sniHosts": ["deep.api.ext.test"], "port": 8443}], "route": to("s1")},
            {"match": [{"sniHosts": ["*.api.ext.test"], "port": 8443}], "route": to("s2")},
            {"match": [{"sniHosts": ["*.ext.test"], "port": 8443}], "route": to("s3")},
        ]},
    })
}

fn virtual_service(random: &mut Random, at: usize, host: &str, gateway: bool) -> Value {
    // Few calls would meet a policy by chance.
    let mut http = vec![json!({
        "match": [{"uri": {"prefix": SHARED}}],
        "corsPolicy": cors(random),
        "route": [{"destination": {"host": "s0", "port": {"number": 80}}}],
    })];
    http.extend((0..1 + random.next() % 4).map(|_| rule(random)));
    if random.once_in(2) {
        http.push(json!({"route": [{"destination": {"host": "s0", "port": {"number": 80}}}]}));
    }
    let gateways = if gateway {
        json!(["gateway"])
    } else {
        json!(["mesh"])
    };
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": format!("vs{at}"), "namespace": "shop"},
        "spec": {"hosts": [host], "gateways": gateways, "http": http},
    })
}

fn rule(random: &mut Random) -> Value {
    let mut rule = json!({"match": [condition(random)]});
    if random.once_in(2) {
        rule["name"] = json!(random.one(&["first", "second", "third"]));
    }
    let to = |host: &str| json!({"host": host, "port": {"number": 80}});
    match random.next() % 10 {
        0 | 8 => rule["redirect"] = redirect(random),
        1 | 9 => rule["directResponse"] = json!({"status": 418, "body": {"string": "teapot"}}),
        2 => {
            let mut second = to("s2");
            second["subset"] = json!("v2");
            rule["route"] = json!([
                {"destination": to("s1"), "weight": 50}, {"destination": second, "weight": 50},
            ]);
        }
        3 => {
            rule["rewrite"] = match random.next() % 4 {
                0 => json!({"uri": "/new"}),
                1 => json!({"uri": "/new/", "authority": "new.test"}),
                2 => json!({"uriRegexRewrite": {"match": "/a(/b)?", "rewrite": "/r\\1"}}),
                _ => json!({"authority": "other.test"}),
            };
            rule["route"] = json!([{"destination": to("s3")}]);
        }
        4 => {
            rule["fault"] = json!({"abort": {"httpStatus": 555, "percentage": {"value": 100}}});
            rule["route"] = json!([{"destination": to("s3")}]);
        }
        5 => {
            rule["route"] = json!([{"destination": {"host": "gone.test", "port": {"number": 80}}}])
        }
        _ => {
            let host = random.one(&SERVICES);
            rule["route"] = json!([{"destination": to(host)}]);
        }
    }
    // It acts on whatever the route does, also where it does not go on.
    if random.once_in(2) {
        rule["corsPolicy"] = cors(random);
    }
    rule
}

fn cors(random: &mut Random) -> Value {
    let origins = match random.next() % 4 {
        0 => json!([{"exact": OURS}]),
        1 => json!([{"prefix": "https://"}, {"regex": "http://[a-z]+"}]),
        2 => json!([{"exact": "*"}]),
        _ => json!([{"exact": "https://elsewhere.test"}]),
    };
    let mut policy = json!({"allowOrigins": origins, "allowMethods": ["GET"], "maxAge": "5s"});
    match random.next() % 3 {
        0 => policy["unmatchedPreflights"] = json!("IGNORE"),
        1 => policy["unmatchedPreflights"] = json!("FORWARD"),
        _ => {}
    }
    policy
}

fn redirect(random: &mut Random) -> Value {
    match random.next() % 4 {
        0 => json!({"uri": "/moved", "redirectCode": 302}),
        1 => json!({"authority": "moved.test", "scheme": "https"}),
        2 => json!({"scheme": "https", "port": 8443}),
        _ => json!({"uri": "/moved", "authority": "moved.test", "redirectCode": 308}),
    }
}

fn condition(random: &mut Random) -> Value {
    let mut condition = json!({});
    if !random.once_in(6) {
        let path = random.one(&PATHS).split('?').next().unwrap_or("/");
        condition["uri"] = match random.next() % 3 {
            0 => json!({"exact": path}),
            1 => json!({"prefix": path}),
            _ => json!({"regex": random.one(&REGEXES)}),
        };
        if random.once_in(4) {
            condition["ignoreUriCase"] = json!(true);
        }
    }
    let value = match random.next() % 3 {
        0 => json!({"exact": "bob"}),
        1 => json!({"prefix": "al"}),
        _ => json!({"regex": "[a-c].*"}),
    };
    match random.next() % 10 {
        0 => condition["headers"] = json!({"x-user": value}),
        1 => condition["withoutHeaders"] = json!({"x-user": value}),
        2 => condition["headers"] = json!({"x-user": {}}),
        3 => condition["withoutHeaders"] = json!({"x-user": {}}),
        4 => condition["queryParams"] = json!({"user": {"exact": "bob"}}),
        5 => condition["method"] = json!({"exact": "POST"}),
        6 => condition["authority"] = json!({"prefix": "s"}),
        _ => {}
    }
    condition
}

/// Policies that guard the pod. The PROXY protocol of the doors stands for a proxy before this one, so addresses are those
/// of clients behind it.
pub(super) fn policies(random: &mut Random) -> Vec<Value> {
    let count = 2 + random.next() % 4;
    let policies = (0..count).map(|at| {
        let action = random.one(&["ALLOW", "ALLOW", "DENY", "DENY", "AUDIT"]);
        let rules: Vec<Value> = (0..1 + random.next() % 2)
            .map(|_| permitted(random))
            .collect();
        json!({
            "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
            "metadata": {"name": format!("p{at}"), "namespace": "shop"},
            "spec": {"action": action, "rules": rules},
        })
    });
    policies.collect()
}

fn permitted(random: &mut Random) -> Value {
    let mut operation = json!({});
    let not = random.once_in(4);
    let mut set = |name: &str, value: &str| {
        let name = match not {
            true => format!("not{}{}", name[..1].to_uppercase(), &name[1..]),
            false => name.to_owned(),
        };
        operation[name] = json!([value]);
    };
    match random.next() % 4 {
        0 => set("methods", random.one(&["GET", "POST", "*", "P*"])),
        1 => set("hosts", random.one(&["s0*", "*.test", "S1.shop.svc", "*"])),
        2 => set("ports", random.one(&["8080", "7000", "9000"])),
        _ => {}
    }
    let paths = [
        "/a",
        "/a*",
        "*/b",
        "/{*}/b",
        "/a/{**}",
        "/api/{*}",
        "/{*}/{**}",
        "*",
    ];
    if random.once_in(2) {
        set("paths", random.one(&paths));
    }
    let mut rule = json!({});
    if operation != json!({}) {
        rule["to"] = json!([{"operation": operation}]);
    }
    if random.once_in(3) {
        let block = random.one(&["203.0.113.0/24", "192.0.2.0/24", "192.0.2.1", "::/0"]);
        let field = random.one(&["remoteIpBlocks", "notRemoteIpBlocks"]);
        let mut source = json!({});
        source[field] = json!([block]);
        rule["from"] = json!([{"source": source}]);
    }
    if random.once_in(3) {
        let user = random.one(&["bob", "al*", "*", "*e"]);
        let field = random.one(&["values", "notValues"]);
        let mut when = json!({"key": "request.headers[x-user]"});
        when[field] = json!([user]);
        rule["when"] = json!([when]);
    }
    rule
}

/// A call of the pod that policies guard.
pub(super) fn guarded_call(random: &mut Random) -> Call {
    let mut call = Call {
        mode: Mode::Inbound,
        ..Call::to("10.1.0.10", *random.one(&[&8080, &8080, &7000, &9000]))
    };
    if random.once_in(2) {
        let source = random.one(&["203.0.113.7", "192.0.2.2"]);
        call.source = source.parse().expect("an address");
    }
    if random.once_in(6) {
        return call;
    }
    let mut call = http(random, call);
    if random.once_in(3) {
        let told = random.one(&[
            "203.0.113.9",
            "192.0.2.1, 203.0.113.9",
            "203.0.113.9, 192.0.2.1",
        ]);
        call.headers
            .push(("x-forwarded-for".to_owned(), told.to_owned()));
    }
    call
}

/// A call.
pub(super) fn call(random: &mut Random, gateway: bool) -> Call {
    if gateway {
        at_gateway(random)
    } else {
        at_sidecar(random)
    }
}

fn http(random: &mut Random, call: Call) -> Call {
    let user = random.one(&["", "bob", "alice", "carol", "Zoe"]);
    let mut headers = Vec::new();
    if !user.is_empty() {
        headers.push(("x-user".to_owned(), user.to_owned()));
    }
    let mut method = random.one(&["GET", "GET", "POST"]);
    let mut path = random.one(&PATHS);
    if random.once_in(2) {
        // A preflight, or what only looks like one.
        method = random.one(&["OPTIONS", "OPTIONS", "OPTIONS", method]);
        path = random.one(&[SHARED, path]);
        let origin = random.one(&[OURS, OURS, "http://plain", "https://elsewhere.test", ""]);
        let asked = random.one(&["PUT", "GET", "PUT", ""]);
        for (name, value) in [("origin", origin), ("access-control-request-method", asked)] {
            if !value.is_empty() {
                headers.push((name.to_owned(), value.to_owned()));
            }
        }
    }
    Call {
        protocol: Protocol::Http1,
        host: random.one(&HOSTS).to_owned(),
        path: path.to_owned(),
        method: method.to_owned(),
        headers,
        ..call
    }
}

fn tls(random: &mut Random, call: Call) -> Call {
    let names = [
        "api.ext.test",
        "deep.api.ext.test",
        "x.api.ext.test",
        "www.ext.test",
        "ext.test",
        "nowhere.test",
        "",
    ];
    let alpn = random.one(&["", "h2", "http/1.1"]);
    Call {
        tls: Tls::Tls,
        sni: random.one(&names).to_owned(),
        alpn: if alpn.is_empty() {
            Vec::new()
        } else {
            vec![alpn.to_owned()]
        },
        ..call
    }
}

fn at_gateway(random: &mut Random) -> Call {
    let port = if random.once_in(4) { 8443 } else { 8080 };
    let call = Call {
        mode: Mode::Direct,
        ..Call::to("10.1.0.20", port)
    };
    match (port, random.next() % 8) {
        (8443, 0) => call,
        (8443, _) => tls(random, call),
        (_, 0) => tls(random, call),
        (_, 1) => call,
        _ => http(random, call),
    }
}

fn at_sidecar(random: &mut Random) -> Call {
    let inbound = random.once_in(8);
    let address = if inbound {
        "10.1.0.10"
    } else {
        random.one(&[
            "10.96.0.10",
            "10.96.0.11",
            "10.96.0.12",
            "10.96.0.13",
            "203.0.113.9",
        ])
    };
    let ports: &[&u16] = if inbound {
        &[&8080, &7000, &9000, &1234]
    } else {
        &[
            &80, &80, &80, &80, &80, &80, &7000, &9000, &9001, &443, &1234,
        ]
    };
    let call = Call {
        mode: if inbound {
            Mode::Inbound
        } else {
            Mode::Outbound
        },
        ..Call::to(address, *random.one(ports))
    };
    match random.next() % 12 {
        0 => call,
        1 => tls(random, call),
        _ => http(random, call),
    }
}
