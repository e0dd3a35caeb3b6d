//! What other kinds are converted to, beside istiod 1.31's own conversions of the same objects.

use std::fs;
use std::path::Path;

use meltemi_model::gateway::Gateway;
use meltemi_model::mesh::Mesh;
use meltemi_model::routing::{HttpRoute, VirtualService};
use meltemi_model::{Meta, Object, Shared};
use meltemi_sources::files::load;
use meltemi_sources::lower::LowerSettings;
use meltemi_tests::shared::{shared_dir, skipped};
use meltemi_world::{Change, Store, World};

fn settings() -> LowerSettings {
    LowerSettings {
        domain: "mydomain".into(),
        ..LowerSettings::default()
    }
}

fn world(file: &Path) -> World {
    let mut mesh = Mesh {
        domain: "mydomain".into(),
        ..Mesh::default()
    };
    // The driver of these cases converts every Ingress, whatever its class.
    mesh.ingress.mode = meltemi_model::ingress::IngressMode::Default;
    let mesh = Shared::new(mesh);
    let mut store = Store::default();
    let loaded = load(file, &settings());
    store.apply(loaded.objects.into_values().map(Change::Apply));
    World::empty(mesh.clone()).next(&store, &mesh)
}

/// Names and specs, without what only istiod's or our own form of the object has.
fn shown_gateway(gateway: &Gateway) -> String {
    format!(
        "{} {:?} {:#?}",
        gateway.meta.key, gateway.selector, gateway.servers
    )
}

fn shown_service(vs: &VirtualService) -> String {
    let routes: Vec<&HttpRoute> = vs.http.iter().collect();
    let Meta { key, .. } = &vs.meta;
    format!("{key} {:?} {:?} {routes:#?}", vs.hosts, vs.gateways)
}

#[test]
fn ingresses_become_istiods_gateways_and_virtual_services() {
    let Some(dir) = shared_dir().map(|dir| dir.join("corpus/ingress")) else {
        skipped("no corpus");
        return;
    };
    let mut cases = 0;
    for entry in fs::read_dir(&dir).expect("the corpus").flatten() {
        if !entry.path().join("in.yaml").is_file() {
            continue;
        }
        cases += 1;
        let found = world(&entry.path().join("in.yaml"));
        let made = &found.ingresses;
        let gateways = made.gateways.iter().map(|g| shown_gateway(g));
        let services = made.virtual_services.iter().map(|vs| shown_service(vs));
        let mut found: Vec<String> = gateways.chain(services).collect();
        found.sort();

        let wanted = load(&entry.path().join("config.yaml"), &settings());
        let shown = wanted.objects.values().map(|object| match object {
            Object::Gateway(gateway) => shown_gateway(gateway),
            Object::VirtualService(vs) => shown_service(vs),
            other => panic!("{other:?}"),
        });
        let mut wanted: Vec<String> = shown.collect();
        wanted.sort();
        similar(&entry.path(), &found, &wanted);
    }
    assert!(cases >= 4, "{cases} cases");
}

fn similar(case: &Path, found: &[String], wanted: &[String]) {
    let (found, wanted) = (found.join("\n"), wanted.join("\n"));
    let diff = similar::TextDiff::from_lines(&wanted, &found);
    let diff = diff.unified_diff().to_string();
    assert!(diff.is_empty(), "{}\n{diff}", case.display());
}
