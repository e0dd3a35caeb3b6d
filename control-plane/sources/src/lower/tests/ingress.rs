use meltemi_model::ingress::{BackendPort, PathType};

use super::{get, lowered, warned, words};

fn ingress(spec: &str) -> String {
    let spec = spec.replace('\n', "\n  ");
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: x, namespace: ns}}\nspec:\n  {spec}"
    )
}

#[test]
fn an_ingress_is_read() {
    let text = "ingressClassName: istio
tls: [{hosts: [A.example.com], secretName: cert}]
rules:
- host: '*.example.com'
  http:
    paths:
    - {path: /a, pathType: Exact, backend: {service: {name: s, port: {number: 80}}}}
    - {path: /b, pathType: Prefix, backend: {service: {name: s, port: {name: web}}}}
- http: {paths: [{backend: {service: {name: s, port: {number: 81}}}}]}";
    let ingress = get!(Ingress, ingress(text));
    assert_eq!(ingress.class_name.as_deref(), Some("istio"));
    assert_eq!(ingress.tls[0].hosts[0].as_str(), "a.example.com");
    let hosts: Vec<&str> = ingress.rules.iter().map(|r| r.host.as_str()).collect();
    assert_eq!(hosts, ["*.example.com", "*"]);
    let paths = ingress.rules.iter().flat_map(|r| r.paths.iter().flatten());
    let found: Vec<_> = paths
        .map(|p| {
            let port = p.backend.as_ref().map(|b| b.port.clone());
            (&*p.path, p.path_type, port.expect("a Service"))
        })
        .collect();
    assert_eq!(
        found,
        [
            ("/a", PathType::Exact, BackendPort::Number(80)),
            ("/b", PathType::Prefix, BackendPort::Name("web".into())),
            (
                "",
                PathType::ImplementationSpecific,
                BackendPort::Number(81)
            ),
        ]
    );
}

#[test]
fn a_class_is_outside_namespaces() {
    let text = "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: x}\nspec: {controller: istio.io/ingress-controller}";
    let class = get!(IngressClass, text);
    assert_eq!(class.meta.key.to_string(), "IngressClass x");
    assert_eq!(&*class.controller, meltemi_model::ingress::CONTROLLER);
}

#[test]
fn mistakes_are_said() {
    let path = |path: &str| format!("rules: [{{http: {{paths: [{path}]}}}}]");
    for (spec, says) in [
        (
            path("{path: a, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}"),
            "spec.rules[0].http.paths[0].path: \"a\" is not a path; it begins with /",
        ),
        (
            path("{path: /a, pathType: Regex, backend: {service: {name: s, port: {number: 80}}}}"),
            "write Exact, Prefix or ImplementationSpecific",
        ),
        (
            path("{path: /a, backend: {service: {name: s, port: {number: 70000}}}}"),
            "spec.rules[0].http.paths[0].backend.service.port.number: port number 70000 must be in the range",
        ),
        (
            path("{path: /a, backend: {service: {name: s}}}"),
            "the port is missing; write its number or its name",
        ),
        (
            "rules: [{host: a_b}]".to_owned(),
            "domain name \"a_b\" invalid",
        ),
        (
            "tls: [{hosts: [a..b], secretName: s}]".to_owned(),
            "spec.tls[0].hosts[0]: domain name \".b\" invalid",
        ),
    ] {
        let lowered = lowered(&ingress(&spec));
        assert!(lowered.object.is_none(), "{spec}");
        let words = words(&lowered.diagnostics);
        assert!(words.contains(says), "{spec}: {words}");
    }
}

#[test]
fn what_istio_does_not_serve_is_said() {
    for (spec, says) in [
        (
            "defaultBackend: {service: {name: s, port: {number: 80}}}",
            "spec.defaultBackend: Istio does not serve it",
        ),
        ("rules: [{host: a.com}]", "a rule without http.paths"),
        (
            "rules: [{http: {paths: [{path: /, backend: {resource: {kind: Bucket, name: b}}}]}}]",
            "only Services can be backends",
        ),
        ("tls: [{hosts: [a.com]}]", "without a Secret"),
    ] {
        let (object, words) = warned(&ingress(spec));
        assert!(object.is_some(), "{spec}");
        assert!(words.contains(says), "{spec}: {words}");
    }
}
