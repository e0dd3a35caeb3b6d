use super::*;

/// `host=address` or `host` alone, with blanks between.
fn held(text: &str) -> Vec<Held> {
    text.split_whitespace()
        .filter_map(|part| part.split_once('='))
        .map(|(host, address)| (Str::from(host), address.parse().unwrap()))
        .collect()
}

fn hosts(text: &str) -> Vec<Str> {
    text.split_whitespace().map(Str::from).collect()
}

/// `NAME AGE: HOSTS | HELD | WRITTEN`; an age of `-` is that of one which takes no part.
fn claims(rows: &[&str]) -> BTreeMap<Owner, Claim> {
    let mut out = BTreeMap::new();
    for row in rows {
        let (head, tail) = row.split_once(':').unwrap();
        let (name, age) = head.split_once(' ').unwrap();
        let parts: Vec<&str> = tail.split('|').collect();
        let part = |i: usize| parts.get(i).copied().unwrap_or_default();
        let claim = Claim {
            created: age.parse().unwrap_or(0),
            takes_part: age != "-",
            hosts: hosts(part(0)),
            held: held(part(1)),
            written: part(2)
                .split_whitespace()
                .map(|a| a.parse().unwrap())
                .collect(),
        };
        out.insert((Str::from("ns"), Str::from(name)), claim);
    }
    out
}

fn shown(decided: &BTreeMap<Owner, Vec<Held>>) -> Vec<String> {
    let rows = decided.iter().map(|((_, name), held)| {
        let held: Vec<String> = held.iter().map(|(h, a)| format!("{h}={a}")).collect();
        format!("{name}: {}", held.join(" "))
    });
    rows.collect()
}

fn small(v4: &str, v6: &str) -> Prefixes {
    Prefixes {
        v4: v4.parse().unwrap(),
        v6: v6.parse().unwrap(),
    }
}

const FIRST: Start = Start::Last(None, None);

#[test]
fn what_is_decided() {
    let prefixes = Prefixes::default();
    for (what, rows, want) in [
        (
            "the oldest comes first, one of each family for each host, and a host only once",
            &["a 2: x.com", "b 1: y.com z.com y.com"][..],
            &[
                "a: x.com=240.240.0.3 x.com=2001:2::3",
                "b: y.com=240.240.0.1 y.com=2001:2::1 z.com=240.240.0.2 z.com=2001:2::2",
            ][..],
        ),
        (
            "what is written down stays, and nobody else gets it, older or not",
            &[
                "a 1: x.com",
                "b 2: y.com | y.com=240.240.0.1 y.com=2001:2::1",
            ],
            &["a: x.com=240.240.0.2 x.com=2001:2::2"],
        ),
        (
            "a new host gets addresses beside those of the others, one that is gone loses its own",
            &["a 1: x.com y.com | x.com=240.240.0.9 old.com=240.240.0.1"],
            &["a: x.com=240.240.0.9 y.com=240.240.0.2 y.com=2001:2::1"],
        ),
        (
            "of two that hold an address the younger moves, with all of its hosts",
            &[
                "a 2: x.com w.com | x.com=240.240.0.1 w.com=240.240.0.7",
                "b 1: y.com | y.com=240.240.0.1 y.com=2001:2::1",
            ],
            &["a: x.com=240.240.0.2 x.com=2001:2::2 w.com=240.240.0.3 w.com=2001:2::3"],
        ),
        (
            "of two of one age the later name moves",
            &[
                "a 1: x.com | x.com=240.240.0.1",
                "b 1: y.com | y.com=240.240.0.1",
            ],
            &["b: y.com=240.240.0.2 y.com=2001:2::1"],
        ),
        (
            "what a user wrote stays the user's",
            &[
                "a 1: x.com | x.com=240.240.0.1",
                "u -: u.com || 240.240.0.1",
            ],
            &["a: x.com=240.240.0.2 x.com=2001:2::1"],
        ),
        (
            "outside of our ranges nothing is compared",
            &["a 1: x.com | x.com=10.0.0.1", "b 2: y.com | y.com=10.0.0.1"],
            &[],
        ),
        (
            "one ServiceEntry may name an address twice",
            &["a 1: x.com y.com | x.com=240.240.0.1 y.com=240.240.0.1"],
            &[],
        ),
        (
            "the form of an address does not hide it",
            &["a 1: x.com | x.com=::ffff:240.240.0.1", "b 2: y.com"],
            &["b: y.com=240.240.0.2 y.com=2001:2::1"],
        ),
        (
            "who takes no part any more holds nothing, and what it had is free",
            &[
                "a -: x.com | x.com=240.240.0.1 x.com=2001:2::1",
                "b 1: y.com",
            ],
            &["a: ", "b: y.com=240.240.0.1 y.com=2001:2::1"],
        ),
        (
            "who takes no part and holds nothing is left alone",
            &["a -: x.com"],
            &[],
        ),
        (
            "without hosts there is nothing to hold",
            &["a 1: | x.com=240.240.0.1", "b 1:"],
            &["a: "],
        ),
    ] {
        assert_eq!(
            shown(&decide(&claims(rows), &prefixes, FIRST)),
            want,
            "{what}"
        );
    }
}

#[test]
fn a_decision_that_was_carried_out_is_final() {
    let mut all = claims(&[
        "a 3: x.com y.com",
        "b 1: z.com | z.com=240.240.0.4",
        "c 2: w.com | w.com=240.240.0.4",
        "d -: v.com | v.com=240.240.0.1",
    ]);
    for start in [FIRST, Start::Name] {
        for (owner, held) in decide(&all, &Prefixes::default(), start) {
            all.get_mut(&owner).unwrap().held = held;
        }
        let again = decide(&all, &Prefixes::default(), start);
        assert!(again.is_empty(), "{again:?}");
    }
}

#[test]
fn a_range_is_used_up_and_begun_again() {
    let prefixes = small("10.0.0.0/30", "fd00::/126");
    let rows = [
        "a 1: a.com | a.com=10.0.0.2 a.com=fd00::2",
        "b 2: b.com c.com d.com",
    ];
    let last = Start::Last("10.0.0.2".parse().ok(), "fd00::2".parse().ok());
    assert_eq!(
        shown(&decide(&claims(&rows), &prefixes, last)),
        ["b: b.com=10.0.0.3 b.com=fd00::3 c.com=10.0.0.1 c.com=fd00::1"],
        "d.com has none: all are used"
    );
    for (v4, v6) in [
        ("10.0.0.1/32", "fd00::1/128"),
        ("255.255.255.255/32", "::/0"),
    ] {
        let decided = decide(&claims(&["a 1: a.com"]), &small(v4, v6), FIRST);
        assert!(
            shown(&decided).iter().all(|row| !row.contains("=10.")),
            "{decided:?}"
        );
    }
}

#[test]
fn addresses_by_name_do_not_depend_on_others() {
    let prefixes = Prefixes::default();
    let alone = decide(&claims(&["m 1: m.com"]), &prefixes, Start::Name);
    let among = decide(
        &claims(&["a 0: a.com", "m 1: m.com", "z 2: z.com"]),
        &prefixes,
        Start::Name,
    );
    let owner = (Str::from("ns"), Str::from("m"));
    assert_eq!(alone[&owner], among[&owner]);
    let in_range = |(_, a): &Held| prefixes.v4.contains(a) || prefixes.v6.contains(a);
    assert_eq!(
        among
            .values()
            .flatten()
            .filter(|held| in_range(held))
            .count(),
        6
    );
    let distinct: BTreeSet<IpAddr> = among.values().flatten().map(|(_, a)| *a).collect();
    assert_eq!(distinct.len(), 6);
    // Where the range is small, names fall onto each other and give way.
    let small = small("10.0.0.0/29", "fd00::/125");
    let many = decide(&claims(&["a 1: a b c d e f g h"]), &small, Start::Name);
    let distinct: BTreeSet<IpAddr> = many.values().flatten().map(|(_, a)| *a).collect();
    assert_eq!(distinct.len(), 14);
}

#[test]
fn who_takes_part() {
    let labels = |value: &str| [(SWITCH, value)].into_iter().collect::<Labels>();
    for (resolution, addresses, labels, want) in [
        (Resolution::Dns, false, Labels::default(), true),
        (Resolution::ClientSideLb, false, labels("true"), true),
        (Resolution::DynamicDns, false, labels("nonsense"), true),
        (Resolution::Dns, false, labels("False"), false),
        (Resolution::Dns, true, labels("true"), false),
        (Resolution::Passthrough, false, labels("true"), false),
    ] {
        assert_eq!(
            takes_part(resolution, addresses, &labels),
            want,
            "{resolution:?} {labels:?}"
        );
    }
    assert!(!host_takes_part("*.a.com", Resolution::Dns));
    assert!(host_takes_part("*.a.com", Resolution::DynamicDns));
    assert!(host_takes_part("a.com", Resolution::Dns));
}
