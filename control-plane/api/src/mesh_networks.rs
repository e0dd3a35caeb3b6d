//! `MeshNetworks` (Istio 1.31: mesh/v1alpha1).

use std::collections::BTreeMap;

use crate::proto_json::messages;

messages! {
    /// The value of `MeshNetworks.networks`.
    struct Network {
        endpoints: Vec<NetworkEndpoints>,
        gateways: Vec<IstioNetworkGateway>,
    }

    /// The value of `Network.endpoints`.
    struct NetworkEndpoints oneof [from_cidr, from_registry] {
        from_cidr: Option<String>,
        from_registry: Option<String>,
    }

    /// The value of `Network.gateways`.
    struct IstioNetworkGateway oneof [registry_service_name, address] {
        registry_service_name: Option<String>,
        address: Option<String>,
        port: u32,
        locality: String,
    }

    /// The networks of the mesh: the key `meshNetworks` of the ConfigMap `istio`.
    struct MeshNetworks {
        networks: BTreeMap<String, Network>,
    }
}
