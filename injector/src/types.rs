//! What Go knows about the objects that templates see and that pods are made of: names, kinds, order, patch strategies. It is data
//! (`types/*.types`), read once, and it drives zero values, typed reading and writing, strategic merging and the templates' fields.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Pods and the resources that hold pod templates (Kubernetes 1.36, OpenShift's DeploymentConfig).
pub(crate) static KUBERNETES: LazyLock<Types> =
    LazyLock::new(|| Types::read(include_str!("types/kubernetes.types")));

/// MeshConfig and ProxyConfig (Istio 1.31).
pub(crate) static MESH: LazyLock<Types> =
    LazyLock::new(|| Types::read(include_str!("types/mesh.types")));

/// The index of a type in its table.
pub(crate) type Id = usize;

/// What a value may be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    String,
    Bool,
    /// An integer of any width.
    Int,
    /// An integer that proto JSON writes as a string.
    Int64,
    Float,
    /// A Kubernetes quantity, written in its canonical form.
    Quantity,
    IntOrString,
    Time,
    /// Base64.
    Bytes,
    /// Anything, kept as it is.
    Raw,
    Duration,
    Enum(usize),
    /// A wrapper message: nil or a value.
    Wrapped(Box<Kind>),
    Pointer(Box<Kind>),
    List(Box<Kind>),
    Map(Box<Kind>),
    Struct(Id),
}

/// A field of a type.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// The name that templates use.
    pub(crate) go: String,
    /// The name in JSON.
    pub(crate) json: String,
    pub(crate) kind: Kind,
    /// Go leaves the field out of JSON if it is empty (structs are never empty).
    pub(crate) omit_empty: bool,
    /// Go leaves the field out of JSON if it is zero.
    pub(crate) omit_zero: bool,
    /// Lists: the patch strategy is merge.
    pub(crate) merge: bool,
    /// The patch strategy is replace.
    pub(crate) replace: bool,
    /// Lists: the field that tells elements apart.
    pub(crate) key: Option<String>,
    /// Protos: the oneof that the field belongs to.
    pub(crate) oneof: Option<String>,
}

/// A type: its fields in the order of declaration, those of embedded types in their place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Type {
    pub(crate) name: String,
    pub(crate) fields: Vec<Field>,
    /// Embedded types, which templates may name, too.
    pub(crate) embedded: Vec<Id>,
}

impl Type {
    /// The field of a JSON name.
    pub(crate) fn json(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.json == name)
    }

    /// The field of a Go name.
    #[cfg(test)]
    pub(crate) fn go(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.go == name)
    }
}

/// An enum: values by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Enum {
    pub(crate) name: String,
    pub(crate) values: Vec<(String, i64)>,
}

impl Enum {
    /// The name of a number.
    pub(crate) fn name_of(&self, number: i64) -> Option<&str> {
        self.values
            .iter()
            .find(|(_, n)| *n == number)
            .map(|(name, _)| name.as_str())
    }

    /// The number of a name.
    pub(crate) fn number_of(&self, name: &str) -> Option<i64> {
        self.values.iter().find(|(n, _)| n == name).map(|(_, n)| *n)
    }
}

/// A table of types.
#[derive(Debug, Default)]
pub(crate) struct Types {
    pub(crate) types: Vec<Type>,
    pub(crate) enums: Vec<Enum>,
    by_name: BTreeMap<String, Id>,
}

impl Types {
    /// A type by its index.
    pub(crate) fn get(&self, id: Id) -> &Type {
        &self.types[id]
    }

    /// The kind of a type by its name; the names are those of the table, which is part of the program.
    pub(crate) fn named(&self, name: &str) -> Kind {
        Kind::Struct(*self.by_name.get(name).expect("the table names the type"))
    }

    fn read(text: &str) -> Types {
        let mut table = Types::default();
        let mut enums = BTreeMap::new();
        for line in lines(text).filter(|line| !line.starts_with(' ')) {
            if let Some(name) = line.strip_prefix("enum ") {
                enums.insert(name.to_owned(), table.enums.len());
                table.enums.push(Enum {
                    name: name.to_owned(),
                    values: Vec::new(),
                });
            } else {
                table.by_name.insert(line.to_owned(), table.types.len());
                table.types.push(Type {
                    name: line.to_owned(),
                    ..Type::default()
                });
            }
        }
        let mut at = Place::Nowhere;
        let mut embeds: Vec<(Id, usize, Id)> = Vec::new();
        for line in lines(text) {
            let Some(entry) = line.strip_prefix(' ') else {
                at = match line.strip_prefix("enum ") {
                    Some(name) => Place::Enum(enums[name]),
                    None => Place::Type(table.by_name[line]),
                };
                continue;
            };
            match at {
                Place::Nowhere => {}
                Place::Enum(id) => {
                    if let Some((name, number)) = entry.split_once(' ') {
                        let number = number.parse().expect("the table's numbers are numbers");
                        table.enums[id].values.push((name.to_owned(), number));
                    }
                }
                Place::Type(id) => match entry.strip_prefix("+ ") {
                    Some(name) => {
                        let before = table.types[id].fields.len();
                        embeds.push((id, before, table.by_name[name]));
                        table.types[id].embedded.push(table.by_name[name]);
                    }
                    None => {
                        let field = field(entry, &table.by_name, &enums);
                        table.types[id].fields.push(field);
                    }
                },
            }
        }
        // Embedded types have no embedded types of their own but come before or after: the later places first, so that they stay valid.
        for (id, before, embedded) in embeds.into_iter().rev() {
            let fields = table.types[embedded].fields.clone();
            table.types[id].fields.splice(before..before, fields);
        }
        table
    }
}

enum Place {
    Nowhere,
    Type(Id),
    Enum(usize),
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
}

fn field(entry: &str, types: &BTreeMap<String, Id>, enums: &BTreeMap<String, usize>) -> Field {
    let mut words = entry.split(' ');
    let name = words.next().expect("a field has a name");
    let word = words.next().expect("a field has a kind");
    let (json, go) = match name.split_once('=') {
        Some((json, go)) => (json.to_owned(), go.to_owned()),
        None => (name.to_owned(), capital(name)),
    };
    let mut field = Field {
        go,
        json,
        kind: kind(word, types, enums),
        omit_empty: false,
        omit_zero: false,
        merge: false,
        replace: false,
        key: None,
        oneof: None,
    };
    for flag in words {
        match flag {
            "?" => field.omit_empty = true,
            "0" => field.omit_zero = true,
            "merge" => field.merge = true,
            "replace" => field.replace = true,
            _ => {
                if let Some(key) = flag.strip_prefix("key=") {
                    field.key = Some(key.to_owned());
                } else if let Some(oneof) = flag.strip_prefix("oneof=") {
                    field.oneof = Some(oneof.to_owned());
                }
            }
        }
    }
    field
}

fn kind(word: &str, types: &BTreeMap<String, Id>, enums: &BTreeMap<String, usize>) -> Kind {
    let boxed = |rest: &str| Box::new(kind(rest, types, enums));
    if let Some(rest) = word.strip_prefix('*') {
        return Kind::Pointer(boxed(rest));
    }
    if let Some(rest) = word.strip_prefix("[]") {
        return Kind::List(boxed(rest));
    }
    if let Some(rest) = word.strip_prefix("map:") {
        return Kind::Map(boxed(rest));
    }
    if let Some(rest) = word.strip_prefix("wrapped:") {
        return Kind::Wrapped(boxed(rest));
    }
    if let Some(name) = word.strip_prefix("enum:") {
        return Kind::Enum(enums[name]);
    }
    match word {
        "string" => Kind::String,
        "bool" => Kind::Bool,
        "int" => Kind::Int,
        "int64" => Kind::Int64,
        "float" => Kind::Float,
        "quantity" => Kind::Quantity,
        "intOrString" => Kind::IntOrString,
        "time" | "timestamp" => Kind::Time,
        "bytes" => Kind::Bytes,
        "raw" => Kind::Raw,
        "duration" => Kind::Duration,
        name => Kind::Struct(types[name]),
    }
}

fn capital(name: &str) -> String {
    let mut chars = name.chars();
    chars
        .next()
        .map(|first| first.to_ascii_uppercase().to_string() + chars.as_str())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_with_embedded_types_in_place() {
        let Kind::Struct(volume) = KUBERNETES.named("Volume") else {
            panic!("a struct")
        };
        let volume = KUBERNETES.get(volume);
        assert_eq!(volume.fields[0].json, "name");
        assert_eq!(
            volume.go("EmptyDir").map(|f| f.json.as_str()),
            Some("emptyDir")
        );
        let Kind::Struct(spec) = KUBERNETES.named("PodSpec") else {
            panic!("a struct")
        };
        let containers = KUBERNETES.get(spec).json("containers").unwrap();
        assert!(containers.merge && !containers.omit_empty);
        assert_eq!(containers.key.as_deref(), Some("name"));
    }

    #[test]
    fn enums_have_names_and_numbers() {
        let Kind::Struct(proxy) = MESH.named("ProxyConfig") else {
            panic!("a struct")
        };
        let Kind::Enum(mode) = MESH.get(proxy).go("InterceptionMode").unwrap().kind else {
            panic!("an enum")
        };
        assert_eq!(MESH.enums[mode].name_of(1), Some("TPROXY"));
        assert_eq!(MESH.enums[mode].number_of("NONE"), Some(2));
    }
}
