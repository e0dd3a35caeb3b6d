//! MeshNetworks: the key `meshNetworks` of the ConfigMap `istio`, or a file of its own.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use meltemi_api::mesh_networks as api;
use meltemi_model::network::{GatewayAt, MeshNetworks, Network, NetworkFact};
use meltemi_model::{Hostname, Kind, Object, ObjectKey, Shared};

use super::Lowered;
use super::findings::Findings;

/// The name under which the file of `--networks-config` is known.
const FILE: &str = "meshNetworks";

/// Lowers networks that stand alone (`--networks-config FILE`).
pub fn lower_networks(value: &Value) -> Lowered {
    let key = ObjectKey::new(Kind::Network, "", FILE);
    let mut findings = Findings::new(&key);
    let networks = lower_value("", value, &mut findings);
    let object = |networks| {
        let fact = NetworkFact::Configured(networks);
        Object::Network(key.clone(), Shared::new(fact))
    };
    Lowered {
        object: networks.filter(|_| findings.is_usable()).map(object),
        key: Some(key.clone()),
        diagnostics: findings.into_diagnostics(),
    }
}

/// Networks, those left out in which something is wrong. Istio 1.31 refuses all of them then; its rules are the same.
pub(super) fn lower_value(
    root: &str,
    value: &Value,
    findings: &mut Findings,
) -> Option<MeshNetworks> {
    if value.is_null() {
        return Some(MeshNetworks::default());
    }
    let config: api::MeshNetworks = findings.parse(root, value)?;
    let said = meltemi_validation::mesh::mesh_networks(&config);
    let dot = if root.is_empty() { "" } else { "." };
    for error in &said.errors {
        let message = format!("{}; the network is left out", error.message);
        findings.left_out(format!("{root}{dot}{}", error.path), message);
    }
    let is_good = |name: &str| {
        let own = format!("networks[{name:?}]");
        !said.errors.iter().any(|error| error.path.starts_with(&own))
    };
    let good = config.networks.iter().filter(|(name, _)| is_good(name));
    let networks = good.map(|(name, spec)| network(name, spec)).collect();
    Some(MeshNetworks { networks })
}

fn network(name: &str, spec: &api::Network) -> Network {
    let registries = spec
        .endpoints
        .iter()
        .filter_map(|e| e.from_registry.as_ref());
    let cidrs = spec.endpoints.iter().filter_map(|e| e.from_cidr.as_ref());
    let gateways = spec.gateways.iter().filter_map(|gateway| {
        let at = match (&gateway.address, &gateway.registry_service_name) {
            (Some(address), _) if !address.is_empty() => {
                GatewayAt::Address(address.as_str().into())
            }
            (_, Some(service)) if !service.is_empty() => GatewayAt::Service(Hostname::new(service)),
            _ => return None,
        };
        Some((at, u16::try_from(gateway.port).ok()?))
    });
    Network {
        name: name.into(),
        cidrs: cidrs.filter_map(|text| block(text)).collect(),
        registries: registries.map(|name| name.as_str().into()).collect(),
        gateways: gateways.collect(),
    }
}

/// A block without a length is one address. Istio 1.31 accepts such a one too, and then has no use for it.
fn block(text: &str) -> Option<IpNet> {
    let alone = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse::<IpNet>().ok().or_else(alone)
}
