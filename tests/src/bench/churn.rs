//! A world of our own in which endpoints come and go: services in namespaces, each with as many endpoints.

use std::fmt::Write as _;

/// How large the world is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Services, spread over [`NAMESPACES`].
    pub services: usize,
    /// Endpoints of each.
    pub endpoints: usize,
}

/// The size that perf targets are stated for.
pub const FULL: Size = Size {
    services: 1000,
    endpoints: 10,
};
/// Namespaces of the world.
pub const NAMESPACES: usize = 10;

fn place(service: usize) -> (String, String) {
    (
        format!("churn-{}", service % NAMESPACES),
        format!("service-{service}"),
    )
}

/// An address that no other endpoint has.
fn address(number: usize) -> String {
    format!(
        "10.{}.{}.{}",
        128 + (number >> 16),
        (number >> 8) & 255,
        number & 255
    )
}

/// The whole world as YAML: namespaces, services and their endpoints.
pub fn world(size: Size) -> String {
    let mut text = String::new();
    for namespace in 0..NAMESPACES {
        let _ = writeln!(
            text,
            "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: churn-{namespace}}}"
        );
    }
    for service in 0..size.services {
        let (namespace, name) = place(service);
        let cluster_ip = format!("10.96.{}.{}", service >> 8, service & 255);
        let _ = writeln!(
            text,
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             spec: {{clusterIP: {cluster_ip}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}"
        );
        text.push_str(&endpoints(size, service, 0));
    }
    text
}

/// The endpoints of one service. Each step replaces one of its addresses by one that was never seen.
pub fn endpoints(size: Size, service: usize, step: usize) -> String {
    let (namespace, name) = place(service);
    let mut text = format!(
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: {name}-0, namespace: {namespace}, labels: {{kubernetes.io/service-name: {name}}}}}\n\
         addressType: IPv4\nports: [{{name: http, port: 8080, protocol: TCP}}]\nendpoints:\n"
    );
    for position in 0..size.endpoints {
        // The slot that this step, or the last one that came by here, has given a new address.
        let generation = (step + size.endpoints - 1 - position) / size.endpoints;
        let number = (generation * size.services + service) * size.endpoints + position;
        let _ = writeln!(
            text,
            "- {{addresses: [{}], conditions: {{ready: true}}}}",
            address(number)
        );
    }
    text
}

/// A change that routes one service with a timeout of its own: it touches routes and nothing else.
pub fn route(service: usize, step: usize) -> String {
    let (namespace, name) = place(service);
    format!(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  hosts: [{name}]\n  http:\n  \
         - timeout: {}s\n    route: [{{destination: {{host: {name}}}}}]\n",
        step + 1
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::Deserialize as _;
    use serde_json::Value;

    use super::*;

    fn documents(text: &str) -> Vec<Value> {
        serde_yaml::Deserializer::from_str(text)
            .map(|document| Value::deserialize(document).unwrap())
            .collect()
    }

    fn addresses(text: &str) -> Vec<String> {
        let slices = documents(text);
        let endpoints = slices
            .iter()
            .filter_map(|slice| slice["endpoints"].as_array())
            .flatten();
        endpoints
            .map(|endpoint| endpoint["addresses"][0].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn the_world_has_its_size() {
        let size = Size {
            services: 30,
            endpoints: 4,
        };
        let text = world(size);
        assert_eq!(documents(&text).len(), NAMESPACES + 2 * size.services);
        let unique: BTreeSet<_> = addresses(&text).into_iter().collect();
        assert_eq!(unique.len(), size.services * size.endpoints);
    }

    #[test]
    fn a_step_replaces_one_address() {
        let size = Size {
            services: 3,
            endpoints: 4,
        };
        let mut seen: BTreeSet<String> = addresses(&world(size)).into_iter().collect();
        for step in 1..12 {
            let before = addresses(&endpoints(size, 1, step - 1));
            let after = addresses(&endpoints(size, 1, step));
            let new: Vec<_> = after
                .iter()
                .filter(|address| !before.contains(address))
                .collect();
            assert_eq!(new.len(), 1, "step {step}");
            assert!(
                seen.insert(new[0].clone()),
                "step {step}: {} was there before",
                new[0]
            );
        }
    }

    #[test]
    fn a_route_is_an_object() {
        let documents = documents(&route(7, 2));
        assert_eq!(documents[0]["spec"]["http"][0]["timeout"], "3s");
    }
}
