use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;

use super::*;
use crate::envoy::config::core::v3 as core;
use crate::envoy::service::discovery::v3 as theirs;
use crate::google::{protobuf, rpc};

/// What Envoy sends, with every field that we read and some that we do not.
fn node() -> core::Node {
    core::Node {
        id: "sidecar~10.0.0.1~a.b~b.svc.cluster.local".to_owned(),
        cluster: "a.b".to_owned(),
        metadata: Some(crate::any::struct_from_json(
            &serde_json::json!({ "ISTIO_VERSION": "1.31.0" }),
        )),
        locality: Some(core::Locality {
            region: "r".to_owned(),
            zone: "z".to_owned(),
            sub_zone: "s".to_owned(),
        }),
        user_agent_name: "envoy".to_owned(),
        user_agent_version_type: Some(core::node::UserAgentVersionType::UserAgentBuildVersion(
            core::BuildVersion {
                version: Some(crate::envoy::r#type::v3::SemanticVersion {
                    major_number: 1,
                    minor_number: 40,
                    patch: 2,
                }),
                metadata: None,
            },
        )),
        extensions: vec![core::Extension {
            name: "envoy.filters.http.router".to_owned(),
            category: "envoy.filters.http".to_owned(),
            disabled: true,
            type_urls: vec!["envoy.extensions.filters.http.router.v3.Router".to_owned()],
            ..Default::default()
        }],
        client_features: vec!["envoy.lb.does_not_support_overprovisioning".to_owned()],
        dynamic_parameters: [("skipped".to_owned(), Default::default())].into(),
        ..Default::default()
    }
}

fn nack() -> rpc::Status {
    rpc::Status {
        code: 13,
        message: "no".to_owned(),
        details: vec![protobuf::Any::default()],
    }
}

#[test]
fn a_state_of_the_world_request_of_envoy_is_read() {
    let sent = theirs::DiscoveryRequest {
        version_info: "v".to_owned(),
        node: Some(node()),
        resource_names: vec!["a".to_owned(), "b".to_owned()],
        type_url: "t".to_owned(),
        response_nonce: "n".to_owned(),
        error_detail: Some(nack()),
        ..Default::default()
    };
    let read = DiscoveryRequest::decode(sent.encode_to_vec().as_slice()).unwrap();
    assert_eq!(
        (
            read.version_info.as_str(),
            read.type_url.as_str(),
            read.response_nonce.as_str()
        ),
        ("v", "t", "n")
    );
    assert_eq!(read.resource_names, ["a", "b"]);
    assert_eq!(
        read.error_detail,
        Some(Status {
            code: 13,
            message: "no".to_owned()
        })
    );
    let (node, expected) = (read.node.unwrap(), node());
    assert_eq!(
        (node.id, node.cluster, node.metadata),
        (expected.id, expected.cluster, expected.metadata)
    );
    assert_eq!(
        node.locality,
        Some(Locality {
            region: "r".to_owned(),
            zone: "z".to_owned(),
            sub_zone: "s".to_owned()
        })
    );
    assert_eq!(node.user_agent_name, "envoy");
    let version = SemanticVersion {
        major_number: 1,
        minor_number: 40,
        patch: 2,
    };
    let build = BuildVersion {
        version: Some(version),
        metadata: None,
    };
    assert_eq!(
        node.user_agent_version_type,
        Some(node::UserAgentVersionType::UserAgentBuildVersion(build))
    );
    assert_eq!(node.client_features, expected.client_features);
    let [extension] = node.extensions.as_slice() else {
        panic!("one extension was sent")
    };
    assert_eq!(
        (extension.name.as_str(), extension.category.as_str()),
        ("envoy.filters.http.router", "envoy.filters.http")
    );
    assert!(extension.disabled);
    assert_eq!(
        extension.type_urls,
        ["envoy.extensions.filters.http.router.v3.Router"]
    );
}

#[test]
fn a_delta_request_of_envoy_is_read() {
    let sent = theirs::DeltaDiscoveryRequest {
        node: Some(node()),
        type_url: "t".to_owned(),
        resource_names_subscribe: vec!["a".to_owned()],
        resource_names_unsubscribe: vec!["b".to_owned()],
        initial_resource_versions: [("c".to_owned(), "1".to_owned())].into(),
        response_nonce: "n".to_owned(),
        error_detail: Some(nack()),
        ..Default::default()
    };
    let mut read = DeltaDiscoveryRequest::decode(sent.encode_to_vec().as_slice()).unwrap();
    assert_eq!(read.node.take().unwrap().id, node().id);
    let expected = DeltaDiscoveryRequest {
        node: None,
        type_url: "t".to_owned(),
        resource_names_subscribe: vec!["a".to_owned()],
        resource_names_unsubscribe: vec!["b".to_owned()],
        initial_resource_versions: BTreeMap::from([("c".to_owned(), "1".to_owned())]),
        response_nonce: "n".to_owned(),
        error_detail: Some(Status {
            code: 13,
            message: "no".to_owned(),
        }),
    };
    assert_eq!(read, expected);
}

#[test]
fn envoy_reads_our_answers() {
    let any = Any {
        type_url: "u".to_owned(),
        value: Bytes::from_static(b"payload"),
    };
    let sent = DiscoveryResponse {
        version_info: "v".to_owned(),
        resources: vec![any.clone()],
        type_url: "t".to_owned(),
        nonce: "n".to_owned(),
        control_plane: Some(ControlPlane {
            identifier: "i".to_owned(),
        }),
    };
    let read = theirs::DiscoveryResponse::decode(sent.encode_to_vec().as_slice()).unwrap();
    let their_any = protobuf::Any {
        type_url: "u".to_owned(),
        value: b"payload".to_vec(),
    };
    let control_plane = Some(core::ControlPlane {
        identifier: "i".to_owned(),
    });
    let expected = theirs::DiscoveryResponse {
        version_info: "v".to_owned(),
        resources: vec![their_any.clone()],
        type_url: "t".to_owned(),
        nonce: "n".to_owned(),
        control_plane: control_plane.clone(),
        ..Default::default()
    };
    assert_eq!(read, expected);

    let sent = DeltaDiscoveryResponse {
        system_version_info: "v".to_owned(),
        resources: vec![Resource {
            version: "1".to_owned(),
            resource: Some(any),
            name: "a".to_owned(),
            aliases: vec!["b".to_owned()],
            ttl: Some(protobuf::Duration {
                seconds: 3,
                nanos: 4,
            }),
        }],
        type_url: "t".to_owned(),
        nonce: "n".to_owned(),
        removed_resources: vec!["gone".to_owned()],
        control_plane: Some(ControlPlane {
            identifier: "i".to_owned(),
        }),
    };
    let read = theirs::DeltaDiscoveryResponse::decode(sent.encode_to_vec().as_slice()).unwrap();
    let expected = theirs::DeltaDiscoveryResponse {
        system_version_info: "v".to_owned(),
        resources: vec![theirs::Resource {
            version: "1".to_owned(),
            resource: Some(their_any),
            name: "a".to_owned(),
            aliases: vec!["b".to_owned()],
            ttl: Some(protobuf::Duration {
                seconds: 3,
                nanos: 4,
            }),
            ..Default::default()
        }],
        type_url: "t".to_owned(),
        nonce: "n".to_owned(),
        removed_resources: vec!["gone".to_owned()],
        control_plane,
        ..Default::default()
    };
    assert_eq!(read, expected);
}

#[test]
fn a_payload_is_shared_with_the_buffer_that_it_came_in() {
    let sent = Any {
        type_url: "u".to_owned(),
        value: Bytes::from(vec![7; 4096]),
    };
    let buffer = Bytes::from(sent.encode_to_vec());
    let read = Any::decode(buffer.clone()).unwrap();
    assert!(
        buffer.as_ptr_range().contains(&read.value.as_ptr()),
        "decoding copied the payload"
    );
}
