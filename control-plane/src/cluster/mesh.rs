//! The mesh configuration as the cluster's own parts need it: the trust domain, and where agents look for us.

use std::collections::BTreeMap;

use anyhow::Context as _;
use meltemi_ca::identity::trust_domain;
use meltemi_cluster::config_maps::State;
use meltemi_cluster::selector::{Expression, Selector};
use meltemi_model::Object;
use meltemi_model::mesh::Mesh;
use meltemi_sources::lower::{LowerSettings, lower, lower_mesh};
use meltemi_sources::yaml;
use serde_json::{Value, json};
use tokio::sync::watch;

/// Whether proxies are configured by this mesh configuration: the ConfigMap goes through the very function that makes their
/// world of it. One that an edit made unusable is nobody's, and everybody keeps the one before; the source says what is wrong.
pub(super) fn is_usable(data: &BTreeMap<String, String>, lowering: &LowerSettings) -> bool {
    let object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": lowering.mesh_config_map(), "namespace": &*lowering.system_namespace},
        "data": data,
    });
    lower(&object, lowering).object.is_some()
}

/// Identities need the trust domain, so the first one is waited for, however long the API server is away.
pub(super) async fn first(
    states: &mut watch::Receiver<State>,
    lowering: &LowerSettings,
) -> anyhow::Result<(Mesh, String)> {
    let state = states
        .wait_for(|state| *state != State::Unknown)
        .await
        .context("stopped before the mesh configuration was read")?
        .clone();
    Ok(mesh_of(&state, lowering).unwrap_or_default())
}

/// The mesh configuration in a ConfigMap, with the address at which agents look for us; `None` when there is none or it
/// cannot be read (which the source reports).
fn mesh_of(state: &State, lowering: &LowerSettings) -> Option<(Mesh, String)> {
    let State::Present(data) = state else {
        return None;
    };
    let value = yaml::read_one(data.get("mesh")?).ok()?;
    let discovery = value.pointer("/defaultConfig/discoveryAddress");
    let discovery = discovery.and_then(Value::as_str).unwrap_or_default();
    match lower_mesh(&value, lowering).object? {
        Object::Mesh(_, mesh) => Some(((*mesh).clone(), discovery.to_owned())),
        _ => None,
    }
}

/// Ends when the trust domain is another one than at the start: identities, certificates and configuration carry it, so
/// the process begins anew rather than serve two.
pub(super) async fn other_trust_domain(
    mut states: watch::Receiver<State>,
    lowering: &LowerSettings,
    served: &str,
) -> anyhow::Result<()> {
    while states.changed().await.is_ok() {
        let state = states.borrow_and_update().clone();
        if let Some((mesh, _)) = mesh_of(&state, lowering) {
            let now = trust_domain(&mesh.trust_domain);
            anyhow::ensure!(
                now == served,
                "the trust domain changed from {served} to {now}: starting again"
            );
        }
    }
    Ok(())
}

/// Keeps the discovery selectors of the mesh configuration: namespaces that the mesh has to do with; none: all.
pub(super) async fn follow_selectors(
    mut states: watch::Receiver<State>,
    out: watch::Sender<Vec<Selector>>,
) {
    loop {
        let found = match &*states.borrow_and_update() {
            State::Present(data) => {
                let mesh = data.get("mesh").map(|text| yaml::read_one(text));
                mesh.and_then(Result::ok).map(|mesh| selectors(&mesh))
            }
            State::Absent => Some(Vec::new()),
            State::Unknown => None,
        };
        // What cannot be read changes nothing.
        if let Some(found) = found {
            out.send_if_modified(|now| {
                let changed = *now != found;
                *now = found;
                changed
            });
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}

fn selectors(mesh: &Value) -> Vec<Selector> {
    let texts = |value: &Value| -> Vec<String> {
        let list = value.as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = mesh["discoverySelectors"].as_array().into_iter().flatten();
    list.map(|selector| Selector {
        match_labels: selector["matchLabels"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(label, value)| (label.clone(), text(value)))
            .collect(),
        match_expressions: selector["matchExpressions"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|expression| Expression {
                key: text(&expression["key"]),
                operator: text(&expression["operator"]),
                values: texts(&expression["values"]),
            })
            .collect(),
    })
    .collect()
}
