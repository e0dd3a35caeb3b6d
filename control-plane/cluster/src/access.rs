//! May this account do that? Asked of the API server with a SubjectAccessReview.

use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

use crate::error::{ApiError, within};

/// Whether a user may list the Secrets of a namespace. Istio 1.31 gives a gateway the Secrets of its namespace only
/// where its account could read them itself.
pub async fn lists_secrets(
    client: &Client,
    user: &str,
    namespace: &str,
    limit: Duration,
) -> Result<bool, ApiError> {
    let request = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.to_owned()),
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(namespace.to_owned()),
                verb: Some("list".to_owned()),
                resource: Some("secrets".to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    let answer = within(limit, api.create(&PostParams::default(), &request)).await?;
    let status = answer.status.unwrap_or_default();
    Ok(status.allowed && status.denied != Some(true))
}

#[cfg(test)]
mod tests;
