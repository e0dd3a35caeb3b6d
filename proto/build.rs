//! Compiles our own protos and prepares, from Envoy's descriptors, the pool's input and the tables of the canonical encoder.
//!
//! Envoy's descriptors are `src/generated/types.bin` inside the package envoy-types, which its library does not export. Where that
//! package lies is Cargo's business (registry, vendored folder, patch), so Cargo is asked: `cargo metadata`, offline, for this
//! target only. Cargo can refuse, because metadata wants the development dependencies of every member while a build of one member
//! fetched less; then the sources of the registry are searched for the version that Cargo.lock names.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The services: their messages stay out of the pool, which holds Envoy's own ones under the same names as those of ADS.
const SERVICES: [&str; 2] = ["ads.proto", "ca.proto"];
/// What Istio's proxies and agents have and envoy-types lacks.
const EXTENSIONS: [&str; 6] = [
    "istio/alpn.proto",
    "istio/metadata_exchange.proto",
    "istio/nds.proto",
    "istio/peer_metadata.proto",
    "istio/stats.proto",
    "udpa/type/v1/typed_struct.proto",
];
/// Where the descriptors lie in the package envoy-types.
const TYPES: &str = "src/generated/types.bin";

fn main() -> Outcome<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for path in SERVICES.iter().chain(&EXTENSIONS) {
        println!("cargo::rerun-if-changed=proto/{path}");
    }
    println!("cargo::rerun-if-changed=build.rs");

    let own = protox::compile(SERVICES.iter().chain(&EXTENSIONS), [root.join("proto")])?;
    generate_code(own.clone())?;

    let types = envoy_types_dir(&root)?.join(TYPES);
    println!("cargo::rerun-if-changed={}", types.display());
    let bytes = fs::read(&types).map_err(|e| format!("{}: {e}", types.display()))?;
    let mut all = FileDescriptorSet::decode(bytes.as_slice())?;
    let known: BTreeSet<String> = all.file.iter().map(|f| f.name().to_owned()).collect();
    all.file.extend(
        own.file
            .into_iter()
            .filter(|f| !SERVICES.contains(&f.name()) && !known.contains(f.name())),
    );
    for file in &mut all.file {
        file.source_code_info = None; // comments: four fifths of the size
    }
    fs::write(out.join("descriptors.bin"), all.encode_to_vec())?;
    fs::write(out.join("tables.rs"), tables(&all)?)?;
    Ok(())
}

/// Well-known types come from envoy-types, so that there is one `Struct` and one `Duration` in the workspace.
fn generate_code(own: FileDescriptorSet) -> Outcome<()> {
    let mut config = tonic_prost_build::Config::new();
    config
        .enable_type_names()
        .type_name_domain(["."], "type.googleapis.com");
    tonic_prost_build::configure()
        .bytes(".")
        .btree_map(".")
        .compile_well_known_types(true)
        .extern_path(".google.protobuf", "::envoy_types::pb::google::protobuf")
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(own, config)?;
    Ok(())
}

fn envoy_types_dir(root: &Path) -> Outcome<PathBuf> {
    match dir_from_metadata(root) {
        Ok(dir) => Ok(dir),
        Err(first) => dir_from_registry(root).map_err(|second| {
            format!("the package envoy-types was not found: {first}; {second}").into()
        }),
    }
}

fn dir_from_metadata(root: &Path) -> Outcome<PathBuf> {
    let output = Command::new(env::var("CARGO")?)
        .args([
            "metadata",
            "--offline",
            "--locked",
            "--format-version",
            "1",
            "--filter-platform",
        ])
        .arg(env::var("TARGET")?)
        .arg("--manifest-path")
        .arg(root.join("Cargo.toml"))
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"]
        .as_array()
        .ok_or("cargo metadata lists no packages")?;
    let package = packages
        .iter()
        .find(|p| p["name"] == "envoy-types")
        .ok_or("cargo metadata lists no envoy-types")?;
    let manifest = package["manifest_path"]
        .as_str()
        .ok_or("envoy-types has no manifest path")?;
    Ok(Path::new(manifest)
        .parent()
        .ok_or("a manifest lies in a folder")?
        .to_owned())
}

fn dir_from_registry(root: &Path) -> Outcome<PathBuf> {
    let lock = root
        .ancestors()
        .map(|dir| dir.join("Cargo.lock"))
        .find(|path| path.is_file())
        .ok_or("there is no Cargo.lock")?;
    println!("cargo::rerun-if-changed={}", lock.display());
    let lock = fs::read_to_string(lock)?;
    let mut lines = lock
        .lines()
        .skip_while(|line| *line != "name = \"envoy-types\"");
    let version = lines
        .nth(1)
        .and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
        .ok_or("Cargo.lock does not name envoy-types")?;
    let home = match env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => PathBuf::from(env::var("HOME")?).join(".cargo"),
    };
    for registry in fs::read_dir(home.join("registry/src"))? {
        let dir = registry?.path().join(format!("envoy-types-{version}"));
        if dir.join(TYPES).is_file() {
            return Ok(dir);
        }
    }
    Err(format!("no registry holds the sources of envoy-types {version}").into())
}

/// The tables of the canonical encoder, as Rust statics sorted by type name.
fn tables(all: &FileDescriptorSet) -> Outcome<String> {
    let mut messages = BTreeMap::new();
    for file in &all.file {
        for message in &file.message_type {
            collect(file.package(), message, &mut messages);
        }
    }
    let ids: BTreeMap<&str, usize> = messages
        .keys()
        .enumerate()
        .map(|(id, name)| (name.as_str(), id))
        .collect();
    let walked = walked(&messages);
    let mut text = format!("pub(super) static TYPES: [Type; {}] = [\n", messages.len());
    for (name, message) in &messages {
        let mut fields: Vec<_> = message.field.iter().collect();
        fields.sort_by_key(|field| field.number());
        write!(
            text,
            "Type {{ name: {name:?}, walk: {}, any: {}, fields: &[",
            walked.contains(name),
            name == ANY
        )?;
        for field in fields {
            write!(
                text,
                "Field {{ number: {}, shape: {} }}, ",
                field.number(),
                shape(field, &messages, &ids)?
            )?;
        }
        text.push_str("] },\n");
    }
    text.push_str("];\n");
    Ok(text)
}

const ANY: &str = "google.protobuf.Any";

fn collect<'a>(
    scope: &str,
    message: &'a DescriptorProto,
    into: &mut BTreeMap<String, &'a DescriptorProto>,
) {
    let name = if scope.is_empty() {
        message.name().to_owned()
    } else {
        format!("{scope}.{}", message.name())
    };
    for nested in &message.nested_type {
        collect(&name, nested, into);
    }
    into.insert(name, message);
}

fn is_map(message: &DescriptorProto) -> bool {
    message
        .options
        .as_ref()
        .is_some_and(|options| options.map_entry())
}

/// The name of the message that a field holds.
fn child(field: &FieldDescriptorProto) -> Option<&str> {
    (field.r#type() == Type::Message).then(|| field.type_name().trim_start_matches('.'))
}

fn shape(
    field: &FieldDescriptorProto,
    messages: &BTreeMap<String, &DescriptorProto>,
    ids: &BTreeMap<&str, usize>,
) -> Outcome<String> {
    let Some(name) = child(field) else {
        return Ok("Shape::Scalar".to_owned());
    };
    let (id, message) = ids
        .get(name)
        .zip(messages.get(name))
        .ok_or_else(|| format!("{name} is not declared"))?;
    if field.label() != Label::Repeated || !is_map(message) {
        return Ok(format!("Shape::Message({id})"));
    }
    let key = message
        .field
        .iter()
        .find(|f| f.number() == 1)
        .ok_or("a map entry has a key")?;
    let key = match key.r#type() {
        Type::String => "Text",
        Type::Int32 | Type::Int64 => "Signed",
        Type::Uint32 | Type::Uint64 | Type::Bool => "Unsigned",
        other => return Err(format!("{name}: keys of type {other:?} have no order yet").into()),
    };
    Ok(format!("Shape::Map({id}, Key::{key})"))
}

/// The types that prost may write in more than one way, or not in the order of the numbers: those with a map, an Any, or a oneof
/// whose numbers stand apart (prost writes a oneof where its lowest number belongs), and all types that hold such a type.
fn walked(messages: &BTreeMap<String, &DescriptorProto>) -> BTreeSet<String> {
    let mut walked: BTreeSet<String> = messages
        .iter()
        .filter(|(name, message)| {
            *name == ANY || has_map(message, messages) || has_split_oneof(message)
        })
        .map(|(name, _)| name.clone())
        .collect();
    loop {
        let more: Vec<String> = messages
            .iter()
            .filter(|(name, message)| {
                !walked.contains(*name)
                    && message
                        .field
                        .iter()
                        .filter_map(child)
                        .any(|c| walked.contains(c))
            })
            .map(|(name, _)| name.clone())
            .collect();
        if more.is_empty() {
            return walked;
        }
        walked.extend(more);
    }
}

fn has_map(message: &DescriptorProto, messages: &BTreeMap<String, &DescriptorProto>) -> bool {
    message
        .field
        .iter()
        .filter_map(child)
        .any(|name| messages.get(name).is_some_and(|m| is_map(m)))
}

fn has_split_oneof(message: &DescriptorProto) -> bool {
    (0..message.oneof_decl.len()).any(|index| {
        let inside = |f: &FieldDescriptorProto| f.oneof_index == i32::try_from(index).ok();
        let numbers = || {
            message
                .field
                .iter()
                .filter(|f| inside(f))
                .map(FieldDescriptorProto::number)
        };
        let (Some(low), Some(high)) = (numbers().min(), numbers().max()) else {
            return false;
        };
        message
            .field
            .iter()
            .any(|f| !inside(f) && (low..high).contains(&f.number()))
    })
}
