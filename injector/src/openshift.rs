//! OpenShift gives each namespace a range of user ids; the proxy takes the last of it (Istio 1.31: GetProxyIDs).

use serde_json::Value;

use crate::pod;

const UID_RANGE: &str = "openshift.io/sa.scc.uid-range";
const GROUPS: &str = "openshift.io/sa.scc.supplemental-groups";

/// The proxy's user where nothing says otherwise.
const DEFAULT: i64 = 1337;

/// The user and group of the proxy in a namespace, given its annotations (none: not on OpenShift).
pub(crate) fn proxy_ids(annotations: Option<&Value>) -> (i64, i64) {
    let text = |name: &str| {
        annotations
            .and_then(|a| a.get(name))
            .and_then(Value::as_str)
    };
    let uid = text(UID_RANGE).and_then(last);
    let groups = text(GROUPS).or_else(|| text(UID_RANGE)).map(|groups| {
        let blocks: Option<Vec<i64>> = groups.split(',').map(last).collect();
        blocks.and_then(|blocks| blocks.first().copied())
    });
    (uid.unwrap_or(DEFAULT), groups.flatten().unwrap_or(DEFAULT))
}

/// The last number of a block: `start/size` or `start-end`.
fn last(block: &str) -> Option<i64> {
    let number = |text: &str| -> Option<u32> {
        // Go's Sscanf stops at what is no digit.
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        text[..digits].parse().ok()
    };
    if let Some((start, size)) = block.split_once('/') {
        let end = number(start)?.wrapping_add(number(size)?).wrapping_sub(1);
        return Some(i64::from(end));
    }
    let (start, end) = block.split_once('-')?;
    number(start)?;
    number(end).map(i64::from)
}

/// Removes the proxy's user if it is that of the application: OpenShift gives all containers the same, and then the proxy's own traffic
/// would be intercepted.
pub(crate) fn reset_shared_user(pod: &mut Value) {
    let user = |container: &Value| container["securityContext"]["runAsUser"].as_i64();
    let (mut proxy, mut app) = (0, 0);
    let all = [pod::CONTAINERS, pod::INIT_CONTAINERS].map(|list| pod::containers(pod, list));
    for container in all.into_iter().flatten() {
        let Some(id) = user(container) else { continue };
        match pod::name(container) {
            pod::PROXY => proxy = id,
            pod::VALIDATION | pod::INIT => {}
            _ => app = id,
        }
    }
    if proxy != app {
        return;
    }
    if let Some(context) = pod::any_container_mut(pod, pod::PROXY)
        .and_then(|container| container.get_mut("securityContext"))
        .and_then(Value::as_object_mut)
    {
        context.shift_remove("runAsUser");
        context.shift_remove("runAsGroup");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_come_from_the_namespace() {
        for (annotations, expected) in [
            (json!({}), (1337, 1337)),
            (
                json!({UID_RANGE: "1000620000/10000", GROUPS: "1000620000/10000"}),
                (1_000_629_999, 1_000_629_999),
            ),
            (json!({UID_RANGE: "10-20"}), (20, 20)),
            (json!({UID_RANGE: "x", GROUPS: "5/1,7/1"}), (1337, 5)),
        ] {
            assert_eq!(proxy_ids(Some(&annotations)), expected, "{annotations}");
        }
        assert_eq!(proxy_ids(None), (1337, 1337));
    }
}
