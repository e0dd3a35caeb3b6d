//! One object of a world, changed so that one type of resource is not the same as before.

use anyhow::Result;
use serde::Deserialize as _;
use serde_json::{Value, json};

/// The objects of a world.
pub fn objects(text: &str) -> Result<Vec<Value>> {
    let documents = serde_yaml::Deserializer::from_str(text);
    Ok(documents
        .map(Value::deserialize)
        .collect::<Result<_, _>>()?)
}

/// The object that changes what a type holds: a DestinationRule of the last service for `cds`, the last VirtualService
/// (or one of the last service) for `rds`, a server's host or the mutual TLS of the namespace for `lds`, the addresses
/// of the last service for `eds`. Each step differs from the one before. None: the world has nothing of the kind.
pub fn changed(world: &[Value], router: bool, kind: &str, step: usize) -> Option<Value> {
    let last = |kind: &str| world.iter().rfind(|object| object["kind"] == kind);
    match kind {
        "cds" => Some(json!({
            "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
            "metadata": {"name": "changed", "namespace": "default"},
            "spec": {"host": host(world)?, "trafficPolicy": {"connectionPool": {"tcp": {"connectTimeout": format!("{}s", step + 1)}}}},
        })),
        "rds" => {
            let mut object = match last("VirtualService") {
                Some(object) => object.clone(),
                None => virtual_service(&host(world)?),
            };
            object["spec"]["http"][0]["timeout"] = json!(format!("{}s", step + 1));
            Some(object)
        }
        "lds" if router => {
            let mut object = last("Gateway")?.clone();
            let servers = object["spec"]["servers"].as_array_mut()?;
            let hosts = servers.last_mut()?["hosts"].as_array_mut()?;
            hosts.push(json!(format!("step-{step}.host.example")));
            Some(object)
        }
        "lds" => {
            let now = last("PeerAuthentication").map(|object| &object["spec"]["mtls"]["mode"]);
            let other = if now == Some(&json!("STRICT")) {
                "PERMISSIVE"
            } else {
                "STRICT"
            };
            let mode = if step % 2 == 1 { other } else { "DISABLE" };
            Some(json!({
                "apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
                "metadata": {"name": "default", "namespace": "default"}, "spec": {"mtls": {"mode": mode}},
            }))
        }
        "eds" => {
            let mut object = last("ServiceEntry")?.clone();
            let endpoint = object.pointer_mut("/spec/endpoints/0/address")?;
            *endpoint = json!(format!("10.200.0.{}", step + 1));
            Some(object)
        }
        _ => None,
    }
}

/// The host of the last service.
fn host(world: &[Value]) -> Option<String> {
    let service = world
        .iter()
        .rfind(|object| object["kind"] == "ServiceEntry" || object["kind"] == "Service")?;
    if service["kind"] == "ServiceEntry" {
        return service["spec"]["hosts"][0].as_str().map(str::to_owned);
    }
    let name = service["metadata"]["name"].as_str()?;
    let namespace = service["metadata"]["namespace"].as_str();
    let namespace = namespace.unwrap_or("default");
    Some(format!("{name}.{namespace}.svc.cluster.local"))
}

fn virtual_service(host: &str) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "changed", "namespace": "default"},
        "spec": {"hosts": [host], "http": [{"route": [{"destination": {"host": host}}]}]},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_another_one() {
        let world = objects(
            "kind: ServiceEntry\nspec: {hosts: [a.example], endpoints: [{address: 1.1.1.1}]}\n---\n\
             kind: Gateway\nspec: {servers: [{hosts: [b.example]}]}\n---\n\
             kind: PeerAuthentication\nspec: {mtls: {mode: STRICT}}\n",
        );
        let world = world.unwrap();
        for kind in ["cds", "eds", "lds", "rds"] {
            for router in [false, true] {
                let at = |step| changed(&world, router, kind, step).unwrap();
                assert_ne!(at(1), at(2), "{kind}");
                assert!(!world.contains(&at(1)), "{kind}");
            }
        }
        assert!(changed(&world, false, "sds", 1).is_none());
        assert_eq!(host(&world).unwrap(), "a.example");
    }
}
