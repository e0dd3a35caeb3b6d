//! An Envoy bootstrap on which a plain `envoy -c` runs: no agent, no certificates, one ADS connection in plain text.

use serde_json::{Value, json};

/// What a bootstrap is made from.
#[derive(Debug, Clone)]
pub struct Request {
    /// The node id.
    pub node: String,
    /// The node's cluster; empty: derived from the id.
    pub cluster: String,
    /// Metadata to send, over what is added here.
    pub metadata: Value,
    /// Host and port of the control plane.
    pub xds_host: String,
    /// Its port.
    pub xds_port: u16,
    /// The admin port on 127.0.0.1; 0: Envoy chooses.
    pub admin_port: u16,
}

/// Builds it. Facts of dataplane-contract 4: Envoy waits for the first CDS and LDS without limit, `use_original_dst`
/// needs a runtime flag, internal listeners are always possible, and stat names end at `;`.
pub fn bootstrap(request: &Request) -> Value {
    let mut metadata = request.metadata.as_object().cloned().unwrap_or_default();
    // The proxy has no agent that serves `default` and `ROOTCA`, so it must not be told to wait for them.
    metadata
        .entry("MELTEMI_IDENTITY")
        .or_insert_with(|| json!("none"));
    let parts: Vec<&str> = request.node.split('~').collect();
    let name = parts.get(2).copied().unwrap_or_default();
    if let Some((pod, namespace)) = name.rsplit_once('.') {
        metadata.entry("NAME").or_insert_with(|| json!(pod));
        metadata
            .entry("NAMESPACE")
            .or_insert_with(|| json!(namespace));
    }
    let cluster = if request.cluster.is_empty() {
        name
    } else {
        &request.cluster
    };
    let source = json!({"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"});
    json!({
        "node": {"id": request.node, "cluster": cluster, "metadata": metadata},
        "admin": {"address": socket("127.0.0.1", request.admin_port)},
        "dynamic_resources": {
            "cds_config": source,
            "lds_config": source,
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            },
        },
        "static_resources": {"clusters": [xds_cluster(request)]},
        "bootstrap_extensions": [{
            "name": "envoy.bootstrap.internal_listener",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener",
            },
        }],
        "layered_runtime": {"layers": [{
            "name": "deprecation",
            "static_layer": {
                "re2.max_program_size.error_level": 32768,
                "envoy.reloadable_features.http_reject_path_with_fragment": false,
                "envoy.deprecated_features:envoy.config.listener.v3.Listener.hidden_envoy_deprecated_use_original_dst":
                    true,
            },
        }]},
        // Names of clusters and connection managers hold dots, so their tags end at the delimiter that we write.
        "stats_config": {
            "use_all_default_tags": false,
            "stats_tags": [
                {"tag_name": "cluster_name", "regex": "^cluster(\\.(.+);)"},
                {"tag_name": "http_conn_manager_prefix", "regex": "^http(\\.(.+);)"},
                {"tag_name": "response_code", "regex": "_rq(_(\\d{3}))$"},
                {"tag_name": "response_code_class", "regex": "_rq(_(\\dxx))$"},
            ],
        },
    })
}

fn socket(address: &str, port: u16) -> Value {
    json!({"socket_address": {"address": address, "port_value": port}})
}

fn xds_cluster(request: &Request) -> Value {
    let address = json!({"endpoint": {"address": socket(&request.xds_host, request.xds_port)}});
    let by_name = request.xds_host.parse::<std::net::IpAddr>().is_err();
    json!({
        "name": "xds-grpc",
        "type": if by_name { "STRICT_DNS" } else { "STATIC" },
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {
                    // A control plane that went away without a word is noticed, and the stream opened again.
                    "connection_keepalive": {"interval": "30s", "timeout": "10s"},
                }},
            },
        },
        "load_assignment": {
            "cluster_name": "xds-grpc",
            "endpoints": [{"lb_endpoints": [address]}],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootstrap_says_that_there_is_no_identity() {
        let request = Request {
            node: "sidecar~10.0.0.1~a.ns~ns.svc.cluster.local".into(),
            cluster: String::new(),
            metadata: json!({"LABELS": {"app": "a"}}),
            xds_host: "127.0.0.1".into(),
            xds_port: 15010,
            admin_port: 0,
        };
        let built = bootstrap(&request);
        assert_eq!(
            built["node"]["metadata"],
            json!({"LABELS": {"app": "a"}, "MELTEMI_IDENTITY": "none", "NAME": "a", "NAMESPACE": "ns"})
        );
        assert_eq!(built["node"]["cluster"], "a.ns");
        assert_eq!(built["static_resources"]["clusters"][0]["type"], "STATIC");
    }
}
