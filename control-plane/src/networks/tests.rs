use std::cell::Cell;
use std::io;

use super::*;

/// What was sent, as `name=addresses`, `name-` for what went.
fn shown(facts: &Facts) -> Vec<String> {
    let show = |(key, object): &(ObjectKey, Option<Object>)| match object {
        Some(Object::Network(_, fact)) => match &**fact {
            NetworkFact::Resolved(addresses) => format!("{}={addresses:?}", key.name),
            NetworkFact::Configured(networks) => {
                let names = networks.networks.iter().map(|n| &*n.name);
                format!("{}={:?}", key.name, names.collect::<Vec<_>>())
            }
        },
        _ => format!("{}-", key.name),
    };
    facts.changes.iter().map(show).collect()
}

#[tokio::test]
async fn names_are_resolved_again_and_keep_their_addresses_while_nobody_answers() {
    let start = Instant::now();
    let name = [Str::from("lb.example.com")];
    let mut known = Known::default();
    let both = &["203.0.113.2", "203.0.113.1"][..];
    // (seconds, wanted, answer, what is told, whether the resolver is asked).
    for (seconds, wanted, answer, want, is_asked) in [
        (
            0,
            &name[..],
            Some(both),
            &["lb.example.com=[203.0.113.1, 203.0.113.2]"][..],
            true,
        ),
        (29, &name, Some(&["203.0.113.9"][..]), &[], false),
        (30, &name, None, &[], true),
        (60, &name, Some(both), &[], true),
        (
            90,
            &name,
            Some(&["203.0.113.3"]),
            &["lb.example.com=[203.0.113.3]"],
            true,
        ),
        (91, &[], None, &["lb.example.com-"], false),
        (92, &name, None, &["lb.example.com=[]"], true),
    ] {
        let asked = Cell::new(false);
        let resolver = |_| {
            asked.set(true);
            let found = answer.map(|list| list.iter().map(|ip| ip.parse().unwrap()).collect());
            async move { found.ok_or_else(|| io::Error::other("no answer")) }
        };
        let now = start + Duration::from_secs(seconds);
        let facts = known.round(wanted, now, &resolver).await;
        assert_eq!(shown(&facts), want, "{seconds}");
        assert!(facts.diagnostics.is_none());
        assert_eq!(asked.get(), is_asked, "{seconds}");
    }
}

#[test]
fn a_file_that_can_be_read_no_more_keeps_its_networks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meshNetworks");
    std::fs::write(&path, "networks: {a: {}}").unwrap();
    let mut file = File::new(path.clone());
    assert_eq!(shown(&file.facts()), ["meshNetworks=[\"a\"]"]);
    assert!(!file.refresh());
    std::fs::write(&path, "networks: [").unwrap();
    assert!(file.refresh() && !file.refresh());
    assert_eq!(shown(&file.facts()), ["meshNetworks=[\"a\"]"]);
    assert_eq!(file.facts().diagnostics.map(|d| d.len()), Some(1));
    std::fs::write(&path, "networks: {b: {}}").unwrap();
    assert!(file.refresh());
    assert_eq!(shown(&file.facts()), ["meshNetworks=[\"b\"]"]);
}
