use meltemi_fake_api::{FakeApi, Refusal};
use serde_json::json;

use super::*;
use crate::testing::api;

const LIMIT: Duration = Duration::from_secs(5);

/// An API server that lets one account list Secrets, in one namespace.
fn lets(api: &FakeApi) {
    api.answer("subjectaccessreviews.authorization.k8s.io", |request| {
        let mut review = request.body.clone();
        let spec = &review["spec"];
        let wanted = json!({"namespace": "shop", "verb": "list", "resource": "secrets"});
        let allowed = spec["user"] == "system:serviceaccount:shop:gateway"
            && spec["resourceAttributes"] == wanted;
        review["status"] = json!({"allowed": allowed});
        Ok(review)
    });
}

#[tokio::test]
async fn the_account_and_the_namespace_decide() {
    let (api, client) = api().await;
    lets(&api);
    for (account, namespace, want) in [
        ("shop:gateway", "shop", true),
        ("shop:web", "shop", false),
        ("shop:gateway", "other", false),
    ] {
        let user = format!("system:serviceaccount:{account}");
        let found = lists_secrets(&client, &user, namespace, LIMIT).await;
        assert_eq!(found, Ok(want), "{account} {namespace}");
    }
}

#[tokio::test]
async fn no_answer_is_no_permission() {
    let (api, client) = api().await;
    api.answer("subjectaccessreviews.authorization.k8s.io", |_| {
        Err(Refusal::new(403, "we may not ask"))
    });
    let found = lists_secrets(&client, "x", "shop", LIMIT).await;
    assert!(matches!(found, Err(ApiError::Forbidden(_))), "{found:?}");
}
