use meltemi_model::Kind;
use meltemi_model::port::Protocol;
use meltemi_model::service::Resolution;
use meltemi_model::testing::{labels, service, subset};
use meltemi_model::traffic::{PortPolicy, TrafficPolicy};
use meltemi_proto::pool::message_to_json;
use serde_json::{Value, json};

use super::*;

mod dynamic;
mod inbound;
mod outbound;
mod policy;
mod settings;
mod tls;

/// Stands for the place of the HTTP options in the pointers of [`check`].
const OPTIONS: &str =
    "/typed_extension_protocol_options/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// A sidecar with Istio's own proxy in the default mesh.
fn facet() -> ClusterFacet {
    ClusterFacet {
        files: None,
        router: false,
        ip_mode: IpMode::V4,
        dns_family: crate::listener::DnsFamily::V4,
        metadata_exchange: true,
        identity: true,
        preserve_case: false,
        credential_socket: false,
        file_credential_socket: false,
        place: None,
    }
}

/// To port 80 of `a.default`, with this policy for all of it.
fn outbound(protocol: Protocol, policy: Option<TrafficPolicy>) -> OutboundCluster {
    let service = service("a", &[(80, protocol)]);
    OutboundCluster {
        port: service.ports[0].clone(),
        service: Shared::new(service),
        subset: "".into(),
        rule: policy.map(|policy| rule(Some(policy), Vec::new())),
        rule_selects_workload: false,
        identities: Shared::default(),
        endpoints: None,
        horizon: None,
        all_mtls: false,
        mtls_disabled: false,
        sni_dnat: false,
        mesh: Shared::default(),
        facet: facet(),
    }
}

/// The same, to another service.
fn to(service: Service) -> OutboundCluster {
    OutboundCluster {
        port: service.ports[0].clone(),
        service: Shared::new(service),
        ..outbound(Protocol::Http, None)
    }
}

fn rule(
    policy: Option<TrafficPolicy>,
    subsets: Vec<meltemi_model::traffic::Subset>,
) -> Shared<MergedRule> {
    Shared::new(MergedRule {
        from: vec![ObjectKey::new(Kind::DestinationRule, "default", "a")],
        policy,
        subsets,
    })
}

fn for_all_ports(all: PortPolicy) -> TrafficPolicy {
    TrafficPolicy {
        all,
        ..TrafficPolicy::default()
    }
}

fn json_of(input: &ClusterInput) -> Value {
    message_to_json("envoy.config.cluster.v3.Cluster", &input.build().body).unwrap()
}

fn json_of_outbound(input: OutboundCluster) -> Value {
    json_of(&ClusterInput::Outbound(input))
}

/// Compares pieces of a cluster: `want` holds JSON pointers with what stands there, null for nothing.
fn check(name: &str, cluster: &Value, want: &Value) {
    for (pointer, piece) in want.as_object().unwrap() {
        let place = pointer.replace("OPTIONS", OPTIONS);
        let found = cluster.pointer(&place).unwrap_or(&Value::Null);
        assert_eq!(found, piece, "{name}: {pointer} of {cluster:#}");
    }
}
