//! Calls between echo applications, as istiod's integration tests make them (`../shared/corpus/echo-traffic`), in process:
//! from the resources of the source's proxy through those of the destination's, by the simulator.

mod echo;

use std::collections::BTreeMap;

use meltemi_tests::recorded::Expected;
use meltemi_tests::shared;

use echo::Verdict;

/// Groups that are not taken, and why. The list only shrinks.
const NOT_TAKEN: [(&str, &str); 1] = [(
    "envoyfilter",
    "only an Envoy runs Lua: tests/envoy/patches.rs sends requests through one",
)];

/// Calls of `proxyless-grpc`, which has no proxy to follow. It only goes down.
const MOST_NOT_FOLLOWED: usize = 11;

#[test]
fn calls_between_applications_end_as_istios_tests_expect() {
    let Some(suite) = shared::suite("echo-traffic") else {
        shared::skipped("no corpus");
        return;
    };
    let list = shared::repo_root().join("tests/echo-traffic/expected-differences.txt");
    let list = std::fs::read_to_string(list).expect("the list of exceptions");
    let expected = Expected::parse(&list).expect("a list of exceptions").0;
    assert!(expected.is_empty(), "the list of exceptions only shrinks");
    let world = echo::world(&suite);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut wrong, mut left) = (Vec::new(), Vec::new());
    let mut groups = echo::groups(&suite);
    for (group, _) in NOT_TAKEN {
        assert!(groups.remove(group), "there is no group {group}");
    }
    for group in groups {
        for case in echo::cases(&suite.join(group)) {
            let mut differences = Vec::new();
            for (call, verdict) in echo::run(&world, &case) {
                if matches!(verdict, Verdict::NotFollowed) {
                    left.push(format!("{}: {call}", case.name));
                }
                let count = match &verdict {
                    Verdict::Meets => "meet",
                    Verdict::NotFollowed => "not followed",
                    Verdict::Differs(_) => "differ",
                };
                *counts.entry(count).or_default() += 1;
                if let Verdict::Differs(why) = verdict {
                    differences.push(format!("{}: {call}: {why}", case.name));
                }
            }
            match (differences.is_empty(), expected.contains_key(&case.name)) {
                (false, false) => wrong.extend(differences),
                (true, true) => wrong.push(format!("{} is equal: take it off the list", case.name)),
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{counts:?}\n{}", wrong.join("\n"));
    let more = left.len() > MOST_NOT_FOLLOWED;
    assert!(!more, "{counts:?}, not followed:\n{}", left.join("\n"));
    assert!(counts.get("meet") > Some(&580), "{counts:?}");
}
