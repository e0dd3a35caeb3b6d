//! Semantic comparison of two resources, as the corpus's README defines it, and where they differ.

use serde_json::Value;

use super::align::align;
pub use super::order::{has_endpoints, normal_form};
use super::order::{key_of_unordered, name_of_ordered, same_scalar};

/// One place where two resources differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// `virtual_hosts[a.b:80]/routes[0]/route/timeout`.
    pub path: String,
    /// The path without what is particular to one resource: `virtual_hosts[]/routes[]/route/timeout`.
    pub class: String,
    /// Our value; `None` when we leave the field out.
    pub ours: Option<Value>,
    /// The recorded value; `None` when istiod leaves the field out.
    pub theirs: Option<Value>,
    /// The base world differs here in the same way, so the world at hand has nothing to do with it.
    pub inherited: bool,
}

/// Every place where `ours` differs from `theirs`; empty when they are equal.
pub fn compare(ours: &Value, theirs: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    let at = Place::default();
    walk(&normal_form(ours), &normal_form(theirs), &at, &mut found);
    found
}

#[derive(Debug, Clone, Default)]
struct Place {
    path: String,
    class: String,
    field: String,
    parent: String,
}

impl Place {
    fn field(&self, name: &str) -> Self {
        let join = |path: &str| {
            if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}/{name}")
            }
        };
        Self {
            path: join(&self.path),
            class: join(&self.class),
            field: name.to_owned(),
            parent: self.field.clone(),
        }
    }

    /// An element keeps its list's field name: lists of lists do not occur.
    fn element(&self, name: &str, class: &str) -> Self {
        Self {
            path: format!("{}[{name}]", self.path),
            class: format!("{}[{class}]", self.class),
            field: self.field.clone(),
            parent: self.parent.clone(),
        }
    }
}

fn report(
    place: &Place,
    ours: Option<&Value>,
    theirs: Option<&Value>,
    found: &mut Vec<Difference>,
) {
    found.push(Difference {
        path: place.path.clone(),
        class: place.class.clone(),
        ours: ours.cloned(),
        theirs: theirs.cloned(),
        inherited: false,
    });
}

fn walk(ours: &Value, theirs: &Value, place: &Place, found: &mut Vec<Difference>) {
    match (ours, theirs) {
        (Value::Object(our_fields), Value::Object(their_fields)) => {
            // Two messages of different types have no fields to compare.
            let our_type = our_fields.get("@type");
            let their_type = their_fields.get("@type");
            if our_type != their_type {
                report(&place.field("@type"), our_type, their_type, found);
                return;
            }
            let mut names: Vec<&String> = our_fields.keys().chain(their_fields.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let at = place.field(name);
                match (our_fields.get(name), their_fields.get(name)) {
                    (Some(our), Some(their)) => walk(our, their, &at, found),
                    (our, their) => report(&at, our, their, found),
                }
            }
        }
        (Value::Array(our_items), Value::Array(their_items)) => {
            walk_list(our_items, their_items, place, found)
        }
        _ if same_scalar(ours, theirs) => {}
        _ => report(place, Some(ours), Some(theirs), found),
    }
}

/// Elements whose name says what they are (filters, log sinks) keep it in the class of a difference.
fn is_kind_of_extension(field: &str) -> bool {
    matches!(
        field,
        "filters" | "http_filters" | "listener_filters" | "access_log" | "upgrade_configs"
    )
}

fn walk_list(ours: &[Value], theirs: &[Value], place: &Place, found: &mut Vec<Difference>) {
    let key = |item: &Value| key_of_unordered(&place.field, Some(&place.parent), item);
    let unordered = ours.iter().chain(theirs).all(|item| key(item).is_some());
    let identity = |item: &Value| match key(item) {
        Some(key) if unordered => key,
        _ => name_of_ordered(item).map_or_else(|| item.to_string(), str::to_owned),
    };
    let our_ids: Vec<_> = ours.iter().map(identity).collect();
    let their_ids: Vec<_> = theirs.iter().map(identity).collect();
    let extension = is_kind_of_extension(&place.field);
    // Elements with unlike names are different things where the name is the key; elsewhere a name is only a field.
    for pair in align(&our_ids, &their_ids, !unordered && !extension) {
        let our = pair.ours.map(|index| &ours[index]);
        let their = pair.theirs.map(|index| &theirs[index]);
        let index = pair.theirs.or(pair.ours).unwrap_or_default();
        let name = if unordered || extension {
            pair.theirs
                .map(|i| their_ids[i].clone())
                .or(pair.ours.map(|i| our_ids[i].clone()))
                .unwrap_or_default()
        } else {
            index.to_string()
        };
        let at = place.element(&name, if extension { &name } else { "" });
        match (our, their) {
            (Some(our), Some(their)) => walk(our, their, &at, found),
            (our, their) => report(&at, our, their, found),
        }
    }
}

#[cfg(test)]
mod tests;
