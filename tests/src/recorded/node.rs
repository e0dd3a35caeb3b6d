//! The proxy of a case.

use anyhow::{Context, Result};
use meltemi_model::Locality;
use meltemi_model::proxy::{Capabilities, Proxy};
use serde_json::{Value, json};

use super::ProxySpec;

/// The proxy as it would describe itself. istiod's tests list no extensions and mean Istio's own proxy, also where they
/// say no version.
pub(super) fn proxy(spec: &ProxySpec) -> Result<Proxy> {
    let mut metadata = spec.metadata.clone();
    // Where the two differ, everything of the proxy is in the namespace of its metadata.
    metadata
        .entry("NAMESPACE")
        .or_insert_with(|| json!(spec.namespace));
    metadata.insert(
        "INSTANCE_IPS".to_owned(),
        json!(spec.ip_addresses.join(",")),
    );
    if !metadata.contains_key("LABELS") && !spec.labels.is_empty() {
        metadata.insert("LABELS".to_owned(), json!(spec.labels));
    }
    let address = spec.ip_addresses.first().map_or("", String::as_str);
    let id = format!("{}~{address}~{}~{}", spec.kind, spec.id, spec.dns_domain);
    let locality = &spec.locality;
    let locality = Locality {
        region: locality.region.as_str().into(),
        zone: locality.zone.as_str().into(),
        subzone: locality.sub_zone.as_str().into(),
    };
    let metadata = Value::Object(metadata);
    let mut proxy = Proxy::parse(&id, "", locality, &metadata, []).context(id)?;
    proxy.capabilities = Capabilities::istio_proxy();
    Ok(proxy)
}
