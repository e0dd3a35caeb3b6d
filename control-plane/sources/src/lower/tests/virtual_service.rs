use std::time::Duration;

use meltemi_model::Object;
use meltemi_model::routing::{
    AbortStatus, HttpAction, HttpRoute, PerMillion, RedirectPort, ResponseBody, StringMatch,
};
use meltemi_model::service::ExportTo;

use super::{get, istio, lowered, warned};

/// The first HTTP route of a VirtualService with this rest of a route.
fn route(rest: &str) -> HttpRoute {
    let rest = rest.replace('\n', "\n  ");
    let spec =
        format!("hosts: [reviews]\nhttp:\n- route: [{{destination: {{host: reviews}}}}]\n  {rest}");
    get!(served VirtualService, istio("VirtualService", &spec)).http[0].clone()
}

/// The first HTTP route of a VirtualService with this route.
fn whole_route(route: &str) -> HttpRoute {
    let spec = format!("hosts: [reviews]\nhttp:\n- {}", route.replace('\n', "\n  "));
    get!(served VirtualService, istio("VirtualService", &spec)).http[0].clone()
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
    let retries = route.retries.as_ref().expect("retries");
    assert_eq!((retries.attempts, &*retries.retry_on), (3, "5xx,503"));
    assert_eq!(retries.per_try_timeout, Some(Duration::from_secs(2)));
    assert_eq!(
        route.rewrite.clone().map(|r| (r.uri, r.authority)),
        Some(("/".into(), "x".into()))
    );
    assert_eq!(
        route.copies()[0].destination.host.as_str(),
        "m.ns.svc.cluster.local"
    );
    assert_eq!(route.copies()[0].share, Some(PerMillion(500_000)));
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
        assert_eq!(
            route.copies().first().map(|m| m.share),
            want,
            "{percentage}"
        );
        let route = whole_route(&format!(
            "route: [{{destination: {{host: a}}}}]\nmirrors: [{{destination: {{host: m}}, percentage: {percentage}}}]"
        ));
        assert_eq!(
            route.copies().first().map(|m| m.share),
            want,
            "{percentage}"
        );
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
            "sidecars do not route by the claims",
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
}

#[test]
fn delegates() {
    let (object, words) = warned(&istio(
        "VirtualService",
        "hosts: [a]\nhttp: [{match: [{port: 80}], delegate: {name: b}}, {delegate: {name: c, namespace: far}}]",
    ));
    assert_eq!(words, "");
    let Some(Object::VirtualService(root)) = object else {
        panic!("no object");
    };
    let named = |route: &HttpRoute| {
        let to = route.delegate.as_ref().expect("a delegate");
        format!("{}/{}", to.namespace, to.name)
    };
    assert_eq!(
        root.http.iter().map(named).collect::<Vec<_>>(),
        ["ns/b", "far/c"]
    );
    let (object, words) = warned(&istio(
        "VirtualService",
        "http: [{route: [{destination: {host: a}}]}]",
    ));
    assert_eq!(words, "");
    let Some(Object::VirtualService(delegate)) = object else {
        panic!("no object");
    };
    assert!(delegate.hosts.is_empty());
    for (spec, want) in [
        (
            "gateways: [g]\nhttp: [{route: [{destination: {host: a}}]}]",
            "spec.gateways: delegate virtual service must have no gateways specified",
        ),
        (
            "tcp: [{route: [{destination: {host: a}}]}]",
            "spec.tcp: delegate virtual service must have no tcp route specified",
        ),
        (
            "http: [{delegate: {name: b}}]",
            "spec.http[0].delegate: delegate HTTP route cannot contain delegate",
        ),
        (
            "hosts: [a]\nhttp: [{delegate: {name: b}, route: [{destination: {host: a}}]}]",
            "spec.http[0].delegate: route and delegate exclude each other",
        ),
        (
            "hosts: [a]\nhttp: [{delegate: {}}]",
            "spec.http[0].delegate.name: the name is missing",
        ),
    ] {
        let lowered = lowered(&istio("VirtualService", spec));
        let said = super::words(&lowered.diagnostics);
        assert!(
            lowered.object.is_none() && said.contains(want),
            "{spec}: {said}"
        );
    }
}
