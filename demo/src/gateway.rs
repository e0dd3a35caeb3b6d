//! The ingress gateway: made from a manifest like any other pod, unless the user's folder brings its own.

use crate::manifest::Manifests;

const NAMESPACE: &str = "istio-system";
const NAME: &str = "istio-ingressgateway";
const DEPLOYMENT: &str = include_str!("gateway/deployment.yaml");
const SERVICE: &str = include_str!("gateway/service.yaml");

/// The container port behind the Service's port 80.
pub(crate) const HTTP_PORT: u16 = 8080;

/// The manifests that the user's folder lacks, with a file name for each.
pub(crate) fn defaults(manifests: &Manifests) -> Vec<(&'static str, &'static str)> {
    let mut files = Vec::new();
    let key = (NAMESPACE.to_owned(), NAME.to_owned());
    let is_ingress = |label: Option<&String>| label.is_some_and(|value| value == "ingressgateway");
    if !manifests
        .workloads
        .values()
        .any(|workload| is_ingress(workload.labels.get("istio")))
    {
        files.push(("ingress.generated/deployment.yaml", DEPLOYMENT));
    }
    if !manifests.services.contains_key(&key) {
        files.push(("ingress.generated/service.yaml", SERVICE));
    }
    files
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::manifest::{documents, read};
    use crate::plan::{Role, pods};

    #[test]
    fn the_default_gateway_is_a_gateway_and_makes_way_for_the_users() {
        let files = defaults(&Manifests::default());
        let parsed = files
            .iter()
            .map(|(path, text)| (path.into(), documents(text)))
            .collect();
        let manifests = read(&parsed, &mut BTreeMap::new());
        let pods = pods(&manifests);
        assert_eq!(
            pods.values().map(|pod| pod.role).collect::<Vec<_>>(),
            [Role::Gateway]
        );
        assert!(defaults(&manifests).is_empty());
    }
}
