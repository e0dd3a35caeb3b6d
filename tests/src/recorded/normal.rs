//! What does not count in a case: the "Known irrelevances" of the corpus's README, and what only a registry in memory
//! could say.

use serde_json::Value;

use super::{Case, mesh, registry};

/// Takes out of a resource what does not count.
pub(super) fn normalise(case: &Case, resource: &mut Value) {
    let Value::Object(fields) = resource else {
        if let Value::Array(items) = resource {
            for item in items {
                normalise(case, item);
            }
        }
        return;
    };
    // Without a default of the mesh, which no istiod lacks.
    if mesh::takes_away(case, "dnsRefreshRate") {
        fields.remove("dns_refresh_rate");
    }
    let timeout = fields.get_mut("connect_timeout");
    if let Some(timeout) = timeout.filter(|timeout| **timeout == mesh::FRACTION) {
        *timeout = mesh::WHOLE.into();
    }
    if let Some(istio) = fields
        .get_mut("filter_metadata")
        .and_then(|metadata| metadata.get_mut("istio"))
    {
        istio_metadata(case, istio);
    }
    fields.values_mut().for_each(|value| normalise(case, value));
}

fn istio_metadata(case: &Case, istio: &mut Value) {
    let Value::Object(fields) = istio else { return };
    // Where a rule came from is written with its namespace only when it came through an API server.
    fields.remove("config");
    if !case.instances.is_empty() {
        // Endpoints of a registry in memory belong to no workload.
        fields.remove("workload");
    }
    for service in fields
        .get_mut("services")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let host = service.get("host").and_then(Value::as_str);
        // Its services have no short names.
        if host.is_some_and(|host| registry::holds(case, host))
            && let Some(named) = service.as_object_mut()
        {
            named.remove("name");
        }
    }
}
