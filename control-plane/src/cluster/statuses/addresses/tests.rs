use super::*;

const ALL: Option<Chosen> = Some(None);

fn addresses() -> Addresses {
    Addresses::new(Prefixes::default())
}

/// Shows a ServiceEntry of namespace `shop`.
fn see(to: &mut Addresses, name: &str, created: i64, labels: &[(&str, &str)], object: &Value) {
    let labels = labels.iter().map(|(k, v)| ((*k).into(), (*v).into()));
    let seen = Seen {
        created,
        labels: &labels.collect(),
        spec: &object["spec"],
        status: &object["status"],
    };
    to.seen(&("shop".into(), name.into()), seen);
}

fn entry(host: &str) -> Value {
    json!({"spec": {"hosts": [host], "resolution": "DNS"}})
}

fn with(host: &str, v4: &str, v6: &str) -> Value {
    let mut object = entry(host);
    object["status"] = status(host, v4, v6);
    object
}

fn status(host: &str, v4: &str, v6: &str) -> Value {
    json!({"addresses": [{"value": v4, "host": host}, {"value": v6, "host": host}]})
}

fn key(name: &str) -> Name {
    ("shop".into(), name.into())
}

#[test]
fn a_status_is_written_as_istiod_writes_it() {
    let mut decide = addresses();
    see(&mut decide, "a", 1, &[], &entry("a.com"));
    assert!(decide.wanted(&None).is_empty(), "nothing was read yet");
    let wanted = decide.wanted(&ALL);
    assert_eq!(
        wanted[&key("a")],
        status("a.com", "240.240.0.1", "2001:2::1")
    );
    assert_eq!(decide.wanted(&ALL), wanted, "until it is written");
    see(
        &mut decide,
        "a",
        1,
        &[],
        &with("a.com", "240.240.0.1", "2001:2::1"),
    );
    assert!(decide.wanted(&ALL).is_empty());
}

#[test]
fn who_takes_no_part() {
    for (what, object, labels) in [
        (
            "no resolution",
            json!({"spec": {"hosts": ["a.com"]}}),
            &[][..],
        ),
        (
            "NONE",
            json!({"spec": {"hosts": ["a.com"], "resolution": "NONE"}}),
            &[],
        ),
        (
            "addresses of its own",
            json!({"spec": {"hosts": ["a.com"], "resolution": "DNS", "addresses": ["10.0.0.0/8"]}}),
            &[],
        ),
        ("a wildcard", entry("*.a.com"), &[]),
        (
            "the label",
            entry("a.com"),
            &[("networking.istio.io/enable-autoallocate-ip", "False")],
        ),
    ] {
        let mut decide = addresses();
        see(&mut decide, "a", 1, labels, &object);
        assert!(decide.wanted(&ALL).is_empty(), "{what}");
        // What it had is taken away where it does not take part.
        let mut object = object;
        object["status"] = status("a.com", "240.240.0.1", "2001:2::1");
        see(&mut decide, "a", 1, labels, &object);
        assert_eq!(
            decide.wanted(&ALL)[&key("a")],
            json!({"addresses": []}),
            "{what}"
        );
    }
    let mut decide = addresses();
    let dynamic = json!({"spec": {"hosts": ["*.a.com"], "resolution": "DYNAMIC_DNS"}});
    see(&mut decide, "a", 1, &[], &dynamic);
    assert_eq!(
        decide.wanted(&ALL)[&key("a")],
        status("*.a.com", "240.240.0.1", "2001:2::1")
    );
}

#[test]
fn what_is_decided_but_not_written_is_given_to_nobody_else() {
    let mut decide = addresses();
    see(&mut decide, "b", 2, &[], &entry("b.com"));
    decide.wanted(&ALL);
    // An older one comes while the write fails.
    see(&mut decide, "a", 1, &[], &entry("a.com"));
    let wanted = decide.wanted(&ALL);
    assert_eq!(
        wanted[&key("b")],
        status("b.com", "240.240.0.1", "2001:2::1")
    );
    assert_eq!(
        wanted[&key("a")],
        status("a.com", "240.240.0.2", "2001:2::2")
    );
    // What another leader wrote counts, and the others give way.
    see(
        &mut decide,
        "b",
        2,
        &[],
        &with("b.com", "240.240.0.2", "2001:2::9"),
    );
    let wanted = decide.wanted(&ALL);
    assert_eq!(wanted.len(), 1, "{wanted:?}");
    // Who was changed is decided again.
    decide.was_changed(&key("a"));
    see(
        &mut decide,
        "a",
        1,
        &[],
        &with("a.com", "240.240.0.7", "2001:2::7"),
    );
    assert!(decide.wanted(&ALL).is_empty());
}

#[test]
fn a_free_address_is_not_given_out_at_once() {
    let mut decide = addresses();
    see(&mut decide, "a", 1, &[], &entry("a.com"));
    decide.wanted(&ALL);
    see(
        &mut decide,
        "a",
        1,
        &[],
        &with("a.com", "240.240.0.1", "2001:2::1"),
    );
    decide.gone(&key("a"));
    see(&mut decide, "b", 2, &[], &entry("b.com"));
    let wanted = decide.wanted(&ALL);
    assert_eq!(
        wanted[&key("b")],
        status("b.com", "240.240.0.2", "2001:2::2")
    );
}

#[test]
fn namespaces_that_are_not_looked_at_are_left_alone() {
    let mut decide = addresses();
    see(&mut decide, "a", 1, &[], &entry("a.com"));
    let other: Option<Chosen> = Some(Some([Str::from("other")].into()));
    assert!(decide.wanted(&other).is_empty());
    let ours: Option<Chosen> = Some(Some([Str::from("shop")].into()));
    assert_eq!(decide.wanted(&ours).len(), 1);
    assert!(decide.wanted(&other).is_empty());
}
