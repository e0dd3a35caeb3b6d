//! The table of names (NDS): what an agent answers its application's DNS queries with. Istio 1.31: `BuildNameTable`.

use bytes::{BufMut, Bytes, BytesMut};
use meltemi_model::{Hostname, ResourceType, Shared, Str};
use meltemi_proto::encode;
use meltemi_proto::istio::nds;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use crate::{Built, Input};

/// The number of `NameTable.table`.
const TABLE: u32 = 1;

/// The names that a class of proxies may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NameTableInput {
    /// One for each host, by host.
    pub names: Vec<Shared<NameInput>>,
}

/// What is known of one host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NameInput {
    /// The host.
    pub host: Hostname,
    /// Its addresses, in order.
    pub addresses: Vec<Str>,
    /// Whether it is a Kubernetes Service's, rather than a ServiceEntry's.
    pub kubernetes: bool,
    /// (name, namespace) below which the agent answers in short forms; `None`: only in full.
    pub short: Option<(Str, Str)>,
}

impl Input for NameTableInput {
    const TYPE: ResourceType = ResourceType::NameTable;
    type Part = NameInput;
    type Shape = ();

    fn parts(&mut self) -> &mut [Shared<NameInput>] {
        &mut self.names
    }

    /// The resource has no name: there is one for each proxy.
    fn build(&self) -> Built {
        let entries: Vec<&Bytes> = self.names.iter().map(|n| n.encoded(encode_name)).collect();
        let mut body = BytesMut::with_capacity(entries.iter().map(|entry| entry.len()).sum());
        entries.iter().for_each(|entry| body.put_slice(entry));
        Built {
            name: "".into(),
            body: body.freeze(),
            from: Vec::new(),
        }
    }
}

/// The canonical bytes of a host's entry in the table, its key and length included.
pub fn encode_name(input: &NameInput) -> Bytes {
    let (shortname, namespace) = match &input.short {
        Some((name, namespace)) => (name.to_string(), namespace.to_string()),
        None => Default::default(),
    };
    let info = encode(&nds::name_table::NameInfo {
        ips: input.addresses.iter().map(ToString::to_string).collect(),
        registry: if input.kubernetes {
            "Kubernetes"
        } else {
            "External"
        }
        .to_owned(),
        shortname,
        namespace,
        ..Default::default()
    });
    let host = input.host.as_str().as_bytes();
    let field = |len: usize| key_len(1) + encoded_len_varint(len as u64) + len;
    let len = field(host.len()) + field(info.len());
    let mut out = BytesMut::with_capacity(field(len));
    encode_key(TABLE, WireType::LengthDelimited, &mut out);
    encode_varint(len as u64, &mut out);
    for (number, bytes) in [(1, host), (2, &info[..])] {
        encode_key(number, WireType::LengthDelimited, &mut out);
        encode_varint(bytes.len() as u64, &mut out);
        out.put_slice(bytes);
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_make_the_canonical_message() {
        let name = |host: &str, addresses: &[&str], short: Option<(&str, &str)>| NameInput {
            host: Hostname::new(host),
            addresses: addresses.iter().map(|a| Str::from(*a)).collect(),
            kubernetes: short.is_some(),
            short: short.map(|(name, namespace)| (name.into(), namespace.into())),
        };
        let input = NameTableInput {
            names: [
                name("a.example.com", &["1.2.3.4", "1.2.3.5"], None),
                name("b.ns.svc.cluster.local", &["10.0.0.1"], Some(("b", "ns"))),
            ]
            .map(Shared::new)
            .into(),
        };
        let info = |ips: &[&str], registry: &str, shortname: &str, namespace: &str| {
            nds::name_table::NameInfo {
                ips: ips.iter().map(|ip| (*ip).to_owned()).collect(),
                registry: registry.into(),
                shortname: shortname.into(),
                namespace: namespace.into(),
                ..Default::default()
            }
        };
        let whole = encode(&nds::NameTable {
            table: [
                (
                    "a.example.com".into(),
                    info(&["1.2.3.4", "1.2.3.5"], "External", "", ""),
                ),
                (
                    "b.ns.svc.cluster.local".into(),
                    info(&["10.0.0.1"], "Kubernetes", "b", "ns"),
                ),
            ]
            .into(),
        });
        let built = input.build();
        assert_eq!(built.body, whole);
        assert_eq!(&*built.name, "");
    }
}
