//! The webhooks that the API server calls, at 15017.

pub mod validate;
