//! Values of patches: messages of Envoy's API, written as JSON. Istio 1.31: `BuildXDSObjectFromStruct`.

use meltemi_api::envoy_filter::ApplyTo;
use meltemi_api::shared::Struct;
use meltemi_proto::pool::partial_message;
use serde_json::Value;

use crate::Findings;

/// What a patch is a message of, and whether a filter or an extension that must bring its configuration.
fn message_of(apply_to: ApplyTo) -> Option<(&'static str, bool)> {
    Some(match apply_to {
        ApplyTo::Invalid => return None,
        ApplyTo::Listener => ("envoy.config.listener.v3.Listener", false),
        ApplyTo::FilterChain => ("envoy.config.listener.v3.FilterChain", false),
        ApplyTo::NetworkFilter => ("envoy.config.listener.v3.Filter", true),
        ApplyTo::HttpFilter => (
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
            true,
        ),
        ApplyTo::RouteConfiguration => ("envoy.config.route.v3.RouteConfiguration", false),
        ApplyTo::VirtualHost => ("envoy.config.route.v3.VirtualHost", false),
        ApplyTo::HttpRoute => ("envoy.config.route.v3.Route", false),
        ApplyTo::Cluster => ("envoy.config.cluster.v3.Cluster", false),
        ApplyTo::ExtensionConfig => ("envoy.config.core.v3.TypedExtensionConfig", true),
        ApplyTo::Bootstrap => ("envoy.config.bootstrap.v3.Bootstrap", false),
        ApplyTo::ListenerFilter => ("envoy.config.listener.v3.ListenerFilter", true),
    })
}

/// Fields that hold an extension.
const EXTENSIONS: [&str; 6] = [
    "transport_socket",
    "transportSocket",
    "cluster_type",
    "clusterType",
    "upstream_config",
    "upstreamConfig",
];

/// One value.
pub(super) fn value(found: &mut Findings, at: &str, apply_to: ApplyTo, value: &Struct) {
    let Some((name, is_extension)) = message_of(apply_to) else {
        return;
    };
    let json = Value::Object(value.clone());
    let partial = match partial_message(name, &json) {
        Ok(partial) => partial,
        Err(error) => {
            let at = match &*error.path {
                "" => at.to_owned(),
                path => format!("{at}.{path}"),
            };
            return unreadable(found, at, &error.reason);
        }
    };
    for path in partial.unknown {
        let field = path.rsplit('.').next().unwrap_or(&path);
        found.warning(
            format!("{at}.{path}"),
            format!("Envoy filter: unknown field {field:?} in {name}"),
        );
    }
    let mut bare = Vec::new();
    if is_extension {
        bare.extend(without_config(value));
    }
    let nested = EXTENSIONS.into_iter().filter_map(|field| value.get(field));
    bare.extend(
        nested
            .filter_map(Value::as_object)
            .filter_map(without_config),
    );
    if !bare.is_empty() {
        found.warning(
            at,
            format!(
                "using deprecated types by name without typed_config; {}",
                bare.join(", ")
            ),
        );
    }
}

/// The name of an extension that says nothing else of itself.
fn without_config(extension: &Struct) -> Option<&str> {
    const CONFIG: [&str; 4] = [
        "typed_config",
        "typedConfig",
        "config_discovery",
        "configDiscovery",
    ];
    let configured = CONFIG
        .into_iter()
        .any(|field| extension.contains_key(field));
    (!configured).then(|| extension.get("name").and_then(Value::as_str).unwrap_or(""))
}

/// The packages of Envoy's contributed extensions, which Istio 1.31 knows (`filter_types.gen.go`) and which are not built in
/// here: nothing can be said of their messages.
const CONTRIBUTED: [&str; 25] = [
    "envoy.extensions.compression.qat",
    "envoy.extensions.config.v3alpha.",
    "envoy.extensions.filters.http.checksum.",
    "envoy.extensions.filters.http.dynamo.",
    "envoy.extensions.filters.http.golang.",
    "envoy.extensions.filters.http.language.",
    "envoy.extensions.filters.http.peak_ewma.",
    "envoy.extensions.filters.http.sxg.",
    "envoy.extensions.filters.listener.postgres_inspector.",
    "envoy.extensions.filters.network.client_ssl_auth.",
    "envoy.extensions.filters.network.generic_proxy.codecs.kafka.",
    "envoy.extensions.filters.network.golang.",
    "envoy.extensions.filters.network.kafka_",
    "envoy.extensions.filters.network.mysql_proxy.",
    "envoy.extensions.filters.network.postgres_proxy.",
    "envoy.extensions.filters.network.rocketmq_proxy.",
    "envoy.extensions.filters.network.sip_proxy.",
    "envoy.extensions.load_balancing_policies.peak_ewma.",
    "envoy.extensions.matching.input_matchers.hyperscan.",
    "envoy.extensions.network.connection_balance.dlb.",
    "envoy.extensions.private_key_providers.",
    "envoy.extensions.regex_engines.hyperscan.",
    "envoy.extensions.reverse_tunnel_reporters.",
    "envoy.extensions.stat_sinks.kafka.",
    "envoy.extensions.vcl.",
];

/// A type that nobody knows is refused.
fn unreadable(found: &mut Findings, at: String, reason: &str) {
    let contributed = CONTRIBUTED.iter().any(|package| reason.contains(package));
    if !reason.starts_with("unknown message type") {
        found.error(at, format!("Envoy filter: {reason}"));
    } else if contributed {
        let message = format!("a contributed extension, whose fields are not checked: {reason}");
        found.warning(at, message);
    } else if reason.contains(".v2.") {
        found.error(
            at,
            format!("referenced type unknown (hint: try using the v3 XDS API): {reason}"),
        );
    } else {
        found.error(at, format!("referenced type unknown: {reason}"));
    }
}
