//! Certificate requests: as text, and as bytes inside a PEM block, so that the parser behind it is reached.

#![no_main]

use libfuzzer_sys::fuzz_target;
use meltemi_ca::{csr, pem};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = csr::read(text);
    }
    let block = pem::certificate(bytes).replace("CERTIFICATE", "CERTIFICATE REQUEST");
    if let Ok(request) = csr::read(&block) {
        assert!(!request.public_key.is_empty());
    }
});
