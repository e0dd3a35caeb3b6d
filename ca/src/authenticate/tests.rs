use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;
use tonic::metadata::MetadataValue;

use super::*;
use crate::system_clock;
use crate::testing::{Table, review};

fn metadata(pairs: &[(&'static str, &str)]) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    for (key, value) in pairs {
        metadata.append(*key, MetadataValue::try_from(*value).unwrap());
    }
    metadata
}

/// A reviewer that answers the same to everybody, as an API server that knows no audiences would.
struct Always(Review);

#[tonic::async_trait]
impl TokenReviewer for Always {
    async fn review(&self, _: &str, _: &[String]) -> Result<Review, String> {
        Ok(self.0.clone())
    }
}

async fn by_token(settings: &Callers, review: Review) -> Result<Caller, String> {
    let clusters = Clusters::new(Arc::new(Always(review)), Vec::new());
    let callers = Authenticators::new(settings.clone(), Some(clusters), system_clock());
    let metadata = metadata(&[("authorization", "Bearer x")]);
    let credentials = Credentials {
        peer: None,
        remote: None,
        metadata: &metadata,
    };
    let caller = callers.caller(credentials).await;
    caller.map_err(|failures| failures.last().unwrap().to_string())
}

#[tokio::test]
async fn a_review_is_judged_as_istio_judges_it() {
    let settings = Callers {
        trust_domain: "td.example".to_owned(),
        audiences: vec!["istio-ca".to_owned(), "other".to_owned()],
        ..Callers::default()
    };
    type Change = fn(&mut Review);
    let cases: [(Change, Result<(), &str>); 11] = [
        (|_| (), Ok(())),
        (|r| r.audiences = vec!["other".to_owned()], Ok(())),
        (|r| r.audiences.clear(), Err("it is for the audiences []")),
        (
            |r| r.audiences = vec!["vault".to_owned()],
            Err("[\"vault\"]"),
        ),
        (|r| r.authenticated = false, Err("does not authenticate")),
        (|r| r.error = "boom".to_owned(), Err("boom")),
        (|r| r.groups.clear(), Err("is no service account")),
        (
            |r| r.username = "system:node:a:b".to_owned(),
            Err("invalid username"),
        ),
        (
            |r| r.username = "system:serviceaccount:a:b:c".to_owned(),
            Err("invalid username"),
        ),
        (
            |r| r.username = "system:serviceaccount:a:".to_owned(),
            Err("is no identity"),
        ),
        (
            |r| r.username = "system:serviceaccount:a:b/ns/c".to_owned(),
            Err("is no identity"),
        ),
    ];
    for (change, expected) in cases {
        let mut review = review("default", "sleep", "sleep-1");
        change(&mut review);
        match (by_token(&settings, review).await, expected) {
            (Ok(caller), Ok(())) => {
                assert_eq!(
                    caller.identities,
                    ["spiffe://td.example/ns/default/sa/sleep"]
                );
                let pod = caller.pod.unwrap();
                assert_eq!(
                    (&*pod.name, &*pod.uid, &*pod.namespace),
                    ("sleep-1", "uid-sleep-1", "default")
                );
            }
            (Err(reason), Err(why)) => assert!(reason.contains(why), "{reason}"),
            (answer, expected) => panic!("{answer:?} instead of {expected:?}"),
        }
    }
}

#[test]
fn the_first_bearer_token_counts() {
    let long = format!("Bearer {}", "x".repeat(MAX_TOKEN + 1));
    for (values, expected) in [
        (vec!["Bearer a"], Ok("a")),
        (vec!["Basic x", "Bearer a", "Bearer b"], Ok("a")),
        (vec![], Err("no HTTP authorization header exists")),
        (
            vec!["bearer a"],
            Err("no bearer token exists in HTTP authorization header"),
        ),
        (vec!["Bearer "], Err("the bearer token is empty")),
        (vec![long.as_str()], Err("the bearer token has 16385 bytes")),
    ] {
        let pairs: Vec<_> = values.iter().map(|v| ("authorization", *v)).collect();
        let metadata = metadata(&pairs);
        assert_eq!(bearer(&metadata), expected.map_err(str::to_owned));
    }
}

#[tokio::test]
async fn a_gateway_speaks_for_others_only_from_its_own_network() {
    let own = "By=spiffe://x;Hash=1;URI=spiffe://cluster.local/ns/a/sa/b";
    let twice = format!("{own},{own}");
    let cases = [
        ("10.1.2.3", own, Ok(())),
        ("127.0.0.1", own, Ok(())),
        ("::ffff:10.1.2.3", own, Ok(())),
        ("11.1.2.3", own, Err("not in the trusted network")),
        ("10.1.2.3", &twice, Err("2 elements")),
        (
            "10.1.2.3",
            "URI=spiffe://other/ns/a/sa/b",
            Err("no identity of this mesh"),
        ),
        ("10.1.2.3", "URI=https://x", Err("no identity of this mesh")),
        ("10.1.2.3", "Hash=1;DNS=a.example", Err("no URI")),
        ("10.1.2.3", "URI", Err("not <key>=<value>")),
    ];
    let mut settings = Callers {
        trusted_gateways: vec!["10.0.0.0/8".parse().unwrap()],
        ..Callers::default()
    };
    for (ip, header, expected) in cases {
        let callers = Authenticators::new(settings.clone(), None, system_clock());
        let metadata = metadata(&[("x-forwarded-client-cert", header)]);
        let credentials = Credentials {
            peer: None,
            remote: Some(SocketAddr::new(ip.parse::<IpAddr>().unwrap(), 1)),
            metadata: &metadata,
        };
        match (callers.caller(credentials).await, expected) {
            (Ok(caller), Ok(())) => {
                assert_eq!(caller.identities, ["spiffe://cluster.local/ns/a/sa/b"]);
                assert_eq!(caller.by, Source::Gateway);
            }
            (Err(failures), Err(why)) => {
                let reason = failures.last().unwrap().to_string();
                assert!(reason.contains(why), "{ip} {header}: {reason}");
            }
            (answer, expected) => panic!("{ip} {header}: {answer:?} instead of {expected:?}"),
        }
    }
    // Without the setting nobody is believed, not even this machine.
    settings.trusted_gateways.clear();
    let callers = Authenticators::new(settings, None, system_clock());
    let metadata = metadata(&[("x-forwarded-client-cert", own)]);
    let credentials = Credentials {
        peer: None,
        remote: Some("127.0.0.1:1".parse().unwrap()),
        metadata: &metadata,
    };
    assert_eq!(callers.caller(credentials).await.unwrap_err().len(), 2);
}

#[tokio::test]
async fn remote_clusters_come_and_go() {
    let local = Table::with(&[("local", review("a", "b", "c"))]);
    let remote = Table::with(&[("remote", review("a", "b", "c"))]);
    let clusters = Clusters::new(local, vec!["one".to_owned(), "alias".to_owned()]);
    let callers = Authenticators::new(Callers::default(), Some(clusters.clone()), system_clock());
    let ask = async |cluster: &str, token: &str| {
        let token = format!("Bearer {token}");
        let metadata = metadata(&[("authorization", token.as_str()), ("clusterid", cluster)]);
        let credentials = Credentials {
            peer: None,
            remote: None,
            metadata: &metadata,
        };
        callers
            .caller(credentials)
            .await
            .ok()
            .and_then(|c| c.pod)
            .map(|pod| pod.cluster)
    };
    for own in ["", "one", "alias"] {
        assert_eq!(ask(own, "local").await.as_deref(), Some(""));
    }
    assert_eq!(ask("two", "remote").await, None);
    clusters.set_remote("two", remote);
    assert_eq!(ask("two", "remote").await.as_deref(), Some("two"));
    assert_eq!(ask("two", "local").await, None);
    assert_eq!(ask("one", "remote").await, None);
    clusters.remove_remote("two");
    assert_eq!(ask("two", "remote").await, None);
}

proptest! {
    /// Whatever a caller sends as a token or header, nothing panics, and nobody becomes somebody.
    #[test]
    fn any_credentials_are_survived(token in "[ -~]{0,200}", xfcc in "[ -~]{0,200}", cluster in "[ -~]{0,20}") {
        let settings = Callers {
            trusted_gateways: vec!["0.0.0.0/0".parse().unwrap()],
            ..Callers::default()
        };
        let clusters = Clusters::new(Table::with(&[]), Vec::new());
        let callers = Authenticators::new(settings, Some(clusters), system_clock());
        let bearer = format!("Bearer {token}");
        let metadata = metadata(&[
            ("authorization", bearer.as_str()),
            ("x-forwarded-client-cert", xfcc.as_str()),
            ("clusterid", cluster.as_str()),
        ]);
        let credentials = Credentials {
            peer: None,
            remote: Some("1.2.3.4:5".parse().unwrap()),
            metadata: &metadata,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        prop_assert!(runtime.block_on(callers.caller(credentials)).is_err());
        // The end of a token is read from what a stranger may have written.
        let caller = Caller { identities: vec!["x".to_owned()], pod: None, by: Source::Token };
        callers.cache.put("", &token, &caller);
    }
}
