//! Meltemi as the benches see it: the functions of its crates, without a server.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use meltemi::offline::default_mesh;
use meltemi_builders::Input;
use meltemi_compile::memo::Memo;
use meltemi_compile::plan::clusters::clusters;
use meltemi_compile::plan::gateway::{MergedGateways, merge};
use meltemi_compile::plan::{listeners, routes};
use meltemi_compile::secrets::{Reader, secret};
use meltemi_compile::{Compiler, classify};
use meltemi_model::proxy::{Proxy, ProxyClass, ProxyKind};
use meltemi_model::{Labels, Locality, ProxySnapshot, Resource, ResourceType, Shared, Str};
use meltemi_sources::files;
use meltemi_sources::lower::{LowerSettings, lower_proxy_config};
use meltemi_tests::bench::cases::{ALL, INIT, NEXT, SECRETS};
use meltemi_tests::bench::{Generated, Subject};
use meltemi_tests::corpus::NodeSpec;
use meltemi_world::scope::{Scope, scope, scope_key};
use meltemi_world::{Change, Store, World};

/// The settings, and the world that was loaded last.
#[derive(Default)]
pub(crate) struct Meltemi {
    settings: LowerSettings,
    loaded: Option<Loaded>,
}

/// A world, and what one proxy has been given of it.
struct Loaded {
    store: Store,
    world: World,
    proxy: Proxy,
    class: ProxyClass,
    scope: Scope,
    memos: Memos,
    compiler: Compiler,
    previous: Option<Arc<ProxySnapshot>>,
    /// Changes that are still to come.
    announced: Vec<Change>,
}

/// One for each type, as in the class compiler, so that each type can be generated alone.
#[derive(Default)]
struct Memos {
    clusters: Memo<meltemi_builders::cluster::ClusterInput>,
    endpoints: Memo<meltemi_builders::endpoint::EndpointInput>,
    listeners: Memo<meltemi_builders::listener::ListenerInput>,
    routes: Memo<meltemi_builders::route::RouteInput>,
}

fn apply(store: &mut Store, files: &[PathBuf], settings: &LowerSettings) {
    for file in files {
        let objects = files::load(file, settings).objects;
        store.apply(objects.into_values().map(Change::Apply));
    }
}

fn view(world: &World, proxy: &Proxy) -> (ProxyClass, Scope) {
    let config = proxy.meta.proxy_config.as_ref().map(lower_proxy_config);
    let class = classify(world, proxy, config.as_ref());
    let router = class.kind == ProxyKind::Router;
    let scope = scope(
        world,
        &scope_key(world, router, &class.namespace, &class.labels),
    );
    (class, scope)
}

impl Subject for Meltemi {
    fn load(&mut self, files: &[PathBuf], node: &NodeSpec) -> Result<()> {
        let mesh = Shared::new(default_mesh(&self.settings));
        let mut store = Store::default();
        apply(&mut store, files, &self.settings);
        let world = World::empty(mesh.clone()).next(&store, &mesh);
        let locality = node.locality.joined().unwrap_or_default();
        let proxy = Proxy::parse(
            &node.id,
            &node.cluster,
            Locality::parse(&locality),
            &node.metadata,
            [],
        )?;
        let (class, scope) = view(&world, &proxy);
        let (memos, compiler) = (Memos::default(), Compiler::default());
        self.loaded = Some(Loaded {
            store,
            world,
            proxy,
            class,
            scope,
            memos,
            compiler,
            previous: None,
            announced: Vec::new(),
        });
        Ok(())
    }

    fn forget(&mut self) -> Result<()> {
        let loaded = self.loaded.as_mut().context("nothing is loaded")?;
        loaded.memos = Memos::default();
        loaded.compiler = Compiler::default();
        loaded.previous = None;
        renew(loaded);
        Ok(())
    }

    fn change(&mut self, files: &[PathBuf]) -> Result<()> {
        let loaded = self.loaded.as_mut().context("nothing is loaded")?;
        apply(&mut loaded.store, files, &self.settings);
        let mesh = loaded.world.mesh.clone();
        loaded.world = loaded.world.next(&loaded.store, &mesh);
        (loaded.class, loaded.scope) = view(&loaded.world, &loaded.proxy);
        Ok(())
    }

    fn announce(&mut self, files: &[PathBuf]) -> Result<()> {
        let loaded = self.loaded.as_mut().context("nothing is loaded")?;
        for file in files {
            let objects = files::load(file, &self.settings).objects;
            let changes = objects.into_values().map(Change::Apply);
            loaded.announced.extend(changes);
        }
        Ok(())
    }

    fn generate(&mut self, kind: &str) -> Result<Generated> {
        let loaded = self.loaded.as_mut().context("nothing is loaded")?;
        let Loaded {
            world,
            class,
            scope,
            memos,
            ..
        } = &*loaded;
        let router = class.kind == ProxyKind::Router;
        let merged = || {
            if router {
                merge(
                    &world.gateways,
                    class,
                    world.mesh.scope_gateway_to_namespace,
                )
            } else {
                MergedGateways::default()
            }
        };
        let seen = || {
            world
                .virtual_services
                .all_visible(&class.namespace, &world.mesh)
        };
        Ok(match kind {
            "cds" => {
                // Only a gateway that forwards by SNI has more clusters.
                let planned = clusters(world, scope, class, &merged());
                built(&memos.clusters, planned.clusters)
            }
            "eds" => {
                let planned = clusters(world, scope, class, &merged());
                built(&memos.endpoints, planned.endpoints)
            }
            "lds" if router => built(
                &memos.listeners,
                listeners::gateway_listeners(scope, class, &merged(), &seen()),
            ),
            "lds" => built(&memos.listeners, listeners::sidecar_listeners(scope, class)),
            "rds" if router => built(
                &memos.routes,
                routes::gateway_routes(scope, class, &merged(), &seen()),
            ),
            "rds" => built(&memos.routes, routes::sidecar_routes(scope, class)),
            SECRETS => secrets(world),
            INIT => {
                renew(loaded);
                Generated::default()
            }
            NEXT => {
                let changes = std::mem::take(&mut loaded.announced);
                loaded.store.apply(changes);
                let mesh = loaded.world.mesh.clone();
                loaded.world = loaded.world.next(&loaded.store, &mesh);
                (loaded.class, loaded.scope) = view(&loaded.world, &loaded.proxy);
                Generated::default()
            }
            ALL => snapshot(loaded),
            other => bail!("there is no type {other}"),
        })
    }
}

/// A world that knows nothing of the one before it.
fn renew(loaded: &mut Loaded) {
    let mesh = loaded.world.mesh.clone();
    loaded.world = World::empty(mesh.clone()).next(&loaded.store, &mesh);
    (loaded.class, loaded.scope) = view(&loaded.world, &loaded.proxy);
}

fn built<I: Input>(memo: &Memo<I>, inputs: Vec<I>) -> Generated {
    let before = memo.counts().misses;
    let resources: Vec<Arc<Resource>> = inputs.into_iter().map(|input| memo.get(input)).collect();
    Generated {
        resources: resources.len() as u64,
        bytes: resources
            .iter()
            .map(|resource| resource.body.len() as u64)
            .sum(),
        misses: memo.counts().misses - before,
    }
}

/// Every Secret of the proxy's namespace, as streams are served them.
fn secrets(world: &World) -> Generated {
    let reader = Reader {
        namespace: Str::from("default"),
        lists_secrets: true,
    };
    let mut generated = Generated::default();
    for (key, _) in world.store.secrets.iter() {
        let name = Str::from(format!("kubernetes://{}", key.name));
        let Ok(input) = secret(world, &reader, &name, Labels::default) else {
            continue;
        };
        let built = input.build();
        let resource = Resource::new(
            ResourceType::Secret,
            built.name,
            built.body,
            built.from.into(),
        );
        generated.resources += 1;
        generated.misses += 1;
        generated.bytes += resource.body.len() as u64;
    }
    generated
}

/// The whole way from a world to a snapshot, scope included.
fn snapshot(loaded: &mut Loaded) -> Generated {
    let misses = |compiler: &Compiler| {
        let built = compiler.counts().into_values();
        let built: u64 = built.map(|counts| counts.misses).sum();
        built + compiler.patch_counts().misses
    };
    let before = misses(&loaded.compiler);
    let compiled =
        loaded
            .compiler
            .compile(&loaded.world, &loaded.class, loaded.previous.as_deref());
    let sets = || {
        ResourceType::ALL
            .into_iter()
            .map(|ty| compiled.snapshot.set(ty))
    };
    let generated = Generated {
        resources: sets().map(|set| set.by_name.len() as u64).sum(),
        bytes: sets()
            .flat_map(|set| set.by_name.values())
            .map(|resource| resource.body.len() as u64)
            .sum(),
        misses: misses(&loaded.compiler) - before,
    };
    loaded.previous = Some(compiled.snapshot);
    generated
}
