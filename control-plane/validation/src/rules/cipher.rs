//! Cipher suites and curves.

use std::collections::BTreeSet;

/// The cipher suites that Envoy knows; it would refuse the listener for another. Istio 1.31: `FilterCipherSuites`.
pub const SUITES: [&str; 15] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
];

const CURVES: [&str; 7] = [
    "P-224",
    "P-256",
    "P-521",
    "P-384",
    "X25519",
    "X25519Kyber768Draft00",
    "X25519MLKEM768",
];

/// Whether a suite is one that Envoy takes; what begins with an operator is not looked at.
/// Istio 1.31: `IsValidCipherSuite`.
pub fn is_suite(text: &str) -> bool {
    // Istio looks at the first byte as a letter of Latin 1.
    let operator = text
        .bytes()
        .next()
        .is_some_and(|b| !char::from(b).is_alphanumeric());
    text.is_empty() || text == "ALL" || operator || SUITES.contains(&text)
}

/// Whether a curve is known. Istio 1.31: `IsValidECDHCurve`.
pub fn is_curve(text: &str) -> bool {
    text.is_empty() || CURVES.contains(&text)
}

/// What of a list is unknown, and what of the known is there more than once; each sorted.
pub fn sort_out(list: &[String], known: impl Fn(&str) -> bool) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let (mut unknown, mut seen, mut twice) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for entry in list {
        if !known(entry) {
            unknown.insert(entry.as_str());
        } else if !seen.insert(entry.as_str()) {
            twice.insert(entry.as_str());
        }
    }
    (unknown, twice)
}

/// A list as Go prints it.
pub(crate) fn printed(list: &BTreeSet<&str>) -> String {
    let list: Vec<&str> = list.iter().copied().collect();
    format!("[{}]", list.join(" "))
}
