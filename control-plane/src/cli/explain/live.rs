//! What a running control plane serves a proxy, from its debug pages.

use std::net::IpAddr;

use anyhow::Context as _;
use meltemi_proto::any::type_name;
use meltemi_proto::pool;
use meltemi_simulator::{Kind, Resources};
use serde_json::Value;

use crate::cli::common;

/// A connected proxy and what it was sent.
#[derive(Debug)]
pub(super) struct Served {
    /// NAME.NAMESPACE.
    pub(super) proxy: String,
    /// `sidecar`, `router` or another type of proxies.
    pub(super) kind: String,
    /// What it was sent, of the types that are walked.
    pub(super) resources: Resources,
    /// What of it cannot be read.
    pub(super) problems: Vec<String>,
}

/// Asks for a proxy, `NAME` or `NAME.NAMESPACE`; the beginning of a name is enough if it is the only one.
pub(super) async fn served(address: &str, wanted: &str) -> anyhow::Result<Served> {
    let page = common::get(address, "/debug/syncz").await?;
    let proxies: Vec<Value> = serde_json::from_slice(&page)
        .with_context(|| format!("{address}: the answer is not that of a control plane"))?;
    let (proxy, kind) = chosen(&proxies, wanted)?;
    let path = format!("/debug/config_dump?proxyID={proxy}&include_eds=true");
    let page = common::get(address, &path).await?;
    let dump: Value = serde_json::from_slice(&page)
        .with_context(|| format!("{address}: the dump of {proxy} is not JSON"))?;
    let (resources, problems) = resources(dump);
    Ok(Served {
        proxy,
        kind,
        resources,
        problems,
    })
}

fn chosen(proxies: &[Value], wanted: &str) -> anyhow::Result<(String, String)> {
    let text = |proxy: &Value, key: &str| proxy[key].as_str().unwrap_or_default().to_owned();
    let mut all: Vec<(String, String)> = proxies
        .iter()
        .map(|proxy| (text(proxy, "proxy"), text(proxy, "proxy_type")))
        .collect();
    // A proxy that comes back is there twice for a moment.
    all.sort();
    all.dedup();
    let listed = |of: &[&(String, String)]| -> String {
        let names: Vec<&str> = of.iter().map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    };
    let whole = |(id, _): &&(String, String)| {
        id == wanted || id.split('.').next() == Some(wanted) && !wanted.contains('.')
    };
    let begins = |(id, _): &&(String, String)| match wanted.rsplit_once('.') {
        Some((name, namespace)) => {
            let end = id.rsplit_once('.');
            end.is_some_and(|(id, of)| of == namespace && id.starts_with(name))
        }
        None => id.starts_with(wanted),
    };
    let exact: Vec<_> = all.iter().filter(whole).collect();
    let found: Vec<_> = match exact.as_slice() {
        [] => all.iter().filter(begins).collect(),
        _ => exact,
    };
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] if all.is_empty() => anyhow::bail!("no proxy is connected to this control plane"),
        [] => {
            let all: Vec<_> = all.iter().collect();
            let all = listed(&all);
            anyhow::bail!("no connected proxy is {wanted}; there are {all}")
        }
        several => anyhow::bail!("several proxies begin with {wanted}: {}", listed(several)),
    }
}

/// The resources of a dump, and what of it cannot be read.
fn resources(mut dump: Value) -> (Resources, Vec<String>) {
    let mut problems = Vec::new();
    let mut encoded = Vec::new();
    let configs = dump["configs"].as_array_mut().map(std::mem::take);
    for mut config in configs.unwrap_or_default() {
        for (list, path) in [
            ("dynamic_active_clusters", "/cluster"),
            ("dynamic_endpoint_configs", "/endpoint_config"),
            ("dynamic_listeners", "/active_state/listener"),
            ("dynamic_route_configs", "/route_config"),
        ] {
            let entries = config.get_mut(list).and_then(Value::as_array_mut);
            for entry in entries.into_iter().flatten() {
                let Some(Value::Object(message)) = entry.pointer_mut(path) else {
                    problems.push(format!("{list}: an entry without {path}"));
                    continue;
                };
                let url = message.shift_remove("@type").unwrap_or_default();
                let url = url.as_str().unwrap_or_default();
                let Some(kind) = Kind::from_type_url(url) else {
                    problems.push(format!("{list}: a message of type {url:?}"));
                    continue;
                };
                let message = Value::Object(std::mem::take(message));
                match pool::json_to_message(type_name(url), &message) {
                    Ok(bytes) => encoded.push((kind, bytes)),
                    Err(error) => problems.push(format!("{list}: {error}")),
                }
            }
        }
    }
    let (resources, undecoded) =
        Resources::decode(encoded.iter().map(|(kind, bytes)| (*kind, bytes.as_ref())));
    problems.extend(undecoded.iter().map(ToString::to_string));
    (resources, problems)
}

/// The address of a host as far as routes know it: Istio writes a service's addresses beside its names.
pub(super) fn address(resources: &Resources, host: &str) -> Option<IpAddr> {
    let hosts = resources.routes.values().flat_map(|r| &r.virtual_hosts);
    let mut named = hosts.filter(|virtual_host| virtual_host.domains.iter().any(|d| d == host));
    named.find_map(|virtual_host| {
        let domains = virtual_host.domains.iter();
        let trimmed = domains.map(|domain| domain.trim_matches(['[', ']']));
        trimmed.into_iter().find_map(|domain| domain.parse().ok())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_proxy_is_found_by_its_name() {
        let all = ["a-1.x", "a-2.x", "a-1.y", "b-1.x", "b-1.x"];
        let all = all.map(|id| json!({"proxy": id, "proxy_type": "sidecar"}));
        for (wanted, found) in [
            ("a-1.x", Ok("a-1.x")),
            ("b", Ok("b-1.x")),
            ("a-2", Ok("a-2.x")),
            ("a.y", Ok("a-1.y")),
            ("a-1", Err("several proxies begin with a-1: a-1.x, a-1.y")),
            (
                "c",
                Err("no connected proxy is c; there are a-1.x, a-1.y, a-2.x, b-1.x"),
            ),
        ] {
            let chosen = chosen(&all, wanted).map(|(proxy, _)| proxy);
            let chosen = chosen.map_err(|error| error.to_string());
            let chosen = chosen.as_deref().map_err(String::as_str);
            assert_eq!(chosen, found, "{wanted}");
        }
        let none = chosen(&[], "a").map_err(|error| error.to_string());
        assert!(none.is_err_and(|error| error.contains("no proxy is connected")));
    }

    #[test]
    fn what_cannot_be_read_is_told_and_hides_nothing() {
        let cluster = |body: Value| json!({"cluster": body});
        let kind = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
        let (resources, problems) = resources(json!({"configs": [{"dynamic_active_clusters": [
            cluster(json!({"@type": kind, "name": "good"})),
            cluster(json!({"@type": kind, "name": "bad", "no_such_field": 1})),
            cluster(json!({"@type": "elsewhere/of.Another"})),
            {},
        ]}]}));
        assert!(resources.clusters.keys().eq(["good"]));
        assert_eq!(problems.len(), 3, "{problems:?}");
    }
}
