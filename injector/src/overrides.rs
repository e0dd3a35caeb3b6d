//! Users may write a container of their own under the name of an injected one: its fields win. The annotation `proxy.istio.io/overrides`
//! remembers them, since a second injection cannot tell them from the injected ones (Istio 1.31: reapplyOverwrittenContainers).

use serde_json::{Map, Value, json};

use crate::inject::InjectError;
use crate::mesh::ProxyConfig;
use crate::normalize::{Scalars, normalized};
use crate::types::{KUBERNETES, Kind};
use crate::{json as gojson, merge, pod, status};

/// The overrides that a pod's annotation remembers.
fn remembered(pod: &Value) -> Result<Value, InjectError> {
    let Some(text) = pod::annotation(pod, pod::OVERRIDES) else {
        return Ok(Value::Null);
    };
    let mistake = |error: String| InjectError::Overrides(error);
    let value: Value = serde_json::from_str(text).map_err(|error| mistake(error.to_string()))?;
    let containers = Kind::List(Box::new(KUBERNETES.named("Container")));
    let mut out = Map::new();
    for list in [pod::CONTAINERS, pod::INIT_CONTAINERS] {
        let read =
            normalized(&KUBERNETES, &containers, &value[list], Scalars::Json).map_err(mistake)?;
        out.insert(list.to_owned(), read);
    }
    Ok(Value::Object(out))
}

fn of<'a>(overrides: &'a Value, list: &str) -> &'a [Value] {
    overrides[list].as_array().map_or(&[], Vec::as_slice)
}

/// The pod with the remembered containers that it lacks: templates that look at them then see what they saw first.
///
/// # Errors
/// An annotation that cannot be read.
pub(crate) fn reinserted(mut pod: Value) -> Result<Value, InjectError> {
    let overrides = remembered(&pod)?;
    for list in [pod::CONTAINERS, pod::INIT_CONTAINERS] {
        for container in of(&overrides, list) {
            if pod::container(pod::containers(&pod, list), pod::name(container)).is_none() {
                pod::containers_mut(&mut pod, list).push(container.clone());
            }
        }
    }
    Ok(pod)
}

/// The pod with the user's containers on top of the injected ones of the same names.
///
/// # Errors
/// An annotation that cannot be read, or containers that do not merge.
pub(crate) fn reapplied(
    mut merged: Value,
    original: &Value,
    template_pod: &Value,
    config: &ProxyConfig,
) -> Result<Value, InjectError> {
    let known = remembered(original)?;
    let injected_already = pod::annotation(original, pod::STATUS).is_some();
    let mut used = Map::new();
    for list in [pod::CONTAINERS, pod::INIT_CONTAINERS] {
        let before = status::injected_before(original, list);
        let mut applied = Vec::new();
        for container in pod::containers(template_pod, list) {
            let name = pod::name(container);
            let own = pod::container(of(&known, list), name).or_else(|| {
                if before.iter().any(|known| known == name) {
                    // What was injected before and not remembered is not the user's: the new template counts. (istiod forgets
                    // what is remembered, too, so that a second injection takes the user's changes back.)
                    None
                } else if list == pod::CONTAINERS {
                    pod::container(pod::containers(original, list), name)
                } else {
                    pod::any_container(original, name)
                }
            });
            let Some(own) = own else { continue };
            let mut own = own.clone();
            if own["image"] == pod::AUTO_IMAGE
                && let Some(own) = own.as_object_mut()
            {
                own.shift_remove("image");
            }
            merged = on_top(&merged, list, &own)?;
            applied.push(own);
        }
        if !applied.is_empty() {
            used.insert(list.to_owned(), Value::Array(applied));
        }
    }
    if !injected_already && !used.is_empty() {
        let text = gojson::text(&Value::Object(used));
        pod::annotate(&mut merged, pod::OVERRIDES, &text);
    }
    let own = [pod::CONTAINERS, pod::INIT_CONTAINERS]
        .into_iter()
        .find_map(|list| pod::container(of(&known, list), pod::PROXY))
        .or_else(|| pod::any_container(original, pod::PROXY));
    if let Some(own) = own {
        adjust_init_user(&mut merged, own, config);
    }
    Ok(merged)
}

fn on_top(pod: &Value, list: &str, container: &Value) -> Result<Value, InjectError> {
    let overlay = json!({"spec": {list: [container]}});
    let kind = KUBERNETES.named("Pod");
    let merged = merge::merged(&KUBERNETES, &kind, pod, &overlay)
        .map_err(|error| InjectError::Override(error.to_string()))?;
    normalized(&KUBERNETES, &kind, &merged, Scalars::Json).map_err(InjectError::Override)
}

/// A proxy that runs as another user than usual must be told to the container that sets up the interception (1.31:
/// adjustInitContainerUser). With TPROXY it must stay root.
fn adjust_init_user(merged: &mut Value, own: &Value, config: &ProxyConfig) {
    let user = own["securityContext"]["runAsUser"].as_i64();
    let group = own["securityContext"]["runAsGroup"].as_i64();
    if user.is_none() && group.is_none() {
        return;
    }
    let init = [pod::INIT, pod::VALIDATION]
        .into_iter()
        .find(|name| pod::container(pod::containers(merged, pod::INIT_CONTAINERS), name).is_some());
    let Some(init) = init else {
        tracing::warn!("the pod has neither istio-init nor istio-validation");
        return;
    };
    let tproxy = config.get("interceptionMode").and_then(Value::as_str) == Some("TPROXY")
        || pod::annotation(merged, pod::INTERCEPTION_MODE) == Some("TPROXY");
    if tproxy
        && user.is_some()
        && let Some(sidecar) = pod::any_container_mut(merged, pod::PROXY)
    {
        gojson::map_at(sidecar, "securityContext").insert("runAsUser".to_owned(), 0.into());
    }
    let containers = pod::containers_mut(merged, pod::INIT_CONTAINERS);
    let Some(container) = containers.iter_mut().find(|c| pod::name(c) == init) else {
        return;
    };
    if !tproxy && init == pod::VALIDATION {
        let context = gojson::map_at(container, "securityContext");
        if let Some(user) = user {
            context.insert("runAsUser".to_owned(), user.into());
        }
        if let Some(group) = group {
            context.insert("runAsGroup".to_owned(), group.into());
        }
    }
    // The user 0 cannot be excluded from the interception.
    if let Some(user) = user.filter(|user| *user != 0)
        && let Some(args) = container["args"].as_array_mut()
        && let Some(at) = args.iter().position(|arg| arg == "-u")
        && let Some(value) = args.get_mut(at + 1)
    {
        *value = Value::from(user.to_string());
    }
}
