//! `messages!` and `enums!`: how this crate spells proto messages and enums, so that every one is read and written by
//! the same rules and a file of types holds nothing but its fields.

/// Whether a field has its proto3 default and is therefore not written.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The JSON name of a proto field name (protobuf: `JsonName`: drop each underscore, raise the letter after it).
pub(crate) fn camel_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut raise = false;
    for c in name.chars() {
        if c == '_' {
            raise = true;
        } else {
            out.push(if raise { c.to_ascii_uppercase() } else { c });
            raise = false;
        }
    }
    out
}

/// The JSON name of a Rust field: `r#match` is `match`.
pub(crate) fn json_name(field: &str) -> String {
    match field {
        // The one field whose proto name has capitals: `mesh_mTLS`.
        "mesh_mtls" => "meshMTLS".to_owned(),
        field => camel_case(field.strip_prefix("r#").unwrap_or(field)),
    }
}

/// Reports a oneof of which more than one member is set.
pub(crate) fn one_of<E: serde::de::Error>(members: &[(&str, bool)]) -> Result<(), E> {
    let set: Vec<String> = members
        .iter()
        .filter(|(_, set)| *set)
        .map(|(name, _)| camel_case(name))
        .collect();
    if set.len() < 2 {
        return Ok(());
    }
    Err(E::custom(format!(
        "{} exclude each other; keep only one of them",
        set.join(" and ")
    )))
}

/// The error for an enum name that is not defined.
pub(crate) fn unknown_name<E: serde::de::Error>(given: &str, names: &[&str]) -> E {
    E::custom(format!(
        "{given:?} is not a known value; write one of {}",
        names.join(", ")
    ))
}

/// The error for an enum number that is not defined.
pub(crate) fn unknown_number<E: serde::de::Error>(given: i64, names: &[&str]) -> E {
    E::custom(format!(
        "{given} is not the number of a known value; write one of {}",
        names.join(", ")
    ))
}

/// Defines proto messages as structs with public fields. `oneof [a, b]` after the name lists optional fields of which at
/// most one may be set. A field that is absent or `null` has its default; defaults are not written.
macro_rules! messages {
    ($(
        $(#[$meta:meta])*
        struct $name:ident $(oneof $([$($member:ident),+])+)? {
            $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
        }
    )*) => {$(
        $crate::proto_json::messages! {
            @one [$(#[$meta])*] $name [$($([$($member),+])+)?] { $($(#[$field_meta])* $field: $type,)* }
        }
    )*};
    (@one [$(#[$meta:meta])*] $name:ident [] { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {
            $(
                $(#[$field_meta])*
                #[allow(missing_docs, reason = "fields bear the names of Istio's reference, which describes them")]
                #[serde(skip_serializing_if = "crate::proto_json::is_default")]
                pub $field: $type,
            )*
        }

        impl $crate::shape::Shaped for $name {
            fn shape() -> $crate::shape::Shape {
                $crate::shape::Shape::Message(|| $crate::shape::Message {
                    name: stringify!($name),
                    fields: vec![$((
                        $crate::proto_json::json_name(stringify!($field)),
                        <$type as $crate::shape::Shaped>::shape(),
                    ),)*],
                    oneofs: Vec::new(),
                })
            }
        }
    };
    (@one [$(#[$meta:meta])*] $name:ident [$([$($member:ident),+])+] {
        $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $(
                $(#[$field_meta])*
                #[allow(missing_docs, reason = "fields bear the names of Istio's reference, which describes them")]
                #[serde(skip_serializing_if = "crate::proto_json::is_default")]
                pub $field: $type,
            )*
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(Default, serde::Deserialize)]
                #[serde(rename_all = "camelCase", default)]
                struct Fields {
                    $($(#[$field_meta])* $field: $type,)*
                }
                let fields = Fields::deserialize(deserializer)?;
                $($crate::proto_json::one_of::<D::Error>(
                    &[$((stringify!($member), fields.$member.is_some())),+],
                )?;)+
                Ok(Self { $($field: fields.$field,)* })
            }
        }

        impl $crate::shape::Shaped for $name {
            fn shape() -> $crate::shape::Shape {
                $crate::shape::Shape::Message(|| $crate::shape::Message {
                    name: stringify!($name),
                    fields: vec![$((
                        $crate::proto_json::json_name(stringify!($field)),
                        <$type as $crate::shape::Shaped>::shape(),
                    ),)*],
                    oneofs: vec![$(vec![$($crate::proto_json::json_name(stringify!($member))),+]),+],
                })
            }
        }
    };
}

/// Defines proto enums; the first value is the default. They are written by name and read by name or number.
macro_rules! enums {
    ($(
        $(#[$meta:meta])*
        enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $number:literal $text:literal,)+ }
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "values bear the names of Istio's reference, which describes them")]
        pub enum $name { $($(#[$variant_meta])* $variant,)+ }

        impl $name {
            /// Every value, in the order of the proto.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            const NAMES: &'static [&'static str] = &[$($text),+];

            /// The name as users write it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The number of the value in the proto.
            pub fn number(self) -> i32 {
                match self { $(Self::$variant => $number,)+ }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::ALL[0]
            }
        }

        impl $crate::shape::Shaped for $name {
            fn shape() -> $crate::shape::Shape {
                $crate::shape::Shape::Enum(Self::NAMES)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Named;
                impl serde::de::Visitor<'_> for Named {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(f, "one of {}", $name::NAMES.join(", "))
                    }

                    fn visit_unit<E: serde::de::Error>(self) -> Result<$name, E> {
                        Ok($name::default())
                    }

                    fn visit_i64<E: serde::de::Error>(self, given: i64) -> Result<$name, E> {
                        match given {
                            $($number => Ok($name::$variant),)+
                            _ => Err($crate::proto_json::unknown_number(given, $name::NAMES)),
                        }
                    }

                    fn visit_u64<E: serde::de::Error>(self, given: u64) -> Result<$name, E> {
                        self.visit_i64(i64::try_from(given).unwrap_or(i64::MAX))
                    }

                    fn visit_str<E: serde::de::Error>(self, given: &str) -> Result<$name, E> {
                        match given {
                            $($text => Ok($name::$variant),)+
                            _ => Err($crate::proto_json::unknown_name(given, $name::NAMES)),
                        }
                    }
                }
                deserializer.deserialize_any(Named)
            }
        }
    )*};
}

pub(crate) use {enums, messages};
