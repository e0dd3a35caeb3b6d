//! The protocol's cases, one by one.

use super::*;
use crate::fixture::snapshot;

const CDS: ResourceType = ResourceType::Cluster;
const EDS: ResourceType = ResourceType::Endpoint;
const LDS: ResourceType = ResourceType::Listener;
const RDS: ResourceType = ResourceType::Route;

fn session(protocol: Protocol, snapshot: Arc<ProxySnapshot>) -> Session {
    Session::new(protocol, 7, Arc::default(), snapshot)
}

fn world() -> Arc<ProxySnapshot> {
    snapshot("a=1 b=1", "a=1 b=1", "l=route:r", "r=cluster:a")
}

fn words(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

fn delta(
    ty: ResourceType,
    subscribe: &[&str],
    unsubscribe: &[&str],
    initial: &[(&str, &str)],
) -> Request {
    let initial = initial
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect();
    let interest = Interest::Delta {
        subscribe: words(subscribe),
        unsubscribe: words(unsubscribe),
        initial,
    };
    Request {
        ty,
        nonce: String::new(),
        error: None,
        interest,
    }
}

fn sotw(ty: ResourceType, names: &[&str], nonce: &str) -> Request {
    let interest = Interest::Sotw {
        names: words(names),
        version: String::new(),
    };
    Request {
        ty,
        nonce: nonce.into(),
        error: None,
        interest,
    }
}

fn answer(request: Request, nonce: &str, error: Option<&str>) -> Request {
    Request {
        nonce: nonce.into(),
        error: error.map(str::to_owned),
        ..request
    }
}

/// `CDS a b -c`: the type, what is sent, what is removed.
fn show(actions: &[Action]) -> Vec<String> {
    let one = |action: &Action| match action {
        Action::Close(code, _) => format!("close {code:?}"),
        Action::Send(r) => {
            let sent = r.resources.iter().map(|d| format!(" {}", d.resource.name));
            let removed = r.removed.iter().map(|n| format!(" -{n}"));
            format!(
                "{}{}",
                r.ty.short(),
                sent.chain(removed).collect::<String>()
            )
        }
    };
    actions.iter().map(one).collect()
}

fn nonces(actions: &[Action]) -> Vec<String> {
    let nonce = |a: &Action| match a {
        Action::Send(r) => Some(r.nonce.clone()),
        Action::Close(..) => None,
    };
    actions.iter().filter_map(nonce).collect()
}

/// A delta session that has everything and accepted it.
fn synced() -> Session {
    let mut s = session(Protocol::Delta, world());
    for (ty, names) in [
        (CDS, vec![]),
        (EDS, vec!["a", "b"]),
        (LDS, vec![]),
        (RDS, vec!["r"]),
    ] {
        let actions = s.on_request(&delta(ty, &names, &[], &[]));
        assert!(
            s.on_request(&answer(
                delta(ty, &[], &[], &[]),
                &nonces(&actions)[0],
                None
            ))
            .is_empty()
        );
    }
    s
}

#[test]
fn first_requests_of_delta() {
    let empty = snapshot("", "", "", "");
    for (what, world, request, want) in [
        (
            "legacy wildcard",
            world(),
            delta(CDS, &[], &[], &[]),
            "CDS a b",
        ),
        ("wildcard", world(), delta(CDS, &["*"], &[], &[]), "CDS a b"),
        (
            "nothing to send",
            empty.clone(),
            delta(CDS, &[], &[], &[]),
            "CDS",
        ),
        (
            "subscribe to nothing",
            world(),
            delta(LDS, &["*"], &["*"], &[]),
            "LDS",
        ),
        (
            "by name",
            world(),
            delta(CDS, &["b", "x"], &[], &[]),
            "CDS b -x",
        ),
        (
            "never a wildcard",
            world(),
            delta(EDS, &["*"], &[], &[]),
            "",
        ),
        (
            "known and unknown",
            world(),
            delta(EDS, &["b", "x"], &[], &[]),
            "EDS b x",
        ),
        (
            "unknown route",
            empty,
            delta(RDS, &["x"], &[], &[]),
            "RDS x",
        ),
        (
            "gone while away",
            world(),
            delta(LDS, &[], &[], &[("gone", "1")]),
            "LDS l -gone",
        ),
    ] {
        let got = show(&session(Protocol::Delta, world).on_request(&request));
        assert_eq!(got.join("|"), want, "{what}");
    }
}

#[test]
fn first_requests_of_sotw() {
    for (what, request, want) in [
        ("legacy wildcard", sotw(CDS, &[], ""), "CDS a b"),
        ("by name", sotw(LDS, &["l", "x"], ""), "LDS l"),
        ("unsubscribed", sotw(EDS, &[], ""), ""),
        ("unknown", sotw(RDS, &["r", "x"], ""), "RDS r x"),
    ] {
        assert_eq!(
            show(&session(Protocol::Sotw, world()).on_request(&request)).join("|"),
            want,
            "{what}"
        );
    }
}

#[test]
fn empty_resources_are_what_envoy_expects() {
    let mut s = session(Protocol::Delta, snapshot("", "", "", ""));
    let body = |actions: &[Action]| match &actions[0] {
        Action::Send(r) => r.resources[0].resource.body.clone(),
        Action::Close(..) => panic!("closed"),
    };
    assert_eq!(
        &body(&s.on_request(&delta(EDS, &["x"], &[], &[])))[..],
        b"\x0a\x01x"
    );
    assert_eq!(
        &body(&s.on_request(&delta(RDS, &["x"], &[], &[])))[..],
        b"\x0a\x01x\x3a\x00"
    );
}

#[test]
fn later_requests_get_only_what_they_ask_for() {
    let mut s = synced();
    for (what, request, want) in [
        ("an added name", delta(EDS, &["x"], &[], &[]), "EDS x"),
        ("a name again", delta(EDS, &["a"], &[], &[]), "EDS a"),
        ("a dropped name", delta(EDS, &[], &["x"], &[]), ""),
        (
            "a stale nonce with a name",
            answer(delta(EDS, &["y"], &[], &[]), "6-1", None),
            "EDS y",
        ),
        (
            "clusters again force endpoints",
            delta(CDS, &["*"], &[], &[]),
            "CDS a b|EDS a b",
        ),
    ] {
        assert_eq!(show(&s.on_request(&request)).join("|"), want, "{what}");
    }

    let mut s = session(Protocol::Sotw, world());
    let first = nonces(&s.on_request(&sotw(EDS, &["a"], "")));
    assert!(
        s.on_request(&sotw(EDS, &["a", "b"], "6-1")).is_empty(),
        "a stale nonce"
    );
    assert_eq!(
        show(&s.on_request(&sotw(EDS, &["a", "b"], &first[0]))),
        ["EDS b"]
    );
}

#[test]
fn a_changed_cluster_gets_its_endpoints_again() {
    // Envoy warms the changed cluster and waits for endpoints (envoy#13009).
    let mut s = synced();
    let next = snapshot("a=2 b=1", "a=1 b=1", "l=route:r", "r=cluster:a");
    assert_eq!(show(&s.on_snapshot(next.clone())), ["CDS a", "EDS a"]);

    // The stream breaks in between: the client holds the new cluster and the endpoints that came with the old one.
    let version = |set: &ResourceSet, name: &str| set.by_name[name].version.to_string();
    let (clusters, endpoints) = (next.set(CDS), next.set(EDS));
    let old = format!(
        "{}.{}",
        version(endpoints, "a"),
        version(world().set(CDS), "a")
    );
    let current = format!("{}.{}", version(endpoints, "b"), version(clusters, "b"));
    let (a, b) = (version(clusters, "a"), version(clusters, "b"));
    let mut s = session(Protocol::Delta, next);
    assert_eq!(
        show(&s.on_request(&delta(CDS, &[], &[], &[("a", &a), ("b", &b)]))),
        ["CDS"]
    );
    assert_eq!(
        show(&s.on_request(&delta(
            EDS,
            &["a", "b"],
            &[],
            &[("a", &old), ("b", &current)]
        ))),
        ["EDS a"]
    );
}

#[test]
fn new_clusters_are_warm_before_routes_use_them_and_old_ones_leave_last() {
    let mut s = synced();
    let next = snapshot("b=1 c=1", "b=1 c=1", "l=route:r", "r=cluster:c");
    let push = s.on_snapshot(next);
    assert_eq!(show(&push), ["CDS c"], "the route waits");
    assert!(s.is_waiting());
    assert!(
        s.on_request(&answer(delta(CDS, &[], &[], &[]), &nonces(&push)[0], None))
            .is_empty()
    );
    let endpoints = s.on_request(&delta(EDS, &["c"], &[], &[]));
    assert_eq!(show(&endpoints), ["EDS c"]);
    let routes = s.on_request(&answer(
        delta(EDS, &[], &[], &[]),
        &nonces(&endpoints)[0],
        None,
    ));
    assert_eq!(show(&routes), ["RDS r"]);
    let last = s.on_request(&answer(
        delta(RDS, &[], &[], &[]),
        &nonces(&routes)[0],
        None,
    ));
    assert_eq!(show(&last), ["CDS -a"]);
    assert!(!s.is_waiting());
}

#[test]
fn sotw_keeps_old_clusters_in_the_list_until_routes_left_them() {
    let mut s = session(Protocol::Sotw, world());
    for (ty, names) in [
        (CDS, vec![]),
        (EDS, vec!["a", "b"]),
        (LDS, vec![]),
        (RDS, vec!["r"]),
    ] {
        let nonce = nonces(&s.on_request(&sotw(ty, &names, ""))).remove(0);
        assert!(s.on_request(&sotw(ty, &names, &nonce)).is_empty());
    }
    let push = s.on_snapshot(snapshot("b=1", "b=1", "l=route:r", "r=cluster:b"));
    assert_eq!(show(&push), ["CDS b a", "RDS r"]);
    assert_eq!(
        show(&s.on_request(&sotw(RDS, &["r"], &nonces(&push)[1]))),
        ["CDS b"]
    );
}

#[test]
fn a_refused_version_is_not_sent_again() {
    let mut s = synced();
    let push = s.on_snapshot(snapshot("a=bad b=2", "a=1 b=1", "l=route:r", "r=cluster:a"));
    assert_eq!(show(&push), ["CDS a b", "EDS a b"]);
    let nack = answer(
        delta(CDS, &[], &[], &[]),
        &nonces(&push)[0],
        Some("Error adding/updating cluster(s) a: no"),
    );
    assert!(s.on_request(&nack).is_empty());
    let subscription = s.subscription(CDS).unwrap();
    assert_eq!(
        subscription.rejected().map(|n| &**n).collect::<Vec<_>>(),
        ["a"]
    );
    assert!(subscription.report.error.is_some());
    let others = s.on_snapshot(snapshot("a=bad b=3", "a=1 b=1", "l=route:r", "r=cluster:a"));
    assert_eq!(show(&others), ["CDS b", "EDS b"]);
    let mended = s.on_snapshot(snapshot("a=3 b=3", "a=1 b=1", "l=route:r", "r=cluster:a"));
    assert_eq!(show(&mended), ["CDS a", "EDS a"]);
    s.on_request(&answer(
        delta(CDS, &[], &[], &[]),
        &nonces(&mended)[0],
        None,
    ));
    assert_eq!(s.subscription(CDS).unwrap().rejected().count(), 0);
}

#[test]
fn a_response_that_is_refused_as_a_whole_is_tried_again_when_a_part_changed() {
    let mut s = session(Protocol::Delta, world());
    let first = s.on_request(&delta(CDS, &[], &[], &[]));
    s.on_request(&answer(
        delta(CDS, &[], &[], &[]),
        &nonces(&first)[0],
        Some("cannot be decoded"),
    ));
    assert_eq!(
        show(&s.on_snapshot(snapshot("a=1 b=1 c=1", "", "", ""))),
        ["CDS c"]
    );
    assert_eq!(
        show(&s.on_snapshot(snapshot("a=2 b=1 c=1", "", "", ""))),
        ["CDS a b"]
    );
}

#[test]
fn too_many_names_close_the_stream() {
    let names: Vec<String> = (0..=MAX_NAMES).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let got = session(Protocol::Delta, world()).on_request(&delta(EDS, &names, &[], &[]));
    assert_eq!(show(&got), ["close ResourceExhausted"]);
}

fn secrets(bodies: &str) -> Arc<ResourceSet> {
    let one = |word: &str| {
        let (name, body) = word.split_once('=').unwrap();
        let body = bytes::Bytes::copy_from_slice(body.as_bytes());
        Arc::new(Resource::new(
            ResourceType::Secret,
            name.into(),
            body,
            Arc::from([]),
        ))
    };
    let all = bodies.split_whitespace().map(one);
    Arc::new(ResourceSet::new(ResourceType::Secret, all))
}

/// What the shell does with a request: looks up what is asked for, then lets the session answer.
fn ask(session: &mut Session, request: &Request, there_are: &str) -> Vec<String> {
    if let Some(names) = session.secrets_asked(request) {
        let all = secrets(there_are);
        let may = all.by_name.values().filter(|r| names.contains(&r.name));
        let may = ResourceSet::new(ResourceType::Secret, may.cloned());
        session.hold_secrets(Arc::new(may));
    }
    show(&session.on_request(request))
}

#[test]
fn secrets_are_for_those_who_ask_by_name() {
    const SDS: ResourceType = ResourceType::Secret;
    let mut session = session(Protocol::Delta, world());
    session.on_request(&delta(LDS, &[], &[], &[]));
    assert!(show(&session.on_secrets(secrets("x=1"))).is_empty());

    let first = delta(SDS, &["x", "y"], &[], &[]);
    // What there is not is said at once, so that a listener does not wait for it.
    assert_eq!(ask(&mut session, &first, "x=1 z=1"), ["SDS x -y"]);
    let ack = answer(delta(SDS, &[], &[], &[]), "7-2", None);
    assert_eq!(session.secrets_asked(&ack), None, "nothing is looked up");
    assert!(show(&session.on_request(&ack)).is_empty());
    // Another listener asks for one more, and a response holds nothing but that.
    let more = delta(SDS, &["z"], &[], &[]);
    assert_eq!(ask(&mut session, &more, "x=1 z=1"), ["SDS z"]);
    // Rotation, appearance, and a removal, which Envoy ignores.
    assert_eq!(
        show(&session.on_secrets(secrets("x=2 y=1 z=1"))),
        ["SDS x y"]
    );
    assert_eq!(show(&session.on_secrets(secrets("y=1 z=1"))), ["SDS -x"]);
    assert!(show(&session.on_secrets(secrets("y=1 z=1"))).is_empty());
    // They stay over snapshots, and those over them.
    let next = snapshot("a=1 b=1", "a=1 b=1", "l=route:r,2", "r=cluster:a");
    assert_eq!(show(&session.on_snapshot(next)), ["LDS l"]);
    assert_eq!(show(&session.on_secrets(secrets("x=3 y=1 z=1"))), ["SDS x"]);
    let drop = delta(SDS, &[], &["x"], &[]);
    assert!(ask(&mut session, &drop, "").is_empty());
    assert!(show(&session.on_secrets(secrets("x=4 y=1 z=1"))).is_empty());
}

#[test]
fn secrets_in_the_other_variant_are_never_missing() {
    const SDS: ResourceType = ResourceType::Secret;
    let mut session = session(Protocol::Sotw, world());
    let none = sotw(SDS, &["y"], "");
    assert!(
        ask(&mut session, &none, "x=1").is_empty(),
        "Envoy would refuse an empty response"
    );
    let both = sotw(SDS, &["x", "y"], "");
    assert_eq!(ask(&mut session, &both, "x=1"), ["SDS x"]);
    assert_eq!(show(&session.on_secrets(secrets("x=1 y=1"))), ["SDS y"]);
    assert!(show(&session.on_secrets(secrets("y=1"))).is_empty());
}

#[test]
fn a_secret_that_a_client_still_holds_is_not_sent_again() {
    const SDS: ResourceType = ResourceType::Secret;
    let mut session = session(Protocol::Delta, world());
    let version = Version::of(b"1").to_string();
    let back = delta(SDS, &["x", "y"], &[], &[("x", &version), ("y", "older")]);
    assert_eq!(ask(&mut session, &back, "x=1 y=1"), ["SDS y"]);
}

#[test]
fn the_table_of_names_comes_last_and_is_told_by_no_name() {
    const NDS: ResourceType = ResourceType::NameTable;
    let with = |revision, cluster: &str, names: &str| {
        let one = |name: &str, body: &str| [(name.to_owned(), body.to_owned())].into();
        let sets = [
            one("a", cluster),
            one("a", "1"),
            one("l", "1"),
            Default::default(),
            Default::default(),
            one("", names),
        ];
        crate::fixture::snapshot_of(revision, &sets)
    };
    for protocol in [Protocol::Delta, Protocol::Sotw] {
        let ask = |ty, nonce: &str| match protocol {
            Protocol::Delta => answer(delta(ty, &[], &[], &[]), nonce, None),
            Protocol::Sotw => sotw(ty, &[], nonce),
        };
        let mut s = session(protocol, with(1, "1", "x"));
        for (ty, wanted) in [(CDS, "CDS a"), (LDS, "LDS l"), (NDS, "NDS ")] {
            let sent = s.on_request(&ask(ty, ""));
            let all = show(&sent);
            assert_eq!(all.last().map(String::as_str), Some(wanted), "{protocol:?}");
            for (action, nonce) in sent.iter().zip(nonces(&sent)) {
                if let Action::Send(response) = action {
                    s.on_request(&ask(response.ty, &nonce));
                }
            }
        }
        let sent = s.on_snapshot(with(2, "2", "y"));
        assert_eq!(show(&sent), ["CDS a", "NDS "], "{protocol:?}");
        assert!(show(&s.on_snapshot(with(3, "2", "y"))).is_empty());
    }
}
