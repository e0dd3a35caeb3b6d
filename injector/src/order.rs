//! The order of containers after merging (Istio 1.31: reorderPod).

use serde_json::Value;

use crate::config::Values;
use crate::inject::InjectError;
use crate::mesh::{self, MeshConfig};
use crate::pod;

#[derive(Clone, Copy)]
enum Place {
    First,
    Last,
}

/// Puts the proxy last among the containers, or first if applications must wait for it. Native: set-up, proxy, the rest. Otherwise the
/// validation comes first, since it must stop the user's init containers, and the set-up of iptables last, since those still need the network.
///
/// # Errors
/// An annotation `proxy.istio.io/config` that cannot be read.
pub(crate) fn reorder(
    pod: &mut Value,
    original: &Value,
    mesh: &MeshConfig,
    values: &Values,
) -> Result<(), InjectError> {
    let mut config = mesh.default_config();
    if let Some(text) = pod::annotation(original, pod::PROXY_CONFIG) {
        config = mesh::annotated_proxy_config(text, config).map_err(InjectError::ProxyConfig)?;
    }
    let hold = config.get("holdApplicationUntilProxyStarts") == Some(&Value::Bool(true))
        || values.flag("/global/proxy/holdApplicationUntilProxyStarts");
    let place = if hold { Place::First } else { Place::Last };
    put(pod::containers_mut(pod, pod::CONTAINERS), pod::PROXY, place);

    let init = pod::containers_mut(pod, pod::INIT_CONTAINERS);
    if pod::container(init, pod::PROXY).is_some() {
        for name in [pod::CORE_DUMP, pod::PROXY, pod::VALIDATION, pod::INIT] {
            put(init, name, Place::First);
        }
    } else {
        put(init, pod::VALIDATION, Place::First);
        put(init, pod::INIT, Place::Last);
        put(init, pod::CORE_DUMP, Place::Last);
    }
    Ok(())
}

fn put(containers: &mut Vec<Value>, name: &str, place: Place) {
    let Some(at) = containers.iter().position(|c| pod::name(c) == name) else {
        return;
    };
    let container = containers.remove(at);
    match place {
        Place::First => containers.insert(0, container),
        Place::Last => containers.push(container),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(
        init: &[&str],
        containers: &[&str],
        annotations: &Value,
        expected: (&[&str], &[&str]),
    ) {
        let list = |names: &[&str]| -> Vec<Value> {
            names.iter().map(|name| json!({"name": name})).collect()
        };
        let mut pod = json!({"metadata": {"annotations": annotations}, "spec": {"initContainers": list(init), "containers": list(containers)}});
        let original = pod.clone();
        reorder(
            &mut pod,
            &original,
            &MeshConfig::default(),
            &Values::default(),
        )
        .unwrap();
        assert_eq!(
            pod["spec"],
            json!({"initContainers": list(expected.0), "containers": list(expected.1)})
        );
    }

    #[test]
    fn containers_have_their_places() {
        let hold = json!({"proxy.istio.io/config": "holdApplicationUntilProxyStarts: true"});
        check(
            &["istio-init", "own"],
            &["istio-proxy", "app"],
            &json!({}),
            (&["own", "istio-init"], &["app", "istio-proxy"]),
        );
        check(
            &["own", "istio-validation"],
            &["app", "istio-proxy"],
            &hold,
            (&["istio-validation", "own"], &["istio-proxy", "app"]),
        );
        check(
            &["own", "enable-core-dump", "istio-proxy", "istio-init"],
            &["app"],
            &json!({}),
            (
                &["istio-init", "istio-proxy", "enable-core-dump", "own"],
                &["app"],
            ),
        );
    }
}
