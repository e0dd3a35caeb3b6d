//! Changes of where a service is served, and of nothing else.

use proptest::prelude::*;
use serde_json::{Value, json};

/// What happens to an endpoint.
#[derive(Debug, Clone, Copy)]
pub enum EndpointChange {
    /// Its readiness turns.
    Turns,
    /// It moves to another address.
    Moves(u8),
    /// It goes.
    Goes,
    /// Another one like it comes.
    Joins(u8),
}

/// Any of them.
pub fn endpoint_change() -> impl Strategy<Value = EndpointChange> {
    prop_oneof![
        Just(EndpointChange::Turns),
        (20..30_u8).prop_map(EndpointChange::Moves),
        Just(EndpointChange::Goes),
        (30..40_u8).prop_map(EndpointChange::Joins),
    ]
}

impl EndpointChange {
    /// The objects that take the place of a Pod or EndpointSlice; `None` for objects of other kinds.
    pub fn apply(self, object: &Value) -> Option<Vec<Value>> {
        match object["kind"].as_str() {
            Some("Pod") => Some(self.of_pod(object)),
            Some("EndpointSlice") => Some(vec![self.of_slice(object)]),
            _ => None,
        }
    }

    fn of_pod(self, pod: &Value) -> Vec<Value> {
        let mut changed = pod.clone();
        let address = |last: u8| json!(format!("10.1.7.{last}"));
        match self {
            Self::Turns => {
                let ready = &mut changed["status"]["conditions"][0]["status"];
                *ready = if *ready == "True" {
                    json!("False")
                } else {
                    json!("True")
                };
            }
            Self::Moves(last) => changed["status"]["podIP"] = address(last),
            Self::Goes => return Vec::new(),
            Self::Joins(last) => {
                changed["metadata"]["name"] = json!(format!("joined-{last}"));
                changed["status"]["podIP"] = address(last);
                return vec![pod.clone(), changed];
            }
        }
        vec![changed]
    }

    fn of_slice(self, slice: &Value) -> Value {
        let mut changed = slice.clone();
        let Some(endpoints) = changed["endpoints"].as_array_mut() else {
            return changed;
        };
        let address = |last: u8| json!([format!("10.1.7.{last}")]);
        match self {
            Self::Turns => {
                if let Some(endpoint) = endpoints.first_mut() {
                    let ready = endpoint["conditions"]["ready"] == true;
                    endpoint["conditions"]["ready"] = json!(!ready);
                }
            }
            Self::Moves(last) => {
                if let Some(endpoint) = endpoints.first_mut() {
                    endpoint["addresses"] = address(last);
                }
            }
            Self::Goes => {
                endpoints.pop();
            }
            Self::Joins(last) => {
                endpoints.push(json!({"addresses": address(last), "conditions": {"ready": true}}))
            }
        }
        changed
    }
}
