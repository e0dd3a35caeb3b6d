//! Which stand-in plays a container.

use serde::{Deserialize, Serialize};

use crate::manifest::Container;

/// The applications that can be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppKind {
    /// Bookinfo's front end: calls details and reviews.
    Productpage,
    /// Bookinfo's details.
    Details,
    /// Bookinfo's ratings.
    Ratings,
    /// Bookinfo's reviews, by version: 1 without stars, 2 with black ones, 3 with red ones.
    Reviews(u8),
    /// httpbin as the labs use it.
    Httpbin,
    /// httpbin.org: the same, outside the mesh and behind a public load balancer.
    OutsideHttpbin,
    /// helloworld, by version.
    Helloworld(u8),
    /// Answers each line with `hello <line>`.
    TcpEcho,
    /// Any other image: 200 on every declared port.
    Plain,
    /// Serves nothing, as `sleep` and `curl`.
    Idle,
}

/// The stand-in for a container: chosen by its image, with the version from the image or from the pod's `version` label.
#[must_use]
pub(crate) fn app_kind(container: &Container, version_label: Option<&str>) -> AppKind {
    let kind = AppKind::of_image(&container.image, version_label);
    let sleeps = container.command.iter().any(|word| word.ends_with("sleep"));
    match kind {
        AppKind::Plain if sleeps => AppKind::Idle,
        kind => kind,
    }
}

impl AppKind {
    /// The stand-in for an image, by the last part of its name; `version` counts where the name has none.
    #[must_use]
    pub fn of_image(image: &str, version: Option<&str>) -> Self {
        let image = image
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .split(['@', ':'])
            .next()
            .unwrap_or_default();
        let version = image_version(image)
            .or_else(|| image_version(version?))
            .unwrap_or(1);
        match image {
            _ if image.contains("productpage") => Self::Productpage,
            _ if image.contains("details") => Self::Details,
            _ if image.contains("ratings") => Self::Ratings,
            _ if image.contains("reviews") => Self::Reviews(version),
            _ if image.contains("outside-httpbin") => Self::OutsideHttpbin,
            _ if image.contains("httpbin") => Self::Httpbin,
            _ if image.contains("helloworld") => Self::Helloworld(version),
            _ if image.contains("tcp-echo") => Self::TcpEcho,
            "curl" | "sleep" | "pause" | "busybox" => Self::Idle,
            _ => Self::Plain,
        }
    }
}

/// The number of a last part `v<n>`.
fn image_version(name: &str) -> Option<u8> {
    name.rsplit('-').next()?.strip_prefix('v')?.parse().ok()
}
