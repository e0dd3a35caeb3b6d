//! Real namespaces, Envoys and apps.
fn main() {}
