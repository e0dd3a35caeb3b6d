use prost::Message as _;
use serde_json::json;

use super::*;
use crate::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use crate::istio::{alpn, metadata_exchange, peer_metadata, stats};
use crate::pool::any_to_json;

#[test]
fn packing_names_the_type() {
    let any = pack(&RawBuffer {});
    assert_eq!(
        any.type_url,
        "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
    );
    assert_eq!(any.value, b"");
}

#[test]
fn our_own_messages_have_the_names_which_proxies_know() {
    let urls = [
        type_url::<stats::PluginConfig>(),
        type_url::<alpn::FilterConfig>(),
        type_url::<peer_metadata::Config>(),
        type_url::<metadata_exchange::MetadataExchange>(),
        type_url::<TypedStruct>(),
    ];
    let expected = [
        "stats.PluginConfig",
        "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
        "io.istio.http.peer_metadata.Config",
        "envoy.tcp.metadataexchange.config.MetadataExchange",
        "udpa.type.v1.TypedStruct",
    ];
    assert_eq!(urls, expected.map(|name| format!("{PREFIX}{name}")));
}

#[test]
fn a_typed_struct_keeps_its_value() {
    let value = json!({ "protocol": "istio-peer-exchange", "enable_discovery": true, "n": 1.5, "list": [1, null, { "a": {} }] });
    let any = typed_struct("type.googleapis.com/x.Y", value.clone());
    let again = typed_struct("type.googleapis.com/x.Y", value.clone());
    assert_eq!(any, again);
    let decoded = TypedStruct::decode(any.value.as_slice()).unwrap();
    assert_eq!(decoded.type_url, "type.googleapis.com/x.Y");
    assert_eq!(struct_to_json(&decoded.value.unwrap()), value);
}

#[test]
fn what_is_no_object_becomes_an_empty_struct() {
    for value in [json!(null), json!(1), json!([1]), json!("a")] {
        assert_eq!(struct_from_json(&value), Struct::default());
    }
}

#[test]
fn istio_filters_render_as_istiod_shows_them() {
    let config = alpn::FilterConfig {
        alpn_override: vec![alpn::filter_config::AlpnOverride {
            upstream_protocol: alpn::filter_config::Protocol::Http2.into(),
            alpn_override: vec!["istio-h2".to_owned(), "h2".to_owned()],
        }],
    };
    let any = pack(&config);
    assert_eq!(
        any_to_json(&any.type_url, &any.value).unwrap(),
        json!({
            "@type": any.type_url,
            "alpn_override": [{ "upstream_protocol": "HTTP2", "alpn_override": ["istio-h2", "h2"] }],
        })
    );
}

#[test]
fn whole_numbers_have_no_fraction() {
    let numbers = json!({ "a": 100, "b": -3, "c": 0.25, "d": 1e300 });
    assert_eq!(struct_to_json(&struct_from_json(&numbers)), numbers);
    assert_eq!(number_to_json(f64::INFINITY), Value::Null);
}
