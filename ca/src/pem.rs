//! PEM, as far as certificates, keys and requests need it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// One certificate, with a line feed at its end.
pub fn certificate(der: &[u8]) -> String {
    block("CERTIFICATE", der)
}

/// One block with lines of 64 characters, as Go and OpenSSL write it.
pub(crate) fn block(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = String::with_capacity(text.len() + text.len() / 64 + 64);
    out.push_str("-----BEGIN ");
    out.push_str(label);
    out.push_str("-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out.push_str("-----END ");
    out.push_str(label);
    out.push_str("-----\n");
    out
}

/// All certificates of a text, in order; other blocks and text between them are skipped, as Go does.
///
/// # Errors
/// A block that is not PEM, with the reason for people.
pub fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("not PEM: {error}"))
}

/// Whether the first certificate of a text can be read and is valid at a time.
pub fn first_is_valid_at(text: &[u8], now: std::time::SystemTime) -> bool {
    use x509_parser::prelude::{FromDer as _, X509Certificate};

    let Some(Ok(der)) = CertificateDer::pem_slice_iter(text).next() else {
        return false;
    };
    X509Certificate::from_der(&der).is_ok_and(|(_, certificate)| {
        let (validity, now) = (certificate.validity(), crate::unix(now));
        validity.not_before.timestamp() <= now && now <= validity.not_after.timestamp()
    })
}

/// The first private key of a text: PKCS #8, PKCS #1 or SEC 1. (OpenSSL may write EC parameters before it.)
pub(crate) fn private_key(text: &str) -> Result<PrivateKeyDer<'static>, String> {
    // The error of the reader could quote a line of the key, so it is not repeated.
    PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| "no private key in PEM (PKCS #8, PKCS #1 or SEC 1, not encrypted)".to_owned())
}

/// The content of a text that is one block with one of these labels, and nothing else but white space around it.
///
/// # Errors
/// What is wrong, for people.
pub(crate) fn single(text: &str, labels: &[&str]) -> Result<Vec<u8>, &'static str> {
    let text = text.trim_ascii();
    let inner = text
        .strip_prefix("-----BEGIN ")
        .ok_or("it does not begin with a PEM block")?;
    let (label, inner) = inner.split_once("-----").ok_or("its PEM block is broken")?;
    if !labels.contains(&label) {
        return Err("its PEM block has another label");
    }
    let (body, end) = inner
        .split_once("-----END ")
        .ok_or("its PEM block has no end")?;
    if end.strip_prefix(label) != Some("-----") {
        return Err("something follows its PEM block");
    }
    if !body.starts_with(['\n', '\r']) || !body.ends_with('\n') {
        return Err("its PEM block is broken");
    }
    let packed: Vec<u8> = body
        .bytes()
        .filter(|b| !matches!(b, b'\n' | b'\r' | b' ' | b'\t'))
        .collect();
    STANDARD
        .decode(packed)
        .map_err(|_| "its PEM block is not base64")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_read_as_it_was_written() {
        for len in [0, 1, 47, 48, 49, 96, 300] {
            let der: Vec<u8> = (0..len).map(|i| i as u8).collect();
            assert_eq!(single(&block("X", &der), &["X"]), Ok(der));
        }
    }

    #[test]
    fn only_one_block_is_taken() {
        let one = block("X", b"abc");
        let cases = [
            (format!("{one}{one}"), "something follows its PEM block"),
            (format!("{one}tail"), "something follows its PEM block"),
            (format!("head\n{one}"), "it does not begin with a PEM block"),
            (block("Y", b"abc"), "its PEM block has another label"),
            (
                one.replace("-----END X-----", ""),
                "its PEM block has no end",
            ),
            (one.replace('Y', "!"), "its PEM block is not base64"),
            (String::new(), "it does not begin with a PEM block"),
        ];
        for (text, why) in cases {
            assert_eq!(single(&text, &["X"]), Err(why), "{text}");
        }
    }
}
