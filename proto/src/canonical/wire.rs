//! Protobuf's wire format, as far as to tell where a field ends.

use std::ops::Range;

/// The bytes are no protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// One field on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) number: u32,
    /// What the field holds if it is delimited by a length; empty for all others.
    pub(super) body: Range<usize>,
    /// Whether it is delimited by a length.
    pub(super) delimited: bool,
    /// Where the next field starts.
    pub(super) end: usize,
}

/// Groups in groups, which only unknown fields can be.
const MAX_GROUPS: u32 = 100;

/// The field that starts at `at`.
pub(super) fn record(bytes: &[u8], at: usize) -> Result<Record, Malformed> {
    record_in(bytes, at, 0)
}

fn record_in(bytes: &[u8], at: usize, groups: u32) -> Result<Record, Malformed> {
    let (tag, at) = varint(bytes, at)?;
    let number = u32::try_from(tag >> 3)
        .ok()
        .filter(|n| *n != 0)
        .ok_or(Malformed)?;
    let fixed = |len: usize| {
        Ok(Record {
            number,
            body: at..at,
            delimited: false,
            end: at + len,
        })
    };
    let record = match tag & 7 {
        0 => fixed(varint(bytes, at)?.1 - at),
        1 => fixed(8),
        2 => {
            let (len, start) = varint(bytes, at)?;
            let end = usize::try_from(len)
                .ok()
                .and_then(|len| start.checked_add(len))
                .ok_or(Malformed)?;
            Ok(Record {
                number,
                body: start..end,
                delimited: true,
                end,
            })
        }
        3 => fixed(group_end(bytes, at, number, groups)? - at),
        5 => fixed(4),
        _ => Err(Malformed),
    }?;
    if record.end <= bytes.len() {
        Ok(record)
    } else {
        Err(Malformed)
    }
}

/// Where the group of that number ends, behind its end tag.
fn group_end(bytes: &[u8], mut at: usize, number: u32, groups: u32) -> Result<usize, Malformed> {
    if groups >= MAX_GROUPS {
        return Err(Malformed);
    }
    loop {
        let (tag, next) = varint(bytes, at)?;
        if tag & 7 == 4 {
            return if tag >> 3 == u64::from(number) {
                Ok(next)
            } else {
                Err(Malformed)
            };
        }
        at = record_in(bytes, at, groups + 1)?.end;
    }
}

/// The varint at `at`, and where the next thing starts.
pub(super) fn varint(bytes: &[u8], at: usize) -> Result<(u64, usize), Malformed> {
    let mut value = 0;
    for (index, byte) in bytes
        .get(at..)
        .ok_or(Malformed)?
        .iter()
        .take(10)
        .enumerate()
    {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((value, at + index + 1));
        }
    }
    Err(Malformed)
}
