use std::collections::BTreeSet;

use super::*;

/// Pods: cluster, namespace, name, pod.
struct Table(Vec<(&'static str, &'static str, &'static str, Pod)>);

#[tonic::async_trait]
impl Pods for Table {
    async fn pod(&self, cluster: &str, namespace: &str, name: &str) -> Result<Option<Pod>, String> {
        let mut pods = self.0.iter();
        let found = pods.find(|(c, ns, n, _)| (*c, *ns, *n) == (cluster, namespace, name));
        Ok(found.map(|(.., pod)| pod.clone()))
    }

    async fn on_node(
        &self,
        cluster: &str,
        node: &str,
        namespace: &str,
        account: &str,
    ) -> Result<Vec<Pod>, String> {
        let of = |(c, ns, _, pod): &&(&str, &str, &str, Pod)| {
            (*c, *ns) == (cluster, namespace) && pod.node == node && pod.service_account == account
        };
        let found = self.0.iter().filter(of);
        Ok(found.map(|(.., pod)| pod.clone()).collect())
    }
}

fn pod(account: &str, node: &str, uid: &str, failed: bool) -> Pod {
    Pod {
        uid: uid.to_owned(),
        service_account: account.to_owned(),
        node: node.to_owned(),
        failed,
    }
}

fn caller() -> CallerPod {
    CallerPod {
        cluster: String::new(),
        namespace: "istio-system".to_owned(),
        name: "z".to_owned(),
        uid: "1".to_owned(),
        service_account: "ztunnel".to_owned(),
    }
}

#[tokio::test]
async fn a_nodes_proxy_gets_what_runs_on_its_node() {
    let pods = Table(vec![
        ("", "istio-system", "z", pod("ztunnel", "n1", "1", false)),
        (
            "",
            "istio-system",
            "unscheduled",
            pod("ztunnel", "", "2", false),
        ),
        ("", "a", "here", pod("here", "n1", "3", false)),
        ("", "a", "there", pod("there", "n2", "4", false)),
        ("", "a", "failed", pod("failed", "n1", "5", true)),
        ("", "a", "pending", pod("pending", "", "6", false)),
        ("far", "a", "far", pod("far", "n1", "7", false)),
        ("far", "istio-system", "z", pod("ztunnel", "n1", "8", false)),
    ]);
    let settings = Callers {
        node_accounts: BTreeSet::from([("istio-system".to_owned(), "ztunnel".to_owned())]),
        ..Callers::default()
    };
    let id = |account: &str| format!("spiffe://cluster.local/ns/a/sa/{account}");
    let with = |change: &dyn Fn(&mut CallerPod)| {
        let mut caller = caller();
        change(&mut caller);
        Some(caller)
    };
    let far = with(&|c| {
        c.cluster = "far".to_owned();
        c.uid = "8".to_owned();
    });
    let cases: Vec<(Option<CallerPod>, String, Result<(), &str>)> = vec![
        (with(&|_| ()), id("here"), Ok(())),
        (far.clone(), id("far"), Ok(())),
        (far, id("here"), Err("no pod of a/here")),
        (with(&|_| ()), id("far"), Err("no pod of a/far")),
        (
            with(&|_| ()),
            id("there"),
            Err("no pod of a/there runs on node n1"),
        ),
        (with(&|_| ()), id("failed"), Err("no pod of a/failed")),
        (with(&|_| ()), id("pending"), Err("no pod of a/pending")),
        (
            with(&|_| ()),
            "spiffe://other/ns/a/sa/here".to_owned(),
            Err("is not ours"),
        ),
        (
            with(&|_| ()),
            "spiffe://cluster.local/ns/a/sa/here/x".to_owned(),
            Err("not of the form"),
        ),
        (with(&|c| c.uid = "9".to_owned()), id("here"), Err("UID")),
        (with(&|c| c.uid.clear()), id("here"), Err("UID")),
        (
            with(&|c| c.name = "gone".to_owned()),
            id("here"),
            Err("is not known"),
        ),
        (
            with(&|c| c.namespace = "a".to_owned()),
            id("here"),
            Err("CA_TRUSTED_NODE_ACCOUNTS"),
        ),
        (
            with(&|c| c.service_account = "x".to_owned()),
            id("here"),
            Err("CA_TRUSTED_NODE_ACCOUNTS"),
        ),
        (
            with(&|c| {
                c.name = "unscheduled".to_owned();
                c.uid = "2".to_owned();
            }),
            id("here"),
            Err("on no node"),
        ),
        (None, id("here"), Err("token of a pod")),
    ];
    for (caller, requested, expected) in cases {
        let answer = may_impersonate(&settings, &pods, caller.as_ref(), &requested).await;
        match (answer, expected) {
            (Ok(identity), Ok(())) => assert_eq!(identity.to_string(), requested),
            (Err(reason), Err(why)) => assert!(reason.contains(why), "{reason}"),
            (answer, _) => panic!("{caller:?} {requested}: {answer:?}"),
        }
    }
}

#[tokio::test]
async fn the_account_of_the_pod_counts_not_only_that_of_the_token() {
    let pods = Table(vec![
        ("", "istio-system", "z", pod("other", "n1", "1", false)),
        ("", "a", "here", pod("here", "n1", "3", false)),
    ]);
    let settings = Callers {
        node_accounts: BTreeSet::from([("istio-system".to_owned(), "ztunnel".to_owned())]),
        ..Callers::default()
    };
    let requested = "spiffe://cluster.local/ns/a/sa/here";
    let refused = may_impersonate(&settings, &pods, Some(&caller()), requested)
        .await
        .unwrap_err();
    assert!(refused.contains("service account"), "{refused}");
}
