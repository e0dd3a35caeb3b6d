//! `MeshNetworks`.

use meltemi_api::mesh_networks::{MeshNetworks, Network};

use crate::Findings;
use crate::object::{elements, entries};
use crate::rules::{cidr, host, port};

/// The networks of a mesh. Istio 1.31: `ValidateMeshNetworks`.
pub fn mesh_networks(networks: &MeshNetworks) -> Findings {
    let mut found = Findings::default();
    for (at, name, part) in entries("networks", &networks.networks) {
        let mut errors = Findings::default();
        network(&mut errors, &at, part);
        for error in errors.errors {
            let message = format!("invalid network {name}: {}", error.message);
            found.error(error.path, message);
        }
    }
    found
}

/// Istio 1.31: `validateNetwork`, with RESOLVE_HOSTNAME_GATEWAYS on, as it is unless told otherwise.
fn network(found: &mut Findings, at: &str, network: &Network) {
    for (at, endpoint) in elements(&format!("{at}.endpoints"), &network.endpoints) {
        if let Some(block) = &endpoint.from_cidr {
            found.check(format!("{at}.fromCidr"), cidr::subnet(block));
        }
        if let Some(registry) = &endpoint.from_registry
            && !host::is_dns_label(registry)
        {
            found.error(
                format!("{at}.fromRegistry"),
                format!("invalid registry name: {registry}"),
            );
        }
    }
    for (at, gateway) in elements(&format!("{at}.gateways"), &network.gateways) {
        if let Some(name) = &gateway.registry_service_name {
            found.check(format!("{at}.registryServiceName"), host::fqdn(name));
        }
        if let Some(address) = &gateway.address
            && !cidr::is_ip(address)
            && host::fqdn(address).is_err()
        {
            found.error(
                format!("{at}.address"),
                format!("{address} is not a valid IP address or DNS name"),
            );
        }
        found.check(format!("{at}.port"), port::port(gateway.port));
    }
}
