//! The pages that operators and istioctl read.

use crate::ads_client::Variant::{Delta, Sotw};
use crate::ads_client::{CDS, EDS, LDS, RDS};
use serde_json::{Value, json};

use crate::plane::{Plane, SIDECAR, WORLD, get};

#[tokio::test]
async fn a_config_dump_has_istiods_shape() {
    let plane = Plane::start(&WORLD).await;
    let asked = plane.get("/debug/config_dump").await;
    assert_eq!(
        asked,
        (
            400,
            "You must provide a proxyID in the query string\n".to_owned()
        )
    );
    let (status, text) = plane
        .get("/debug/config_dump?proxyID=ratings-0.default")
        .await;
    assert!(
        status == 404 && text.starts_with("Proxy not connected to this Pilot instance."),
        "{status} {text}"
    );

    for variant in [Delta, Sotw] {
        let client = plane.synced(SIDECAR, variant).await;
        let dump = plane
            .json("/debug/config_dump?proxyID=ratings-0.default")
            .await;
        let types = |dump: &Value| -> Vec<String> {
            let configs = dump["configs"].as_array().unwrap().iter();
            configs
                .map(|config| {
                    config["@type"]
                        .as_str()
                        .unwrap()
                        .rsplit('.')
                        .next()
                        .unwrap()
                        .to_owned()
                })
                .collect()
        };
        let without = [
            "BootstrapConfigDump",
            "ClustersConfigDump",
            "ListenersConfigDump",
            "ScopedRoutesConfigDump",
            "RoutesConfigDump",
            "SecretsConfigDump",
            "EcdsConfigDump",
        ];
        assert_eq!(types(&dump), without);
        let whole = plane
            .json("/debug/config_dump?proxyID=ratings-0.default&include_eds")
            .await;
        assert_eq!(types(&whole)[2], "EndpointsConfigDump");
        for (ty, index, list, name) in [
            (CDS, 1, "dynamic_active_clusters", "/cluster/name"),
            (
                EDS,
                2,
                "dynamic_endpoint_configs",
                "/endpoint_config/cluster_name",
            ),
            (LDS, 3, "dynamic_listeners", "/active_state/listener/name"),
            (RDS, 5, "dynamic_route_configs", "/route_config/name"),
        ] {
            let shown = whole["configs"][index][list].as_array().unwrap();
            let names: Vec<&str> = shown
                .iter()
                .map(|one| one.pointer(name).and_then(Value::as_str).unwrap())
                .collect();
            let held: Vec<&str> = client.held()[ty].keys().map(String::as_str).collect();
            assert_eq!(names, held, "{ty}");
            let typed = shown[0].pointer(name.rsplit_once('/').unwrap().0).unwrap();
            assert_eq!(typed["@type"], ty);
        }
    }
    plane.stop().await;
}

#[tokio::test]
async fn syncz_has_istiods_fields() {
    let plane = Plane::start(&WORLD).await;
    let _client = plane.synced(SIDECAR, Delta).await;
    let synced = |page: &str| page.matches("\"SYNCED\"").count() == 4;
    plane
        .eventually("/debug/syncz", |(_, page)| synced(page))
        .await;
    let syncz = plane.json("/debug/syncz").await;
    let proxy = &syncz[0];
    let text = |key: &str| proxy[key].as_str().unwrap_or_default();
    assert_eq!(
        (text("proxy"), text("proxy_type")),
        ("ratings-0.default", "sidecar")
    );
    assert_eq!(
        (text("cluster_id"), text("istio_version")),
        ("Kubernetes", "1.31.0")
    );
    for name in ["cluster", "endpoint", "listener", "route"] {
        assert!(!text(&format!("{name}_sent")).is_empty(), "{proxy}");
        assert_eq!(
            text(&format!("{name}_sent")),
            text(&format!("{name}_acked")),
            "{proxy}"
        );
    }
    assert_eq!(plane.json("/debug/syncz?namespace=other").await, json!([]));
    assert_eq!(plane.json("/debug/syncz?namespace=default").await, syncz);
    plane.stop().await;
}

#[tokio::test]
async fn metrics_count_proxies_pushes_and_misses() {
    let plane = Plane::start(&WORLD).await;
    assert_eq!(plane.metric("pilot_xds").await, 0.0);
    let client = plane.synced(SIDECAR, Delta).await;
    let _twin = plane
        .synced(&SIDECAR.replace("ratings-0", "ratings-1"), Delta)
        .await;
    assert_eq!(plane.metric("pilot_xds").await, 2.0);
    assert_eq!(plane.metric("pilot_services").await, 3.0);
    assert_eq!(plane.metric("pilot_virt_services").await, 2.0);
    assert!(plane.metric("pilot_xds_pushes").await >= 8.0);
    let held: usize = client.held().values().map(|set| set.len()).sum();
    assert!(plane.metric("meltemi_memo_misses_total").await >= held as f64);
    assert!(
        plane.metric("meltemi_memo_lookups_total").await
            >= plane.metric("meltemi_memo_misses_total").await
    );
    // A proxy that goes is counted no more.
    drop(client);
    plane
        .eventually("/metrics", |(_, page)| {
            page.contains("pilot_xds{version=\"1.31.0\"} 1\n")
        })
        .await;
    for page in ["/metrics", "/version", "/debug/syncz"] {
        for address in [plane.addresses.http, plane.addresses.monitoring] {
            assert_eq!(get(address, page).await.0, 200, "{page}");
        }
    }
    plane.stop().await;
}

#[tokio::test]
async fn networkz_has_istiods_shape_and_follows_the_objects() {
    let gateway = r#"
apiVersion: v1
kind: Service
metadata: {name: west, namespace: istio-system, labels: {topology.istio.io/network: west}}
spec: {type: LoadBalancer, clusterIP: 10.2.9.9, ports: [{name: tls, port: 15443}]}
status: {loadBalancer: {ingress: [{ip: 203.0.113.1}]}}
"#;
    let plane = Plane::start(&[WORLD[0], ("west.yaml", gateway)]).await;
    let page = |address: &str| {
        json!([{
            "Network": "west", "Cluster": "Kubernetes", "Addr": address, "Port": 15443, "HBONEPort": 0,
            "ServiceAccount": {"Namespace": "", "Name": ""},
        }])
    };
    for address in ["203.0.113.1", "203.0.113.2"] {
        plane.write("west.yaml", &gateway.replace("203.0.113.1", address));
        let want = page(address);
        plane
            .eventually("/debug/networkz", |(_, text)| {
                serde_json::from_str::<Value>(text).is_ok_and(|found| found == want)
            })
            .await;
    }
}
