//! Types that several kinds share.

use crate::proto_json::messages;

messages! {
    /// How a string is compared. With no member set, anything matches (Istio: presence).
    struct StringMatch oneof [exact, prefix, regex] {
        exact: Option<String>,
        prefix: Option<String>,
        regex: Option<String>,
    }

    /// A port by its number.
    struct PortSelector {
        number: u32,
    }

    /// A share from 0 to 100.
    struct Percent {
        value: f64,
    }
}

/// A free-form object, as `google.protobuf.Struct`.
pub type Struct = serde_json::Map<String, serde_json::Value>;
