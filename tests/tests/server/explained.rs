//! `meltemi explain request` of a running control plane: what is served is walked, without any objects at hand.

use meltemi::cli::explain;

use crate::ads_client::Variant::Delta;
use crate::plane::{Plane, SIDECAR, WORLD};

#[tokio::test]
async fn a_request_is_explained_from_what_a_proxy_is_served() {
    let plane = Plane::start(&WORLD).await;
    let address = format!("--control-plane={}", plane.addresses.monitoring);
    let ask = async |proxy: &str, words: &[&str]| {
        let words = [&[&*address, "--proxy", proxy], words].concat();
        explain::request(&words).await
    };
    let url = ["http://reviews:9080/reviews/0"];
    let none = ask("ratings-0.default", &url).await.unwrap_err();
    assert!(none.to_string().contains("no proxy is connected"), "{none}");

    let mut client = plane.synced(SIDECAR, Delta).await;
    // A beginning is enough.
    for proxy in ["ratings-0.default", "ratings-0", "rat"] {
        let said = ask(proxy, &url).await.unwrap();
        for words in [
            // The address is that of the service, by the proxy's routes.
            "to 10.2.0.1:9080, leaving through sidecar ratings-0.default",
            "reviews.default.svc.cluster.local:9080",
            "from VirtualService default/reviews",
            "outbound|9080|v1|reviews.default.svc.cluster.local",
            "from DestinationRule default/reviews spec.subsets v1",
            "The request is sent to 10.1.0.1:9080",
        ] {
            assert!(said.contains(words), "no {words}: {said}");
        }
        assert!(!said.contains("assuming"), "{said}");
    }
    let wrong = ask("nobody", &url).await.unwrap_err().to_string();
    assert!(
        wrong.contains("no connected proxy is nobody; there are ratings-0.default"),
        "{wrong}"
    );
    let said = ask("rat", &["http://nowhere.test/"]).await.unwrap();
    assert!(
        said.contains("assuming: no address of nowhere.test is in the proxy's routes"),
        "{said}"
    );

    // What was sent counts, not what the folder would make of it by now.
    let (name, text) = WORLD[1];
    plane.write(name, &text.replace("subset: v1", "subset: v2"));
    plane.follow(&mut client, SIDECAR).await;
    let said = ask("rat", &[url[0], "-o", "json"]).await.unwrap();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        said["cluster"],
        "outbound|9080|v2|reviews.default.svc.cluster.local"
    );
    assert_eq!(said["destination"]["endpoints"][0]["address"], "10.1.0.2");
    plane.stop().await;
}
