//! The whole way from YAML to xDS in one call, without a server: what `meltemi compile` prints and tests compare.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use meltemi_builders::Input as _;
use meltemi_builders::secret::SecretInput;
use meltemi_compile::secrets::{self, Reader, Refusal};
use meltemi_compile::{Compiler, classify};
use meltemi_model::mesh::Mesh;
use meltemi_model::proxy::{Proxy, ProxyClass};
use meltemi_model::{
    Diagnostics, Locality, Object, ObjectKey, ProxySnapshot, Resource, ResourceSet, ResourceType,
    Shared,
};
use meltemi_sources::files;
use meltemi_sources::lower::{LowerSettings, lower_proxy_config, with_features};
use meltemi_world::{Change, Store, World};
use serde_json::Value;

/// A proxy to compile for.
#[derive(Debug, Clone)]
pub struct Node {
    /// The node id, `sidecar~IP~NAME.NS~DOMAIN`.
    pub id: String,
    /// `Node.cluster`.
    pub cluster: String,
    /// `Node.locality`, as `region/zone/subzone`.
    pub locality: String,
    /// `Node.metadata`.
    pub metadata: Value,
}

/// What a proxy would be served.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The resources.
    pub snapshot: Arc<ProxySnapshot>,
    /// Findings about the objects.
    pub diagnostics: Diagnostics,
}

/// Objects that were read, with what was found on the way. Reading them once serves many proxies.
#[derive(Debug)]
pub struct Input {
    /// The world.
    pub world: World,
    /// Findings about documents and single objects.
    pub diagnostics: Diagnostics,
    compiler: Compiler,
}

/// Reads files and directories; where two hold the same object, the later path wins.
pub fn read(paths: &[PathBuf], settings: &LowerSettings) -> anyhow::Result<Input> {
    let mut objects: BTreeMap<ObjectKey, Object> = BTreeMap::new();
    let mut diagnostics = Diagnostics::new();
    for path in paths {
        anyhow::ensure!(
            path.exists(),
            "{}: no such file or directory",
            path.display()
        );
        let loaded = files::load(path, settings);
        objects.extend(loaded.objects);
        diagnostics.extend(loaded.diagnostics);
    }
    Ok(of_objects(objects.into_values(), diagnostics, settings))
}

/// The world of objects that are lowered already, with what was found on the way; of two with one key the later counts.
pub fn of_objects(
    objects: impl IntoIterator<Item = Object>,
    diagnostics: Diagnostics,
    settings: &LowerSettings,
) -> Input {
    let mut store = Store::default();
    store.apply(objects.into_iter().map(Change::Apply));
    let mesh = Shared::new(default_mesh(settings));
    let world = World::empty(mesh.clone()).next(&store, &mesh);
    Input {
        world,
        diagnostics,
        compiler: Compiler::default(),
    }
}

/// The mesh configuration where none was given.
pub fn default_mesh(settings: &LowerSettings) -> Mesh {
    Mesh {
        domain: settings.domain.clone(),
        cluster_id: settings.cluster_id.clone(),
        system_namespace: settings.system_namespace.clone(),
        ..with_features(Mesh::default(), &settings.features)
    }
}

/// Compiles for a proxy that lists no extensions.
pub fn compile(input: &Input, node: &Node) -> anyhow::Result<Answer> {
    let locality = Locality::parse(&node.locality);
    let proxy = Proxy::parse(&node.id, &node.cluster, locality, &node.metadata, [])?;
    Ok(compile_for(input, &proxy))
}

/// The secrets of these names for a proxy, which is taken for what it says it is, and the reason for each that it does
/// not get.
pub fn secrets(
    input: &Input,
    proxy: &Proxy,
    names: &[String],
) -> (Arc<ResourceSet>, Vec<(String, Refusal)>) {
    let reader = Reader {
        namespace: proxy.namespace.clone(),
        lists_secrets: true,
    };
    let labels = || classify(&input.world, proxy, None).labels;
    let (mut found, mut refused) = (Vec::new(), Vec::new());
    for name in names {
        match secrets::secret(&input.world, &reader, &name.as_str().into(), labels) {
            Ok(input) => {
                let made = input.build();
                let (ty, from) = (SecretInput::TYPE, made.from.into());
                found.push(Arc::new(Resource::new(ty, made.name, made.body, from)));
            }
            Err(refusal) => refused.push((name.clone(), refusal)),
        }
    }
    let set = ResourceSet::new(ResourceType::Secret, found);
    (Arc::new(set), refused)
}

/// Compiles for a proxy as it described itself.
pub fn compile_for(input: &Input, proxy: &Proxy) -> Answer {
    compile_class(input, &class_of(input, proxy))
}

/// The class of a proxy.
pub fn class_of(input: &Input, proxy: &Proxy) -> ProxyClass {
    let config = proxy.meta.proxy_config.as_ref().map(lower_proxy_config);
    classify(&input.world, proxy, config.as_ref())
}

/// Compiles for a class.
pub fn compile_class(input: &Input, class: &ProxyClass) -> Answer {
    let compiled = input.compiler.compile(&input.world, class, None);
    let mut diagnostics = input.diagnostics.clone();
    diagnostics.extend(compiled.diagnostics);
    Answer {
        snapshot: compiled.snapshot,
        diagnostics,
    }
}
