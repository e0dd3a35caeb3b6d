//! Messages that differ only in names, written from one of them.
//!
//! A [`Stencil`] is cut once from the canonical bytes of a message in which stand-ins take the places of names. Filled with
//! names, it gives the canonical bytes of the message that has those, without making the message: fields keep their order,
//! and only the lengths around a name are written anew.

use bytes::Bytes;
use prost::encoding::{encode_varint, encoded_len_varint};

use super::Canonical;
use super::tables::{Shape, Type, by_index, by_name};
use super::wire::{Malformed, record};
use crate::any::type_name;

/// The bytes of a message, with holes where names stand.
#[derive(Debug)]
pub struct Stencil(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    /// Bytes as they are.
    Plain(Vec<u8>),
    /// The name with this index.
    Hole(usize),
    /// A field that is delimited by a length and has holes: its tag and its content.
    Delimited(Vec<u8>, Vec<Piece>),
}

impl Stencil {
    /// Cuts a stencil from a message of type `M`. Wherever a text of it (in messages inside, too, and in those inside of an
    /// Any) contains one of `stand_ins`, there is a hole for the name of the same index. The first that fits counts, so one
    /// that contains another comes first. Stand-ins must not occur otherwise, and not in the key of a map. `None` for a
    /// type that the pool does not have.
    pub fn cut<M: Canonical>(message: &M, stand_ins: &[&str]) -> Option<Self> {
        let bytes = super::encode(message);
        let pieces = cut(by_name(&M::full_name())?, &bytes, stand_ins).ok()?;
        Some(Self(pieces))
    }

    /// The bytes with `names` in the holes, each of which must be given and not be empty: an empty text is absent in the
    /// canonical form.
    pub fn fill(&self, names: &[&str]) -> Bytes {
        let mut lengths = Vec::with_capacity(32);
        let total = measure(&self.0, names, &mut lengths);
        let mut out = Vec::with_capacity(total);
        write(&self.0, names, &mut lengths.iter(), &mut out);
        out.into()
    }
}

fn cut(ty: &'static Type, bytes: &[u8], stand_ins: &[&str]) -> Result<Vec<Piece>, Malformed> {
    let mut out = Vec::new();
    let (mut url, mut at) = (None, 0);
    while at < bytes.len() {
        let record = record(bytes, at)?;
        let body = &bytes[record.body.clone()];
        let field = ty.fields.iter().find(|f| f.number == record.number);
        let inside = match field.map(|field| field.shape) {
            Some(Shape::Message(index) | Shape::Map(index, _)) if record.delimited => {
                cut(by_index(index), body, stand_ins)?
            }
            _ if ty.any && record.number == 1 => {
                url = std::str::from_utf8(body).ok();
                vec![Piece::Plain(body.to_vec())]
            }
            _ if ty.any && record.number == 2 => {
                match url.and_then(|url| by_name(type_name(url))) {
                    Some(packed) => cut(packed, body, stand_ins)?,
                    None => vec![Piece::Plain(body.to_vec())],
                }
            }
            _ if record.delimited => cut_text(body, stand_ins),
            _ => Vec::new(),
        };
        if inside.iter().any(|piece| !matches!(piece, Piece::Plain(_))) {
            // The tag is what stands before the length.
            let length = encoded_len_varint(body.len() as u64);
            let tag = bytes[at..record.body.start - length].to_vec();
            out.push(Piece::Delimited(tag, inside));
        } else {
            push_plain(&mut out, &bytes[at..record.end]);
        }
        at = record.end;
    }
    Ok(out)
}

fn cut_text(mut text: &[u8], stand_ins: &[&str]) -> Vec<Piece> {
    let mut out = Vec::new();
    'text: while !text.is_empty() {
        for (index, stand_in) in stand_ins.iter().enumerate() {
            if let Some(rest) = text.strip_prefix(stand_in.as_bytes()) {
                if !stand_in.is_empty() {
                    out.push(Piece::Hole(index));
                    text = rest;
                    continue 'text;
                }
            }
        }
        push_plain(&mut out, &text[..1]);
        text = &text[1..];
    }
    out
}

fn push_plain(out: &mut Vec<Piece>, bytes: &[u8]) {
    match out.last_mut() {
        Some(Piece::Plain(last)) => last.extend_from_slice(bytes),
        _ => out.push(Piece::Plain(bytes.to_vec())),
    }
}

/// The length of the pieces, and those of all delimited ones in the order in which they begin.
fn measure(pieces: &[Piece], names: &[&str], lengths: &mut Vec<usize>) -> usize {
    let mut total = 0;
    for piece in pieces {
        total += match piece {
            Piece::Plain(bytes) => bytes.len(),
            Piece::Hole(index) => name(names, *index).len(),
            Piece::Delimited(tag, inside) => {
                let place = lengths.len();
                lengths.push(0);
                let length = measure(inside, names, lengths);
                lengths[place] = length;
                tag.len() + encoded_len_varint(length as u64) + length
            }
        };
    }
    total
}

fn write(
    pieces: &[Piece],
    names: &[&str],
    lengths: &mut std::slice::Iter<'_, usize>,
    out: &mut Vec<u8>,
) {
    for piece in pieces {
        match piece {
            Piece::Plain(bytes) => out.extend_from_slice(bytes),
            Piece::Hole(index) => out.extend_from_slice(name(names, *index).as_bytes()),
            Piece::Delimited(tag, inside) => {
                out.extend_from_slice(tag);
                let length = lengths.next().copied().unwrap_or_default();
                encode_varint(length as u64, out);
                write(inside, names, lengths, out);
            }
        }
    }
}

fn name<'a>(names: &[&'a str], index: usize) -> &'a str {
    names.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::any::{pack, struct_from_json};
    use crate::envoy::config::cluster::v3::Cluster;
    use crate::envoy::config::core::v3::{Metadata, TransportSocket, transport_socket::ConfigType};
    use crate::envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext;

    fn cluster(name: &str, host: &str) -> Cluster {
        let tls = UpstreamTlsContext {
            sni: format!("outbound.{host}"),
            ..Default::default()
        };
        let fields = struct_from_json(&serde_json::json!({"host": host, "list": [name, "kept"]}));
        Cluster {
            name: name.to_owned(),
            alt_stat_name: format!("{name};{host}"),
            metadata: Some(Metadata {
                filter_metadata: [("istio".to_owned(), fields)].into(),
                ..Default::default()
            }),
            transport_socket: Some(TransportSocket {
                name: "tls".to_owned(),
                config_type: Some(ConfigType::TypedConfig(pack(&tls))),
            }),
            ..Default::default()
        }
    }

    #[test]
    fn a_filled_stencil_is_the_message_with_those_names() {
        let stencil =
            Stencil::cut(&cluster("<<host>>", "<host>"), &["<<host>>", "<host>"]).unwrap();
        let long = "x".repeat(300);
        for (name, host) in [("a", "b"), ("a", &long), (&long, "b"), ("<host>", "ü")] {
            let want = super::super::encode(&cluster(name, host));
            assert_eq!(stencil.fill(&[name, host]), want, "{name} {host}");
        }
    }

    #[test]
    fn without_stand_ins_it_is_the_message() {
        let message = cluster("name", "host");
        let stencil = Stencil::cut(&message, &[]).unwrap();
        assert_eq!(stencil.fill(&[]), super::super::encode(&message));
        assert_eq!(stencil.0.len(), 1);
    }
}
