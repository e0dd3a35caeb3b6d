use meltemi_fake_api::{FakeApi, Fault, On, Refusal};
use serde_json::{Value, json};

use super::*;
use crate::testing::api;

const LIMIT: Duration = Duration::from_secs(5);

/// An API server that knows one token, as the real one answers for a projected one.
fn knows(api: &FakeApi, audiences: Value) {
    api.answer("tokenreviews.authentication.k8s.io", move |request| {
        let spec = &request.body["spec"];
        let status = if spec["token"] == "good" {
            json!({
                "authenticated": true,
                "audiences": audiences,
                "user": {
                    "username": "system:serviceaccount:shop:web",
                    "uid": "u-1",
                    "groups": ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"],
                    "extra": {
                        "authentication.kubernetes.io/pod-name": ["web-0"],
                        "authentication.kubernetes.io/pod-uid": ["p-1"],
                        "authentication.kubernetes.io/node-name": ["node-1"],
                    },
                },
            })
        } else {
            json!({"user": {}, "error": "[invalid bearer token, token lookup failed]"})
        };
        let mut review = request.body.clone();
        review["status"] = status;
        Ok(review)
    });
}

async fn asked(client: &Client, token: &str) -> Result<Review, ApiError> {
    review(client, Token(token), &[ISTIO_CA.into()], LIMIT).await
}

#[tokio::test]
async fn a_good_token_says_whose_it_is() {
    let (api, client) = api().await;
    knows(&api, json!(["istio-ca"]));
    let review = asked(&client, "good").await.unwrap();
    assert!(review.authenticated, "{review:?}");
    assert_eq!(review.service_account(), Some(("shop", "web")));
    assert_eq!(review.uid, "u-1");
    assert_eq!(review.audiences, ["istio-ca"]);
    let pod = (&*review.pod_name, &*review.pod_uid, &*review.node_name);
    assert_eq!(pod, ("web-0", "p-1", "node-1"));
    let requests = api.requests();
    assert_eq!(requests[0].body["spec"]["audiences"], json!(["istio-ca"]));
}

#[tokio::test]
async fn a_bad_token_is_an_answer() {
    let (api, client) = api().await;
    knows(&api, json!(["istio-ca"]));
    let review = asked(&client, "bad").await.unwrap();
    assert!(!review.authenticated);
    assert_eq!(review.error, "[invalid bearer token, token lookup failed]");
    assert_eq!(review.service_account(), None);
}

#[tokio::test]
async fn a_token_for_others_is_not_good() {
    for audiences in [
        json!(null),
        json!([]),
        json!(["https://kubernetes.default.svc"]),
    ] {
        let (api, client) = api().await;
        knows(&api, audiences.clone());
        let review = asked(&client, "good").await.unwrap();
        assert!(!review.authenticated, "{audiences}");
        assert_eq!(review.error, "the token is not for the audience istio-ca");
    }
}

#[tokio::test(start_paused = true)]
async fn no_answer_is_not_a_bad_token() {
    let (api, client) = api().await;
    knows(&api, json!(["istio-ca"]));
    let on = || On::all().of("tokenreviews");
    let rows = [
        (Fault::forbidden(), false),
        (Fault::internal(), true),
        (Fault::too_many_requests(1), true),
        (Fault::CutOff, true),
        (Fault::Stall, true),
    ];
    for (fault, outage) in rows {
        api.fault(on(), fault.clone(), 1);
        let error = asked(&client, "good").await.unwrap_err();
        assert_eq!(error.is_outage(), outage, "{fault:?} {error:?}");
    }
    assert!(asked(&client, "good").await.unwrap().authenticated);
    api.go_down();
    assert!(asked(&client, "good").await.unwrap_err().is_outage());
}

#[tokio::test]
async fn a_refusal_that_repeats_the_token_does_not_show_it() {
    let (api, client) = api().await;
    let refusal = Refusal::new(422, "spec.token: invalid value \"s3cret\"");
    api.fault(On::all(), Fault::Refuse(refusal), 1);
    let error = asked(&client, "s3cret").await.unwrap_err();
    assert!(
        !format!("{error} {error:?}").contains("s3cret"),
        "{error:?}"
    );
    assert!(!format!("{:?}", Token("s3cret")).contains("s3cret"));
}

#[test]
fn only_service_accounts_have_accounts() {
    let rows = [
        (
            "system:serviceaccount:shop:web",
            true,
            Some(("shop", "web")),
        ),
        ("system:serviceaccount:shop:web", false, None),
        ("system:serviceaccount:shop:web:more", true, None),
        ("system:serviceaccount:shop", true, None),
        ("system:serviceaccount::web", true, None),
        ("system:serviceaccount:shop:", true, None),
        ("system:node:node-1:more", true, None),
        ("admin", true, None),
        ("", true, None),
    ];
    for (username, in_group, expected) in rows {
        let review = Review {
            authenticated: true,
            username: username.into(),
            groups: in_group
                .then(|| "system:serviceaccounts".into())
                .into_iter()
                .collect(),
            ..Review::default()
        };
        assert_eq!(
            review.service_account(),
            expected,
            "{username:?} {in_group}"
        );
    }
}
