//! Encodings and checksums.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Change, text};
use crate::template::functions::{Functions, Param, Signature};
use crate::template::value::Value;

pub(super) fn add(functions: &mut Functions) {
    let table: &[(&str, Change)] = &[
        ("b64enc", |text| STANDARD.encode(text)),
        ("b64dec", from_base64),
        ("b32enc", |text| to_base32(text.as_bytes())),
        ("b32dec", |text| {
            from_base32(text).unwrap_or_else(|problem| problem)
        }),
        ("sha1sum", |text| {
            hash(&digest::SHA1_FOR_LEGACY_USE_ONLY, text)
        }),
        ("sha256sum", |text| hash(&digest::SHA256, text)),
        ("sha512sum", |text| hash(&digest::SHA512, text)),
        ("adler32sum", |text| adler32(text.as_bytes()).to_string()),
    ];
    for (name, encode) in table {
        functions.add_typed(name, Signature::of(&[Param::String]), move |args| {
            Ok(Value::from(encode(text(args, 0))))
        });
    }
}

fn hash(algorithm: &'static digest::Algorithm, text: &str) -> String {
    let hash = digest::digest(algorithm, text.as_bytes());
    hash.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Sprig gives the error as the text.
fn from_base64(text: &str) -> String {
    let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    match STANDARD.decode(&text) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(problem) => {
            let at = match problem {
                base64::DecodeError::InvalidByte(at, _)
                | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                // Go names the first byte of the group that is not complete.
                _ => text.trim_end_matches('=').len() / 4 * 4,
            };
            format!("illegal base64 data at input byte {at}")
        }
    }
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn to_base32(bytes: &[u8]) -> String {
    let mut out = String::new();
    for group in bytes.chunks(5) {
        let mut bits = 0_u64;
        for i in 0..5 {
            bits = bits << 8 | u64::from(group.get(i).copied().unwrap_or(0));
        }
        let used = (group.len() * 8).div_ceil(5);
        for i in 0..8 {
            let digit = (bits >> (35 - 5 * i)) & 31;
            let digit = BASE32
                .get(usize::try_from(digit).unwrap_or(0))
                .copied()
                .unwrap_or(b'A');
            out.push(if i < used { char::from(digit) } else { '=' });
        }
    }
    out
}

fn from_base32(text: &str) -> Result<String, String> {
    let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let digits = text.trim_end_matches('=');
    let wrong = |at: usize| format!("illegal base32 data at input byte {at}");
    if !text.len().is_multiple_of(8) {
        return Err(wrong(text.len()));
    }
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for (at, c) in digits.bytes().enumerate() {
        let Some(digit) = BASE32.iter().position(|known| *known == c) else {
            return Err(wrong(at));
        };
        bits = (bits << 5 | u32::try_from(digit).unwrap_or(0)) & 0xfff;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap_or(0));
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65521;
    let (mut low, mut high) = (1_u32, 0_u32);
    for byte in bytes {
        low = (low + u32::from(*byte)) % MODULUS;
        high = (high + low) % MODULUS;
    }
    high << 16 | low
}
