use std::collections::HashMap;

use proptest::prelude::*;
use prost::Message as _;
use prost::encoding::encode_varint;
use serde_json::json;

use super::wire::{Malformed, Record, record};
use super::*;
use crate::any::{pack, struct_from_json, typed_struct};
use crate::envoy::config::cluster::v3::cluster::ClusterDiscoveryType;
use crate::envoy::config::cluster::v3::{Cluster, cluster};
use crate::envoy::config::core::v3::{Metadata, TypedExtensionConfig};
use crate::envoy::config::route::v3::{Route, VirtualHost};
use crate::google::protobuf::{Any, Struct};
use crate::pool::{Error, json_to_message, message_to_json};

const CLUSTER: &str = "envoy.config.cluster.v3.Cluster";

/// A cluster with everything that prost leaves open: maps in maps, maps in an Any in a map, a oneof whose numbers stand apart.
fn cluster() -> Cluster {
    let names = ["istio", "x", ""];
    let fields = || {
        struct_from_json(
            &names
                .iter()
                .map(|name| {
                    (
                        (*name).to_owned(),
                        json!({ "a": 1, "b": [{}], "c": { *name: null } }),
                    )
                })
                .collect(),
        )
    };
    let metadata = || Metadata {
        filter_metadata: names.map(|name| (name.to_owned(), fields())).into(),
        ..Default::default()
    };
    let options = names.map(|name| {
        let nested = TypedExtensionConfig {
            name: name.to_owned(),
            typed_config: Some(pack(&metadata())),
        };
        (
            name.to_owned(),
            Any {
                type_url: crate::any::type_url::<TypedExtensionConfig>(),
                value: nested.encode_to_vec(),
            },
        )
    });
    Cluster {
        name: "outbound|80||a".to_owned(),
        alt_stat_name: "s".to_owned(),
        metadata: Some(metadata()),
        typed_extension_protocol_options: options.into(),
        cluster_discovery_type: Some(ClusterDiscoveryType::ClusterType(
            cluster::CustomClusterType::default(),
        )),
        ..Default::default()
    }
}

#[test]
fn a_thousand_builds_of_one_message_are_one_byte_string() {
    let expected = encode(&cluster());
    let mut differed = false;
    for _ in 0..1000 {
        let cluster = cluster();
        differed |= cluster.encode_to_vec() != expected;
        assert_eq!(encode(&cluster), expected);
    }
    assert!(
        differed,
        "prost has become deterministic: this encoder is no longer needed"
    );
    assert_eq!(
        Cluster::decode(expected.clone()).unwrap(),
        Cluster::decode(cluster().encode_to_vec().as_slice()).unwrap()
    );
    assert_eq!(
        canonicalize(CLUSTER, &expected).unwrap(),
        expected,
        "the fast way is not the slow way"
    );
}

#[test]
fn fields_are_in_the_order_of_their_numbers_and_keys_sorted() {
    let bytes = encode(&cluster());
    let numbers: Vec<u32> = records(&bytes).unwrap().iter().map(|r| r.number).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    let value = json!({ "b": 1, "a": 2, "aa": 3, "": 4, "B": 5 });
    let bytes = encode(&struct_from_json(&value));
    let keys: Vec<&[u8]> = records(&bytes)
        .unwrap()
        .into_iter()
        .map(|record| {
            let entry = &bytes[record.body];
            let key = records(entry).unwrap().into_iter().find(|r| r.number == 1);
            key.map_or(&[][..], |key| &entry[key.body])
        })
        .collect();
    assert_eq!(keys, [&b""[..], b"B", b"a", b"aa", b"b"]);
}

#[test]
fn equal_messages_written_differently_become_equal() {
    let name = "envoy.config.cluster.v3.Cluster";
    let plain = encode(&Cluster {
        name: "a".to_owned(),
        ..Default::default()
    });
    let cases: [(&str, Vec<u8>); 5] = [
        (
            "twice, the last counts",
            field(1, b"b").into_iter().chain(field(1, b"a")).collect(),
        ),
        (
            "a default that is written",
            field(1, b"a").into_iter().chain(field(28, b"")).collect(),
        ),
        (
            "a long varint",
            [vec![0x8a, 0x00, 1], b"a".to_vec()].concat(),
        ),
        (
            "a long length",
            [vec![0x0a, 0x81, 0x00], b"a".to_vec()].concat(),
        ),
        ("once", field(1, b"a")),
    ];
    for (what, bytes) in cases {
        assert_eq!(canonicalize(name, &bytes).unwrap(), plain, "{what}");
    }
    // Two halves of one message are merged; here the second wins where both speak.
    let halves = [
        field(25, &field(1, &entry("a", b""))),
        field(25, &field(1, &entry("b", b""))),
    ]
    .concat();
    let whole = Cluster {
        metadata: Some(Metadata {
            filter_metadata: ["a", "b"].map(|k| (k.to_owned(), Struct::default())).into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(canonicalize(name, &halves).unwrap(), encode(&whole));
    // Status codes of a retry policy are packed; other writers may not do so.
    let policy = "envoy.config.route.v3.RetryPolicy";
    let unpacked = [vec![0x38], vec![0xf7, 0x03], vec![0x38], vec![0xf8, 0x03]].concat();
    let packed = field(7, &[0xf7, 0x03, 0xf8, 0x03]);
    assert_eq!(canonicalize(policy, &unpacked).unwrap(), packed);
    assert_eq!(canonicalize(policy, &packed).unwrap(), packed);
}

#[test]
fn unknown_fields_stay_behind_the_known() {
    let known = encode(&Cluster {
        name: "a".to_owned(),
        ..Default::default()
    });
    let unknown = [field(9000, b"x"), field(9000, b"y")].concat();
    let mixed = [unknown.clone(), known.to_vec()].concat();
    assert_eq!(
        canonicalize(CLUSTER, &mixed).unwrap(),
        [known.to_vec(), unknown].concat()
    );
}

#[test]
fn an_any_of_unknown_type_or_with_foreign_bytes_stays_as_it_is() {
    for (url, value) in [
        ("type.googleapis.com/no.Such", vec![1, 2, 3]),
        ("type.googleapis.com/google.protobuf.Struct", vec![0xff; 9]),
    ] {
        let any = Any {
            type_url: url.to_owned(),
            value,
        };
        let bytes = encode(&any);
        assert_eq!(Any::decode(bytes.clone()).unwrap(), any);
        assert_eq!(canonicalize("google.protobuf.Any", &bytes).unwrap(), bytes);
    }
    // Half of the contents can be put in order before the fault shows: it must not be.
    let mut value = [field(1, &entry("b", b"")), field(1, &entry("a", b""))].concat();
    let inner = field(1, &[entry("k", &field(5, &value))].concat());
    value = [inner, vec![0x0a, 0x7f]].concat();
    let any = Any {
        type_url: "type.googleapis.com/google.protobuf.Struct".to_owned(),
        value: value.clone(),
    };
    assert_eq!(Any::decode(encode(&any)).unwrap().value, value);
}

#[test]
fn types_without_open_order_are_skipped_and_routes_are_not() {
    for (name, walk) in [
        ("envoy.config.core.v3.SocketAddress", false),
        ("envoy.config.core.v3.Locality", false),
        ("envoy.config.cluster.v3.Cluster", true),
        ("envoy.config.route.v3.Route", true),
        ("google.protobuf.Any", true),
        ("google.protobuf.Struct", true),
    ] {
        assert_eq!(tables::by_name(name).unwrap().walk, walk, "{name}");
    }
    assert!(tables::by_name("no.Such").is_none());
}

#[test]
fn every_message_of_the_pool_has_its_table() {
    for message in crate::pool::pool().all_messages() {
        let ty = tables::by_name(message.full_name())
            .unwrap_or_else(|| panic!("{} has no table", message.full_name()));
        let mut numbers: Vec<u32> = message.fields().map(|field| field.number()).collect();
        numbers.sort_unstable();
        assert_eq!(
            ty.fields
                .iter()
                .map(|field| field.number)
                .collect::<Vec<_>>(),
            numbers,
            "{}",
            ty.name
        );
        for field in ty.fields {
            let descriptor = message.get_field(field.number).unwrap();
            let kind = descriptor.kind();
            let inner = match field.shape {
                tables::Shape::Scalar => None,
                tables::Shape::Message(index) | tables::Shape::Map(index, _) => {
                    Some(tables::by_index(index).name)
                }
            };
            assert_eq!(
                inner,
                kind.as_message()
                    .map(prost_reflect::MessageDescriptor::full_name),
                "{}",
                descriptor.full_name()
            );
            assert_eq!(
                matches!(field.shape, tables::Shape::Map(..)),
                descriptor.is_map(),
                "{}",
                descriptor.full_name()
            );
        }
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let mut bytes = Vec::new();
    for _ in 0..5000 {
        bytes = field(1, &field(2, &field(5, &field(1, &entry("k", &bytes)))));
    }
    assert!(matches!(
        canonicalize("google.protobuf.Struct", &bytes),
        Err(Error::Malformed { .. })
    ));
    let any = Any {
        type_url: "type.googleapis.com/google.protobuf.Struct".to_owned(),
        value: bytes,
    };
    assert_eq!(Any::decode(encode(&any)).unwrap(), any);
    let mut any = Any::default();
    for _ in 0..50 {
        any = pack(&any);
    }
    let bytes = encode(&any);
    assert_eq!(canonicalize("google.protobuf.Any", &bytes).unwrap(), bytes);
}

#[test]
fn integer_keys_are_ordered_by_value() {
    let find = |wanted: fn(tables::Key) -> bool| {
        crate::pool::pool().all_messages().filter_map(|m| tables::by_name(m.full_name())).find_map(|ty| {
            let key = |f: &&tables::Field| matches!(f.shape, tables::Shape::Map(_, key) if wanted(key));
            ty.fields.iter().find(key).map(|f| (ty, f.number))
        })
    };
    let Some((ty, number)) = find(|key| matches!(key, tables::Key::Unsigned)) else {
        return;
    };
    let entries = |keys: [u8; 3]| keys.map(|k| field(number, &[0x08, k])).concat();
    assert_eq!(
        canonicalize(ty.name, &entries([9, 1, 0x7f])).unwrap(),
        entries([1, 9, 0x7f]),
        "{}",
        ty.name
    );
}

fn records(bytes: &[u8]) -> Result<Vec<Record>, Malformed> {
    let (mut all, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let next = record(bytes, at)?;
        at = next.end;
        all.push(next);
    }
    Ok(all)
}

/// A field that is delimited by its length.
fn field(number: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_varint(u64::from(number << 3 | 2), &mut bytes);
    encode_varint(body.len() as u64, &mut bytes);
    bytes.extend_from_slice(body);
    bytes
}

fn entry(key: &str, value: &[u8]) -> Vec<u8> {
    [field(1, key.as_bytes()), field(2, value)].concat()
}

/// Moves the fields of a message about, and those of all messages inside, without changing what it means: elements of a list and
/// occurrences of one field keep their order among themselves.
fn shuffle(ty: &tables::Type, bytes: &[u8], random: &mut impl FnMut() -> u64) -> Vec<u8> {
    let mut parts: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut ranks: HashMap<u32, u64> = HashMap::new();
    let (mut at, mut url) = (0, String::new());
    for record in records(bytes).unwrap() {
        let shape = ty
            .fields
            .iter()
            .find(|f| f.number == record.number)
            .map(|f| f.shape);
        let body = &bytes[record.body.clone()];
        if ty.any && record.number == 1 {
            url = String::from_utf8(body.to_vec()).unwrap();
        }
        let contents = if ty.any && record.number == 2 {
            tables::by_name(crate::any::type_name(&url))
        } else {
            None
        };
        let (inner, map) = match shape {
            Some(tables::Shape::Message(index)) => (Some(tables::by_index(index)), false),
            Some(tables::Shape::Map(index, _)) => (Some(tables::by_index(index)), true),
            _ => (contents, false),
        };
        let part = match inner {
            Some(inner) => field(record.number, &shuffle(inner, body, random)),
            None => bytes[at..record.end].to_vec(),
        };
        let rank = if map {
            random()
        } else {
            *ranks.entry(record.number).or_insert_with(&mut *random)
        };
        parts.push((rank, part));
        at = record.end;
    }
    parts.sort_by_key(|(rank, _)| *rank);
    parts.into_iter().flat_map(|(_, part)| part).collect()
}

fn json_values() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        any::<i32>().prop_map(|n| json!(n)),
        "[a-c]{0,3}".prop_map(|s| json!(s)),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|v| json!(v)),
            prop::collection::hash_map("[a-d]{0,2}", inner, 0..6)
                .prop_map(|m| m.into_iter().collect::<serde_json::Value>()),
        ]
    })
}

fn anys() -> impl Strategy<Value = Any> {
    let typed = |v: serde_json::Value| {
        typed_struct("type.googleapis.com/x.Y", json!({ "v": v.clone(), "w": v }))
    };
    let leaf = prop_oneof![1 => Just(Any::default()), 4 => json_values().prop_map(typed)];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|any| raw(&TypedExtensionConfig {
                name: "t".to_owned(),
                typed_config: Some(any)
            })),
            prop::collection::hash_map("[a-c]{0,2}", inner, 0..4).prop_map(|options| raw(
                &Cluster {
                    typed_extension_protocol_options: options,
                    ..Default::default()
                }
            )),
        ]
    })
}

/// An Any as someone without a canonical encoder packs it.
fn raw<M: Canonical>(message: &M) -> Any {
    Any {
        type_url: crate::any::type_url::<M>(),
        value: message.encode_to_vec(),
    }
}

fn hosts() -> impl Strategy<Value = VirtualHost> {
    let configs = || prop::collection::hash_map("[a-c]{0,2}", anys(), 0..4);
    let structs = || {
        prop::collection::hash_map(
            "[a-c]{0,2}",
            json_values().prop_map(|v| struct_from_json(&v)),
            0..4,
        )
    };
    let route = (configs(), structs(), "[a-z]{0,3}").prop_map(|(configs, structs, name)| Route {
        name,
        typed_per_filter_config: configs,
        metadata: Some(Metadata {
            filter_metadata: structs,
            ..Default::default()
        }),
        ..Default::default()
    });
    (configs(), prop::collection::vec(route, 0..4)).prop_map(|(configs, routes)| VirtualHost {
        name: "h".to_owned(),
        typed_per_filter_config: configs,
        routes,
        ..Default::default()
    })
}

const HOST: &str = "envoy.config.route.v3.VirtualHost";

/// An empty Any is shown, but not read back: JSON has to name the type.
fn has_empty_any(json: &serde_json::Value, any: bool) -> bool {
    match json {
        serde_json::Value::Object(fields) => {
            let within = |key: &str| key.starts_with("typed_");
            (any && fields.is_empty())
                || fields.iter().any(|(key, value)| match value.as_object() {
                    Some(entries) if within(key) && key != "typed_config" => {
                        entries.values().any(|v| has_empty_any(v, true))
                    }
                    _ => has_empty_any(value, key == "typed_config"),
                })
        }
        serde_json::Value::Array(items) => items.iter().any(|item| has_empty_any(item, false)),
        _ => false,
    }
}

/// A cheap source of numbers for the shuffles, seeded by proptest so that a failure can be repeated.
fn numbers(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state ^ (state >> 29)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn permutations_become_one_byte_string(host in hosts(), seed in any::<u64>()) {
        let expected = encode(&host);
        prop_assert_eq!(&canonicalize(HOST, &expected).unwrap(), &expected);
        prop_assert_eq!(&encode(&VirtualHost::decode(expected.clone()).unwrap()), &expected);
        let mut random = numbers(seed);
        let ty = tables::by_name(HOST).unwrap();
        for _ in 0..16 {
            let other = shuffle(ty, &expected, &mut random);
            prop_assert_eq!(&canonicalize(HOST, &other).unwrap(), &expected);
        }
        let json = message_to_json(HOST, &expected).unwrap();
        if !has_empty_any(&json, false) {
            prop_assert_eq!(&json_to_message(HOST, &json).unwrap(), &expected);
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for name in [CLUSTER, "google.protobuf.Struct", "google.protobuf.Any", "envoy.config.route.v3.RetryPolicy"] {
            if let Ok(once) = canonicalize(name, &bytes) {
                prop_assert_eq!(&canonicalize(name, &once).unwrap(), &once);
            }
            let mut copy = bytes.clone();
            let _ = settle(tables::by_name(name).unwrap(), &mut copy, Source::Prost, 0);
        }
        let any = Any { type_url: "type.googleapis.com/google.protobuf.Struct".to_owned(), value: bytes };
        prop_assert_eq!(encode(&any), encode(&any.clone()));
    }

    #[test]
    fn damaged_messages_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut bytes = encode(&cluster()).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok(once) = canonicalize(CLUSTER, &bytes) {
            prop_assert_eq!(&canonicalize(CLUSTER, &once).unwrap(), &once);
        }
        let mut copy = bytes;
        let _ = settle(tables::by_name(CLUSTER).unwrap(), &mut copy, Source::Prost, 0);
    }
}

#[test]
fn a_thousand_shuffles_of_one_message_are_one_byte_string() {
    let expected = encode(&cluster());
    let ty = tables::by_name(CLUSTER).unwrap();
    let mut random = numbers(7);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..1000 {
        let other = shuffle(ty, &expected, &mut random);
        assert_eq!(canonicalize(CLUSTER, &other).unwrap(), expected);
        seen.insert(other);
    }
    assert!(
        seen.len() > 900,
        "the shuffles were no test: {} distinct",
        seen.len()
    );
}
