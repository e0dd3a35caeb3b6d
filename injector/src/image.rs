//! The images of the proxy (Istio 1.31: ProxyImage): `HUB/NAME:TAG-TYPE`.

use serde_json::Value;

use crate::config::Values;
use crate::mesh::ProxyConfig;
use crate::{pod, template};

const PROXY_IMAGE_TYPE: &str = "sidecar.istio.io/proxyImageType";

/// The proxy's image.
pub(crate) fn proxy(values: &Values, config: &ProxyConfig, pod: &Value) -> String {
    let name = values.text("/global/proxy/image");
    let image_type = config
        .get("image")
        .and_then(|image| image["imageType"].as_str())
        .unwrap_or_default();
    url(values, name, image_type, pod)
}

/// The image of the init container.
pub(crate) fn init(values: &Values, pod: &Value) -> String {
    url(values, values.text("/global/proxy_init/image"), "", pod)
}

fn url(values: &Values, name: &str, image_type: &str, pod: &Value) -> String {
    let name = if name.is_empty() { "proxyv2" } else { name };
    // A tag may be a number in the values.
    let tag = match values.at("/global/tag") {
        Value::Null => String::new(),
        Value::String(tag) => tag.clone(),
        other => template::Value::from(other.clone()).to_string(),
    };
    let image_type = if image_type.is_empty() {
        values.text("/global/variant")
    } else {
        image_type
    };
    let image_type = pod::annotation(pod, PROXY_IMAGE_TYPE).unwrap_or(image_type);
    format!(
        "{}/{name}:{}",
        values.text("/global/hub"),
        tagged(&tag, image_type)
    )
}

/// The tag with another image type.
fn tagged(tag: &str, image_type: &str) -> String {
    if image_type.is_empty() {
        return tag.to_owned();
    }
    let plain = ["-distroless", "-debug"]
        .iter()
        .find_map(|suffix| tag.strip_suffix(suffix))
        .unwrap_or(tag);
    if image_type == "default" {
        plain.to_owned()
    } else {
        format!("{plain}-{image_type}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(global: &Value, config: &Value, annotations: &Value, expected: &str) {
        let values = Values::parse(&json!({"global": global}).to_string()).unwrap();
        let config = config.as_object().unwrap().clone();
        let pod = json!({"metadata": {"annotations": annotations}});
        assert_eq!(proxy(&values, &config, &pod), expected);
    }

    #[test]
    fn images_have_types() {
        let plain = json!({});
        check(
            &json!({"hub": "h", "tag": "1.2"}),
            &plain,
            &plain,
            "h/proxyv2:1.2",
        );
        check(
            &json!({"hub": "h", "tag": 1.25}),
            &plain,
            &plain,
            "h/proxyv2:1.25",
        );
        check(
            &json!({"hub": "h", "tag": "1-debug", "variant": "distroless", "proxy": {"image": "p"}}),
            &plain,
            &plain,
            "h/p:1-distroless",
        );
        let debug = json!({"image": {"imageType": "debug"}});
        check(
            &json!({"hub": "h", "tag": "1", "variant": "distroless"}),
            &debug,
            &plain,
            "h/proxyv2:1-debug",
        );
        check(
            &json!({"hub": "h", "tag": "1-distroless"}),
            &debug,
            &json!({PROXY_IMAGE_TYPE: "default"}),
            "h/proxyv2:1",
        );
    }
}
